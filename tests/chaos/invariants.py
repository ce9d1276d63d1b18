"""What must hold after a round, from a read-committed reader.

`tests.integration.exactness` folds the whole log again and compares every byte of what was published; the
state that a restore finds must be that fold's, field for field. Beside it, without a line of the product's
join: each pair once and right, nothing invented, each poison record once and whole.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import groupby
from operator import attrgetter

import orjson

from driftbus.config import Settings
from driftbus.ports import Bus, Record
from driftbus.restore import Task, restore
from driftbus.wiring import share
from tests.integration.exactness import Checked, check, read_all

from .world import POISON, Fates


def check_everything(bus: Bus, settings: Settings) -> Checked:
    """Raises AssertionError with what is wrong."""
    found = check(bus, settings)
    _check_state(bus, settings, found)
    topics = settings.topics
    logs = {
        name: read_all(bus, topics[name]) for name in ("predictions", "labels", "outcomes", "model-events")
    }
    for number, records in logs["outcomes"].items():
        fates = Fates(
            [record.value for record in logs["predictions"][number]],
            [record.value for record in logs["labels"][number]],
        )
        outcomes = [orjson.loads(record.value or b"null") for record in records]
        times = Counter(outcome["prediction_id"] for outcome in outcomes)
        assert not [pid for pid, n in times.items() if n > 1], "a pair was joined twice"
        labels = {o["prediction_id"]: o["label"] for o in outcomes if o["label_source"] == "event"}
        lacking = {pid for pid, label in fates.must.items() if labels.get(pid, pid) != label}
        assert not lacking, f"pairs without their outcome: {sorted(lacking)[:5]} of {len(lacking)}"
        invented = times.keys() & fates.never
        assert not invented, f"outcomes of no pair: {sorted(invented)[:5]} of {len(invented)}"
    poison = [
        record
        for name in ("predictions", "labels", "model-events")
        for records in logs[name].values()
        for record in records
        if record.value in POISON
    ]
    letters = [letter for letters in read_all(bus, topics["dead-letters"]).values() for letter in letters]
    _check_letters(poison, letters)
    return found


def _check_state(bus: Bus, settings: Settings, found: Checked) -> None:
    rules = replace(settings, limits=share(settings.limits, len(found.partitions)))
    for number, folded in found.partitions.items():
        *_, task = restore(bus, rules, number)
        assert isinstance(task, Task)
        restored = task.partition
        assert restored.streams.keys() == folded.streams.keys()
        for name in folded.streams:
            assert restored.snapshot(name) == folded.snapshot(name), f"the restored state of {name} differs"
        assert restored.join.next_seq == folded.join.next_seq
        assert restored.corrections == folded.corrections


def _check_letters(poison: list[Record], letters: list[Record]) -> None:
    wanted = {(record.topic, record.partition, record.offset): record for record in poison}

    def origin(letter: Record) -> tuple[str, int, int]:
        headers = {name: (text or b"").decode() for name, text in letter.headers}
        return (
            headers["__connect.errors.topic"],
            int(headers["__connect.errors.partition"]),
            int(headers["__connect.errors.offset"]),
        )

    by_origin = {place: list(same) for place, same in groupby(sorted(letters, key=origin), origin)}
    assert by_origin.keys() == wanted.keys(), "poison without a dead letter, or a letter without poison"
    for place, found in by_origin.items():
        source = wanted[place]
        assert [attrgetter("key", "value")(letter) for letter in found] == [(source.key, source.value)]
        own = source.headers
        assert found[0].headers[: len(own)] == own
