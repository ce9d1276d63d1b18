"""What a scrape of 10,000 streams costs: `python benchmarks/performance/scrape.py`.

CPU time of writing `/metrics` from ready views (the best of five), by how many series a stream has.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

from driftbus.adapters.http.prometheus import Exposition
from driftbus.core.views import StreamView, WorkerView

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.integration.live_source import LiveSource

STREAMS = 10_000
REPEATS = 5


def views(base: StreamView, windows: int, *, challenger: bool) -> list[StreamView]:
    """Streams that differ in name and in every number, as streams do."""
    made = []
    for i in range(STREAMS):
        metrics = {name: value + i * 1e-7 for name, value in base.metrics.items()}
        made.append(
            dataclasses.replace(
                base,
                stream=f"stream-{i:05d}",
                outcomes_total=i,
                metrics=metrics,
                windowed={name: dict(metrics) for name in list(base.windowed)[:windows]},
                challenger_metrics=dict(metrics) if challenger else {},
            )
        )
    return made


def measure(worker: WorkerView, streams: list[StreamView], *, openmetrics: bool) -> tuple[float, bytes]:
    exposition = Exposition()
    best, page = float("inf"), b""
    for _ in range(REPEATS):
        began = time.process_time()
        page = exposition.page(worker, streams, openmetrics=openmetrics)
        best = min(best, time.process_time() - began)
    return best, page


def main() -> None:
    source = LiveSource(1_767_225_600_000, ["calm"], drifted=0)
    worker, base = source.worker(), source.streams()[0]
    print("| a stream has | series | text, s | OpenMetrics, s | MB |")
    print("|---|--:|--:|--:|--:|")
    for what, windows, challenger in (
        ("counters and metrics since deployment", 0, False),
        ("… and its challenger's", 0, True),
        ("… and two windows", 2, True),
    ):
        streams = views(base, windows, challenger=challenger)
        text_s, page = measure(worker, streams, openmetrics=False)
        openmetrics_s, _ = measure(worker, streams, openmetrics=True)
        series = page.count(b'{stream="') / STREAMS
        print(f"| {what} | {series:.0f} | {text_s:.2f} | {openmetrics_s:.2f} | {len(page) / 1e6:.0f} |")


if __name__ == "__main__":
    main()
