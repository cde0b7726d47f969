// What all charts share: colours of the theme, size of their place, a tooltip.

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export const colours = () => ({
  download: css('--rt-download'),
  downloadFill: css('--rt-download-fill'),
  downloadStrong: css('--rt-download-strong'),
  upload: css('--rt-upload'),
  uploadFill: css('--rt-upload-fill'),
  uploadStrong: css('--rt-upload-strong'),
  text: css('--rt-axis'),
  grid: css('--rt-grid'),
});

export const axis = (colour, more) => ({
  stroke: colour.text,
  font: '12px system-ui, sans-serif',
  grid: { stroke: colour.grid, width: 1 },
  ticks: { show: false },
  size: 26,
  gap: 6,
  ...more,
});

// Keeps a chart in `place` while it is on the page: `build(width, height)` makes a uPlot anew when the theme changes.
// Returns a function that gives the chart, or null once the place is gone.
export const keep = (place, build) => {
  const size = () => [Math.max(200, place.clientWidth), Math.max(120, place.clientHeight)];
  let chart = build(...size());
  const resize = new ResizeObserver(() => {
    const [width, height] = size();
    if (width !== chart.width || height !== chart.height) chart.setSize({ width, height });
  });
  const redraw = () => {
    if (!place.isConnected) { end(); return; }
    chart.destroy();
    chart = build(...size());
  };
  const end = () => {
    resize.disconnect();
    document.removeEventListener('radtally:theme', redraw);
    chart.destroy();
    chart = null;
  };
  resize.observe(place);
  document.addEventListener('radtally:theme', redraw);
  return () => {
    if (chart && !place.isConnected) end();
    return chart;
  };
};

// Shows `lines(index)`, an array of texts, beside the cursor.
export const tooltip = (lines) => {
  const box = document.createElement('div');
  box.className = 'rt-tooltip';
  box.hidden = true;
  return {
    hooks: {
      ready: (u) => u.over.append(box),
      setCursor: (u) => {
        const { idx, left, top } = u.cursor;
        const texts = idx == null || left < 0 ? null : lines(u, idx);
        box.hidden = !texts;
        if (!texts) return;
        box.replaceChildren(...texts.map((text) => {
          const line = document.createElement('div');
          line.textContent = text;
          return line;
        }));
        const room = u.over.clientWidth - left;
        box.style.left = room < box.offsetWidth + 24 ? `${left - box.offsetWidth - 12}px` : `${left + 12}px`;
        box.style.top = `${Math.max(0, Math.min(top, u.over.clientHeight - box.offsetHeight))}px`;
      },
    },
  };
};
