// Average and highest rates of a period: what the table behind it holds.

import { axis, colours, keep, tooltip } from './chart.js';
import { day, local, rate, shortClock } from './format.js';

const DAYS = [1, 2, 7, 14, 28, 84].map((days) => days * 86400);

export const startAverages = (place) => {
  const rows = [...document.querySelectorAll(`#${place.dataset.table} tbody tr`)];
  const labels = rows.map((row) => row.cells[0].textContent);
  const span = rows.length > 0 ? rows.at(-1).dataset.to - rows[0].dataset.from : 0;
  const long = span > 3 * 86400;
  const tick = (time) => (long ? day(time) : shortClock(time));
  // Two points per row: a rate holds from the row's start to its end.
  const twice = (of) => rows.flatMap((row) => { const value = of(row.dataset); return [value, value]; });
  const number = (text) => (text === undefined ? null : Number(text));
  const data = [
    rows.flatMap(({ dataset }) => [Number(dataset.from), Number(dataset.to)]),
    twice(({ down }) => number(down)),
    twice(({ up }) => number(up)),
    twice(({ downMax }) => number(downMax)),
    twice(({ upMax }) => number(upMax)),
  ];
  keep(place, (width, height) => {
    const colour = colours();
    const series = (label, stroke, fill) => ({ label, stroke, fill, width: fill ? 0 : 1.5, points: { show: false } });
    return new uPlot({
      width,
      height,
      tzDate: local,
      legend: { show: false },
      cursor: { y: false, points: { show: false } },
      padding: [10, 30, 0, 0],
      scales: { x: { time: true }, y: { range: (u, low, high) => [0, Math.max(high ?? 0, 1000) * 1.1] } },
      axes: [
        axis(colour, { values: (u, ticks) => ticks.map(tick), space: 70, ...(long ? { incrs: DAYS } : {}) }),
        axis(colour, { values: (u, ticks) => ticks.map((value) => rate(value)), size: 82, space: 36 }),
      ],
      series: [
        {},
        series('Average download', colour.download, colour.downloadStrong),
        series('Average upload', colour.upload, colour.uploadStrong),
        series('Highest download', colour.download),
        series('Highest upload', colour.upload),
      ],
      plugins: [tooltip((u, index) => {
        const [down, up, downMax, upMax] = [1, 2, 3, 4].map((at) => u.data[at][index]);
        if (down === null) return null;
        const highest = (value) => (value === null ? '' : `, highest ${rate(value)}`);
        return [labels[Math.floor(index / 2)], `↓ ${rate(down)}${highest(downMax)}`, `↑ ${rate(up)}${highest(upMax)}`];
      })],
    }, data, place);
  });
  place.dataset.points = String(rows.length);
};
