// One stream in full. Each part is made anew only when what it shows has changed.

import { chartHeight, errorChart, lately } from "./chart.js";
import { byId, count, duration, h, keep, level, moment, percent, present, shortTime, table } from "./elements.js";
import { format, here, move } from "./place.js";
import { between, moved, part, scaled, whole } from "./zoom.js";

/** What a stream's state is called: its tone is also its colour. */
export function stateOf(view) {
  if (view.defect) return { tone: "bad", text: `set aside: ${view.defect}` };
  const open = view.open_episodes.filter((e) => !e.muted);
  if (open.length) {
    const worst = open.find((e) => e.category === "concept") ?? open[0];
    const tone = ["concept", "quality", "labelling"].includes(worst.category) ? "bad" : "warn";
    return { tone, text: `${worst.category} drift, ${worst.kind}` };
  }
  if (view.request_in_flight) return { tone: "busy", text: "retraining" };
  if (!view.outcomes_total) return { tone: "quiet", text: "no labels yet" };
  return { tone: "good", text: "steady" };
}

export const wideEnough = () => matchMedia("(min-width: 760px)").matches;

/** The slice that a change is of, where it is of one alone. */
const inSlice = (e) => e.slice ? `, only ${Object.entries(e.slice).map(([name, value]) => `${name} = ${value}`).join(", ")}` : "";

function marksOf(detail) {
  const episodes = [...detail.past_episodes, ...detail.view.open_episodes].map((e) => ({
    from: e.onset_ms, to: e.closed_ms, open: e.closed_ms === null, onset: e.onset_ms,
    earliest: e.onset_earliest_ms, latest: e.onset_latest_ms,
    text: `${e.category} drift, ${e.kind}${inSlice(e)}, ${e.resolution ?? "open"}`,
  }));
  return {
    episodes,
    requests: detail.requests.map((r) => ({ at: r.requested_ms, name: "retrain", text: `retrain requested: ${r.reason}, ${r.ended ?? "in flight"}` })),
    deployments: detail.deployments.map((d) => ({ at: d.deployed_ms, name: d.model_version ?? "model", text: `model ${d.model_version ?? "without version"} ${d.rolled_back ? "rolled back to" : "deployed"}` })),
  };
}

const section = (title, body, note) =>
  body || note ? [h("h3", {}, title), body ?? h("p", { class: "quiet" }, note)] : [];
const titled = (title, kind, heads, lines, note) =>
  section(title, lines.length ? table(kind, heads, lines, title) : null, note);

function evidence(signals) {
  return h("ul", { class: "evidence" }, signals.map((s) =>
    h("li", {}, h("b", {}, s.name), ` ${level(s.before)} → ${level(s.after)} `, h("span", { class: "quiet" }, s.detector))));
}

function episodeChips(e) {
  return [
    h("span", { class: `chip ${e.closed_ms === null ? "bad" : "quiet"}` }, e.closed_ms === null ? "open" : e.resolution ?? "closed"),
    e.muted ? h("span", { class: "chip quiet" }, "muted") : null,
    e.acknowledged ? h("span", { class: "chip quiet" }, e.acknowledged_by ? `acknowledged by ${e.acknowledged_by}` : "acknowledged") : null,
  ];
}

function episodes(detail) {
  const all = [...detail.view.open_episodes, ...[...detail.past_episodes].reverse()];
  return titled("Episodes", "records", ["state", "what", "onset", "detected after", "signals"], all.map((e) => [
    h("span", {}, episodeChips(e)),
    h("span", {}, `${e.category}, ${e.kind}${inSlice(e)} `, h("span", { class: "quiet" }, e.confidence > 0.99 ? "over 99% sure" : `${percent(e.confidence)} sure`)),
    h("span", {}, moment(e.onset_ms), h("span", { class: "quiet between" },
      `between ${shortTime(e.onset_earliest_ms)} and ${shortTime(e.onset_latest_ms)}`)),
    duration(e.opened_ms - e.onset_ms),
    evidence(e.signals),
  ]), "None: nothing has changed so far.");
}

function requests(detail) {
  return titled("Retrain requests", "records", ["state", "reason", "asked", "rows", "ended"], [...detail.requests].reverse().map((r) => [
    h("span", { class: `chip ${r.ended === null ? "busy" : r.ended === "deployed" ? "good" : "warn"}` }, r.ended ?? "in flight"),
    r.attempt > 1 ? `${r.reason}, attempt ${r.attempt}` : r.reason,
    moment(r.requested_ms), count(r.rows), moment(r.ended_ms),
  ]));
}

