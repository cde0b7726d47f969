// Usage by day or hour: stacked bars of what the table holds. A click on one opens how it comes about.

import { axis, colours, keep, tooltip } from './chart.js';
import { octets } from './format.js';

export const startBars = (place) => {
  const rows = [...document.querySelectorAll(`#${place.dataset.table} tbody tr`)];
  const labels = rows.map((row) => row.dataset.label);
  const short = rows.map((row) => row.dataset.short);
  const down = rows.map((row) => Number(row.dataset.download));
  const up = rows.map((row) => Number(row.dataset.upload));
  const links = rows.map((row) => row.querySelector('a').href);
  const total = down.map((value, index) => value + up[index]);
  const x = rows.map((row, index) => index);
  // uPlot draws later series over earlier ones: the sum first, the download over it.
  keep(place, (width, height) => {
    const colour = colours();
    const series = (label, fill) => ({
      label, fill, stroke: fill, width: 0, paths: uPlot.paths.bars({ size: [0.64, 56] }), points: { show: false },
    });
    return new uPlot({
      width,
      height,
      legend: { show: false },
      cursor: { y: false, x: false, points: { show: false } },
      padding: [10, 8, 0, 0],
      scales: {
        x: { time: false, range: () => [-0.6, x.length - 0.4] },
        y: { range: (u, low, high) => [0, Math.max(high ?? 0, 1000) * 1.1] },
      },
      axes: [
        axis(colour, {
          grid: { show: false },
          space: 56,
          incrs: [1, 2, 3, 4, 6, 7, 14, 28, 56, 112],
          values: (u, ticks) => ticks.map((tick) => short[tick] ?? ''),
        }),
        axis(colour, { values: (u, ticks) => ticks.map((tick) => octets(tick)), size: 70, space: 36 }),
      ],
      series: [{}, series('Upload', colour.upload), series('Download', colour.download)],
      hooks: {
        ready: [(u) => u.over.addEventListener('click', () => {
          const { idx } = u.cursor;
          if (idx != null && total[idx] > 0) location.assign(links[idx]);
        })],
      },
      plugins: [tooltip((u, index) => [labels[index], `↓ ${octets(down[index])}`, `↑ ${octets(up[index])}`])],
    }, [x, total, down], place);
  });
  place.dataset.points = String(rows.length);
};
