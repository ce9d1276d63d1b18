"""What one worker process is like at a moment: memory, open files, lag, steps."""

from __future__ import annotations

import re
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from tests.integration.workers import WorkerProcess

from driftbus.config import Settings
from driftbus.ports import Bus, TopicPartition

_STEPS = re.compile(rb"^driftbus_transaction_duration_seconds_(sum|count)(?:\{\})? (\S+)$", re.MULTILINE)


class Sample(NamedTuple):
    """`t_s`: since the watch began; `lag`: input records not yet committed; `waited_s`: for how long the loop
    was ready and had no core; steps since the start."""

    t_s: float
    rss_mib: float
    files: int
    lag: int
    committed: int
    cpu_s: float
    waited_s: float
    steps: float
    steps_s: float


class Watch:
    """Samples a running worker."""

    def __init__(self, worker: WorkerProcess, bus: Bus, settings: Settings, partitions: int) -> None:
        self.samples: list[Sample] = []
        self._began = time.monotonic()
        if worker.process is None:
            raise SystemExit("the worker does not run")
        self._worker = worker
        self._proc = Path(f"/proc/{worker.process.pid}")
        self._bus, self._group = bus, settings.group
        self._inputs = [
            TopicPartition(settings.topics[name], p)
            for name in ("predictions", "labels")
            for p in range(partitions)
        ]

    def committed(self) -> int:
        """Input records that are folded and committed."""
        return sum(self._bus.committed(self._group, self._inputs).values())

    def sample(self) -> Sample:
        """Take one and keep it."""
        assert self._worker.process is not None
        if self._worker.process.poll() is not None:
            raise SystemExit(f"the worker ended\n{self._worker.tail()}")
        ends = sum(self._bus.end_offset(tp.topic, tp.partition, committed=True) for tp in self._inputs)
        committed = self.committed()
        steps, steps_s = self._steps()
        status = (self._proc / "status").read_text()
        ticks = (self._proc / "stat").read_text().rsplit(")", 1)[1].split()
        found = Sample(
            time.monotonic() - self._began,
            int(status.split("VmRSS:")[1].split()[0]) / 1024,
            len(list((self._proc / "fd").iterdir())),
            ends - committed,
            committed,
            # utime and stime, in hundredths of a second
            (int(ticks[11]) + int(ticks[12])) / 100,
            int((self._proc / "schedstat").read_text().split()[1]) / 1e9,
            steps,
            steps_s,
        )
        self.samples.append(found)
        return found

    def _steps(self) -> tuple[float, float]:
        url = f"http://127.0.0.1:{self._worker.port}/metrics"
        with urllib.request.urlopen(url, timeout=30) as answer:
            found = dict(_STEPS.findall(answer.read()))
        return float(found.get(b"count", 0)), float(found.get(b"sum", 0))


def slope(points: list[tuple[float, float]]) -> float:
    """Of y over x, robust (Theil and Sen): the median of the slopes of all pairs of points."""
    slopes = sorted(
        (y2 - y1) / (x2 - x1) for i, (x1, y1) in enumerate(points) for x2, y2 in points[i + 1 :] if x2 > x1
    )
    return slopes[len(slopes) // 2] if slopes else 0.0
