"""What driftbus is asked to do: the configurations of job a and job c."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from driftbus.config import Settings, load

JOBS = ("a", "c")

# Job a: join, detectors on the error, metrics. No label-free signals, no challenger.
_JOB_A = """
stream_defaults:
  features: {watch: []}
  signals: {features: off, score: off, quality: off, challenger_gap: off}
  challenger: off
"""
# Job c: the defaults, which is everything.
_JOB_C = ""


def settings_of(job: str, bootstrap: str, run: str, topics: Mapping[str, str] | None = None) -> Settings:
    """The worker's settings for one run; `run` names its group and the topics not named in `topics`."""
    text = (_JOB_A if job == "a" else _JOB_C) + (
        f"kafka: {{bootstrap.servers: {bootstrap}}}\n"
        f"group: {run}\n"
        f"topic_prefix: {run}.\n"
        f"topics: {json.dumps(dict(topics or {}))}\n"
        "http: {enabled: false}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "driftbus.yaml"
        path.write_text(text)
        return load(path, {})
