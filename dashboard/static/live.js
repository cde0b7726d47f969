// The live bandwidth of one login, and the cells of its online sessions.

import { rateChart } from './rates.js';
import { refresh } from './refresh.js';
import { sessionChanged } from './online.js';
import { seconds, span } from './format.js';
import { follow, now } from './socket.js';
import { Timeline } from './timeline.js';

// A session's rate counts as current for 2.5 of its reporting intervals; 25 minutes where none is learned yet.
const lifetime = (session) => 2.5 * (session.interval_seconds ?? 600);

const rateOf = ({ rate }) => rate && {
  from: seconds(rate.from), to: seconds(rate.to), down: rate.download_bps, up: rate.upload_bps,
};

export const startLive = (card) => {
  const { login } = card.dataset;
  const sessions = new Map();
  const timeline = new Timeline();
  const picker = card.querySelector('[data-window]');
  const current = () => {
    const fresh = [...sessions.values()].filter((session) =>
      session.rate && now() - seconds(session.rate.to) < lifetime(session));
    if (fresh.length === 0) return null;
    const sum = (name) => fresh.reduce((total, { rate }) => total + rate[name], 0);
    return { down: sum('download_bps'), up: sum('upload_bps') };
  };
  const chart = rateChart(card, timeline, { current, span: picker.value * 60 });

  const hint = () => {
    const intervals = [...sessions.values()].map((session) => session.interval_seconds).filter(Boolean);
    const unknown = sessions.size > 0 && [...sessions.values()].every((session) => !session.rate);
    const slow = Math.max(0, ...intervals);
    let text = '';
    if (sessions.size === 0) text = 'Not online. The chart goes on when a session starts.';
    else if (unknown) text = 'Waiting for a second report: a rate is the difference between two.';
    else if (slow > picker.value * 60) text = `This NAS reports every ${span(slow)}, slower than the window: choose a longer one.`;
    else if (slow > 0) text = `This NAS reports every ${span(slow)}.`;
    card.querySelector('[data-hint]').textContent = text;
  };

  const take = (session) => {
    const known = sessions.has(session.id);
    sessions.set(session.id, session);
    const rate = rateOf(session);
    if (rate) timeline.add(session.id, rate);
    sessionChanged(session);
    return known;
  };

  const frame = (message) => {
    if (message.type === 'snapshot') {
      sessions.clear();
      message.sessions.forEach(take);
      fill(login, timeline, sessions, picker.value * 60).then(() => chart.draw(), () => {});
      if (!sameSessions(sessions)) refresh(['online']);
    } else if (message.type === 'session') {
      if (!take(message.session)) refresh(['online']);
    } else if (message.type === 'ended') {
      sessions.delete(message.id);
      refresh(['online', 'summary', 'days', 'history']);
    }
    hint();
    chart.draw();
  };
  picker.addEventListener('change', () => {
    remember('window', picker.value);
    chart.window(picker.value * 60);
    fill(login, timeline, sessions, picker.value * 60).then(() => chart.draw(), () => {});
    hint();
  });
  follow(`login=${encodeURIComponent(login)}`, { frame, state: (state) => { card.dataset.state = state; showState(card, state); } });
};

const STATES = { live: 'Live', waiting: 'Connecting…', resting: 'Resting' };
export const showState = (card, state) => {
  const label = card.querySelector('[data-state-label]');
  if (label.textContent !== STATES[state]) label.textContent = STATES[state];
  card.dataset.state = state;
};

// Whether the table shows just these sessions.
const sameSessions = (sessions) => {
  const rows = [...document.querySelectorAll('#online [data-session]')];
  return rows.length === sessions.size && rows.every((row) => sessions.has(row.dataset.session));
};

// What was before the page was opened, or while it was not connected, from the archive: averages of five minutes, and
// one from the last whole five minutes to the oldest live rate.
const fill = async (login, timeline, sessions, length) => {
  const whole = Math.floor(now() / 300) * 300;
  const from = Math.floor((now() - length) / 300) * 300;
  // Steps without complete reports have no maximum, which for a step of five minutes is its average.
  const slots = from < whole ? await series(login, from, whole, 'maximum') : [];
  const started = Math.min(...[...sessions.values()].map((session) => seconds(session.started_at)));
  const [start, end] = [Math.max(whole, started), timeline.since];
  const rest = start < end && Number.isFinite(end) ? await series(login, start, end, 'average') : [];
  timeline.archive([...slots, ...rest]);
};

const series = async (login, from, to, rate) => {
  const query = new URLSearchParams({ login, from: iso(from), to: iso(to), step: '5m' });
  const answer = await fetch(`/api/v1/usage/series?${query}`, { headers: { accept: 'application/json' } });
  if (!answer.ok) return [];
  const { items } = await answer.json();
  return items.filter((item) => item[rate]).map((item) => ({
    from: seconds(item.from), to: seconds(item.to), down: item[rate].download_bps, up: item[rate].upload_bps,
  }));
};

const iso = (time) => new Date(time * 1000).toISOString();

// Keeps a choice in the address, so that it can be linked.
const remember = (name, value) => {
  const url = new URL(location.href);
  url.searchParams.set(name, value);
  history.replaceState(history.state, '', url);
};
