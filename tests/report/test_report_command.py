"""`driftbus replay … --report`: the file, and that stdout stays what it is."""

from __future__ import annotations

from pathlib import Path

from tests.cli.commands import driftbus
from tests.report.test_report import write


def test_a_report_is_written_beside_the_same_lines(tmp_path: Path) -> None:
    events = write(tmp_path / "events.jsonl", {"fraud": (2_000, 1_200)})
    truth, other = tmp_path / "truth.json", tmp_path / "next.yaml"
    truth.write_text('{"fraud": {"drifts": [[1200, 1201]]}}')
    other.write_text("stream_defaults: {retrain: {mode: off}}\n")
    out = tmp_path / "out.html"
    done = driftbus("replay", events, "--report", out, "--truth", truth, "--compare", other)
    assert done.returncode == 0, done.stderr
    assert done.stdout == driftbus("replay", events).stdout
    assert done.stdout.count("\n") == len(done.stdout.splitlines()) > 0
    assert f"report: {out}" in done.stderr
    text = out.read_text()
    assert "next.yaml" in text
    assert "1 of 1 known change found." in text
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "events.jsonl", "next.yaml", "out.html", "truth.json",
    ]  # fmt: skip


def test_wrong_use_is_said_before_anything_is_read(tmp_path: Path) -> None:
    events = write(tmp_path / "events.jsonl", {"fraud": (10, 10)})
    bad = tmp_path / "truth.json"
    bad.write_text("[]")
    for arguments, said in (
        (("--truth", bad), "need --report"),
        (("--report", tmp_path / "out.html", "--truth", bad), "one JSON object"),
        (("--report", tmp_path / "no" / "out.html"), "cannot be written"),
    ):
        done = driftbus("replay", events, *arguments)
        assert done.returncode == 2, done.stderr
        assert said in " ".join(done.stderr.replace("│", " ").split())
        assert done.stdout == ""
