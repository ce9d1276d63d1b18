"""What is generated and committed is what the code gives now; each key of the configuration has its text."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = [
    (str(path.relative_to(ROOT)), text)
    for path, text in runpy.run_path(str(ROOT / "tools/generated.py"))["files"]()
]


@pytest.mark.parametrize(("name", "text"), FILES, ids=[name for name, _ in FILES])
def test_is_up_to_date(name: str, text: str) -> None:
    assert (ROOT / name).read_text() == text, "make generate"


def test_the_configuration_page_has_every_key_and_no_other() -> None:
    page = runpy.run_path(str(ROOT / "tools/configuration_page.py"))
    keys = {*page["_sections"](page["Document"]), *page["_sections"](page["Stream"])}
    assert page["TEXTS"].keys() == keys
    assert {"bus", "http.port", "limits.max_pending", "retrain.cooldown", "join.horizon"} < keys
