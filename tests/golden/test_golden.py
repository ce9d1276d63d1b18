"""Every release's state is read by this version, and goes on: nothing is lost, nothing is repeated."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from driftbus import __version__
from driftbus.core import snapshot
from driftbus.errors import StateError
from tests.golden.log import Log
from tests.golden.recording import Settings, go_on, in_flight, restored, settings_of

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*/partition.jsonl.gz"))
# Kept small: they stay for ever. Snapshots come deflated, each by itself, so gzip finds little to share.
LARGEST_BYTES = 350_000

AGAIN = (
    f"the state or the decisions of the fold have changed. Before {__version__} is released: "
    "`.venv/bin/python -m tests.golden write`. Afterwards its file stays as it is: raise FOLD_VERSION and "
    "the version of what has changed in core/parts.py, or migrate it where it belongs to no part."
)


def recording(path: Path, *, crashed: bool) -> tuple[Log, Settings]:
    """The log as a crash left it, or as the clean end after it did."""
    log = Log.read(path)
    settings = settings_of(log.facts["config"])
    if crashed:
        del log.records[settings.topics["state"]][log.facts["crashed_at"] :]
    return log, settings


def open_episodes(events: list[Any]) -> set[str]:
    found: dict[str, None] = {}
    for event in events:
        data = event["data"]
        if event["type"].startswith("io.driftbus.drift"):
            if data["status"] == "closed":
                found.pop(data["episode_id"])
            else:
                found[data["episode_id"]] = None
    return set(found)


def test_this_version_has_its_recording() -> None:
    assert HERE / __version__ / "partition.jsonl.gz" in FILES, "`.venv/bin/python -m tests.golden write`"
    assert all(path.stat().st_size <= LARGEST_BYTES for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_the_recording_holds_what_a_release_has_to_carry_over(path: Path) -> None:
    log, settings = recording(path, crashed=True)
    task = restored(log, settings)
    streams, join = task.partition.streams, task.partition.join
    assert task.journal.floor < task.journal.next_step  # steps that are folded again
    sizes = join.sizes()
    assert min(sizes.values()) > 0, sizes  # predictions and early labels that wait, ids that are remembered
    assert {"concept", "data"} <= {
        e.category for m in streams.values() for v in m.versions.values() for e in v.episodes.open
    }
    assert "proposed" in in_flight(task)
    assert len(in_flight(task)) > 1
    assert len(streams["replaced"].versions) == 2
    assert streams["steady"].people.is_muted(task.partition.clock)
    assert streams["sudden"].people.acknowledged
    assert log.facts["published"]["events"]


@pytest.mark.parametrize("crashed", [True, False], ids=["crashed", "stopped"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_it_goes_on_where_the_release_was(path: Path, crashed: bool) -> None:
    log, settings = recording(path, crashed=crashed)
    before, expected = log.facts["before"], log.facts["published"]
    same = log.facts["fold"] == snapshot.FOLD_VERSION
    try:
        task = restored(log, settings)
    except StateError as error:
        # A tail of another fold may have been decided otherwise: whoever starts it is told what to do.
        if same or not crashed or log.facts["libraries"] not in str(error):
            raise AssertionError(AGAIN) from error
        return
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise AssertionError(AGAIN) from error
    streams = task.partition.streams
    held = {e.episode_id for m in streams.values() for v in m.versions.values() for e in v.episodes.open}
    left = {e["episode_id"] for m in streams.values() for *_, kept in m.left_open for e in kept["episodes"]}
    assert held | left == open_episodes(before), AGAIN
    assert in_flight(task) == log.facts["in_flight"], AGAIN
    if same:
        assert not any(monitor.ledger.resets for monitor in streams.values()), AGAIN
    found = go_on(log, settings, task)
    if same:
        assert found == expected, AGAIN
    assert found["outcomes"] == expected["outcomes"], (
        "the join decides otherwise: no fold version excuses that"
    )
    ids = Counter(event["id"] for event in before + found["events"])
    assert max(ids.values()) == 1
    firsts = Counter(
        (event["data"]["request_id"], event["data"]["attempt"], event["data"]["status"])
        for event in before + found["events"]
        if event["type"].startswith("io.driftbus.retrain-request")
    )
    assert max(firsts.values()) == 1
    assert open_episodes(before + found["events"]) == {
        e.episode_id for m in streams.values() for v in m.versions.values() for e in v.episodes.open
    }
