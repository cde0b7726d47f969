// Rates over time, each across the interval it covers. Where nothing was reported there is nothing: no rate falls to
// zero by itself.

// Older than the longest window, in seconds.
const KEPT = 3700;

export class Timeline {
  #live = new Map();
  #base = [];

  // A session's rate; the same one may come again.
  add(id, { from, to, down, up }) {
    const known = this.#live.get(id) ?? [];
    const last = known.at(-1);
    if (last && from < last.to) return;
    known.push({ from, to, down, up });
    while (known.length > 0 && known[0].to < to - KEPT) known.shift();
    this.#live.set(id, known);
  }

  // Averages from the archive; they show where no live rate covers the time.
  archive(segments) { this.#base = segments; }

  // When the oldest live rate begins; infinite where there is none.
  get since() {
    return Math.min(...[...this.#live.values()].map((known) => known[0].from));
  }

  // Stretches of constant rate within [from, to), in order: the sum of all sessions.
  stretches(from, to) {
    const edges = [];
    const put = (segment, kind) => {
      const [start, end] = [Math.max(segment.from, from), Math.min(segment.to, to)];
      if (start >= end) return;
      edges.push({ at: start, kind, sign: 1, segment }, { at: end, kind, sign: -1, segment });
    };
    for (const known of this.#live.values()) for (const segment of known) put(segment, 'live');
    for (const segment of this.#base) put(segment, 'base');
    edges.sort((a, b) => a.at - b.at);

    const sums = { live: { count: 0, down: 0, up: 0 }, base: { count: 0, down: 0, up: 0 } };
    const found = [];
    let at = from;
    for (const edge of edges) {
      const changed = sums[edge.kind];
      // What the archive says does not matter, nor cut anything, where there is a live rate.
      if (edge.kind === 'live' || sums.live.count === 0) {
        const sum = sums.live.count > 0 ? sums.live : sums.base;
        if (edge.at > at && sum.count > 0) found.push({ from: at, to: edge.at, down: sum.down, up: sum.up });
        at = edge.at;
      }
      changed.count += edge.sign;
      changed.down += edge.sign * edge.segment.down;
      changed.up += edge.sign * edge.segment.up;
    }
    return found;
  }
}

// Two points per stretch, and nothing between stretches that do not touch.
export const points = (stretches) => {
  const [x, down, up] = [[], [], []];
  const put = (at, d, u) => { x.push(at); down.push(d); up.push(u); };
  stretches.forEach((stretch, index) => {
    put(stretch.from, stretch.down, stretch.up);
    put(stretch.to, stretch.down, stretch.up);
    const next = stretches[index + 1];
    if (next && next.from > stretch.to) put(stretch.to, null, null);
  });
  return [x, down, up];
};

// Average over the time that is covered, and maximum, of one direction.
export const figures = (stretches, direction) => {
  let [time, sum, maximum] = [0, 0, 0];
  for (const stretch of stretches) {
    const length = stretch.to - stretch.from;
    time += length;
    sum += length * stretch[direction];
    maximum = Math.max(maximum, stretch[direction]);
  }
  return time > 0 ? { average: sum / time, maximum } : null;
};
