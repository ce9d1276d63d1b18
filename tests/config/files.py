"""Configuration files for tests."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from driftbus.config import Settings, load
from driftbus.errors import ConfigError

CONTRACT = Path(__file__).parent.parent / "data" / "contract.yaml"


def loaded(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    path = tmp_path / "driftbus.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return load(path, environ or {})


def refused(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, environ)
    return caught.value
