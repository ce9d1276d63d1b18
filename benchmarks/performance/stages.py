"""Where driftbus's time goes: CPU time of the worker's thread per stage, measured in a run of its own.

A stage's time is its own: what it calls of other stages is theirs. Two readings of the clock a call cost
under a microsecond, and calls are per block or step, not per record.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from driftbus import worker
from driftbus.core import partition
from driftbus.core.join import Join
from driftbus.core.ledger import Ledger
from driftbus.core.monitor import StreamMonitor
from driftbus.core.version import VersionMonitor
from driftbus.journal import Journal
from driftbus.publish import Publisher

STAGES = (
    "consume",
    "decode",
    "join",
    "label-free signals",
    "error signals",
    "challenger",
    "metrics, history",
    "counters, episodes, policy",
    "encode",
    "produce",
    "state",
    "commit",
    "the loop itself",
)


class Stages:
    """`watch` wraps the stages' entry points; `ns` holds each stage's nanoseconds then."""

    def __init__(self) -> None:
        self.ns: dict[str, int] = dict.fromkeys(STAGES, 0)
        self._stack: list[str] = []
        self._since = 0

    def watch(self, transaction_class: Any) -> None:
        """Wrap classes and functions of driftbus, for the rest of this process."""
        for owner, name, stage in (
            (worker.Worker, "_loop", "the loop itself"),
            (worker.Worker, "_gather", "consume"),
            (worker, "take_in", "decode"),
            (Join, "step", "join"),
            (partition, "clock_rises", "join"),
            (StreamMonitor, "fold", "counters, episodes, policy"),
            (Ledger, "take", "counters, episodes, policy"),
            (VersionMonitor, "watch_predictions", "label-free signals"),
            (VersionMonitor, "watch_outcomes", "error signals"),
            (StreamMonitor, "turn", "challenger"),
            (partition, "learn_together", "challenger"),
            (StreamMonitor, "_challenge", "challenger"),
            (VersionMonitor, "absorb_predictions", "metrics, history"),
            (VersionMonitor, "absorb_outcomes", "metrics, history"),
            (StreamMonitor, "take_rows", "metrics, history"),
            (partition.Partition, "step", "encode"),
            (Publisher, "outcomes", "produce"),
            (Publisher, "decisions", "produce"),
            (transaction_class, "flush", "commit"),
            (transaction_class, "send_offsets", "commit"),
            (transaction_class, "commit", "commit"),
        ):
            setattr(owner, name, self._timed(getattr(owner, name), stage))
        records = Journal.step
        drained = self._timed(lambda *given, **more: list(records(*given, **more)), "state")
        Journal.step = drained  # type: ignore[method-assign]

    def _timed(self, call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        ns, stack, clock = self.ns, self._stack, time.thread_time_ns

        @functools.wraps(call)
        def timed(*given: Any, **more: Any) -> Any:
            now = clock()
            if stack:
                ns[stack[-1]] += now - self._since
            stack.append(stage)
            self._since = now
            try:
                return call(*given, **more)
            finally:
                now = clock()
                ns[stage] += now - self._since
                stack.pop()
                self._since = now

        return timed
