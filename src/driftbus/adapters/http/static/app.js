// The page of a driftbus worker: asks /api/streams every two seconds and shows what it says.
// Names come from events, so they are only ever set as text; nothing here makes markup of data.

import { errorChart, lately, level, sparkline } from "./chart.js";

const POLL_MS = 2_000;
const SHOWN = 200; // rows in the list; the search finds the others
const CHARTS = 40; // rows with a small line beside them

const byId = (id) => document.getElementById(id);

function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const count = (n) => Number(n).toLocaleString();
const sum = (object) => Object.values(object).reduce((total, n) => total + n, 0);
const percent = (ratio) => ratio.toLocaleString(undefined, { style: "percent", maximumFractionDigits: 1 });

function duration(ms) {
  const s = Math.abs(ms) / 1000;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5_400) return `${Math.round(s / 60)} min`;
  if (s < 129_600) return `${level(s / 3600)} h`;
  return `${level(s / 86_400)} d`;
}

/** A moment as text, with the exact UTC time on hover. */
function moment(ms) {
  if (ms === null || ms === undefined) return "–";
  const date = new Date(ms);
  return h("time", { datetime: date.toISOString(), title: date.toISOString() },
    date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short", hour12: false }));
}

/** What a stream's state is called: its tone is also its colour. */
function stateOf(view) {
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

/** The lately seen error of a stream: from its first window that has one, else since deployment. */
function errorOf(view) {
  for (const metrics of [...Object.values(view.windowed), view.metrics]) {
    for (const name of ["error", "mae"]) if (Number.isFinite(metrics[name])) return metrics[name];
    if (Number.isFinite(metrics.accuracy)) return 1 - metrics.accuracy;
  }
  return null;
}

function route() {
  const found = location.hash.match(/^#\/stream\/(.+)$/);
  try {
    return found ? decodeURIComponent(found[1]) : null;
  } catch {
    return null; // an address typed by hand that is not well formed
  }
}

const linkTo = (name) => `#/stream/${encodeURIComponent(name)}`;

// ---- header -------------------------------------------------------------------------------------------

function showWorker(worker) {
  const state = worker.ready ? ["good", "ready"] : worker.connected ? ["warn", "restoring"] : ["bad", "not connected"];
  byId("worker").replaceChildren(
    h("span", { class: `chip ${state[0]}` }, state[1]),
    h("span", {}, [worker.instance || worker.group, worker.bus, partitionsOf(worker), worker.version].filter(Boolean).join(" · ")),
  );
  const trouble = worker.not_ready.length ? `Not ready: ${worker.not_ready.join("; ")}` : "";
  showBanner(trouble);
}

/** Which partitions are here, as the other streams are with other workers: "partitions 0–3, 7". */
function partitionsOf(worker) {
  const runs = [];
  for (const number of worker.partitions.map((p) => p.partition).sort((a, b) => a - b)) {
    if (runs.length && runs.at(-1)[1] === number - 1) runs.at(-1)[1] = number;
    else runs.push([number, number]);
  }
  if (!runs.length) return "no partition";
  return `partition${worker.partitions.length > 1 ? "s" : ""} ${runs.map(([a, b]) => (a === b ? a : `${a}–${b}`)).join(", ")}`;
}

function showBanner(text) {
  const banner = byId("banner");
  banner.textContent = text;
  banner.hidden = !text;
}

function showTotals(answer) {
  const { worker, totals } = answer;
  const lag = worker.partitions.reduce((total, p) => total + sum(p.lag), 0);
  const [open, busy] = [totals.episodes_open, totals.requests_in_flight];
  const dead = Object.values(worker.dead_letters).reduce((total, reasons) => total + sum(reasons), 0);
  const entries = [
    ["streams", count(totals.streams), ""],
    ["episodes open", count(open), open ? "bad" : ""],
    ["retrains in flight", count(busy), busy ? "busy" : ""],
    ["outcomes", count(worker.published.outcomes ?? 0), ""],
    ["lag, records", count(lag), ""],
    ["dead letters", count(dead), dead ? "warn" : ""],
  ];
  byId("totals").replaceChildren(
    ...entries.map(([name, value, tone]) => h("div", { class: `total ${tone}` }, h("b", {}, value), h("span", {}, name))),
  );
}

// ---- list ---------------------------------------------------------------------------------------------

const rows = new Map(); // stream → its <li>, kept so that focus and scrolling survive a poll

function showList(answer) {
  const chosen = route();
  const list = byId("streams");
  const seen = new Set();
  answer.streams.forEach((view, place) => {
    seen.add(view.stream);
    let row = rows.get(view.stream);
    if (!row) {
      row = h("li", {}, h("a", { href: linkTo(view.stream) }));
      rows.set(view.stream, row);
    }
    const state = stateOf(view);
    const link = row.firstChild;
    link.className = `row ${state.tone}`;
    if (view.stream === chosen) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    link.replaceChildren(
      h("span", { class: "name" }, view.stream),
      h("span", { class: "state" }, state.text),
      view.chart ? sparkline(view.chart) : h("span", { class: "spark" }),
      h("span", { class: "value", title: "mean error lately" }, level(errorOf(view))),
    );
    if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null);
  });
  for (const [name, row] of rows) {
    if (!seen.has(name)) {
      row.remove();
      rows.delete(name);
    }
  }
  const left = answer.matching - answer.streams.length;
  byId("more").textContent =
    answer.totals.streams === 0 ? "No stream yet: they appear with their first prediction."
    : answer.matching === 0 ? "No stream has this in its name."
    : left > 0 ? `${count(left)} more; search to find them.`
    : "";
}

// ---- detail -------------------------------------------------------------------------------------------

function marksOf(detail) {
  const episodes = [...detail.past_episodes, ...detail.view.open_episodes].map((e) => ({
    from: e.onset_ms, to: e.closed_ms, open: e.closed_ms === null, onset: e.onset_ms,
    earliest: e.onset_earliest_ms, latest: e.onset_latest_ms,
    text: `${e.category} drift, ${e.kind}, ${e.resolution ?? "open"}`,
  }));
  return {
    episodes,
    requests: detail.requests.map((r) => ({ at: r.requested_ms, name: "retrain", text: `retrain requested: ${r.reason}, ${r.ended ?? "in flight"}` })),
    deployments: detail.deployments.map((d) => ({ at: d.deployed_ms, name: d.model_version ?? "model", text: `model ${d.model_version ?? "without version"} ${d.rolled_back ? "rolled back to" : "deployed"}` })),
  };
}

/** A titled table; on a narrow screen `records` become a block each, `numbers` stay a table. */
function table(title, kind, heads, lines, note) {
  if (!lines.length) return note ? h("section", {}, h("h3", {}, title), h("p", { class: "quiet" }, note)) : null;
  return h("section", {}, h("h3", {}, title),
    h("div", { class: "scroll" }, h("table", { class: kind },
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, lines.map((cells) => h("tr", {}, cells.map((cell, i) => h("td", { "data-head": heads[i] }, cell))))),
    )));
}

function evidence(signals) {
  return h("ul", { class: "evidence" }, signals.map((s) =>
    h("li", {}, h("b", {}, s.name), ` ${level(s.before)} → ${level(s.after)} `, h("span", { class: "quiet" }, s.detector))));
}

function episodeTable(detail) {
  const all = [...detail.view.open_episodes, ...[...detail.past_episodes].reverse()];
  return table("Episodes", "records", ["state", "what", "onset", "detected after", "signals"], all.map((e) => [
    h("span", { class: `chip ${e.closed_ms === null ? "bad" : "quiet"}` }, e.closed_ms === null ? "open" : e.resolution ?? "closed"),
    h("span", {}, `${e.category}, ${e.kind} `, h("span", { class: "quiet" }, e.confidence > 0.99 ? "over 99% sure" : `${percent(e.confidence)} sure`)),
    moment(e.onset_ms),
    duration(e.opened_ms - e.onset_ms),
    evidence(e.signals),
  ]), "None: nothing has changed so far.");
}

function requestTable(detail) {
  return table("Retrain requests", "records", ["state", "reason", "asked", "rows", "ended"], [...detail.requests].reverse().map((r) => [
    h("span", { class: `chip ${r.ended === null ? "busy" : r.ended === "deployed" ? "good" : "warn"}` }, r.ended ?? "in flight"),
    r.attempt > 1 ? `${r.reason}, attempt ${r.attempt}` : r.reason,
    moment(r.requested_ms), count(r.rows), moment(r.ended_ms),
  ]));
}

function metricTable(detail) {
  const { view } = detail;
  const windows = Object.keys(view.windowed);
  const names = [...new Set([view.metrics, ...Object.values(view.windowed)].flatMap((m) => Object.keys(m)))];
  const challenged = Object.keys(view.challenger_metrics).length > 0;
  return table("Metrics", "numbers",
    ["metric", "since deployment", ...windows.map((w) => (/^\d+$/.test(w) ? `last ${count(w)}` : `last ${w}`)), ...(challenged ? ["challenger"] : [])],
    names.map((name) => [
      name.replaceAll("_", " "), level(view.metrics[name]), ...windows.map((w) => level(view.windowed[w][name])),
      ...(challenged ? [level(view.challenger_metrics[name])] : []),
    ]), "No outcome yet: metrics come with the first labels.");
}

function featureTable(detail) {
  return table("Features", "numbers", ["feature", "kind", "reference", "lately", "missing", "unseen"], detail.features.map((f) => [
    h("span", {}, f.name, f.moved ? h("span", { class: "chip warn" }, "moved") : null),
    f.kind,
    f.redacted ? h("span", { class: "quiet" }, "redacted") : f.kind === "numeric" && f.before === null
      ? h("span", { class: "quiet", title: "the reference is made of its first 960 values" }, "learning") : level(f.before),
    f.redacted ? h("span", { class: "quiet" }, "redacted") : level(f.after),
    percent(f.missing_ratio), f.kind === "categorical" ? percent(f.unseen_ratio) : "–",
  ]));
}

function versionTable(detail) {
  return table("Model versions", "records", ["version", "role", "first seen", "predictions", "outcomes", "error"], detail.versions.map((v) => [
    v.model_version ?? "–", v.role, moment(v.first_seen_ms), count(v.predictions_total), count(v.outcomes_total),
    level(v.metrics.error ?? v.metrics.mae ?? null),
  ]));
}

function sliceTable(detail) {
  return table("Slices", "records", ["slice", "metrics"], Object.entries(detail.slices).map(([name, metrics]) => [
    name, Object.entries(metrics).map(([metric, value]) => `${metric} ${level(value)}`).join(", "),
  ]));
}

function facts(detail) {
  const { view } = detail;
  const unmatched = Object.entries(view.labels_unmatched).map(([reason, n]) => `${count(n)} ${reason}`).join(", ");
  const { p50, p95 } = detail.label_delay_s; // upper bounds of their buckets
  const delays = p95 === undefined ? null : `${p50 < p95 ? `50% within ${duration(p50 * 1000)}, ` : ""}95% within ${duration(p95 * 1000)}`;
  const reset = detail.resets.at(-1);
  const entries = [
    ["model", view.model_version ?? "–"], ["task", view.task], ["partition", String(view.partition)],
    ["predictions", count(view.predictions_total)], ["outcomes", count(view.outcomes_total)],
    ["last prediction", moment(view.last_prediction_ms)], ["last label", moment(view.last_label_ms)],
    ["labels come", delays || "–"],
    ["labels not joined", unmatched || "0"], ["corrections", count(view.label_corrections_total)],
    ...(reset ? [["begun anew", h("span", {}, `${reset.what.join(", ")} (${reset.why}), `, moment(reset.ts_ms))]] : []),
  ];
  return h("dl", { class: "facts" }, entries.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function showDetail(detail) {
  const { view } = detail;
  const main = byId("detail");
  const state = stateOf(view);
  const challenger = lately(detail.chart, "challenger_error");
  const width = Math.max(300, Math.min(1100, main.clientWidth - (innerWidth < 760 ? 24 : 42)));
  main.replaceChildren(
    h("a", { class: "back", href: "#/" }, "‹ all streams"),
    h("h2", {}, view.stream, h("span", { class: `chip ${state.tone}` }, state.text)),
    h("p", { class: "tags" }, Object.entries(view.labels).map(([k, v]) => h("span", { class: "tag" }, `${k}: ${v}`))),
    h("figure", {},
      h("figcaption", {},
        h("span", { class: "key production" }, `error ${level(errorOf(view))}`),
        challenger === null ? null : h("span", { class: "key challenger" }, `challenger ${level(challenger)}`),
        h("span", { class: "key onset" }, "onset"), h("span", { class: "key episode" }, "episode"),
        h("span", { class: "key request" }, "retrain asked"), h("span", { class: "key deployment" }, "deployed")),
      detail.chart.ts_ms.length > 1 ? errorChart(detail.chart, marksOf(detail), width)
        : h("p", { class: "empty" }, "The error is drawn as soon as there are outcomes.")),
    ...[episodeTable(detail), requestTable(detail), metricTable(detail), featureTable(detail), versionTable(detail),
      sliceTable(detail)].filter(Boolean),
    facts(detail),
  );
}

// ---- the loop -----------------------------------------------------------------------------------------

async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(10_000) });
  if (!answer.ok && answer.status !== 404) throw new Error(`${path}: ${answer.status}`);
  return answer.ok ? answer.json() : null;
}

