// The rate of everything that is online, second by second.

import { showState } from './live.js';
import { seconds } from './format.js';
import { rateChart } from './rates.js';
import { follow } from './socket.js';
import { Timeline } from './timeline.js';

export const startTotal = (card) => {
  const timeline = new Timeline();
  const filter = card.dataset.nas ? `nas=${encodeURIComponent(card.dataset.nas)}` : 'total=true';
  let newest = null;
  const chart = rateChart(card, timeline, { current: () => newest, span: 300 });
  const frame = (message) => {
    if (!message.totals) return;
    const at = seconds(message.at);
    const { sessions, download_bps: down, upload_bps: up } = message.totals;
    if (newest && at - newest.at <= 5) timeline.add('total', { from: newest.at, to: at, down, up });
    newest = { at, down, up };
    card.querySelector('[data-figure="sessions"]').textContent = sessions.toLocaleString('en');
    chart.draw();
  };
  const state = (name) => { if (name !== 'live') newest = null; showState(card, name); };
  follow(filter, { frame, state });
};
