"""`driftbus demo`, from an empty folder to the verdict."""

from __future__ import annotations

import shutil
import signal
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from driftbus.demo.director import Director
from driftbus.demo.judge import Verdict, judge, read_logs
from driftbus.demo.processes import Processes
from driftbus.demo.report import show
from driftbus.demo.stage import Stage
from driftbus.demo.traffic import END_MS, SPACING_MS
from driftbus.demo.world import world

# Enough for two workers to share the streams, few enough that each step is one transaction or two.
PARTITIONS = 4
# --serve: after the judged part the world goes on, unchanging, at a pace that people can watch.
LIVE_STEP_MS = 10 * SPACING_MS
LIVE_EVERY_S = 1.0
# Plain output (no terminal) says how far it is this often.
SAY_EVERY_SHARE = 0.1


@dataclass(frozen=True)
class Options:
    """What the command line asked for. `data` None: a folder of its own, removed afterwards.
    `properties` are librdkafka's, for the Kafka at `kafka`."""

    seed: int
    serve: bool = False
    kafka: str | None = None
    workers: int = 1
    port: int = 8711
    data: Path | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


def run(options: Options, console: Console) -> Verdict:
    """The whole demo; prints as it goes. Raises `DriftbusError` when the loop cannot be run at all."""
    started = time.monotonic()
    with _folder(options.data) as data, _stop_signals():
        stage = _stage(options, data)
        ports = _free_ports(options.port, options.workers)
        stage.save(ports[0])
        _introduce(options, stage, ports, console)
        with Processes(stage) as processes:
            processes.create_topics(PARTITIONS)
            bus = stage.open_bus()
            try:
                processes.start(ports)
                with _telling(console) as (say, passed):
                    director = Director(stage, bus, processes, say)
                    director.run(passed)
                verdict = judge(world(stage.seed), read_logs(stage, bus))
                show(verdict, console)
                took_s = time.monotonic() - started
                console.print(
                    f"{director.predictions:,} predictions, {director.labels:,} labels, {took_s:.0f} s"
                )
                if options.serve:
                    _serve(director, ports[0], console)
            finally:
                bus.close()
    return verdict


def _stage(options: Options, data: Path) -> Stage:
    kafka = None if options.kafka is None else {**options.properties, "bootstrap.servers": options.kafka}
    # Topics on somebody's Kafka must be nobody else's.
    own = "driftbus" if kafka is None else f"driftbus-demo-{uuid.uuid4().hex[:8]}"
    return Stage(str(data.resolve()), options.seed, kafka, f"{own}.", own)


def _introduce(options: Options, stage: Stage, ports: list[int], console: Console) -> None:
    bus = "the embedded bus" if stage.kafka is None else f"Kafka at {options.kafka}"
    many = f"{options.workers} workers" if options.workers > 1 else "a worker"
    console.print(f"driftbus demo, seed {stage.seed}: inference, trainer and {many} on {bus}")
    console.print(f"  configuration {stage.configuration}")
    if stage.kafka is not None:
        console.print(f"  topics        {stage.topic_prefix}* (they stay there afterwards)")
    console.print(f"  live page     http://127.0.0.1:{ports[0]}/")
    for stream in world(stage.seed):
        console.print(f"  {stream.name:<16} {stream.source}")


def _serve(director: Director, port: int, console: Console) -> None:
    console.print(f"The world goes on, unchanging: http://127.0.0.1:{port}/ (Ctrl-C ends it)")
    now_ms = END_MS
    try:
        while True:
            now_ms += LIVE_STEP_MS
            director.step(now_ms)
            time.sleep(LIVE_EVERY_S)
    except KeyboardInterrupt:
        console.print("ending")


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        # Left over from an earlier run, an old bus would be judged with the new one.
        if given.exists() and any(given.iterdir()):
            raise FileExistsError(f"{given} is not empty")
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    made = Path(tempfile.mkdtemp(prefix="driftbus-demo-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _stop_signals() -> Iterator[None]:
    """SIGTERM ends the demo like Ctrl-C does: in order, leaving nothing behind."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _free_ports(wanted: int, count: int) -> list[int]:
    """`wanted` and those after it, as far as they are free; others of the system's choice instead."""
    ports: list[int] = []
    for number in range(count):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", wanted + number))
            except (OSError, OverflowError):
                probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    return ports


@contextmanager
def _telling(console: Console) -> Iterator[tuple[Callable[[str], None], Callable[[float], None]]]:
    """How to say that something happened, and how far we are: a bar on a terminal, lines elsewhere."""
    if console.is_terminal:
        columns = (
            TextColumn("simulated time"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("", total=1.0)
            yield (
                (lambda line: progress.console.print(f"  {line}")),
                (lambda share: progress.update(task, completed=share)),
            )
        return
    said = 0.0

    def passed(share: float) -> None:
        nonlocal said
        if share - said >= SAY_EVERY_SHARE or share == 1.0:
            said = share
            console.print(f"{share:.0%} of simulated time")

    yield (lambda line: console.print(f"  {line}")), passed
