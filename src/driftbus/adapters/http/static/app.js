// The page of a driftbus worker: asks /api/streams every two seconds and shows what it says, of the whole group.
// Names come from events, so they are only ever set as text; nothing here makes markup of data.

import { sparkline } from "./chart.js";
import { redraw, showDetail, showNothing, stateOf, wideEnough } from "./detail.js";
import { byId, count, duration, h, keep, level, sum } from "./elements.js";
import { format, here, move } from "./place.js";

const POLL_MS = 2_000;
const STEP = 200; // rows in the list at first, and more with each press of the button
const MOST = 5_000; // rows at the most; the search finds the others
const CHARTS = 40; // rows with a small line beside them
const STATES = { drifting: "drifting", set_aside: "set aside", retraining: "retraining", unlabelled: "no labels", steady: "steady" };

const linkTo = (name) => format({ ...here(), stream: name, from: null, to: null });

// ---- header -------------------------------------------------------------------------------------------

function showWorker(answer) {
  const { worker } = answer;
  const state = worker.ready ? ["good", "ready"] : worker.connected ? ["warn", "restoring"] : ["bad", "not connected"];
  const text = [worker.instance || worker.group, worker.bus, partitionsOf(worker.partitions.map((p) => p.partition)), worker.version];
  keep(byId("worker"), [state, text], () => [
    h("span", { class: `chip ${state[0]}` }, state[1]), h("span", {}, text.filter(Boolean).join(" · ")),
  ]);
  const silent = answer.workers.filter((w) => w.trouble);
  const trouble = worker.not_ready.length ? [`Not ready: ${worker.not_ready.join("; ")}`] : [];
  for (const w of silent.slice(0, 5)) {
    const streams = w.worker_id ? `its streams are shown as they were ${duration(w.age_s * 1000)} ago` : "its streams are not shown";
    trouble.push(`Worker ${w.address}: ${w.trouble}; ${streams}`);
  }
  if (silent.length > 5) trouble.push(`${silent.length - 5} more workers do not answer`);
  showBanner(trouble.join(". "));
  showGroup(answer.workers, silent.length);
}

/** Every worker of the group that is known, where there are several. */
function showGroup(workers, silent) {
  const group = byId("group");
  group.hidden = workers.length < 2;
  byId("group-said").textContent = `${count(workers.length - silent)} of ${count(workers.length)} workers`;
  byId("group-said").className = silent ? "chip warn" : "chip quiet";
  keep(byId("group-list"), workers.map((w) => [w.address, w.worker_id, w.ready, w.trouble, w.partitions, w.lag]), () =>
    workers.map((w) => h("li", {},
      h("span", { class: `chip ${w.trouble ? "bad" : w.ready ? "good" : "warn"}` }, w.trouble ?? (w.ready ? "ready" : "restoring")),
      h("b", {}, w.worker_id ?? w.address), w.address === null ? " (this one)" : w.worker_id ? ` ${w.address}` : "",
      w.partitions ? h("span", { class: "quiet" }, ` ${partitionsOf(w.partitions)}, lag ${count(w.lag)}`) : null)));
}

/** Which partitions: "partitions 0–3, 7". */
function partitionsOf(numbers) {
  const runs = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    if (runs.length && runs.at(-1)[1] === number - 1) runs.at(-1)[1] = number;
    else runs.push([number, number]);
  }
  if (!runs.length) return "no partition";
  return `partition${numbers.length > 1 ? "s" : ""} ${runs.map(([a, b]) => (a === b ? a : `${a}–${b}`)).join(", ")}`;
}

function showBanner(text) {
  const banner = byId("banner");
  if (banner.textContent !== text) banner.textContent = text;
  banner.hidden = !text;
}

function showTotals(answer) {
  const { totals, workers } = answer;
  const all = (name) => workers.reduce((total, w) => total + (w[name] ?? 0), 0);
  const [open, busy, dead] = [totals.episodes_open, totals.requests_in_flight, all("dead_letters")];
  const entries = [
    ["streams", count(totals.streams), ""],
    ["episodes open", count(open), open ? "bad" : ""],
    ["retrains in flight", count(busy), busy ? "busy" : ""],
    ["outcomes", count(all("outcomes")), ""],
    ["lag, records", count(all("lag")), ""],
    ["dead letters", count(dead), dead ? "warn" : ""],
  ];
  keep(byId("totals"), entries, () =>
    entries.map(([name, value, tone]) => h("div", { class: `total ${tone}` }, h("b", {}, value), h("span", {}, name))));
}

/** A button for each state, with how many streams are in it. */
function showFilters(totals) {
  const chosen = here().state;
  keep(byId("filters"), [totals.states, chosen], () => [["", "all", sum(totals.states)], ...Object.entries(STATES)
    .map(([state, text]) => [state, text, totals.states[state] ?? 0])
    .filter(([state, , n]) => n || state === chosen)]
    .map(([state, text, n]) => h("button", {
      type: "button", class: "filter", "data-state": state, "aria-pressed": String(state === chosen),
      onclick: () => filter({ state }),
    }, text, h("span", {}, ` ${count(n)}`))));
}

// ---- list ---------------------------------------------------------------------------------------------

const rows = new Map(); // stream → its <li>, kept so that focus and scrolling survive a poll

