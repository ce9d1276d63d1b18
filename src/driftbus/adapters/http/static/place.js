// Where one is: which stream, what is searched and filtered, how far is zoomed. All of it stands in the address,
// so a link shows another person the same.

/** The place an address's fragment names: `#/stream/NAME?q=…&state=…&n=…&from=…&to=…`; what is not well formed
 * is as if it were not there. */
export function parse(hash) {
  const [path, query] = hash.replace(/^#/, "").split("?", 2);
  const given = new URLSearchParams(query ?? "");
  const number = (name) => (/^\d{1,15}$/.test(given.get(name) ?? "") ? Number(given.get(name)) : null);
  const [from, to] = [number("from"), number("to")];
  const zoomed = from !== null && to !== null && from < to;
  let stream = null;
  const found = path.match(/^\/stream\/(.+)$/);
  try {
    stream = found ? decodeURIComponent(found[1]) : null;
  } catch {
    // an address typed by hand
  }
  return {
    stream, q: given.get("q") ?? "", state: given.get("state") ?? "", n: number("n"),
    from: zoomed ? from : null, to: zoomed ? to : null,
  };
}

/** The fragment of a place. */
export function format(place) {
  const given = new URLSearchParams();
  for (const name of ["q", "state", "n", "from", "to"]) if (place[name]) given.set(name, place[name]);
  const query = given.toString();
  return `#/${place.stream === null ? "" : `stream/${encodeURIComponent(place.stream)}`}${query ? `?${query}` : ""}`;
}

export const here = () => parse(location.hash);

/** Go somewhere near, without a step in the browser's history. */
export function move(change) {
  history.replaceState(null, "", format({ ...here(), ...change }));
}
