"""The metric families of streams, each written for all streams at once.

Label strings are made once per scrape and joined in list comprehensions: with 10,000 streams every line
costs, and stock metric objects took more than ten times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from driftbus.adapters.http import metric_table as t
from driftbus.adapters.http.exposition import Family, escape, label_name, number
from driftbus.adapters.http.metric_table import Metric
from driftbus.core.views import StreamView

# Exported at 0 before the first one happens: `increase()` misses a counter that is born at 1. Rarer ones
# appear with their first count; alerts use the last-drift timestamp, which misses nothing.
REASONS_UNMATCHED = ("late", "orphan", "duplicate")
REASONS_REQUESTED = ("drift", "performance", "schedule", "manual")
CATEGORIES = ("concept", "data", "prediction", "quality", "label_prior", "labelling")
# Of closed episodes only the categories that were ever opened: 20 more zeros for each stream else.
KINDS = ("sudden", "gradual", "incremental", "recurrent", "undetermined")

# Not exported over windows, where each is one more series per stream and window; the page and the API show
# them. What is left tells how often it errs, how badly, and how well it ranks.
SINCE_DEPLOYMENT_ONLY = frozenset({"balanced_accuracy", "kappa", "precision", "recall", "bias", "r2"})


class Written:
    """The lines of metrics as they were last written. A view's mappings never change, so while they are the
    same ones their lines are, and to write them anew is half of a page's cost. 3 kB a stream; one that is
    gone is forgotten."""

    def __init__(self) -> None:
        self._last: dict[str, dict[str, tuple[object, str]]] = {}

    def begin(self, what: str) -> tuple[dict[str, tuple[object, str]], dict[str, tuple[object, str]]]:
        """What a family was last time (stream's label → values, lines), and where to note it this time."""
        before = self._last.get(what, {})
        now = self._last[what] = {}
        return before, now


class Rows(NamedTuple):
    """Views and their label parts (`{stream="…"`, brace left open), side by side."""

    views: Sequence[StreamView]
    labels: Sequence[str]
    written: Written


def _plain(metric: Metric, field: str) -> Callable[[Rows], Family]:
    """A whole number of every stream."""
    name, get = metric.name, attrgetter(field)

    def family(rows: Rows) -> Family:
        views, labels = rows.views, rows.labels
        return Family(metric, [f"{name}{at}}} {n}" for at, n in zip(labels, map(get, views), strict=True)])

    return family


def _timestamp(metric: Metric, field: str) -> Callable[[Rows], Family]:
    """Milliseconds as seconds; a stream that has none yet has no line."""
    name, get = metric.name, attrgetter(field)

    def family(rows: Rows) -> Family:
        views, labels = rows.views, rows.labels
        found = zip(labels, map(get, views), strict=True)
        return Family(metric, [f"{name}{at}}} {ms / 1000}" for at, ms in found if ms is not None])

    return family


def _keyed(
    metric: Metric, get: Callable[[StreamView], Mapping[str, int]], born: tuple[str, ...]
) -> Callable[[Rows], Family]:
    """One count a key of a small mapping (reason, category); `born` keys start at 0."""
    name, label = metric.name, metric.labels[1]
    # What an untouched stream shows, with a mark where its labels go; no label string holds a NUL.
    zeros = "\n".join(f'{name}\0,{label}="{key}"}} 0' for key in born)

    def family(rows: Rows) -> Family:
        lines: list[str] = []
        for at, counts in zip(rows.labels, map(get, rows.views), strict=True):
            if counts:
                shown = {**dict.fromkeys(born, 0), **counts}
                lines += [f'{name}{at},{label}="{escape(key)}"}} {n}' for key, n in shown.items()]
            else:
                lines.append(zeros.replace("\0", at))
        return Family(metric, lines)

    return family


class _Levels:
    """Writes the metrics of one stream after another, nine significant digits each.

    Streams mostly have the same metrics, so their lines are one template a set of names, filled in one
    formatting call: half of what a line at a time costs."""

    def __init__(self, metric: Metric, window: str | None = None) -> None:
        self._name = metric.name
        self._tail = "" if window is None else f',window="{escape(window)}"'
        self._templates: dict[tuple[str, ...], str] = {}

    def lines(self, at: str, values: Mapping[str, float]) -> str:
        total = sum(values.values())
        if total - total != 0:  # something is not finite: rare, and spelled differently
            return "\n".join(
                f'{self._name}{at},metric="{escape(key)}"{self._tail}}} {number(n)}'
                for key, n in values.items()
            )
        keys = tuple(values)
        template = self._templates.get(keys)
        if template is None:
            template = "\n".join(
                f'{self._name}\0,metric="{escape(key)}"{self._tail}'.replace("%", "%%") + "} %.9g"
                for key in keys
            )
            self._templates[keys] = template
        # A stream's own name may hold a percent sign.
        return template.replace("\0", at.replace("%", "%%")) % tuple(values.values())


def _believed(view: StreamView) -> Mapping[str, float]:
    """What is expected before labels come, unless that is doubted."""
    estimated = view.estimated
    return {} if estimated is None or estimated.doubt is not None else estimated.metrics


def _levels(metric: Metric, get: Callable[[StreamView], Mapping[str, float]]) -> Callable[[Rows], Family]:
    """The metrics of every stream."""

    def family(rows: Rows) -> Family:
        levels = _Levels(metric)
        before, now = rows.written.begin(metric.name)
        lines: list[str] = []
        for at, values in zip(rows.labels, map(get, rows.views), strict=True):
            if values:
                known = before.get(at)
                if known is None or known[0] is not values:
                    known = (values, levels.lines(at, values))
                now[at] = known
                lines.append(known[1])
        return Family(metric, lines)

    return family


def _windows(rows: Rows) -> Family:
    levels: dict[str, _Levels] = {}
    before, now = rows.written.begin(t.MODEL_METRIC_WINDOW.name)
    lines: list[str] = []
    for at, view in zip(rows.labels, rows.views, strict=True):
        known = before.get(at)
        if known is None or known[0] is not view.windowed:
            text: list[str] = []
            for window, every in view.windowed.items():
                values = {name: value for name, value in every.items() if name not in SINCE_DEPLOYMENT_ONLY}
                if values:
                    if window not in levels:
                        levels[window] = _Levels(t.MODEL_METRIC_WINDOW, window)
                    text.append(levels[window].lines(at, values))
            known = (view.windowed, "\n".join(text))
        now[at] = known
        if known[1]:
            lines.append(known[1])
    return Family(t.MODEL_METRIC_WINDOW, lines)


def _closed(rows: Rows) -> Family:
    name = t.EPISODES_CLOSED.name
    lines: list[str] = []
    for view, at in zip(rows.views, rows.labels, strict=True):
        if view.episodes_opened or view.episodes_closed:
            counts = {(category, kind): 0 for category in view.episodes_opened for kind in KINDS}
            counts.update(view.episodes_closed)
            for (category, kind), n in counts.items():
                lines.append(f'{name}{at},category="{escape(category)}",kind="{escape(kind)}"}} {n}')
    return Family(t.EPISODES_CLOSED, lines)


def _open_by_category(view: StreamView) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for episode in view.open_episodes:
        counts[episode.category] = counts.get(episode.category, 0) + 1
    return counts


def _muted(rows: Rows) -> Family:
    name = t.EPISODE_MUTED.name
    lines: list[str] = []
    for view, at in zip(rows.views, rows.labels, strict=True):
        if view.episodes_opened:
            counts = dict.fromkeys(view.episodes_opened, 0)
            for episode in view.open_episodes:
                if episode.muted:
                    counts[episode.category] = counts.get(episode.category, 0) + 1
            lines += [f'{name}{at},category="{escape(category)}"}} {n}' for category, n in counts.items()]
    return Family(t.EPISODE_MUTED, lines)


def _in_flight(rows: Rows) -> Family:
    name = t.REQUEST_IN_FLIGHT.name
    return Family(
        t.REQUEST_IN_FLIGHT,
        [
            f"{name}{at}}} {0 if view.request_in_flight is None else 1}"
            for view, at in zip(rows.views, rows.labels, strict=True)
        ],
    )


def _set_aside(rows: Rows) -> Family:
    name = t.SET_ASIDE.name
    return Family(
        t.SET_ASIDE,
        [
            f"{name}{at}}} {0 if view.defect is None else 1}"
            for view, at in zip(rows.views, rows.labels, strict=True)
        ],
    )


def _info(rows: Rows) -> Family:
    name = t.STREAM_INFO.name
    lines: list[str] = []
    for view, at in zip(rows.views, rows.labels, strict=True):
        pairs = {
            "partition": str(view.partition),
            "task": view.task,
            "model_version": view.model_version or "",
        }
        for key in sorted(view.labels):
            pairs.setdefault(label_name(key, t.STREAM_INFO.labels), view.labels[key])
        lines.append(name + at + "".join(f',{k}="{escape(v)}"' for k, v in pairs.items()) + "} 1")
    return Family(t.STREAM_INFO, lines)


STREAM_FAMILIES: tuple[Callable[[Rows], Family], ...] = (
    _plain(t.PREDICTIONS, "predictions_total"),
    _plain(t.OUTCOMES, "outcomes_total"),
    _keyed(t.UNMATCHED, attrgetter("labels_unmatched"), REASONS_UNMATCHED),
    _plain(t.DUPLICATES, "duplicate_predictions_total"),
    _plain(t.CORRECTIONS, "label_corrections_total"),
    _timestamp(t.LAST_PREDICTION, "last_prediction_ms"),
    _timestamp(t.LAST_LABEL, "last_label_ms"),
    _levels(t.MODEL_METRIC, attrgetter("metrics")),
    _windows,
    _levels(t.CHALLENGER_METRIC, attrgetter("challenger_metrics")),
    _levels(t.ESTIMATED_METRIC, _believed),
    _keyed(t.EPISODES_OPENED, attrgetter("episodes_opened"), CATEGORIES),
    _closed,
    _keyed(t.EPISODE_OPEN, _open_by_category, CATEGORIES),
    _muted,
    _timestamp(t.LAST_DRIFT, "last_drift_ms"),
    _keyed(t.REQUESTS, attrgetter("retrain_requests"), REASONS_REQUESTED),
    _in_flight,
    _timestamp(t.LAST_REQUEST, "last_request_ms"),
    _timestamp(t.LAST_DEPLOYMENT, "last_deployment_ms"),
    _plain(t.UNKNOWN_REQUESTS, "unknown_request_ids_total"),
    _plain(t.RESETS, "resets_total"),
    _plain(t.MODEL_VERSIONS, "model_versions"),
    _set_aside,
    _info,
)
