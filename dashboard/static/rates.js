// A moving chart of download and upload rates, with its figures and the table behind it.

import { axis, colours, keep, tooltip } from './chart.js';
import { clock, local, rate } from './format.js';
import { figures, points } from './timeline.js';
import { now } from './socket.js';

const ROWS = 200;

// Draws `timeline` in `card`. `current()` gives the newest rate { down, up }, or null where it is unknown.
export const rateChart = (card, timeline, { current, span }) => {
  const place = card.querySelector('[data-chart]');
  const pauseButton = card.querySelector('[data-pause]');
  let seconds = span;
  let pausedAt = null;

  const chart = keep(place, (width, height) => {
    const colour = colours();
    const series = (label, line, fill) => ({ label, stroke: line, fill, width: 1.75, points: { show: false } });
    return new uPlot({
      width,
      height,
      tzDate: local,
      legend: { show: false },
      cursor: { y: false, points: { size: 7 } },
      padding: [10, 30, 0, 0],
      scales: { x: { time: true }, y: { range: (u, low, high) => [0, Math.max(high ?? 0, 1000) * 1.15] } },
      axes: [
        axis(colour, { values: (u, ticks) => ticks.map((tick) => clock(tick)), space: 90 }),
        axis(colour, { values: (u, ticks) => ticks.map((tick) => rate(tick)), size: 82, space: 36 }),
      ],
      series: [
        {},
        series('Download', colour.download, colour.downloadFill),
        series('Upload', colour.upload, colour.uploadFill),
      ],
      plugins: [tooltip((u, index) => u.data[1][index] == null ? null : [
        clock(u.data[0][index]), `↓ ${rate(u.data[1][index])}`, `↑ ${rate(u.data[2][index])}`,
      ])],
    }, [[], [], []], place);
  });

  const draw = () => {
    const shown = chart();
    if (!shown) { clearInterval(timer); return; }
    const end = pausedAt ?? now();
    const stretches = timeline.stretches(end - seconds, end);
    const data = points(stretches);
    shown.batch(() => {
      shown.setData(data, false);
      shown.setScale('x', { min: end - seconds, max: end });
    });
    place.dataset.points = String(stretches.length);
    showFigures(card, stretches, current());
    showTable(card, stretches);
  };

  pauseButton?.addEventListener('click', () => {
    pausedAt = pausedAt === null ? now() : null;
    pauseButton.setAttribute('aria-pressed', String(pausedAt !== null));
    pauseButton.querySelector('span').textContent = pausedAt === null ? 'Pause' : 'Go on';
    draw();
  });
  const timer = setInterval(() => { if (pausedAt === null && !document.hidden) draw(); }, 1000);
  draw();
  return { draw, window: (length) => { seconds = length; draw(); } };
};

const showFigures = (card, stretches, newest) => {
  for (const direction of ['down', 'up']) {
    const known = figures(stretches, direction);
    const put = (name, value) => {
      const cell = card.querySelector(`[data-figure="${direction}-${name}"]`);
      if (cell) cell.textContent = value === undefined ? '–' : rate(value);
    };
    put('current', newest?.[direction]);
    put('average', known?.average);
    put('maximum', known?.maximum);
  }
};

// Only while someone looks at it; newest first.
const showTable = (card, stretches) => {
  const details = card.querySelector('details');
  if (!details?.open) return;
  const rows = stretches.slice(-ROWS).reverse().map((stretch) => {
    const row = document.createElement('tr');
    for (const text of [clock(stretch.from), clock(stretch.to), rate(stretch.down), rate(stretch.up)]) {
      row.insertCell().textContent = text;
    }
    return row;
  });
  details.querySelector('tbody').replaceChildren(...rows);
};
