"""The JSON the page reads: `/api/streams` and `/api/streams/{stream}`.

Names of the fields are those of the views; times are epoch milliseconds. Numbers that are not finite become
null (orjson does that), so every answer is JSON that a browser can parse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import orjson

from driftbus.core.views import ChartPoint, EpisodeView, StreamDetail, StreamView, WorkerView

# How bad an open episode of each category is, for "worst first": a changed error harms at once, broken data
# soon, the rest perhaps. Categories that are not named here count as 1.
_WEIGHT = {"concept": 4, "quality": 3, "labelling": 3, "prediction": 2}

# Before everything that is at least seen.
_NOT_WATCHED = 5.0


def badness(view: StreamView) -> tuple[float, float, int]:
    """Sorts streams worst first when sorted in reverse: weight of the worst open episode, how far its error
    moved, and when the stream last drifted."""
    if view.defect is not None:
        return _NOT_WATCHED, 0.0, view.last_drift_ms or 0
    weight = max((_WEIGHT.get(e.category, 1) for e in view.open_episodes if not e.muted), default=0)
    moved = max((_error_moved(e) for e in view.open_episodes if not e.muted), default=0.0)
    if not weight and view.request_in_flight is not None:
        weight = 1
    return float(weight), moved, view.last_drift_ms or 0


def _error_moved(episode: EpisodeView) -> float:
    return max((abs(s.after - s.before) for s in episode.signals if s.name == "error"), default=0.0)


def worst_first(views: Iterable[StreamView]) -> list[StreamView]:
    """Worst first; equally bad ones by name."""
    return sorted(sorted(views, key=lambda v: v.stream), key=badness, reverse=True)


def worker_json(worker: WorkerView) -> dict[str, Any]:
    """The worker as the page shows it (histograms stay with `/metrics`)."""
    shown = _fields(worker)
    del shown["transaction_duration"], shown["label_delay"]
    shown["dead_letters"] = _nested(worker.dead_letters)
    # As others' answers have them: `group` puts both together.
    shown["partitions"] = [_fields(partition) for partition in worker.partitions]
    return shown


def state_of(view: StreamView) -> str:
    """What the list can be filtered by: `set_aside`, `drifting`, `retraining`, `unlabelled` or `steady`."""
    if view.defect is not None:
        return "set_aside"
    if any(not episode.muted for episode in view.open_episodes):
        return "drifting"
    if view.request_in_flight is not None:
        return "retraining"
    return "steady" if view.outcomes_total else "unlabelled"


def matches(view: StreamView, words: Sequence[str], state: str | None) -> bool:
    """Whether each word stands in the stream's name or in one of its labels (`team:risk`), whatever the case,
    and it is in that state."""
    if state and state_of(view) != state:
        return False
    if not words:
        return True
    texts = [view.stream.casefold(), *(f"{key}:{value}".casefold() for key, value in view.labels.items())]
    return all(any(word in text for text in texts) for word in words)


def lately(view: StreamView) -> float | None:
    """The error lately: of the first window that knows one, else since the deployment."""
    for metrics in (*view.windowed.values(), view.metrics):
        for name in ("error", "mae"):
            if name in metrics:
                return metrics[name]
        if "accuracy" in metrics:
            return 1 - metrics["accuracy"]
    return None


def totals_json(views: Sequence[StreamView]) -> dict[str, Any]:
    """Counts over all streams of the worker, whatever part of them is listed."""
    return {
        "states": {
            state: sum(state_of(view) == state for view in views)
            for state in ("set_aside", "drifting", "retraining", "unlabelled", "steady")
        },
        "streams": len(views),
        "episodes_open": sum(len(view.open_episodes) for view in views),
        "requests_in_flight": sum(view.request_in_flight is not None for view in views),
    }


def stream_json(view: StreamView) -> dict[str, Any]:
    """A stream in numbers; closed episodes as category → kind → n."""
    shown = _fields(view)
    shown["episodes_closed"] = _nested(view.episodes_closed)
    shown["rank"], shown["state"], shown["error"] = badness(view), state_of(view), lately(view)
    return shown


def brief_json(view: StreamView) -> dict[str, Any]:
    """What a list of streams shows of each: a fifth of all that is known."""
    return {
        "stream": view.stream,
        "labels": view.labels,
        "state": state_of(view),
        "rank": badness(view),
        "error": lately(view),
        "predictions_total": view.predictions_total,
        "outcomes_total": view.outcomes_total,
        "request_in_flight": view.request_in_flight,
        "defect": view.defect,
        "open_episodes": [
            {
                "category": episode.category,
                "kind": episode.kind,
                "muted": episode.muted,
                "acknowledged": episode.acknowledged,
                "onset_ms": episode.onset_ms,
            }
            for episode in view.open_episodes
        ],
    }


def detail_json(detail: StreamDetail) -> dict[str, Any]:
    """A stream in full, its chart as columns: a third of the size of one object a point."""
    shown = _fields(detail)
    shown["view"] = stream_json(detail.view)
    shown["chart"] = chart_json(detail.chart)
    return shown


def chart_json(chart: Sequence[ChartPoint]) -> dict[str, list[float | int | None]]:
    """A chart as columns."""
    return {
        "ts_ms": [p.ts_ms for p in chart],
        "error": [p.error for p in chart],
        "outcomes": [p.outcomes for p in chart],
        "challenger_error": [p.challenger_error for p in chart],
    }


def spark_json(chart: Sequence[ChartPoint]) -> dict[str, list[float | int | None]]:
    """A chart as a row of the list draws it: production alone, to four digits; a third of the size."""
    return {
        "ts_ms": [p.ts_ms for p in chart],
        "error": [None if p.error is None else float(f"{p.error:.4g}") for p in chart],
        "outcomes": [p.outcomes for p in chart],
    }


def encode(shown: object) -> bytes:
    """JSON bytes of what the functions above give."""
    return orjson.dumps(shown, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)


def _fields(view: Any) -> dict[str, Any]:
    """A view's fields by name, one level deep; orjson writes the dataclasses below them itself."""
    return {f.name: getattr(view, f.name) for f in fields(view)}


def _plain(value: object) -> object:
    """What orjson does not write itself: named tuples as objects, mappings that are not dicts."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not shown as JSON")


def _nested(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Counts by a pair of names as an object of objects."""
    shown: dict[str, dict[str, int]] = {}
    for (outer, inner), n in counts.items():
        shown.setdefault(outer, {})[inner] = n
    return shown
