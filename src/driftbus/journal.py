"""What a partition writes to `state`: step records in ring slots, snapshots, the join's blocks.

    step/{n mod R}    what step n did: input ranges, tick, the join's verdicts, fingerprints of decisions
    stream/{name}     one stream as of some step
    config            the rules (streams, limits) that the steps since the last whole snapshot were folded by
    join              the join as of some step, with bitmaps over
    block/{number}    the predictions that waited at an earlier join snapshot, as they came, compressed

Every step record carries `floor`: the first step that a changed stream or the join still needs. Before the
ring would overwrite it, the laggards are snapshotted; so a recovery folds at most R steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import orjson

from driftbus.core.partition import Partition, StepInput, StepResult
from driftbus.core.snapshot import seal, split
from driftbus.steps import Origin, run_lengths

# Ring slots: a recovery folds at most this many steps. One that gathered for the default tenth of a second is
# folded again in some 20 ms, so these take 5 s.
RING = 256
# Each changed stream is snapshotted about once in so many records, a few streams in each step, so that no
# step is long. A recovery folds about as many again, in 4 s; a snapshot takes as long as 200 records.
SNAPSHOT_RECORDS = 320_000
# At the latest in so many steps: half the ring, which leaves the other half for steps in which more streams
# change than were foreseen.
SNAPSHOT_STEPS = 128
# The join's snapshot is one record (bitmaps) and the new block: four times as often.
JOIN_RECORDS, JOIN_STEPS = 80_000, 64

StateRecord = tuple[str, bytes | None]


class Ranges(NamedTuple):
    """What a step took of its inputs, per topic (short name): offsets start ≤ offset < end, less those
    that were refused for want of room (they decode, but were dead-lettered); and how much of the last
    records was poison, as `PoisonTally` dumps it."""

    taken: Mapping[str, tuple[int, int]]
    refused: Mapping[str, list[int]]
    poison: Mapping[str, list[int]]


class Journal:
    """One partition's numbers: which step comes next, and since when each stream has changed."""

    def __init__(
        self, config_hash: str, fingerprint: Callable[[str], Mapping[str, str]], origin: Origin
    ) -> None:
        self.config_hash = config_hash
        self.fingerprint = fingerprint
        self.origin = origin
        self.rules: bytes | None = None  # to be written with the next step
        self.next_step = 0
        self.changed: dict[str, int] = {}  # stream → first step not in its snapshot; oldest first
        self.join_changed: int | None = None
        self.join_snapshot_at = 0
        self._join_records = 0  # taken since
        self._credit = 0.0

    @property
    def floor(self) -> int:
        """The first step that a restore still needs."""
        since = [next(iter(self.changed.values()))] if self.changed else []
        if self.join_changed is not None:
            since.append(self.join_changed)
        return min(since, default=self.next_step)

    def step(
        self,
        partition: Partition,
        given: StepInput,
        result: StepResult,
        ranges: Ranges,
        clock_start: int,
        everything: bool = False,
        given_up: Iterable[str] = (),
    ) -> Iterator[StateRecord]:
        """The records of one step, in the order to write; `everything` snapshots all that changed,
        `given_up` names streams that are snapshotted whatever their turn is."""
        n = self.next_step
        self.next_step = n + 1
        if self.rules is not None:
            yield from split("config", seal(self.rules, self.config_hash))
            self.rules = None
        for stream in result.touched:
            self.changed.setdefault(stream, n)
        if self.join_changed is None:
            self.join_changed = n
        records = sum(end - start for start, end in ranges.taken.values())
        for stream in self._laggards(n, records, everything, given_up):
            yield from self._stream(partition, stream, n)
        self._join_records += records
        if everything or self._join_records >= JOIN_RECORDS or n - self.join_snapshot_at >= JOIN_STEPS:
            yield from self._join(partition, n)
        # Thousands of corrections of long labels are more than a message holds.
        record = orjson.dumps(self._record(n, given, result, ranges, clock_start))
        yield from split(f"step/{n % RING}", seal(record, self.config_hash))

    def _laggards(self, n: int, records: int, everything: bool, given_up: Iterable[str]) -> list[str]:
        """The longest changed streams: their share of this step, and all that the ring would lose. Those of
        which something was given up in this step, too: what raised may not raise when it is folded again."""
        if everything:
            return list(self.changed)
        self._credit += len(self.changed) * max(records / SNAPSHOT_RECORDS, 1 / SNAPSHOT_STEPS)
        share = int(self._credit)
        self._credit -= share
        chosen = list(islice(self.changed, share))
        for stream, first in islice(self.changed.items(), share, None):
            if n - first < RING - 2:
                break
            chosen.append(stream)
        chosen += [stream for stream in given_up if stream in self.changed and stream not in chosen]
        return chosen

    def _stream(self, partition: Partition, stream: str, n: int) -> Iterator[StateRecord]:
        del self.changed[stream]
        state = {
            "step": n,
            "fingerprint": self.fingerprint(stream),
            "state": orjson.Fragment(partition.snapshot(stream)),
        }
        yield from split(f"stream/{stream}", seal(orjson.dumps(state), self.config_hash, deflated=True))

    def _join(self, partition: Partition, n: int) -> Iterator[StateRecord]:
        blocks, dropped = partition.join.compact()
        for number, block in blocks.items():
            yield from split(f"block/{number}", seal(block, self.config_hash))
        for number in dropped:
            yield f"block/{number}", None
        state = {
            "step": n,
            "clock": partition.clock,
            "corrections": partition.corrections,
            "join": partition.join.dump(),
        }
        yield from split("join", seal(orjson.dumps(state), self.config_hash, deflated=True))
        self.join_changed = None
        self.join_snapshot_at, self._join_records = n, 0

    def _record(
        self, n: int, given: StepInput, result: StepResult, ranges: Ranges, clock_start: int
    ) -> dict[str, Any]:
        return {
            "step": n,
            "floor": self.floor,
            "tick": given.tick_ms,
            "idle": sorted(given.idle),
            "clock": clock_start,
            "inputs": ranges.taken,
            "refused": ranges.refused,
            "poison": ranges.poison,
            "origin": list(self.origin),
            "seq": [result.first_seq, result.next_seq],
            "rejected": result.rejected,
            "outcome_pos": run_lengths(result.outcome_pos),
            "corrections": [[pos, *correction] for pos, correction in result.correction_rows],
            "counts": result.counts,
            "decisions": result.digests,
        }
