"""Metrics of one's own: classes named by dotted path in the configuration, in River's protocol.

A class has `update(y_true, y_pred)` and `get()`; with `dump()` and `load(state)` (JSON values) its state
survives a restart, without them it starts anew. One that raises is switched off and named in `failed`.
Corrections do not reach it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any


class CustomMetrics:
    """The custom metrics of one model version, by class name."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self.failed: set[str] = set()
        self._metrics: dict[str, Any] = {}
        for path in paths:
            self._metrics[path.rpartition(".")[2]] = load_class(path)()

    def __bool__(self) -> bool:
        return bool(self._metrics)

    def update(self, labels: Sequence[Any], predictions: Sequence[Any]) -> None:
        """Show each metric a block of outcomes, row by row."""
        for name, metric in list(self._metrics.items()):
            try:
                for label, prediction in zip(labels, predictions, strict=True):
                    metric.update(label, prediction)
            except Exception:  # somebody else's code: whatever it raises, the stream goes on and says so
                self._switch_off(name)

    def read(self) -> dict[str, float]:
        """What has a finite value."""
        values = {}
        for name, metric in list(self._metrics.items()):
            try:
                value = float(metric.get())
            except Exception:  # as above
                self._switch_off(name)
                continue
            if value - value == 0.0:
                values[name] = value
        return values

    def dump(self) -> Any:
        """{name: its own state, None where it keeps none}, and the names that failed."""
        states = {}
        for name, metric in list(self._metrics.items()):
            try:
                states[name] = metric.dump() if hasattr(metric, "dump") and hasattr(metric, "load") else None
            except Exception:  # as above
                self._switch_off(name)
        return [states, sorted(self.failed)]

    def restore(self, state: Any) -> None:
        """Continue from `dump`; what was switched off stays off while it is configured."""
        states, failed = state
        for name in failed:
            if name in self._metrics:
                self._switch_off(name)
        for name, metric in list(self._metrics.items()):
            if states.get(name) is not None and hasattr(metric, "load"):
                try:
                    metric.load(states[name])
                except Exception:  # as above
                    self._switch_off(name)

    def _switch_off(self, name: str) -> None:
        self.failed.add(name)
        del self._metrics[name]


def load_class(path: str) -> type[Any]:
    """The class a dotted path of the configuration names. Raises ValueError saying what is wrong with it."""
    module_name, _, class_name = path.rpartition(".")
    try:
        found = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{path!r} names no class that can be imported: {error}") from error
    if not (isinstance(found, type) and hasattr(found, "update") and hasattr(found, "get")):
        raise ValueError(f"{path!r} is not a class with update(y_true, y_pred) and get()")
    return found
