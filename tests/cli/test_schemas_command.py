"""`driftbus schemas`."""

from __future__ import annotations

import json
from pathlib import Path

from driftbus.core.schemas import documents
from tests.cli.commands import driftbus


def test_all_documents_are_written_where_asked(tmp_path: Path) -> None:
    out = tmp_path / "made" / "here"
    done = driftbus("schemas", "--out", out)
    assert done.returncode == 0
    assert {path.name: json.loads(path.read_text("utf-8")) for path in out.iterdir()} == documents()
    assert done.stdout.splitlines() == [str(out / name) for name in documents()]


def test_a_place_that_cannot_be_written_exits_1(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = driftbus("schemas", "--out", tmp_path / "file" / "below")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
