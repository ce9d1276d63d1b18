"""An outsider's view of one installation: a configuration file, a bus, workers as processes, topics, HTTP."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from driftbus.adapters.embedded import EmbeddedBus
from driftbus.ports import Record, TopicPartition
from tests.ports import free_port

INPUTS = ("predictions", "labels", "model-events")
MINUTE = 60_000
DAY = 1440 * MINUTE
# Six days ago: inputs are kept for two weeks by their own time.
T0 = int(time.time()) // 86_400 * DAY - 6 * DAY
# Only ends what would hang for ever: on a busy machine a command was seen to take half a minute.
LIMIT_S = 120.0


def run_cli(*args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Any:
    """One command to its end; returncode, stdout and stderr as text."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DRIFTBUS_")}
    return subprocess.run(
        [sys.executable, "-m", "driftbus", *args],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={**environment, "PYTHONFAULTHANDLER": "1", **(env or {})},
        cwd=cwd,
        check=False,
    )


def wait_for(done: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    until = time.monotonic() + limit_s
    while True:
        found = done()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not within {limit_s:.0f} s")
        time.sleep(0.05)


def http(url: str, accept: str = "") -> tuple[int, str, str]:
    """Status, content type, body; status 0 where nobody listens."""
    request = urllib.request.Request(url, headers={"Accept": accept} if accept else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()
    except OSError:
        return 0, "", ""


class Process:
    """One `driftbus worker`, its output in a file."""

    def __init__(self, config: Path, name: str, env: Mapping[str, str] | None = None) -> None:
        self.config, self.log, self.env = config, config.parent / f"{name}.log", dict(env or {})
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Process:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("DRIFTBUS_")}
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "driftbus", "worker", "--config", str(self.config)],
                stdout=out,
                stderr=out,
                env={**environment, **self.env},
            )
        return self

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""


class House:
    """A configuration on the embedded bus with its topics; `feed` writes as any producer would."""

    def __init__(self, folder: Path, config: Mapping[str, Any] | None = None, partitions: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.bus_folder, self.partitions = folder, folder / "bus", partitions
        self.port = free_port()
        self.config: dict[str, Any] = {
            "bus": "embedded",
            "embedded": {"path": str(self.bus_folder)},
            "http": {"port": self.port},
            **(config or {}),
        }
        self.file = folder / "driftbus.yaml"
        self.write_config()
        self.prefix: str = self.config.get("topic_prefix", "driftbus.")
        self.named: dict[str, str] = self.config.get("topics", {})
        created = self.cli("topics", "create", "--partitions", str(partitions))
        assert created.returncode == 0, created.stderr
        self.bus = EmbeddedBus(self.bus_folder)
        self.worker: Process | None = None

    def write_config(self) -> None:
        self.file.write_text(yaml.safe_dump(self.config))

    def topic(self, name: str) -> str:
        return self.named.get(name.replace("-", "_"), self.prefix + name)

    def cli(self, *args: str) -> Any:
        return run_cli(*args, "--config", str(self.file))

    def feed(self, records: Iterable[Sequence[Any]]) -> None:
        """(topic, key, value[, ts_ms[, headers]]): what is no bytes is written as JSON."""
        producer = self.bus.producer()
        for topic, key, value, *rest in records:
            ts, headers = (*rest, None, None)[:2]
            arguments: dict[str, Any] = {
                "key": key.encode() if isinstance(key, str) else key,
                "value": value if value is None or isinstance(value, bytes) else json.dumps(value).encode(),
                "headers": tuple(headers or ()),
                "timestamp_ms": T0 if ts is None else ts,
            }
            while not producer.produce(self.topic(topic), **arguments):
                producer.flush(0.1)
        assert producer.flush(LIMIT_S) == 0
        producer.close(LIMIT_S)

    def start(self, name: str = "worker") -> Process:
        self.worker = Process(self.file, name).start()
        return self.worker

    def left(self) -> int:
        """Input records that the group has not committed yet."""
        group = self.config.get("group", "driftbus")
        tps = [TopicPartition(self.topic(name), p) for name in INPUTS for p in range(self.partitions)]
        done = self.bus.committed(group, tps)
        return sum(self.bus.end_offset(t, p, committed=True) - done.get((t, p), 0) for t, p in tps)

    def settle(self) -> None:
        """Wait until all that was fed is committed."""

        def done() -> bool:
            assert self.worker is not None
            assert self.worker.running, self.worker.tail()
            return self.left() == 0

        try:
            wait_for(done, "the inputs are read")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.worker.tail() if self.worker else ''}") from None

    def work(self) -> None:
        """A worker over everything that was fed, from its start to a clean end."""
        self.start()
        self.settle()
        assert self.worker is not None
        assert self.worker.stop() == 0, self.worker.tail()

    def records(self, name: str) -> list[Record]:
        topic = self.topic(name)
        found: list[Record] = []
        for p in range(self.bus.partitions(topic)):
            found += self.bus.read_from(topic, p, self.bus.begin_offset(topic, p))
        return found

    def values(self, name: str, stream: str | None = None) -> list[dict[str, Any]]:
        """The JSON values of a topic (of drift events and requests: the whole CloudEvent)."""
        found = [json.loads(r.value or b"null") for r in self.records(name) if stream in (None, text(r.key))]
        return [one for one in found if isinstance(one, dict)]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str, accept: str = "") -> tuple[int, str, str]:
        return http(self.url(path), accept)

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        status, _, body = self.get("/metrics")
        assert status == 200
        return samples(body)

    def close(self) -> None:
        if self.worker is not None and self.worker.running:
            self.worker.stop(signal.SIGKILL)
        self.bus.close()