let shownStream; // what the detail shows now; undefined before the first time

async function turn() {
  const search = byId("search").value.trim();
  const answer = await ask(`/api/streams?limit=${SHOWN}&charts=${CHARTS}&q=${encodeURIComponent(search)}`);
  showWorker(answer.worker);
  showTotals(answer);
  const wide = matchMedia("(min-width: 760px)").matches;
  const name = route() ?? (wide ? answer.streams[0]?.stream ?? null : null);
  document.body.classList.toggle("one", route() !== null);
  showList(answer);
  const main = byId("detail");
  if (name === null) {
    main.replaceChildren(h("p", { class: "empty" }, answer.totals.streams ? "Choose a stream." : "Nothing to show yet."));
  } else if (name !== shownStream || !main.querySelector(".chart:hover, :focus-within")) {
    const detail = await ask(`/api/streams/${encodeURIComponent(name)}`);
    if (detail) showDetail(detail);
    else main.replaceChildren(h("a", { class: "back", href: "#/" }, "‹ all streams"),
      h("p", { class: "empty" }, `This worker does not hold “${name}” (any more); another one may.`));
  }
  shownStream = name;
}

let timer;
let running = false;
async function poll() {
  clearTimeout(timer);
  if (running) return;
  running = true;
  try {
    if (!document.hidden) await turn();
  } catch (error) {
    showBanner(`The worker does not answer (${error.message}). Trying again.`);
  } finally {
    running = false;
    timer = setTimeout(poll, POLL_MS);
  }
}

addEventListener("hashchange", () => {
  poll();
  if (route() !== null) scrollTo(0, 0);
});
document.addEventListener("visibilitychange", poll);
addEventListener("resize", () => poll());
byId("search").addEventListener("input", () => poll());
poll();
