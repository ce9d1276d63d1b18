"""Records of a partition are taken in by the order they have, whatever way they are decoded."""

from __future__ import annotations

import orjson
import pytest

from driftbus.intake import take_in
from driftbus.ports import Record


@pytest.mark.parametrize("poison", [False, True])
def test_where_there_is_no_room_for_all_streams_the_first_are_admitted(poison: bool) -> None:
    names = [f"stream-{i}" for i in range(40)]
    records = [
        Record("predictions", 0, i, name.encode(), value, (), 1_767_225_600_000)
        for i, name in enumerate(names)
        for value in [orjson.dumps({"prediction_id": "p", "prediction": 1, "stream": name})]
    ]
    if poison:
        records.insert(0, records[0]._replace(value=b"{"))
    known: list[str] = []

    def admits(stream: str) -> bool:
        if stream not in known and len(known) < 5:
            known.append(stream)
        return stream in known

    found = take_in({"predictions": records}, admits, 1_000_000)
    assert known == names[:5]
    assert [event.stream for run in found.runs for event in run.events] == names[:5]
    assert found.refused == {"predictions": list(range(5, 40))}
