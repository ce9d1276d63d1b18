// Elements, numbers and times. Names come from events, so they are only ever set as text.

export const byId = (id) => document.getElementById(id);

/** An element; attributes that are null, undefined or false are left out, and so are such children. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Puts `made(…)` into an element, unless what it is made of (`of`) is what it was made of before: what does
 * not change is not touched, so nothing jumps, and focus, selection and what was unfolded stay. */
export function keep(element, of, made) {
  const key = JSON.stringify(of);
  if (element.shownOf === key) return false;
  element.shownOf = key;
  element.replaceChildren(...[made()].flat().filter((child) => child !== null && child !== undefined));
  return true;
}

export const count = (n) => Number(n).toLocaleString();
export const sum = (object) => Object.values(object).reduce((total, n) => total + n, 0);
export const percent = (ratio) =>
  ratio > 0 && ratio < 0.001 ? "< 0.1%" : ratio.toLocaleString(undefined, { style: "percent", maximumFractionDigits: 1 });
export const present = (value) => value !== null && value !== undefined;

export function level(value) {
  if (!present(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-4)) return value.toExponential(2);
  return value.toLocaleString(undefined, { maximumSignificantDigits: 3 });
}

export function duration(ms) {
  const s = Math.abs(ms) / 1000;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5_400) return `${Math.round(s / 60)} min`;
  if (s < 129_600) return `${level(s / 3600)} h`;
  return `${level(s / 86_400)} d`;
}

export const shortTime = (ms) =>
  new Date(ms).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short", hour12: false });

/** A moment as text, with the exact UTC time on hover. */
export function moment(ms) {
  if (!present(ms)) return "–";
  const iso = new Date(ms).toISOString();
  return h("time", { datetime: iso, title: iso }, shortTime(ms));
}

/** A titled table; on a narrow screen `records` become a block each, `numbers` stay a table that scrolls. */
export function table(kind, heads, lines, label) {
  return h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": label }, h("table", { class: kind },
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, lines.map((cells) => h("tr", {}, cells.map((cell, i) => h("td", { "data-head": heads[i] }, cell))))),
  ));
}