def text(key: bytes | None) -> str | None:
    return None if key is None else key.decode()


def samples(body: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by name and labels; a name with the same labels twice is an error, as for Prometheus."""
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(body):
        for sample in family.samples:
            at = (sample.name, frozenset(sample.labels.items()))
            assert at not in found, f"twice: {at}"
            found[at] = sample.value
    return found


def value(found: Mapping[Any, float], name: str, **labels: str) -> float | None:
    """The sum of the samples of a name that have these labels, None where there is none."""
    fits = [v for (n, have), v in found.items() if n == f"driftbus_{name}" and set(labels.items()) <= have]
    return sum(fits) if fits else None


def ms(moment: str | int) -> int:
    if isinstance(moment, int):
        return moment
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def rfc(ts_ms: int) -> str:
    return datetime.fromtimestamp(ts_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def prediction(pid: str, ts: int, **fields: Any) -> dict[str, Any]:
    return {"prediction_id": pid, "ts": ts, "prediction": 1, **fields}


def pair(
    stream: str, pid: str, ts: int, wrong: bool, **fields: Any
) -> tuple[tuple[str, str, Any, int], tuple[str, str, Any, int]]:
    """A prediction of 0 or 1 in turn and, a minute later, its label."""
    said = int(pid.rsplit("-", 1)[-1]) % 2
    made = {
        "prediction_id": pid,
        "stream": stream,
        "ts": ts,
        "prediction": said,
        "model_version": "v1",
        **fields,
    }
    label = {"prediction_id": pid, "stream": stream, "ts": ts + MINUTE, "label": said ^ int(wrong)}
    return ("predictions", stream, made, ts), ("labels", stream, label, ts + MINUTE)


def lines(records: Iterable[Sequence[Any]]) -> list[bytes]:
    """Records as lines of a replay file."""
    return [
        json.dumps({"topic": topic, "key": key, "ts": ts, "value": v}).encode() + b"\n"
        for topic, key, v, ts in records
    ]


def write_lines(path: Path, written: Iterable[bytes]) -> Path:
    body = b"".join(written)
    path.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)
    return path