/** Signals of what is open, the strongest evidence first; beside them features that have moved unnoticed. */
function movedMost(detail) {
  const seen = new Set();
  const open = detail.view.open_episodes.flatMap((e) => e.signals.map((s) => ({ ...s, of: e.category })))
    .sort((a, b) => b.evidence - a.evidence)
    .filter((s) => !seen.has(s.name) && seen.add(s.name));
  const lines = open.slice(0, 10).map((s) => [s.name, `${level(s.before)} → ${level(s.after)}`, s.of, level(s.evidence)]);
  for (const f of detail.features) {
    if (f.moved && !seen.has(`feature/${f.name}`) && lines.length < 10) {
      lines.push([`feature/${f.name}`, f.redacted ? "redacted" : `${level(f.before)} → ${level(f.after)}`, "data", "–"]);
    }
  }
  return titled("Moved most", "numbers", ["signal", "before → lately", "change of", "evidence"], lines, "No signal has moved.");
}

function quality(detail) {
  const worst = (f) => Math.max(f.missing_ratio, f.unseen_ratio, f.out_of_range_ratio);
  const bad = detail.features.filter((f) => worst(f) > 0).sort((a, b) => worst(b) - worst(a));
  const note = detail.features.length
    ? `Of ${count(detail.features.length)} features nothing is missing, unseen or out of range.` : "No features are watched.";
  return titled("Data quality", "numbers", ["feature", "missing", "unseen", "out of range"], bad.slice(0, 10).map((f) => [
    f.name, percent(f.missing_ratio), f.kind === "categorical" ? percent(f.unseen_ratio) : "–",
    f.kind === "numeric" ? percent(f.out_of_range_ratio) : "–",
  ]), note);
}

function labels(detail) {
  const { view } = detail;
  const { p50, p95 } = detail.label_delay_s; // upper bounds of their buckets
  const unmatched = Object.entries(view.labels_unmatched).map(([reason, n]) => `${count(n)} ${reason}`).join(", ");
  const waiting = Math.max(0, view.predictions_total - view.outcomes_total);
  return [h("h3", {}, "Label delay"), facts([
    ["half come within", present(p50) ? duration(p50 * 1000) : "–"],
    ["95% come within", present(p95) ? duration(p95 * 1000) : "–"],
    ["last label", moment(view.last_label_ms)],
    ["predictions without a label", count(waiting)],
    ["labels not joined", unmatched || "0"],
    ["corrections", count(view.label_corrections_total)],
  ])];
}

function metrics(detail) {
  const { view } = detail;
  const columns = [["since deployment", view.metrics]];
  for (const [w, found] of Object.entries(view.windowed)) columns.push([/^\d+$/.test(w) ? `last ${count(w)}` : `last ${w}`, found]);
  if (Object.keys(view.challenger_metrics).length) columns.push(["challenger", view.challenger_metrics]);
  const estimated = view.estimated; // from scores, before labels come
  if (estimated && !estimated.doubt) columns.push([`expected of the newest ${count(estimated.rows)}`, estimated.metrics]);
  const names = [...new Set(columns.filter(([head]) => head !== "challenger").flatMap(([, found]) => Object.keys(found)))];
  return [
    ...titled("Metrics", "numbers", ["metric", ...columns.map(([head]) => head)],
      names.map((name) => [name.replaceAll("_", " "), ...columns.map(([, found]) => level(found[name]))]),
      "No outcome yet: metrics come with the first labels."),
    estimated?.doubt ? h("p", { class: "quiet" }, `What the scores let expect before labels come is not shown: ${estimated.doubt}.`) : null,
  ];
}

function features(detail) {
  return titled("Features", "numbers", ["feature", "kind", "reference", "lately", "missing", "unseen"], detail.features.map((f) => [
    h("span", {}, f.name, f.moved ? h("span", { class: "chip warn" }, "moved") : null),
    f.kind,
    f.redacted ? h("span", { class: "quiet" }, "redacted") : f.kind === "numeric" && f.before === null
      ? h("span", { class: "quiet", title: "the reference is made of its first 960 values" }, "learning") : level(f.before),
    f.redacted ? h("span", { class: "quiet" }, "redacted") : level(f.after),
    percent(f.missing_ratio), f.kind === "categorical" ? percent(f.unseen_ratio) : "–",
  ]));
}

function versions(detail) {
  return titled("Model versions", "records", ["version", "role", "first seen", "predictions", "outcomes", "error"], detail.versions.map((v) => [
    v.model_version ?? "–", v.role, moment(v.first_seen_ms), count(v.predictions_total), count(v.outcomes_total),
    level(v.metrics.error ?? v.metrics.mae ?? null),
  ]));
}

