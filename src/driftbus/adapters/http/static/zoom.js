// The part of a stream's time that its chart shows. `whole` and the parts are {from, to} in ms.

// No nearer than this: bins hold minutes at the least, and a number of steps leads back.
const LEAST_MS = 10_000;

export function whole(chart) {
  const times = chart.ts_ms;
  if (!times.length) return { from: 0, to: 1 };
  // Labels come out of order, and so may bins.
  const [from, last] = times.reduce(([a, b], ts) => [Math.min(a, ts), Math.max(b, ts)], [Infinity, -Infinity]);
  return { from, to: last + Math.max(1, Math.round((last - from) / Math.max(1, times.length - 1))) };
}

/** The part a place names, as far as there is something; the whole where that is nothing. */
export function part(all, place) {
  if (place.from === null) return all;
  const [from, to] = [Math.max(all.from, place.from), Math.min(all.to, place.to)];
  return to - from >= 1 ? { from, to } : all;
}

const within = (all, from, to) => {
  const size = Math.min(Math.max(to - from, LEAST_MS), all.to - all.from);
  const start = Math.min(Math.max(from, all.from), all.to - size);
  const found = { from: Math.round(start), to: Math.round(start + size) };
  return found.from <= all.from && found.to >= all.to ? { from: null, to: null } : found;
};

/** A part `factor` times as long, around its middle; {from: null} is the whole. */
export function scaled(all, now, factor) {
  const [middle, half] = [(now.from + now.to) / 2, ((now.to - now.from) / 2) * factor];
  return within(all, middle - half, middle + half);
}

/** A part as long, moved by a share of its length. */
export function moved(all, now, share) {
  const by = (now.to - now.from) * share;
  return within(all, now.from + by, now.to + by);
}

/** From one moment to another, in either order. */
export function between(all, a, b) {
  return within(all, Math.min(a, b), Math.max(a, b));
}
