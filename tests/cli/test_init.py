"""`driftbus init`: the file it writes is taken as it stands, and says the truth about every default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from driftbus.config import Settings, load
from driftbus.config.commented import EXAMPLES, commented
from driftbus.config.model import Document
from driftbus.config.texts import TEXTS
from tests.cli.commands import in_process


def keys(model: type[BaseModel], path: str = "") -> set[str]:
    """Every key of the model, dotted; sections opened."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= keys(inner, f"{path}{name}.")
        else:
            found.add(f"{path}{name}")
    return found


def flat(tree: dict[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict) and value and path + name != "kafka":
            found |= flat(value, f"{path}{name}.")
        else:
            found[path + name] = value
    return found


def uncommented() -> str:
    return re.sub(r"^( *)#(?=\S)", r"\1", commented(), flags=re.MULTILINE)


def facts(settings: Settings) -> dict[str, Any]:
    """Everything that anything in driftbus reads of the settings."""
    return {
        "shown": settings.shown() | {"stream_defaults": None},
        "stream": settings.stream("any"),
        "topics": dict(settings.topics),
        "source": settings.source,
        "warnings": settings.warnings,
    }


def test_as_it_stands_it_is_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "driftbus.yaml"
    done = in_process("init", path)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"driftbus check --config {path}" in done.stderr
    assert facts(load(path, {})) == facts(Settings())


def test_with_every_line_uncommented_it_is_the_defaults_too(tmp_path: Path) -> None:
    path = tmp_path / "driftbus.yaml"
    path.write_text(uncommented())
    assert facts(load(path, {})) == facts(Settings())


def test_it_has_every_key_of_the_model_and_its_text() -> None:
    written = set(flat(yaml.safe_load(uncommented())))
    examples = {
        name if "." in name or name in Document.model_fields else f"stream_defaults.{name}"
        for name in EXAMPLES
    }
    assert written | examples == keys(Document)
    assert not written & examples
    words = " ".join(re.sub(r"^ *# ?", "", line) for line in commented().splitlines())
    assert [key for key, text in TEXTS.items() if text not in words and key != "topics"] == []


@pytest.mark.parametrize("key", sorted(EXAMPLES.keys() - {"http.token", "http.token_file", "http.tls.key"}))
def test_its_examples_are_taken(tmp_path: Path, key: str) -> None:
    nested: Any = yaml.safe_load(EXAMPLES[key])
    for part in reversed((key if key != "false_alarms" else f"stream_defaults.{key}").split(".")):
        nested = {part: nested}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(nested))
    assert facts(load(tmp_path / "c.yaml", {})) != facts(Settings())


def test_one_key_is_one_line_to_change(tmp_path: Path) -> None:
    path = tmp_path / "driftbus.yaml"
    path.write_text(commented().replace("    #cooldown: 6h", "    cooldown: 2h"))
    assert load(path, {}).stream("any").retrain.cooldown_ms == 7_200_000


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "driftbus.yaml"
    path.write_text("group: mine\n")
    done = in_process("init", path)
    assert done.returncode == 1
    assert "--force" in done.stderr
    assert path.read_text() == "group: mine\n"
    assert in_process("init", path, "--force").returncode == 0
    assert path.read_text() == commented()


def test_it_goes_to_standard_output_as_well() -> None:
    assert in_process("init", "-").stdout == commented()


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    done = in_process("init", tmp_path / "none" / "driftbus.yaml")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
