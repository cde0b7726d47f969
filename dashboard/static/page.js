// Starts what the page holds, also in parts that htmx brings later.

import { startAverages } from './averages.js';
import { startBars } from './bars.js';
import { startLive } from './live.js';
import { startOnline } from './online.js';
import { startTotal } from './total.js';
import { refresh } from './refresh.js';

const STARTS = { averages: startAverages, bars: startBars, live: startLive, total: startTotal };

const start = (root) => {
  for (const place of root.querySelectorAll('[data-start]')) {
    const name = place.dataset.start;
    delete place.dataset.start;
    STARTS[name]?.(place);
  }
};

start(document);
startOnline();
document.addEventListener('htmx:afterSettle', () => start(document));

// What is online or still counting grows old: fetch it again now and then while someone looks.
setInterval(() => {
  if (document.hidden || getSelection()?.toString()) return;
  refresh([...document.querySelectorAll('[data-fresh]')].map((part) => part.id));
}, 30000);

// "/" goes to the search field.
document.addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches('input, select, textarea')) return;
  event.preventDefault();
  (document.getElementById('search') ?? document.getElementById('find'))?.focus();
});
