"""A `Source` with realistic views: a handful of streams in the states an operator meets.

`LiveSource` answers as a worker does. Everything is computed from `now_ms`, so two reads of the same moment
are equal. Swap it for a running worker by giving the server that worker's own source.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Iterable

from driftbus.core.records import SignalEvidence
from driftbus.core.views import (
    BudgetView,
    ChartPoint,
    DeploymentView,
    EpisodeView,
    Estimated,
    FeatureView,
    HistogramView,
    LimitView,
    PartitionView,
    RequestView,
    StreamDetail,
    StreamView,
    VersionView,
    WorkerView,
)

MINUTE_MS = 60_000
BINS = 120
TRANSACTION_BOUNDS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)
LABEL_DELAY_BOUNDS_S = (1.0, 10.0, 60.0, 600.0, 3600.0, 14_400.0, 86_400.0)


def histogram(bounds: tuple[float, ...], values: list[float]) -> HistogramView:
    """How many values fall into each bucket; a bound belongs to its own."""
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    return HistogramView(bounds, tuple(counts), math.fsum(values))


class LiveSource:
    """`drifted` of `names` drift 40 bins before the end; the first was retrained 15 bins before the end."""

    def __init__(self, now_ms: int, names: Iterable[str] = (), drifted: int = 2) -> None:
        self.now_ms = now_ms
        given = list(names)
        self.names = given or ["fraud", "churn", "credit-limit", "house-prices", "search-rank", "control"]
        self.drifted = self.names[:drifted]
        self.is_alive = True
        self.is_ready = True
        self.set_aside: list[str] = []
        self.turn = 0  # each read of the worker moves the counters, as a running worker does

    def alive(self) -> bool:
        return self.is_alive

    def ready(self) -> bool:
        return self.is_ready

    def worker(self) -> WorkerView:
        self.turn += 1
        transactions = [0.004 + 0.002 * (i % 9) for i in range(50 * self.turn)]
        delays = [30.0 * (1 + i % 400) for i in range(500 * self.turn)]
        return WorkerView(
            group="driftbus",
            instance="prod-eu",
            worker_id="driftbus-host-8711",
            version="0.1.0",
            uptime_s=3600.0 + self.turn,
            connected=True,
            ready=self.is_ready,
            not_ready=() if self.is_ready else ("partition 1: restoring, 40 %",),
            bus="kafka",
            partitions=tuple(
                PartitionView(
                    partition=p,
                    restored=self.is_ready or p == 0,
                    restored_ratio=1.0 if self.is_ready or p == 0 else 0.4,
                    step=1000 * self.turn,
                    pending=1200 + p,
                    early_labels=3 + p,
                    remembered=52_000,
                    streams=len(self.names) // 2,
                    watermark_ms=self.now_ms - 4_000,
                    lag={"predictions": 20 + p, "labels": 7, "model-events": 0},
                )
                for p in range(2)
            ),
            streams=len(self.names),
            records_total={"predictions": 90_000 + 500 * self.turn, "labels": 88_000 + 480 * self.turn,
                           "model-events": 3},
            dead_letters={("predictions", "not_json"): 2 + self.turn, ("labels", "null_label"): 1},
            misrouted={"predictions": 1 + self.turn, "labels": 0},
            published={"outcomes": 87_000 + 480 * self.turn, "drift-events": 7, "retrain-requests": 2},
            steps_total=50 * self.turn,
            rebalances_total=2,
            limits={
                "max_pending": LimitView(2_402, 2_000_000),
                "max_streams": LimitView(len(self.names), 20_000),
                "max_remembered": LimitView(104_000, 2_000_000),
                "max_early_labels": LimitView(7, 200_000),
            },
            transaction_duration=histogram(TRANSACTION_BOUNDS_S, transactions),
            label_delay=histogram(LABEL_DELAY_BOUNDS_S, delays),
        )  # fmt: skip

    def _error(self, name: str, bin_: int) -> float:
        base = 0.06 + 0.01 * (self.names.index(name) % 5)
        wobble = random.Random(f"{name}/{bin_}").gauss(0.0, 0.008) + 0.006 * math.sin(bin_ / 7)
        if name in self.drifted and bin_ >= BINS - 40:
            retrained = name == self.names[0] and bin_ >= BINS - 15
            base += 0.02 if retrained else 0.19
        return max(0.0, base + wobble)

    def _onset_ms(self) -> int:
        return self.now_ms - 40 * MINUTE_MS

    def _episode(self, name: str, *, open_: bool) -> EpisodeView:
        onset = self._onset_ms()
        return EpisodeView(
            episode_id=f"ep-{name}-1",
            category="concept",
            kind="sudden",
            confidence=0.93,
            onset_ms=onset,
            onset_earliest_ms=onset - 2 * MINUTE_MS,
            onset_latest_ms=onset + MINUTE_MS,
            opened_ms=onset + 4 * MINUTE_MS,
            closed_ms=None if open_ else self.now_ms - 10 * MINUTE_MS,
            resolution=None if open_ else "replaced",
            signals=(
                SignalEvidence("error", 0.08, 0.27, "adwin", 41.2),
                SignalEvidence("feature/amount", 12.1, 48.7, "adwin", 17.5),
            ),
            model_version="v3",
        )

    def _view(self, name: str) -> StreamView:
        drifted, first = name in self.drifted, name == self.names[0]
        error = self._error(name, BINS - 1)
        metrics = {
            "accuracy": 1 - error, "balanced_accuracy": 0.98 - error, "precision": 0.9 - error,
            "recall": 0.85 - error, "f1": 0.88 - error, "log_loss": 2.5 * error, "roc_auc": 0.97 - error / 2,
            "cohen_kappa": 0.8 - error, "error": error,
        }  # fmt: skip
        return StreamView(
            stream=name,
            partition=self.names.index(name) % 2,
            labels={"team": "risk", "severity": "page"} if drifted else {"team": "growth"},
            task="classification",
            model_version="v4" if first and drifted else "v3",
            model_versions=2 if first and drifted else 1,
            predictions_total=15_000 + 80 * self.turn,
            outcomes_total=14_500 + 78 * self.turn,
            labels_unmatched={"late": 3, "orphan": 1 + self.turn},
            label_corrections_total=4 + self.turn,
            last_prediction_ms=self.now_ms - 1_000,
            last_label_ms=self.now_ms - 5_000,
            metrics=metrics,
            windowed={
                "1000": {k: v * 0.99 for k, v in metrics.items()},
                "1h": {k: v * 0.98 for k, v in metrics.items()},
            },
            challenger_metrics={k: v * (0.5 if k == "error" else 1.02) for k, v in metrics.items()},
            estimated=Estimated(
                {k: v for k, v in metrics.items() if k in ("error", "accuracy", "f1")}, 1_024, None
            ),
            episodes_opened={"concept": 1} if drifted else {},
            episodes_closed={("concept", "sudden"): 1} if drifted and first else {},
            open_episodes=(self._episode(name, open_=True),) if drifted and not first else (),
            last_drift_ms=self._onset_ms() + 4 * MINUTE_MS if drifted else None,
            retrain_requests={"drift": 1} if drifted else {},
            request_in_flight=f"rq-{name}-1" if drifted and not first else None,
            last_request_ms=self._onset_ms() + 5 * MINUTE_MS if drifted else None,
            last_deployment_ms=self._onset_ms() - MINUTE_MS,
            unknown_request_ids_total=1,
            slices=("region=eu", "region=us"),
            defect="TypeError" if name in self.set_aside else None,
        )

    def streams(self) -> list[StreamView]:
        return [self._view(name) for name in self.names]

    def chart(self, name: str) -> tuple[ChartPoint, ...]:
        detail = self.stream(name)
        return () if detail is None else detail.chart

    def stream(self, name: str) -> StreamDetail | None:
        if name not in self.names:
            return None
        view = self._view(name)
        drifted, first = name in self.drifted, name == self.names[0]
        start = self.now_ms - BINS * MINUTE_MS
        onset = self._onset_ms()
        return StreamDetail(
            view=view,
            chart=tuple(
                ChartPoint(
                    start + b * MINUTE_MS,
                    None if b % 37 == 36 else self._error(name, b),
                    120,
                    None if b < 10 else min(self._error(name, b), 0.09 + 0.03 * math.sin(b / 11)),
                )
                # Labels come out of order, so bins do not always begin in order of time.
                for b in (*range(50), 51, 50, *range(52, BINS))
            ),
            past_episodes=(self._episode(name, open_=False),) if drifted and first else (),
            requests=(
                RequestView(
                    f"rq-{name}-1", onset + 12 * MINUTE_MS, "drift", "requested", 1, 1_480, "v3",
                    f"ep-{name}-1",
                    "deployed" if first else None, self.now_ms - 15 * MINUTE_MS if first else None,
                ),
            )
            if drifted
            else (),
            deployments=(
                DeploymentView(start, "v3"),
                *((DeploymentView(self.now_ms - 15 * MINUTE_MS, "v4"),) if drifted and first else ()),
            ),
            versions=(
                VersionView("v3", "production", start, 15_000, 14_500, view.metrics, view.challenger_metrics),
                VersionView("v5-rc", "canary", start, 900, 850, view.metrics),
            ),
            features=(
                FeatureView("amount", "numeric", drifted, 0.001, 12.1, 48.7 if drifted else 12.4),
                FeatureView("country", "categorical", False, 0.0, unseen_ratio=0.002),
                FeatureView("iban", "categorical", False, 0.0, redacted=True),
            ),
            slices={"region=eu": {"accuracy": 0.91}, "region=us": {"accuracy": 0.89}},
            label_delay_s={"p50": 1800.0, "p95": 86_400.0},
            false_alarms=BudgetView(1, 90 * 86_400_000, 1, 0.004),
        )  # fmt: skip
