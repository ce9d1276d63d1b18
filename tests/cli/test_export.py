"""`driftbus export`: the rows of a request, or of a span, as Parquet, CSV and JSON lines."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.ports import TopicSpec
from tests.cli.commands import clean_environ, driftbus, in_process
from tests.client.test_requests import append, request_event, window

TOPICS = ("outcomes", "label-corrections", "retrain-requests")


def row(seq: int, **more: Any) -> dict[str, Any]:
    """An outcome of `fraud` as a worker writes it."""
    at = f"2026-01-{1 + seq:02d}T00:00:00.000Z"
    return {
        "prediction_id": f"p-{seq}", "stream": "fraud", "ts": at,
        "features": {"amount": seq + 0.5, "country": 'D"E,\n' if seq % 2 else None}, "prediction": 0,
        "score": 0.25, "model_version": "v3", "role": "production", "slices": {"region": "eu"},
        "signals": None, "weight": None, "label": 0, "label_ts": at, "label_source": "event", "error": 0,
        "seq": seq,
    } | more  # fmt: skip


def correction(seq: int, label: Any) -> dict[str, Any]:
    return {"stream": "fraud", "seq": seq, "label": label}


class House:
    """An embedded bus with one partition and six rows of `fraud` among others' rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bus = EmbeddedBus(folder / "bus")
        self.bus.create_topics([TopicSpec(f"driftbus.{name}", 1) for name in TOPICS])
        self.config = folder / "c.yaml"
        self.config.write_text(f"bus: embedded\nembedded: {{path: {folder / 'bus'}}}\n")
        self.rows = [row(seq) for seq in range(6)]
        for each in self.rows:
            self.put("outcomes", each)
            self.put("outcomes", each | {"stream": "other", "seq": 0}, key=b"other")
        self.put("label-corrections", correction(2, 1))
        self.put("label-corrections", correction(3, 1))

    def put(self, topic: str, value: dict[str, Any], key: bytes = b"fraud") -> None:
        append(self.bus, f"driftbus.{topic}", [value], key=key)

    def ask(self, request_id: str = "r-1", **more: Any) -> None:
        """A request for rows 1 to 4, when row 2 had been corrected."""
        data = {"start_seq": 1, "end_seq": 5, "class_counts": {"0": 3, "1": 1}, "corrections_offset": 1}
        self.put("retrain-requests", request_event(request_id, **(window(4, 2, 10) | data | more)))

    def export(self, *args: str | Path) -> subprocess.CompletedProcess[str]:
        return in_process("export", *args, "--config", self.config)

    def lines(self, *args: str | Path) -> list[dict[str, Any]]:
        """JSON lines of an export."""
        out = self.folder / "lines.jsonl"
        done = self.export(*args, "--out", out, "--force")
        assert done.returncode == 0, done.stderr
        return [orjson.loads(line) for line in out.read_bytes().splitlines()]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.bus.close()


def test_a_request_gives_its_window_labels_as_corrected_by_then(house: House) -> None:
    house.ask()
    expected = [house.rows[1], row(2, label=1, error=1), house.rows[3], house.rows[4]]
    assert house.lines("r-1") == expected
    assert house.lines("r-1", "--as-first-given") == house.rows[1:5]


def test_without_a_file_lines_go_to_standard_output(house: House) -> None:
    house.ask()
    done = driftbus("export", "r-1", "--config", house.config)
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == [1, 2, 3, 4]
    assert done.stderr == "4 rows\n"


def test_the_newest_attempt_counts_and_since_the_onset_alone(house: House) -> None:
    house.ask(start_offset=8, start_seq=4, rows=1)
    house.ask(onset_ts="2026-01-04T00:00:00.000Z")
    assert [each["seq"] for each in house.lines("r-1", "--since-onset")] == [3, 4]


def test_parquet_has_types_and_says_which_request_it_was(house: House) -> None:
    house.ask()
    out = house.folder / "rows.parquet"
    done = house.export("r-1", "--out", out)
    assert (done.returncode, done.stderr) == (0, f"4 rows in {out}\n")
    table = parquet.read_table(out)
    assert table.column_names == [
        "prediction_id", "stream", "seq", "ts", "label_ts", "label_source", "model_version", "role", "weight",
        "prediction", "score", "label", "error", "features.amount", "features.country", "slices.region",
    ]  # fmt: skip
    assert table.column("label").to_pylist() == [0, 1, 0, 0]
    assert table.column("ts").to_pylist()[0] == datetime(2026, 1, 2, tzinfo=UTC)
    assert table.column("features.country").to_pylist() == ['D"E,\n', None, 'D"E,\n', None]
    assert table.schema.field("features.amount").type == pa.float64()
    assert table.schema.field("weight").type == pa.float64()
    assert json.loads(table.schema.metadata[b"driftbus.request"])["request_id"] == "r-1"


