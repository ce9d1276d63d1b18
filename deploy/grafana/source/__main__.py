"""Writes dashboards/*.json: `python deploy/grafana/source`.

The dashboards are code, so that a change of a metric's name is one diff here and a test can compare; Grafana
reads the JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import fleet
import itself
import stream

OUT = Path(__file__).resolve().parents[1] / "dashboards"


def files() -> Iterator[tuple[Path, str]]:
    """Each dashboard's file with what should stand in it."""
    for name, module in (("driftbus", fleet), ("driftbus-stream", stream), ("driftbus-itself", itself)):
        yield OUT / f"{name}.json", json.dumps(module.build(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path, text in files():
        path.write_text(text)