function slices(detail) {
  return titled("Slices", "records", ["slice", "metrics"], Object.entries(detail.slices).map(([name, metrics]) => [
    name, Object.entries(metrics).map(([metric, value]) => `${metric} ${level(value)}`).join(", "),
  ]));
}

const facts = (entries) =>
  h("dl", { class: "facts" }, entries.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

function about(detail) {
  const { view } = detail;
  const reset = detail.resets.at(-1);
  const budget = detail.false_alarms;
  return [facts([
    ["model", view.model_version ?? "–"], ["task", view.task], ["partition", String(view.partition)],
    ["predictions", count(view.predictions_total)], ["outcomes", count(view.outcomes_total)],
    ["last prediction", moment(view.last_prediction_ms)],
    ["shown by worker", detail.worker ?? "–"],
    ...(budget ? [["false alarms of the error", `${count(budget.count)} per ${duration(budget.span_ms)}${budget.among > 1 ? ` among ${count(budget.among)}` : ""} allowed, ${level(budget.allowed)} so far at most`]] : []),
    ...(reset ? [["begun anew", h("span", {}, `${reset.what.join(", ")} (${reset.why}), `, moment(reset.ts_ms))]] : []),
  ])];
}

// ---- the chart, with its zoom -----------------------------------------------------------------------------

let shown = null; // the detail on the page
let dragging = null; // where a drag began, in ms

/** Change what part of time is shown; `change(all, now)` gives {from, to}. */
function zoom(change) {
  const all = whole(shown.chart);
  move(change(all, part(all, here())));
  drawChart(true);
}

const KEYS = {
  "+": (all, now) => scaled(all, now, 0.5), "=": (all, now) => scaled(all, now, 0.5), "-": (all, now) => scaled(all, now, 2),
  ArrowLeft: (all, now) => moved(all, now, -0.25), ArrowRight: (all, now) => moved(all, now, 0.25),
  0: () => ({ from: null, to: null }), Escape: () => ({ from: null, to: null }),
};

function onChartKey(event) {
  const change = KEYS[event.key];
  if (!change || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  zoom(change);
}

function msUnder(event) {
  const chart = event.currentTarget.querySelector(".chart");
  const area = chart.getBoundingClientRect();
  return chart.msAt(((event.clientX - area.left) / area.width) * chart.viewBox.baseVal.width);
}

function showDrag(holder, to) {
  const chart = holder.querySelector(".chart");
  const all = { from: chart.msAt(0), to: chart.msAt(1e9) };
  const share = (ms) => (ms - all.from) / (all.to - all.from);
  const [a, b] = [share(Math.min(dragging, to)), share(Math.max(dragging, to))];
  const { left, right } = chart.box;
  const total = chart.viewBox.baseVal.width;
  const mark = holder.querySelector(".drag");
  mark.hidden = false;
  mark.style.left = `${((left + a * (right - left)) / total) * 100}%`;
  mark.style.width = `${(((b - a) * (right - left)) / total) * 100}%`;
}

/** The frame around the chart: it takes drags and keys, and keeps its place whatever is drawn in it. */
function chartFrame() {
  const end = (event, use) => {
    const began = dragging;
    dragging = null;
    event.currentTarget.querySelector(".drag").hidden = true;
    if (!use || began === null || !event.currentTarget.querySelector(".chart")) return;
    const [a, b] = [began, msUnder(event)];
    const now = part(whole(shown.chart), here());
    if (Math.abs(b - a) > (now.to - now.from) / 100) zoom((all) => between(all, a, b)); // not a mere click
  };
  return h("div", {
    class: "plot", tabindex: 0, id: "plot", role: "group",
    "aria-label": "Chart. Plus and minus zoom, arrows move, 0 shows all.",
    onkeydown: onChartKey,
    ondblclick: () => zoom(KEYS[0]),
    onpointerdown: (event) => {
      if (event.button === 0 && event.currentTarget.querySelector(".chart")) {
        dragging = msUnder(event);
        event.currentTarget.setPointerCapture(event.pointerId);
      }
    },
    onpointermove: (event) => dragging !== null && showDrag(event.currentTarget, msUnder(event)),
    onpointerup: (event) => end(event, true),
    onpointercancel: (event) => end(event, false),
  }, h("div", { class: "drag", hidden: true }), h("div", { id: "drawing" }));
}

/** Draws the chart, unless it is the same; while a pointer is on it, or a drag under way, it waits. */
function drawChart(now = false) {
  const plot = byId("plot");
  if (!now && (dragging !== null || plot.matches(":hover"))) return;
  const main = byId("detail");
  const width = Math.max(280, Math.min(1100, main.clientWidth - (wideEnough() ? 42 : 26)));
  plot.style.minHeight = `${chartHeight(width)}px`;
  const all = whole(shown.chart);
  const [view, marks] = [part(all, here()), marksOf(shown)];
  keep(byId("drawing"), [width, view, shown.chart, marks], () => shown.chart.ts_ms.length > 1
    ? errorChart(shown.chart, marks, width, view)
    : h("p", { class: "empty" }, "The error is drawn as soon as there are outcomes."));
  const zoomed = view.from > all.from || view.to < all.to;
  byId("zoomed").textContent = zoomed ? `${shortTime(view.from)} – ${shortTime(view.to)}` : "";
  byId("zoom-all").disabled = byId("zoom-out").disabled = !zoomed;
  byId("zoom-left").disabled = view.from <= all.from;
  byId("zoom-right").disabled = view.to >= all.to;
}

function zoomButtons() {
  const button = (id, sign, said, key) =>
    h("button", { id, type: "button", title: said, "aria-label": said, onclick: () => zoom(KEYS[key]) }, sign);
  return h("div", { class: "zoom", role: "group", "aria-label": "Zoom" },
    h("span", { id: "zoomed", class: "quiet", role: "status" }),
    button("zoom-left", "‹", "Earlier", "ArrowLeft"), button("zoom-right", "›", "Later", "ArrowRight"),
    button("zoom-out", "−", "Zoom out", "-"), button("zoom-in", "+", "Zoom in", "+"),
    button("zoom-all", "all", "All of it", 0));
}

function legend(detail) {
  const challenger = lately(detail.chart, "challenger_error");
  return [
    h("span", { class: "key production" }, `error ${level(detail.view.error)}`),
    challenger === null ? null : h("span", { class: "key challenger" }, `challenger ${level(challenger)}`),
    h("span", { class: "key onset" }, "onset, interval below"), h("span", { class: "key episode" }, "episode"),
    h("span", { class: "key request" }, "retrain asked"), h("span", { class: "key deployment" }, "deployed"),
  ];
}

// What each part shows, so that it is made anew only when that has changed.
const PARTS = {
  episodes: [episodes, (d) => [d.view.open_episodes, d.past_episodes]],
  requests: [requests, (d) => d.requests],
  moved: [movedMost, (d) => [d.view.open_episodes, d.features]],
  quality: [quality, (d) => d.features],
  labels: [labels, (d) => [d.view, d.label_delay_s]],
  metrics: [metrics, (d) => d.view],
  features: [features, (d) => d.features],
  versions: [versions, (d) => d.versions],
  slices: [slices, (d) => d.slices],
  about: [about, (d) => [d.view, d.resets, d.worker, d.false_alarms]],
};
// Parts that stand beside each other where there is room.
const BESIDE = ["moved", "quality", "labels"];

function frame() {
  const partOf = (id) => h("section", { id: `part-${id}` });
  const others = Object.keys(PARTS).filter((id) => !BESIDE.includes(id));
  return [
    h("a", { class: "back", id: "back", href: "#/" }, "‹ all streams"),
    h("h2", { id: "title", tabindex: -1 }),
    h("p", { class: "tags", id: "tags" }),
    h("figure", {}, h("figcaption", { id: "legend" }), zoomButtons(), chartFrame()),
    ...others.slice(0, 2).map(partOf), h("div", { class: "beside" }, BESIDE.map(partOf)), ...others.slice(2).map(partOf),
  ];
}

/** Shows a stream's detail in #detail. */
export function showDetail(detail) {
  const main = byId("detail");
  const { view } = detail;
  shown = detail;
  if (main.ofStream !== view.stream) {
    main.replaceChildren(...frame());
    main.ofStream = view.stream;
  }
  byId("back").href = format({ ...here(), stream: null, from: null, to: null });
  const state = stateOf(view);
  keep(byId("title"), [view.stream, state], () => [
    h("span", {}, view.stream), h("span", { class: `chip ${state.tone}` }, state.text),
  ]);
  keep(byId("tags"), view.labels, () => Object.entries(view.labels).map(([k, v]) => h("span", { class: "tag" }, `${k}: ${v}`)));
  keep(byId("legend"), [view.error, lately(detail.chart, "challenger_error")], () => legend(detail));
  drawChart();
  for (const [id, [made, of]] of Object.entries(PARTS)) keep(byId(`part-${id}`), of(detail), () => made(detail));
}

/** Shows a text instead of a stream. */
export function showNothing(...children) {
  const main = byId("detail");
  main.ofStream = null;
  keep(main, children.map((child) => child.textContent ?? child), () => h("p", { class: "empty" }, children));
}

export function redraw() {
  if (shown && byId("plot")) drawChart(true);
}
