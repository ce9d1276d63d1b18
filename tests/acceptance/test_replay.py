"""CONTRACT section 4, `driftbus replay`: what is printed, where, with which exit code."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.house import MINUTE, lines, ms, pair, run_cli, write_lines

T0 = 1_767_225_600_000  # 2026-01-01T00:00:00Z: a file's own clock is all there is
ROWS, CHANGE = 2200, 1200


def history(stream: str = "fraud", rows: int = ROWS, seed: int = 1) -> list[Any]:
    """Errors of 8 % that become 35 %."""
    rng = random.Random(seed)
    records: list[Any] = []
    for i in range(rows):
        wrong = rng.random() < (0.08 if i < CHANGE else 0.35)
        records += pair(stream, f"{stream}-{i}", T0 + i * MINUTE, wrong, features={"x": rng.gauss(0, 1)})
    return records


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes], list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("replay")
    written = lines(history())
    file = write_lines(folder / "events.jsonl", written)
    done = run_cli("replay", str(file), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "fraud" in done.stderr
    return file, written, printed(done.stdout)


def printed(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_lines_have_the_shape_of_the_file(told: Any) -> None:
    _, _, events = told
    assert [e["topic"] for e in events].count("retrain-requests") == 1
    for event in events:
        assert set(event) == {"topic", "key", "ts", "value"}
        assert event["topic"] in ("drift-events", "retrain-requests")
        assert event["key"] == "fraud"
        assert type(event["ts"]) is int
        cloud = event["value"]
        assert cloud["specversion"] == "1.0"
        assert cloud["subject"] == cloud["partitionkey"] == "fraud"
        assert ms(cloud["time"]) == event["ts"]
    drift = [e["value"]["data"] for e in events if e["topic"] == "drift-events"]
    assert drift[0]["status"] == "opened"
    assert abs(ms(drift[0]["onset"]["ts"]) - (T0 + CHANGE * MINUTE)) < 200 * MINUTE


def test_the_window_of_a_replay_counts_as_a_log_of_the_outcomes_alone(told: Any) -> None:
    window = next(e["value"]["data"]["training_window"] for e in told[2] if e["topic"] == "retrain-requests")
    assert window["rows"] == window["end_offset"] - window["start_offset"] >= 500
    assert sum(window["class_counts"].values()) == window["rows"]


def test_twice_the_same_bytes_and_gz_is_the_same(told: Any, tmp_path: Path) -> None:
    _, written, events = told
    packed = write_lines(tmp_path / "events.jsonl.gz", written)
    again = run_cli("replay", str(packed))
    assert again.returncode == 0
    assert printed(again.stdout) == events
    # Split in two files, in order.
    first = write_lines(tmp_path / "a.jsonl", written[:1801])
    second = write_lines(tmp_path / "b.jsonl", written[1801:])
    assert printed(run_cli("replay", str(first), str(second)).stdout) == events


@pytest.mark.parametrize("kept", [0, 1, 2555, 4000])
def test_nothing_depends_on_a_later_record(told: Any, tmp_path: Path, kept: int) -> None:
    _, written, events = told
    cut = run_cli("replay", str(write_lines(tmp_path / "cut.jsonl", written[:kept])))
    assert cut.returncode == 0, cut.stderr
    found = printed(cut.stdout)
    assert found == events[: len(found)]
    # And nothing that those records decided is missing: what is printed later has a later time.
    last = json.loads(written[kept - 1])["ts"] if kept else 0
    assert all(e["ts"] >= last for e in events[len(found) :])


def test_cut_exactly_after_the_deciding_record(told: Any, tmp_path: Path) -> None:
    _, written, events = told
    for event in events[:2]:
        upto = next(i for i, line in enumerate(written) if json.loads(line)["ts"] > event["ts"])
        found = printed(run_cli("replay", str(write_lines(tmp_path / "cut.jsonl", written[:upto]))).stdout)
        assert event in found


def test_unusable_lines_are_named_and_counted_and_the_rest_goes_on(told: Any, tmp_path: Path) -> None:
    _, written, events = told
    bad = [b"not json\n", b"[1]\n", b"\xff\xfe\n", b'{"topic": "predictions"', b"\n"]
    other = [b'{"topic": "weather", "key": "fraud", "ts": 1, "value": {}}\n']
    mixed = [*written[:10], *bad, *other, *written[10:]]
    done = run_cli("replay", str(write_lines(tmp_path / "mixed.jsonl", mixed)))
    assert done.returncode == 1
    assert printed(done.stdout) == events
    assert ":11:" in done.stderr
    assert "mixed.jsonl" in done.stderr
    assert "5 lines" in done.stderr


def test_poison_records_are_no_unusable_lines(told: Any, tmp_path: Path) -> None:
    _, written, events = told
    poison = [
        b'{"topic":"predictions","key":"fraud","ts":1767225600000,"value":null}\n',
        b'{"topic":"labels","key":"fraud","ts":1767225600000,"value":{"prediction_id":"fraud-1","label":null}}\n',
        b'{"topic":"predictions","key":null,"ts":1767225600000,"value":{"prediction_id":"x","prediction":1}}\n',
    ]
    done = run_cli("replay", str(write_lines(tmp_path / "poison.jsonl", [*poison, *written])))
    assert done.returncode == 0, done.stderr
    assert printed(done.stdout) == events
    assert "dead-letter" in done.stderr


def test_outputs_in_a_recording_are_passed_over(told: Any, tmp_path: Path) -> None:
    _, written, events = told
    outputs = [json.dumps(e).encode() + b"\n" for e in events]
    outputs.append(b'{"topic":"outcomes","key":"fraud","ts":1767225600000,"value":{}}\n')
    done = run_cli("replay", str(write_lines(tmp_path / "all.jsonl", [*outputs, *written])))
    assert done.returncode == 0, done.stderr
    assert printed(done.stdout) == events


def test_model_events_and_a_request_by_hand(tmp_path: Path) -> None:
    records = history(rows=300)
    at = T0 + 300 * MINUTE
    hand = {"stream": "fraud", "ts": at, "type": "retrain-requested", "by": "ann", "reason": "new rules"}
    done = run_cli(
        "replay",
        str(write_lines(tmp_path / "e.jsonl", lines([*records, ("model-events", "fraud", hand, at)]))),
    )
    (event,) = printed(done.stdout)
    data = event["value"]["data"]
    assert (event["topic"], data["reason"], data["training_window"]["rows"]) == (
        "retrain-requests",
        "manual",
        300,
    )
    assert "new rules" in data["evidence"]["manual"]


def test_a_table(tmp_path: Path) -> None:
    rng = random.Random(2)
    rows = ["when,amount,country,said,p,truth"]
    for i in range(1200):
        truth = int(rng.random() < 0.4)
        wrong = rng.random() < (0.05 if i < 700 else 0.5)
        said = truth ^ int(wrong)
        when = f"2026-01-01T{i // 60:02d}:{i % 60:02d}:00Z"
        features = f"{rng.gauss(10, 2):.3f},{rng.choice(('DE', 'FR', ''))}"
        rows.append(f"{when},{features},{said},{0.9 if said else 0.1},{truth}")
    file = tmp_path / "shop.csv"
    file.write_text("\n".join(rows) + "\n")
    columns = ["--label", "truth", "--prediction", "said", "--score", "p", "--timestamp", "when"]
    done = run_cli("replay", str(file), *columns, "--stream", "checkout")
    assert done.returncode == 0, done.stderr
    drift = [e for e in printed(done.stdout) if e["topic"] == "drift-events"]
    assert drift
    assert {e["key"] for e in drift} == {"checkout"}
    assert "concept" in {e["value"]["data"]["category"] for e in drift}
    missing = run_cli("replay", str(file), "--label", "truht", "--prediction", "said")
    assert missing.returncode == 2
    assert "truht" in missing.stderr
    assert "truth" in missing.stderr
    assert run_cli("replay", str(file)).returncode == 2
    for garbage in (b"truth,said\n1,1\n\xff\xfe\x00,\n", b'truth,said\n"1,1\n1\n1,0,0,0\n,\n'):
        (tmp_path / "g.csv").write_bytes(garbage)
        done = run_cli("replay", str(tmp_path / "g.csv"), "--label", "truth", "--prediction", "said")
        assert done.returncode in (0, 1, 2)
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


def test_a_file_that_breaks_off_gives_what_came_before(told: Any, tmp_path: Path) -> None:
    _, written, events = told
    whole = write_lines(tmp_path / "whole.jsonl.gz", written).read_bytes()
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) * 9 // 10])
    cut = run_cli("replay", str(tmp_path / "cut.jsonl.gz"))
    assert cut.returncode == 1
    found = printed(cut.stdout)
    assert found
    assert found == events[: len(found)]


def test_files_that_are_none(tmp_path: Path) -> None:
    assert run_cli("replay", str(tmp_path / "absent.jsonl")).returncode == 2
    assert run_cli("replay").returncode == 2
    (tmp_path / "no.jsonl.gz").write_bytes(b"not gzip at all")
    broken = run_cli("replay", str(tmp_path / "no.jsonl.gz"))
    assert broken.returncode == 1
    assert "no.jsonl.gz" in broken.stderr
    assert "Traceback" not in broken.stderr
    whole = write_lines(tmp_path / "whole.jsonl.gz", lines(history(rows=200))).read_bytes()
    (tmp_path / "half.jsonl.gz").write_bytes(whole[: len(whole) * 9 // 10])
    half = run_cli("replay", str(tmp_path / "half.jsonl.gz"))
    assert half.returncode == 1
    assert "Traceback" not in half.stderr


def replayed(tmp_path: Path, config: dict[str, Any], records: Sequence[Any]) -> list[dict[str, Any]]:
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    file = write_lines(tmp_path / "records.jsonl", lines(records))
    done = run_cli("replay", str(file), "--config", str(tmp_path / "c.yaml"))
    assert done.returncode == 0, done.stderr
    return printed(done.stdout)


def requests(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [e["value"]["data"] | {"at": e["ts"]} for e in found if e["topic"] == "retrain-requests"]
