"""How long reading one stream's rows takes where it is 0.01 % of its partition. On the embedded bus:

    python -m benchmarks.performance.one_stream [--rows 1000000]

Writes outcomes of 10,000 streams in turn into one partition, then reads one stream's: by a request's window
that spans them all, and, to compare, by decoding every row instead of passing over the others by their key.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import orjson

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.client.tables import write_csv, write_parquet
from driftbus.client.window import TrainingWindow, read_window
from driftbus.ports import TopicSpec

STREAMS = 10_000
TOPIC = "outcomes"
# As many as one transaction of a busy worker writes.
BLOCK = 20_000


def outcome(seq: int) -> bytes:
    """Eight features, as in the other benchmarks."""
    at = "2026-01-01T00:00:00.000Z"
    return orjson.dumps(
        {
            "prediction_id": f"p-{seq}", "stream": f"stream-{seq % STREAMS}", "ts": at,
            "features": {f"x{i}": (seq * (i + 3)) % 997 / 997 for i in range(8)}, "prediction": 1,
            "score": 0.75, "model_version": "v3", "role": "production", "slices": None,
            "signals": None, "weight": None,
            "label": seq % 2, "label_ts": at, "label_source": "event", "error": 1 - seq % 2, "seq": seq,
        }
    )  # fmt: skip


def fill(bus: EmbeddedBus, rows: int) -> None:
    bus.create_topics([TopicSpec(TOPIC, 1)])
    transaction = bus.transaction("benchmark")
    for start in range(0, rows, BLOCK):
        transaction.begin()
        for seq in range(start, min(start + BLOCK, rows)):
            transaction.produce(TOPIC, key=b"stream-%d" % (seq % STREAMS), value=outcome(seq))
        transaction.flush()
        transaction.commit()
    transaction.close()


def seconds(what: str, read: Callable[[], int], total: int) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    found = read()
    took, spent = time.perf_counter() - began, time.process_time() - cpu
    print(f"{what:34} {found:7,} of {total:,} rows  {took:6.2f} s  ({spent:.2f} s CPU)", flush=True)


def count(rows: Iterable[object]) -> int:
    return sum(1 for _ in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    total = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        bus = EmbeddedBus(Path(folder) / "bus")
        fill(bus, total)
        mine = (total + STREAMS - 1 - 7) // STREAMS
        window = TrainingWindow(
            TOPIC, 0, 0, total, 0, total, mine, {}, None, mine, 0, None, None, 1.0
        )  # fmt: skip

        def rows() -> Iterable[dict[str, object]]:
            return read_window(bus, "stream-7", window, None, since_onset=False)

        def decoded() -> int:
            read = (orjson.loads(r.value or b"") for r in bus.read_from(TOPIC, 0, 0, total))
            return count(row for row in read if row["stream"] == "stream-7")

        seconds("every row decoded", decoded, total)
        seconds("request.rows()", lambda: count(rows()), total)
        seconds("… as Parquet", lambda: write_parquet(rows(), Path(folder) / "rows.parquet", {}), total)
        seconds("… as CSV", lambda: write_csv(rows(), Path(folder) / "rows.csv", {}), total)
        bus.close()


if __name__ == "__main__":
    main()
