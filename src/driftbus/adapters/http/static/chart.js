// Draws error over time as SVG: a line for production, one for the challenger, and marks for what happened.
// Everything is made with createElementNS and textContent; no text ever becomes markup.

import { level, present, shortTime } from "./elements.js";

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** Runs of neighbouring points that have a value, as a path; a lone point becomes a dot of a line. */
function path(xs, ys, x, y) {
  let text = "";
  let open = false;
  for (let i = 0; i < xs.length; i++) {
    if (ys[i] === null || ys[i] === undefined) {
      open = false;
      continue;
    }
    const at = `${x(xs[i]).toFixed(1)} ${y(ys[i]).toFixed(1)}`;
    text += open ? `L${at}` : `M${at}h.01`;
    open = true;
  }
  return text;
}

/** A round step that cuts `span` into about `parts`. */
function roundStep(span, parts) {
  const rough = span / parts;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((f) => f * power).find((step) => step >= rough) ?? rough;
}

const MINUTE = 60_000;
const TIME_STEPS = [
  1_000, 5_000, 15_000, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, 60 * MINUTE, 180 * MINUTE, 360 * MINUTE,
  720 * MINUTE, 1440 * MINUTE, 2 * 1440 * MINUTE, 7 * 1440 * MINUTE, 30 * 1440 * MINUTE, 90 * 1440 * MINUTE,
  365 * 1440 * MINUTE,
];

function tickText(ms, step) {
  const date = new Date(ms);
  const options =
    step >= 28 * 1440 * MINUTE ? { year: "numeric", month: "short" }
    : step >= 1440 * MINUTE ? { month: "short", day: "numeric" }
    : step >= MINUTE ? { hour: "2-digit", minute: "2-digit" }
    : { hour: "2-digit", minute: "2-digit", second: "2-digit" };
  return date.toLocaleString(undefined, { ...options, hour12: false });
}

// A mean of fewer outcomes says little: of 50, an error of 0.1 is drawn 0.04 too high or low.
const LEAST_OUTCOMES = 50;

/** The chart in order of time, with neighbours put together until about `points` are left, each of enough outcomes. */
export function regroup(chart, points) {
  const order = chart.ts_ms.map((_, i) => i).sort((a, b) => chart.ts_ms[a] - chart.ts_ms[b]);
  const least = Math.max(LEAST_OUTCOMES, chart.outcomes.reduce((total, n) => total + n, 0) / points);
  const made = { ts_ms: [], error: [], outcomes: [], challenger_error: [] };
  let group = null;
  let before = null; // the group closed last, unless a gap came since
  const close = () => {
    if (!group) return;
    if (before && group.n < least / 2) {
      // What is left at an end is too little for a point of its own: it goes to its neighbour.
      for (const column of Object.values(made)) column.pop();
      for (const key of ["n", "error", "challenged", "challenger"]) before[key] += group[key];
      group = before;
    }
    before = group;
    made.ts_ms.push(group.ts);
    made.outcomes.push(group.n);
    made.error.push(group.error / group.n);
    made.challenger_error.push(group.challenged ? group.challenger / group.challenged : null);
    group = null;
  };
  for (const i of order) {
    const n = chart.outcomes[i];
    if (!present(chart.error[i]) || !n) {
      close(); // a gap stays one
      before = null;
      made.ts_ms.push(chart.ts_ms[i]);
      made.outcomes.push(0);
      made.error.push(null);
      made.challenger_error.push(null);
      continue;
    }
    group ??= { ts: chart.ts_ms[i], n: 0, error: 0, challenged: 0, challenger: 0 };
    group.n += n;
    group.error += n * chart.error[i];
    if (present(chart.challenger_error?.[i])) { // a row of the list has none
      group.challenged += n;
      group.challenger += n * chart.challenger_error[i];
    }
    if (group.n >= least * 0.95) close();
  }
  close();
  return made;
}

/** The mean of a column over the newest bins that hold at least `rows` outcomes; null without any. */
export function lately(chart, column, rows = 1_000) {
  let [n, total] = [0, 0];
  for (let i = chart.outcomes.length - 1; i >= 0 && n < rows; i--) {
    if (!present(chart[column][i])) continue;
    n += chart.outcomes[i];
    total += chart.outcomes[i] * chart[column][i];
  }
  return n ? total / n : null;
}

