// Follows GET /api/v1/live: reconnects with back-off, rests while the page is hidden, knows the server's clock.

import { seconds } from './format.js';

let skew = 0;

// The server's time in seconds: a wrong clock in the browser must not shift a chart.
export const now = () => Date.now() / 1000 + skew;

// Calls `frame(message)` for each message and `state('live' | 'waiting' | 'resting')` on changes. Each connection begins
// with a snapshot.
export const follow = (query, { frame, state }) => {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const url = `${scheme}://${location.host}/api/v1/live?${query}`;
  let socket = null;
  let failures = 0;
  let retry = 0;

  const open = () => {
    clearTimeout(retry);
    if (socket || document.hidden) return;
    const mine = new WebSocket(url);
    socket = mine;
    mine.addEventListener('message', (event) => {
      if (mine !== socket) return;
      const message = JSON.parse(event.data);
      skew = seconds(message.at) - Date.now() / 1000;
      failures = 0;
      state('live');
      frame(message);
    });
    mine.addEventListener('close', () => {
      if (mine !== socket) return;
      socket = null;
      if (document.hidden) return;
      state('waiting');
      failures += 1;
      retry = setTimeout(open, Math.min(15000, 500 * 2 ** failures) * (0.75 + Math.random() / 2));
    });
  };
  const close = () => {
    const mine = socket;
    socket = null;
    mine?.close();
    clearTimeout(retry);
  };

  document.addEventListener('visibilitychange', () => {
    if (document.hidden) { close(); state('resting'); } else open();
  });
  open();
};
