"""What is generated from code and committed: says what is out of date; with `--write` mends it."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

from driftbus.adapters.http import metric_table
from driftbus.core.schemas import documents

ROOT = Path(__file__).resolve().parents[1]


def files() -> Iterator[tuple[Path, str]]:
    """Each generated file with what should stand in it."""
    for name, document in documents().items():
        yield ROOT / "schemas" / name, json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    yield ROOT / "docs/metrics.md", metric_table.as_markdown()
    yield from runpy.run_path(str(ROOT / "deploy/grafana/source"))["files"]()
    rule = runpy.run_path(str(ROOT / "deploy/prometheus/build_rule.py"))
    yield ROOT / "deploy/prometheus/prometheusrule.yaml", rule["text"]()
    tuning = runpy.run_path(str(ROOT / "tools/measured.py"))
    yield ROOT / "docs/guides/tuning.md", tuning["page"]()
    configuration = runpy.run_path(str(ROOT / "tools/configuration_page.py"))
    yield ROOT / "docs/configuration.md", configuration["page"]()


def main() -> int:
    """Exit code 1 iff something is out of date and was not written."""
    write = sys.argv[1:] == ["--write"]
    stale = [(path, text) for path, text in files() if not path.exists() or path.read_text() != text]
    for path, text in stale:
        if write:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        print(f"{path.relative_to(ROOT)} {'written' if write else 'is out of date: make generate'}")
    return 1 if stale and not write else 0


if __name__ == "__main__":
    sys.exit(main())