def test_csv_is_what_any_reader_reads(house: House) -> None:
    house.ask()
    out = house.folder / "rows.csv"
    assert house.export("r-1", "--out", out).returncode == 0
    with open(out, newline="") as text:
        read = list(csv.DictReader(text))
    assert [each["label"] for each in read] == ["0", "1", "0", "0"]
    assert [each["features.country"] for each in read] == ['D"E,\n', "", 'D"E,\n', ""]
    assert [each["features.amount"] for each in read] == ["1.5", "2.5", "3.5", "4.5"]
    assert read[0]["ts"] == "2026-01-02T00:00:00.000Z"


def test_a_stream_by_time_with_every_correction_there_is(house: House) -> None:
    between = ("--from", "2026-01-02", "--to", "2026-01-05T00:00:00Z")
    assert house.lines("--stream", "fraud", *between) == [
        house.rows[1], row(2, label=1, error=1), row(3, label=1, error=1),
    ]  # fmt: skip
    assert house.lines("--stream", "fraud", *between, "--as-first-given") == house.rows[1:4]
    assert len(house.lines("--stream", "fraud", "--all-partitions")) == 6
    assert house.lines("--stream", "nobody") == []


def test_errors_of_corrected_amounts_are_distances(house: House) -> None:
    for seq, label in ((6, 0), (7, 3)):
        house.put("outcomes", row(seq, label=label, error=label, stream="price"), key=b"price")
        house.put("label-corrections", correction(seq, 5) | {"stream": "price"}, key=b"price")
    assert [(each["label"], each["error"]) for each in house.lines("--stream", "price")] == [(5, 5), (5, 5)]


def test_a_window_that_is_gone_leaves_no_file_and_the_old_one_as_it_was(house: House) -> None:
    house.ask(rows=5)
    out = house.folder / "rows.csv"
    out.write_text("old")
    done = house.export("r-1", "--out", out, "--force")
    assert done.returncode == 1
    assert "holds 4 rows of 5" in done.stderr
    assert out.read_text() == "old"
    assert sorted(path.name for path in house.folder.iterdir()) == ["bus", "c.yaml", "rows.csv"]


def test_a_file_that_is_there_stays(house: House) -> None:
    house.ask()
    out = house.folder / "rows.csv"
    out.write_text("old")
    done = house.export("r-1", "--out", out)
    assert (done.returncode, out.read_text()) == (1, "old")
    assert "--force" in done.stderr


def test_what_strangers_wrote_into_the_topics_is_passed_over(house: House) -> None:
    house.ask()
    producer = house.bus.producer()
    for topic in TOPICS:
        for value in (
            b"\xff",
            b"[1]",
            b"{}",
            b'{"stream": "fraud"}',
            b'{"data": {"request_id": "r-1"}}',
            None,
        ):
            producer.produce(f"driftbus.{topic}", key=b"fraud", value=value)
    producer.close(10.0)
    assert len(house.lines("r-1")) == 4
    assert len(house.lines("--stream", "fraud")) == 6


def test_an_unknown_request_is_said(house: House) -> None:
    done = house.export("r-9")
    assert done.returncode == 1
    assert "no request 'r-9' in driftbus.retrain-requests" in done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "REQUEST_ID or --stream"),
        (["r-1", "--stream", "fraud"], "REQUEST_ID or --stream"),
        (["r-1", "--from", "1d"], "--from"),
        (["--stream", "fraud", "--since-onset"], "--since-onset"),
        (["r-1", "--out", "rows.xlsx"], ".parquet"),
        (["--stream", "fraud", "--to", "someday"], "--to"),
    ],
)
def test_wrong_use_is_exit_2(args: list[str], message: str) -> None:
    done = in_process("export", *args)
    assert done.returncode == 2
    assert message in done.stderr


def test_without_pyarrow_it_says_how_to_install_it(house: House) -> None:
    house.ask()
    code = "import sys; sys.modules['pyarrow'] = None; from driftbus.cli.app import main; main()"
    args = ["export", "r-1", "--out", house.folder / "rows.parquet", "--config", house.config]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True, text=True, check=False, env=clean_environ(),
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "driftbus: Parquet needs pyarrow: pip install 'driftbus[parquet]'\n"


def test_a_reader_that_has_seen_enough_ends_it_quietly(house: House) -> None:
    long = [row(0, features={"text": "x" * 100}, ts="2026-02-01T00:00:00.000Z")] * 3_000
    append(house.bus, "driftbus.outcomes", long)
    command = [sys.executable, "-m", "driftbus", "export", "--stream", "fraud", "--config", str(house.config)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environ()
    ) as ran:
        assert ran.stdout is not None
        assert ran.stderr is not None
        ran.stdout.readline()
        ran.stdout.close()
        assert b"Traceback" not in ran.stderr.read()
