"""A restore from what a schedule left in `state`, against a fold over all of it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson

from driftbus.core.block import Run
from driftbus.core.codec import decode
from driftbus.core.partition import Partition
from driftbus.errors import InvalidRecord
from driftbus.ports import Bus
from driftbus.restore import Task, restore

from .seen import Seen, require


def check_restored(bus: Bus, seen: Seen, number: int, folded: Partition) -> None:
    """Raises `Violation` where streams or join are restored as others than the fold has them."""
    *_, task = restore(bus, seen.settings, number)
    assert isinstance(task, Task)
    partition = task.partition
    require(partition.streams.keys() == folded.streams.keys(), "restored other streams", number)
    for name in sorted(folded.streams):
        mine, theirs = (orjson.loads(p.snapshot(name)) for p in (partition, folded))
        require(mine == theirs, "a stream is restored as another", name, _differences(mine, theirs))
    require(partition.clock == folded.clock, "the clock is restored as another", number)
    require(partition.corrections == folded.corrections, "corrections are counted otherwise", number)
    mine, theirs = (_told(p, seen, number) for p in (partition, folded))
    require(mine == theirs, "the join is restored as another", number, _differences(mine, theirs))


def _told(partition: Partition, seen: Seen, number: int) -> Any:
    """What a join says to a new label, then to a prediction again, of every id there ever was: that is all
    that can be known of it. It is another join afterwards."""
    ids: dict[tuple[str, str], None] = {}
    for topic in ("predictions", "labels"):
        for record in seen(topic, number):
            with suppress(InvalidRecord):
                event = decode(topic, record.key, record.value, (), record.timestamp_ms, 1 << 20)
                ids[event.stream, event.prediction_id] = None
    join, ts = partition.join, partition.clock
    sizes, runs = join.sizes(), []
    for topic, content in (("labels", {"label": 7}), ("predictions", {"prediction": 1})):
        events = [
            decode(
                topic,
                b"",
                orjson.dumps({"prediction_id": p, "stream": s, "ts": ts, **content}),
                (),
                ts,
                1 << 20,
            )
            for s, p in ids
        ]
        runs.append(Run(topic, events, list(range(len(events))), [ts] * len(events)))
    blocks = join.step(runs, frozenset(), None)
    said = [
        [
            name,
            [[o.seq, o.prediction.prediction_id, o.prediction.prediction, o.label] for o in block.outcomes],
            [[at, c.seq, c.previous_label, c.label] for at, c in block.corrections],
            dict(sorted(block.counts.items())),
        ]
        for name, block in sorted(blocks.items())
    ]
    return [
        sizes,
        join.sizes(),
        said,
        list(join.rejected),
        [[x.prediction_id, why] for x, why in join.unmatched],
    ]


def _differences(mine: Any, theirs: Any, path: str = "") -> list[str]:
    """Where two JSON values differ."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        keys = sorted(mine.keys() | theirs.keys())
        return [d for key in keys for d in _differences(mine.get(key), theirs.get(key), f"{path}.{key}")]
    if isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        pairs = enumerate(zip(mine, theirs, strict=True))
        return [d for i, (a, b) in pairs for d in _differences(a, b, f"{path}[{i}]")]
    return [] if mine == theirs else [f"{path}: {mine!r} != {theirs!r}"]
