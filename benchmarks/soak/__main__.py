"""`python -m benchmarks.soak`: half an hour at 80 % of what a worker can take; `--overload`: half a minute at
three times that, and its recovery. Exit code 1 when a bound was broken.

One `driftbus worker` on the embedded bus, with its defaults but for bounds that it reaches within minutes.
Its capacity is measured first, by a feeder that keeps some steps' worth of records before it: that of a
machine which feeds, watches and works at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

import orjson
from benchmarks.soak.feed import Feeder
from benchmarks.soak.judge import Verdict, overloaded, soaked
from benchmarks.soak.watch import Watch
from tests.integration.workers import WorkerProcess, wait_until

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.config import Settings, load
from driftbus.ports import TopicSpec
from driftbus.topics import topic_specs

PARTITIONS = 2
# Few enough that what is kept (ids for horizon and grace, up to the bound) is full within two minutes, and
# whatever still grows then is a leak.
RULES = {
    "worker": {"max_records": 5_000},
    "limits": {"max_remembered": 100_000, "max_pending": 100_000},
    "stream_defaults": {"join": {"horizon": "1m", "grace": "1m"}},
}
# Input and outcomes of a soak are kept so long: the disk must not fill up, nothing reads further back.
KEPT_MS = 240_000
# Feeder and worker share a machine: so much less of it is an overloaded worker's (nice), or a feeder that has
# to do three times as much could not outrun it on two cores.
BEHIND = 5
# The feeder looks so often what is due.
TICK_S = 0.05
# Capacity: the first seconds learn references, the others count.
WARM_S, MEASURED_S = 15.0, 20.0
# Records kept before the worker while its capacity is measured: four full steps.
AHEAD = 20_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="of the soak (30)")
    parser.add_argument("--share", type=float, default=0.8, help="of the capacity (0.8)")
    parser.add_argument("--overload", action="store_true", help="three times the capacity, then recovery")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the overload (30)")
    parser.add_argument("--times", type=float, default=3.0, help="the capacity (3)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    # As after Ctrl-C, whoever ends this ends its worker too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="driftbus-soak-") as folder:
        return _Run(Path(folder), options).run()


class _Run:
    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.options = options
        self.settings = _settings(folder)
        self.bus = EmbeddedBus(self.settings.embedded_path, partitioner=self.settings.partitioner)
        self.bus.create_topics([self._spec(spec) for spec in topic_specs(self.settings, PARTITIONS)])
        self.feeder = Feeder(self.bus, dict(self.settings.topics), options.seed)
        self.worker = WorkerProcess(folder / "driftbus.yaml", "soaked", self.settings.http.port)

    def _spec(self, spec: TopicSpec) -> TopicSpec:
        """An overload is read back whole afterwards; a soak would fill the disk."""
        if self.options.overload or spec.config["cleanup.policy"] != "delete":
            return spec
        return TopicSpec(spec.name, spec.partitions, {**spec.config, "retention.ms": str(KEPT_MS)})

    def run(self) -> int:
        self.worker.start()
        if self.options.overload and self.worker.process is not None:
            os.setpriority(os.PRIO_PROCESS, self.worker.process.pid, os.nice(0) + BEHIND)
        try:
            wait_until(self.worker.joined, 60, "the worker starts", [self.worker])
            self.watch = Watch(self.worker, self.bus, self.settings, PARTITIONS)
            rate = self._capacity()
            print(f"capacity: {rate:,.0f} pairs/s, load {os.getloadavg()[0]:.1f}", flush=True)
            verdict = self._overload(rate) if self.options.overload else self._soak(rate)
        finally:
            code = self.worker.stop()
            self.bus.close()
        verdict.expect("exit code", code, 0)
        print(verdict.text())
        return 0 if verdict.held else 1

    def _capacity(self) -> float:
        """Pairs a second that are committed while there is always something to do."""
        began = time.monotonic()
        first = None
        while (now := time.monotonic()) < began + WARM_S + MEASURED_S:
            committed = self.watch.committed()
            if 2 * self.feeder.sent - committed < AHEAD:
                self.feeder.feed(AHEAD // 4)
            else:
                time.sleep(TICK_S)
            if first is None and now > began + WARM_S:
                first = now, committed
        assert first is not None
        rate = (self.watch.committed() - first[1]) / 2 / (time.monotonic() - first[0])
        self._drain()
        return rate

    def _drain(self) -> float:
        """Wait until all that was fed is committed; the seconds it took."""
        began = time.monotonic()
        wait_until(lambda: self.watch.sample().lag == 0, 600, "the lag goes back to nothing", [self.worker])
        return time.monotonic() - began

    def _at(self, rate: float, seconds: float, every_s: float) -> None:
        """Feed at a rate, sampling."""
        began = time.monotonic()
        before, next_sample = self.feeder.sent, began
        while (now := time.monotonic()) < began + seconds:
            due = int((now - began) * rate) - (self.feeder.sent - before)
            # What the feeder could not send in time it sends as fast as it can, in portions.
            if due > 0:
                self.feeder.feed(min(due, 2_000))
            if now >= next_sample:
                sample = self.watch.sample()
                next_sample = now + every_s
                print(
                    f"{sample.t_s:7.0f} s  {sample.rss_mib:7.1f} MiB  {sample.files} files  lag {sample.lag}",
                    file=sys.stderr,
                    flush=True,
                )
            if due < 2_000:
                time.sleep(TICK_S)

    def _soak(self, capacity: float) -> Verdict:
        self.watch.samples.clear()
        rate = capacity * self.options.share
        # A sample every five seconds, 360 in half an hour.
        self._at(rate, self.options.minutes * 60, 5.0)
        during = list(self.watch.samples)
        self.feeder.finish()
        drained_s = self._drain()
        return soaked(capacity, rate, during, drained_s)

    def _overload(self, capacity: float) -> Verdict:
        before = list(self.watch.samples)
        self.watch.samples.clear()
        sent = self.feeder.sent
        began = time.monotonic()
        self._at(capacity * self.options.times, self.options.seconds, 1.0)
        fed = (self.feeder.sent - sent) / (time.monotonic() - began)
        during = list(self.watch.samples)
        self.feeder.finish()
        drained_s = self._drain()
        after = list(self.watch.samples)
        verdict = overloaded(capacity, fed, before, during, after, drained_s)
        verdict.joined_once(self.bus, self.settings, PARTITIONS, self.feeder.sent)
        return verdict


def _settings(folder: Path) -> Settings:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        port = some.getsockname()[1]
    document = {
        "bus": "embedded",
        "embedded": {"path": str(folder / "bus")},
        "http": {"port": port},
        **RULES,
    }
    path = folder / "driftbus.yaml"
    path.write_bytes(orjson.dumps(document))
    return load(path, {})


if __name__ == "__main__":
    raise SystemExit(main())