/** How high a chart of a width is: known before there is one, so that its place is kept. */
export const chartHeight = (width) => (width < 520 ? 240 : 300);

/** A line alone, for a row of the list. */
export function sparkline(whole, width = 132, height = 30) {
  const chart = regroup(whole, 60);
  const root = svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const found = chart.error.filter(present);
  if (found.length < 2) return root; // a lone point is no line
  const [from, to] = [chart.ts_ms[0], chart.ts_ms.at(-1)];
  const top = Math.max(...found) || 1;
  const x = (ms) => 1 + ((ms - from) / (to - from || 1)) * (width - 2);
  const y = (value) => height - 2 - (value / top) * (height - 4);
  root.append(svg("path", { class: "line", d: path(chart.ts_ms, chart.error, x, y) }));
  return root;
}

/** The bins that lie in a part of time, with one on either side, so that lines reach the edges. */
export function cut(chart, { from, to }) {
  const order = chart.ts_ms.map((_, i) => i).sort((a, b) => chart.ts_ms[a] - chart.ts_ms[b]);
  const inside = order.filter((i, place) =>
    chart.ts_ms[i] <= to && (chart.ts_ms[i] >= from || chart.ts_ms[order[place + 1]] > from));
  return Object.fromEntries(Object.entries(chart).map(([name, column]) => [name, inside.map((i) => column[i])]));
}

/**
 * The chart of one stream, `width` pixels wide, over `part` ({from, to}) of its time.
 * marks: { episodes: [{from, to, open, onset, earliest, latest, text}], requests: [{at, text}], deployments: [{at, text}] }
 */
export function errorChart(whole, marks, width, part) {
  const chart = regroup(cut(whole, part), Math.min(160, width / 4));
  const height = chartHeight(width);
  const box = { left: 46, right: width - 10, top: 34, bottom: height - 24 };
  const root = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
  const drawn = [...chart.error, ...chart.challenger_error].filter(present);
  const { from, to } = part;
  const within = (mark) => mark.at >= from && mark.at <= to;
  marks = {
    episodes: marks.episodes.filter((e) => Math.min(e.from, e.earliest) <= to && (e.to ?? to) >= from),
    requests: marks.requests.filter(within), deployments: marks.deployments.filter(within),
  };
  const step = roundStep((Math.max(...drawn, 0) || 1) * 1.08, 4);
  const top = Math.ceil(((Math.max(...drawn, 0) || 1) * 1.04) / step) * step;
  const x = (ms) => box.left + ((Math.min(Math.max(ms, from), to) - from) / (to - from)) * (box.right - box.left);
  const y = (value) => box.bottom - (value / top) * (box.bottom - box.top);
  root.msAt = (px) => from + ((Math.min(Math.max(px, box.left), box.right) - box.left) / (box.right - box.left)) * (to - from);
  root.box = box;
  root.setAttribute(
    "aria-label",
    `Mean error from ${shortTime(from)} to ${shortTime(to)}, last ${level(chart.error.findLast(present))}; ` +
      `${marks.episodes.length} episodes, ${marks.requests.length} retrain requests, ${marks.deployments.length} deployments`,
  );

  for (let value = 0; value <= top * 1.0001; value += step) {
    root.append(
      svg("line", { class: "grid", x1: box.left, x2: box.right, y1: y(value), y2: y(value) }),
      svg("text", { class: "tick", x: box.left - 6, y: y(value) + 4, "text-anchor": "end" }, level(value)),
    );
  }
  const room = Math.max(2, Math.floor((box.right - box.left) / 90));
  const timeStep = TIME_STEPS.find((s) => (to - from) / s <= room) ?? TIME_STEPS.at(-1);
  const zone = new Date(from).getTimezoneOffset() * MINUTE; // ticks on round local times
  for (let at = Math.ceil((from - zone) / timeStep) * timeStep + zone; at < to; at += timeStep) {
    if (x(at) > box.right - 22) break;
    root.append(
      svg("text", { class: "tick", x: x(at), y: height - 7, "text-anchor": "middle" }, tickText(at, timeStep)),
    );
  }

  for (const episode of marks.episodes) {
    const [left, right] = [x(episode.from), x(episode.to ?? to)];
    const seen = (ms) => ms >= from && ms <= to;
    root.append(
      svg("rect", {
        class: `episode ${episode.open ? "open" : "closed"}`,
        x: left, y: box.top, width: Math.max(2, right - left), height: box.bottom - box.top,
      }, svg("title", {}, episode.text)),
      svg("rect", {
        class: "interval", x: x(episode.earliest), y: box.bottom - 5,
        width: Math.max(3, x(episode.latest) - x(episode.earliest)), height: 5,
      }, svg("title", {}, "the onset lies in here")),
    );
    if (seen(episode.onset)) {
      root.append(svg("line", { class: "onset", x1: x(episode.onset), x2: x(episode.onset), y1: box.top, y2: box.bottom }));
    }
  }
  for (const deployment of marks.deployments) {
    const at = x(deployment.at);
    root.append(
      svg("line", { class: "deployment", x1: at, x2: at, y1: box.top - 2, y2: box.bottom }),
      svg("rect", { class: "deployment-mark", x: at - 4, y: box.top - 10, width: 8, height: 8, rx: 1 },
        svg("title", {}, deployment.text)),
    );
  }
  for (const request of marks.requests) {
    const at = x(request.at);
    root.append(
      svg("line", { class: "request", x1: at, x2: at, y1: box.top - 2, y2: box.bottom }),
      svg("path", { class: "request-mark", d: `M${at - 5} ${box.top - 12}h10l-5 9z` }, svg("title", {}, request.text)),
    );
  }
  // Names of marks along the top, where they do not run into each other.
  let taken = -Infinity;
  const named = [
    ...marks.deployments.map((m) => ({ at: x(m.at), text: m.name })),
    ...marks.requests.map((m) => ({ at: x(m.at), text: m.name })),
  ].sort((a, b) => a.at - b.at);
  for (const mark of named) {
    const size = mark.text.length * 6.4 + 8;
    const start = Math.min(Math.max(mark.at - size / 2, box.left), box.right - size);
    if (start < taken) continue;
    taken = start + size;
    root.append(svg("text", { class: "mark-name", x: start + 4, y: box.top - 18 }, mark.text));
  }

  root.append(
    svg("path", { class: "line challenger", d: path(chart.ts_ms, chart.challenger_error, x, y) }),
    svg("path", { class: "line", d: path(chart.ts_ms, chart.error, x, y) }),
  );
  root.append(readout(root, chart, x, y, box));
  return root;
}

