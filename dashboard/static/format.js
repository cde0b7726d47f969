// Numbers and times as people read them; the same rules as src/format.rs.

const scaled = (number, units) => {
  let value = number;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) { value /= 1000; unit += 1; }
  const digits = number < 1000 || value >= 99.95 ? 0 : value < 9.995 ? 2 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`;
};

export const octets = (number) => scaled(number, ['B', 'kB', 'MB', 'GB', 'TB', 'PB']);
export const rate = (number) => scaled(number, ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s', 'Tbit/s']);
export const exact = (number) => `${number.toLocaleString('en')} octets`;

const two = (number) => String(number).padStart(2, '0');
export const duration = (seconds) =>
  `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(Math.floor(seconds) % 60)}`;

// An age or an interval in one unit: `42 s`, `5 min`, `3 h`.
export const span = (seconds) => {
  if (seconds < 120) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
};

// RFC 3339 to seconds.
export const seconds = (text) => Date.parse(text) / 1000;

const zone = document.body.dataset.zone;
const clockFormat = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hour: '2-digit', minute: '2-digit', second: '2-digit' });
export const clock = (time) => clockFormat.format(new Date(time * 1000));
const shortFormat = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hour: '2-digit', minute: '2-digit' });
export const shortClock = (time) => shortFormat.format(new Date(time * 1000));
const dayFormat = new Intl.DateTimeFormat('en-GB', { timeZone: zone, day: 'numeric', month: 'short' });
export const day = (time) => dayFormat.format(new Date(time * 1000));
export const local = (time) => uPlot.tzDate(new Date(time * 1000), zone);
