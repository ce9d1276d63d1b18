"""Which path answers with what. Knows nothing of sockets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from importlib.resources import files
from urllib.parse import parse_qs, quote, unquote, urlencode

from driftbus.adapters.http import api, group
from driftbus.adapters.http.exposition import OPENMETRICS_TYPE, TEXT_TYPE
from driftbus.adapters.http.peers import Heard, Peers
from driftbus.adapters.http.prometheus import Exposition
from driftbus.core.views import Source

_JSON = "application/json"
_PLAIN = "text/plain; charset=utf-8"
_SCRIPT = "text/javascript; charset=utf-8"
# What the page is made of; nothing else is served from disk, so no path can lead anywhere.
_STATIC = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/static/app.js": ("app.js", _SCRIPT),
    "/static/chart.js": ("chart.js", _SCRIPT),
    "/static/detail.js": ("detail.js", _SCRIPT),
    "/static/elements.js": ("elements.js", _SCRIPT),
    "/static/place.js": ("place.js", _SCRIPT),
    "/static/zoom.js": ("zoom.js", _SCRIPT),
    "/static/style.css": ("style.css", "text/css; charset=utf-8"),
    "/favicon.ico": ("icon.svg", "image/svg+xml"),
    "/static/icon.svg": ("icon.svg", "image/svg+xml"),
}
# What of a question other workers are asked, too.
_PASSED_ON = ("q", "state", "limit", "charts", "brief")
# Streams that the list gives with a chart each when asked (`?charts=`): more cannot be looked at at once.
_MAX_CHARTS = 50


class Answer:
    """One answer before it is sent."""

    def __init__(
        self,
        body: bytes,
        content_type: str = _PLAIN,
        status: HTTPStatus = HTTPStatus.OK,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.body, self.content_type, self.status, self.headers = body, content_type, status, headers


class Pages:
    """Answers from a `Source`; with `peers`, of the whole group."""

    def __init__(self, source: Source, peers: Peers | None = None) -> None:
        self._source = source
        self.peers = peers
        self._exposition = Exposition()
        # One scrape at a time: two at once would only make both slower.
        self._scrape = threading.Lock()
        folder = files("driftbus.adapters.http") / "static"
        self._static = {
            path: (folder.joinpath(name).read_bytes(), kind) for path, (name, kind) in _STATIC.items()
        }
        self._paths: dict[str, Callable[[dict[str, str], str], Answer]] = {
            "/metrics": self._metrics,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/api/streams": self._streams,
        }

    def answer(self, target: str, accept: str) -> Answer:
        """The answer to a request target (path and query) and an Accept header."""
        path, _, query_text = target.partition("?")
        query = {key: values[-1] for key, values in parse_qs(query_text).items()}
        if path in self._static:
            return Answer(*self._static[path])
        if path in self._paths:
            return self._paths[path](query, accept)
        if path.startswith("/api/streams/"):
            return self._stream(unquote(path.removeprefix("/api/streams/")), query)
        return Answer(b"not found\n", status=HTTPStatus.NOT_FOUND)

    def _metrics(self, query: dict[str, str], accept: str) -> Answer:
        openmetrics = "application/openmetrics-text" in accept
        with self._scrape:
            began = time.perf_counter()
            body = self._exposition.page(
                self._source.worker(), self._source.streams(), openmetrics=openmetrics
            )
            self._exposition.took(time.perf_counter() - began)
        return Answer(body, OPENMETRICS_TYPE if openmetrics else TEXT_TYPE)

    def _livez(self, query: dict[str, str], accept: str) -> Answer:
        if self._source.alive():
            return Answer(b"alive\n")
        return Answer(b"the loop has stopped\n", status=HTTPStatus.SERVICE_UNAVAILABLE)

    def _readyz(self, query: dict[str, str], accept: str) -> Answer:
        if self._source.ready():
            return Answer(b"ready\n")
        why = self._source.worker().not_ready or ("starting",)
        body = "not ready\n" + "".join(f"- {reason}\n" for reason in why)
        return Answer(body.encode(errors="replace"), status=HTTPStatus.SERVICE_UNAVAILABLE)

    def _streams(self, query: dict[str, str], accept: str) -> Answer:
        """All streams, worst first: of the group, or with `scope=worker` of this worker.

        `q` keeps those whose name, or a label of theirs (`team:risk`), contains every word of it; `state`
        keeps one state (`drifting`, …); `limit` cuts; `charts` adds a chart to that many of the first;
        `brief` leaves out what a list does not show.
        """
        views = list(self._source.streams())
        totals = api.totals_json(views)
        words = query.get("q", "").casefold().split()
        views = [view for view in views if api.matches(view, words, query.get("state"))]
        matching = len(views)
        views = api.worst_first(views)[: _whole(query.get("limit"), matching)]
        worker = self._source.worker()
        brief = "brief" in query
        row, chart = (api.brief_json, api.spark_json) if brief else (api.stream_json, api.chart_json)
        shown = [{**row(view), "worker": worker.worker_id} for view in views]
        for entry in shown[: min(_whole(query.get("charts"), 0), _MAX_CHARTS)]:
            entry["chart"] = chart(self._source.chart(entry["stream"]))
        body = {
            "worker": api.worker_json(worker),
            "totals": totals,
            "matching": matching,
            "streams": shown,
        }
        if query.get("scope") != "worker":
            heard: list[Heard] = []
            peers = self.peers  # a new configuration may bring others meanwhile
            if peers is not None:
                passed_on = {key: query[key] for key in _PASSED_ON if key in query}
                passed_on["scope"] = "worker"
                heard = peers.ask(f"/api/streams?{urlencode(passed_on)}")
            body = group.whole(body, heard, _whole(query.get("limit"), group.MOST_STREAMS))
        return Answer(api.encode(body), _JSON)

    def _stream(self, name: str, query: dict[str, str]) -> Answer:
        """One stream in full, from whoever holds it."""
        detail = self._source.stream(name)
        if detail is not None:
            worker_id = self._source.worker().worker_id
            return Answer(api.encode({**api.detail_json(detail), "worker": worker_id}), _JSON)
        said: dict[str, object] = {"error": "this worker holds no such stream"}
        peers = self.peers
        if peers is not None and query.get("scope") != "worker":
            heard = peers.ask(f"/api/streams/{quote(name, safe='')}?scope=worker")
            found = group.detail(heard, name)
            if found is not None:
                return Answer(api.encode(found), _JSON)
            said = {"error": "no worker holds such a stream", "silent": group.silent(heard)}
        return Answer(api.encode(said), _JSON, HTTPStatus.NOT_FOUND)


def _whole(text: str | None, otherwise: int) -> int:
    """A whole number from a query, `otherwise` where there is none that makes sense."""
    return int(text) if text is not None and text.isdecimal() and len(text) < 10 else otherwise