function showList(answer) {
  const chosen = shownStream;
  const list = byId("streams");
  const seen = new Set();
  // Nobody's click shall meet another row than the one aimed at: order waits while someone is at the list.
  const held = list.matches(":hover, :focus-within");
  answer.streams.forEach((view, place) => {
    seen.add(view.stream);
    let row = rows.get(view.stream);
    if (!row) {
      row = h("li", {}, h("a", {}));
      rows.set(view.stream, row);
    }
    const state = stateOf(view);
    const link = row.firstChild;
    const href = linkTo(view.stream);
    if (link.getAttribute("href") !== href) link.setAttribute("href", href);
    if (link.className !== `row ${state.tone}`) link.className = `row ${state.tone}`;
    if ((view.stream === chosen) !== link.hasAttribute("aria-current")) {
      if (view.stream === chosen) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    keep(link, [view.stream, state.text, view.error, view.chart], () => [
      h("span", { class: "name" }, view.stream),
      h("span", { class: "state" }, state.text),
      view.chart ? sparkline(view.chart) : h("span", { class: "spark" }),
      h("span", { class: "value", title: "mean error lately" }, level(view.error)),
    ]);
    if (!row.isConnected || (!held && list.children[place] !== row)) list.insertBefore(row, held ? null : list.children[place] ?? null);
  });
  for (const [name, row] of rows) {
    if (!seen.has(name)) {
      row.remove();
      rows.delete(name);
    }
  }
  const left = answer.matching - answer.streams.length;
  byId("more-said").textContent =
    answer.totals.streams === 0 ? "No stream yet: they appear with their first prediction."
    : answer.matching === 0 ? "No stream is like this."
    : left > 0 ? `${count(left)} more`
    : "";
  byId("more").hidden = !byId("more-said").textContent;
  byId("more-button").hidden = left <= 0 || rowsAsked() >= MOST;
}

const rowsAsked = () => Math.min(MOST, Math.max(STEP, here().n ?? 0));

// ---- the loop -----------------------------------------------------------------------------------------

async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(10_000) });
  if (!answer.ok && answer.status !== 404) throw new Error(`${path}: ${answer.status}`);
  return { found: answer.ok, said: await answer.json() };
}

let shownStream = null; // what the detail shows now

async function turn() {
  const { q, state, stream } = here();
  const query = new URLSearchParams({ limit: rowsAsked(), charts: CHARTS, brief: 1, q, state });
  const { said } = await ask(`/api/streams?${query}`);
  showWorker(said);
  showTotals(said);
  showFilters(said.totals);
  document.body.classList.toggle("one", stream !== null);
  // Without a choice the worst is shown, and stays until another is chosen: it does not change under the eyes.
  const first = shownStream !== null && said.streams.some((s) => s.stream === shownStream) ? shownStream : said.streams[0]?.stream ?? null;
  shownStream = stream ?? (wideEnough() ? first : null);
  showList(said);
  if (shownStream === null) {
    showNothing(said.totals.streams ? "Choose a stream." : "Nothing to show yet.");
    return;
  }
  const name = shownStream;
  const detail = await ask(`/api/streams/${encodeURIComponent(name)}`);
  if (name !== shownStream) return; // another was chosen meanwhile
  if (detail.found) {
    showDetail(detail.said);
    return;
  }
  const silent = detail.said.silent ?? [];
  showNothing(h("a", { class: "back", href: format({ ...here(), stream: null }) }, "‹ all streams"),
    silent.length ? `“${name}” may be with a worker that is silent: ${silent.join("; ")}.`
    : `No worker holds “${name}” (any more).`);
}

let timer;
let running = false;
let again = false;
async function poll() {
  clearTimeout(timer);
  if (running) {
    again = true; // what was chosen meanwhile is asked for at once
    return;
  }
  running = true;
  try {
    if (!document.hidden) await turn();
  } catch (error) {
    showBanner(`The worker does not answer (${error.message}). Trying again.`);
  } finally {
    running = false;
    timer = setTimeout(poll, again ? 0 : POLL_MS);
    again = false;
  }
}

function filter(change) {
  move({ ...change, n: null });
  showControls();
  poll();
}

/** What is searched, as the address says it. */
function showControls() {
  const search = byId("search");
  if (document.activeElement !== search && search.value !== here().q) search.value = here().q;
}

// ---- keyboard -----------------------------------------------------------------------------------------

/** The next or previous row of the list gets the focus. */
function step(by) {
  const links = [...document.querySelectorAll("#streams a")];
  const focused = links.indexOf(document.activeElement);
  const from = focused >= 0 ? focused : links.findIndex((link) => link.hasAttribute("aria-current"));
  const next = links[Math.min(Math.max(from + by, 0), links.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches?.("input");
  if (event.key === "Escape" && typing) {
    event.target.value = "";
    filter({ q: "" });
    event.target.blur();
  } else if (typing && event.key === "ArrowDown") {
    event.preventDefault();
    document.querySelector("#streams a")?.focus();
  } else if (typing) {
    return;
  } else if (event.key === "/") {
    event.preventDefault();
    byId("search").focus();
  } else if (event.key === "j" || (event.key === "ArrowDown" && event.target.closest?.("#streams"))) {
    event.preventDefault();
    step(1);
  } else if (event.key === "k" || (event.key === "ArrowUp" && event.target.closest?.("#streams"))) {
    event.preventDefault();
    step(-1);
  }
});

let known = here().stream;
addEventListener("hashchange", () => {
  showControls();
  poll();
  redraw();
  if (here().stream !== null && here().stream !== known) scrollTo(0, 0);
  known = here().stream;
});
document.addEventListener("visibilitychange", poll);
addEventListener("resize", () => {
  redraw();
  poll();
});
byId("search").addEventListener("input", (event) => filter({ q: event.target.value.trim() }));
byId("more-button").addEventListener("click", () => {
  move({ n: rowsAsked() + STEP });
  poll();
});
showControls();
poll();
