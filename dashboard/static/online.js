// The cells of online sessions, changed in place; and the age of what was last heard.

import { duration, exact, octets, rate, seconds, span } from './format.js';
import { now } from './socket.js';

export const sessionChanged = (session) => {
  const row = document.querySelector(`#online [data-session="${CSS.escape(session.id)}"]`);
  if (!row) return;
  const cell = (name) => row.querySelector(`[data-cell="${name}"]`);
  const put = (name, text, title) => {
    const place = cell(name);
    if (!place) return;
    place.textContent = text;
    if (title) place.title = title;
  };
  put('duration', duration(session.duration_seconds));
  put('download', octets(session.download_octets), exact(session.download_octets));
  put('upload', octets(session.upload_octets), exact(session.upload_octets));
  put('down-rate', session.rate ? rate(session.rate.download_bps) : '–');
  put('up-rate', session.rate ? rate(session.rate.upload_bps) : '–');
  row.dataset.seen = String(seconds(session.last_seen_at));
  row.dataset.interval = session.interval_seconds ?? '';
  tick();
};

// A session is overdue after 2.5 of its intervals; 600 s where none is learned yet.
const tick = () => {
  for (const row of document.querySelectorAll('#online [data-seen]')) {
    const age = Math.max(0, now() - Number(row.dataset.seen));
    const seen = row.querySelector('[data-cell="seen"]');
    const text = `${span(age)} ago`;
    if (seen && seen.textContent !== text) seen.textContent = text;
    row.classList.toggle('rt-overdue', age > 2.5 * (Number(row.dataset.interval) || 600));
  }
};

export const startOnline = () => { tick(); setInterval(tick, 1000); };