/** A vertical line under the pointer, with the values there. */
function readout(root, chart, x, y, box) {
  const group = svg("g", { class: "readout", visibility: "hidden" });
  const line = svg("line", { y1: box.top, y2: box.bottom });
  const dot = svg("circle", { r: 3.5 });
  const plate = svg("rect", { class: "plate", y: box.top + 4, height: 50, rx: 4 });
  const texts = [20, 35, 49].map((dy) => svg("text", { y: box.top + dy }));
  group.append(line, dot, plate, ...texts);
  root.addEventListener("pointerleave", () => group.setAttribute("visibility", "hidden"));
  root.addEventListener("pointermove", (event) => {
    const area = root.getBoundingClientRect();
    const at = ((event.clientX - area.left) / area.width) * root.viewBox.baseVal.width;
    let best = -1;
    chart.ts_ms.forEach((ms, i) => {
      if (present(chart.error[i]) && (best < 0 || Math.abs(x(ms) - at) < Math.abs(x(chart.ts_ms[best]) - at))) best = i;
    });
    if (best < 0) return;
    const px = x(chart.ts_ms[best]);
    line.setAttribute("x1", px);
    line.setAttribute("x2", px);
    dot.setAttribute("cx", px);
    dot.setAttribute("cy", y(chart.error[best]));
    texts[0].textContent = shortTime(chart.ts_ms[best]);
    texts[1].textContent = `error ${level(chart.error[best])} of ${chart.outcomes[best]} outcomes`;
    texts[2].textContent = `challenger ${level(chart.challenger_error[best])}`;
    const wide = Math.max(...texts.map((t) => t.textContent.length)) * 6.1 + 14;
    const left = px + 10 + wide > box.right ? px - 10 - wide : px + 10;
    plate.setAttribute("x", left);
    plate.setAttribute("width", wide);
    for (const text of texts) text.setAttribute("x", left + 7);
    group.setAttribute("visibility", "visible");
  });
  return group;
}
