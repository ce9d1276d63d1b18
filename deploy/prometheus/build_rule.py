"""Writes prometheusrule.yaml from rules.yml, for the Prometheus operator: the same groups, indented."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
OUT = HERE / "prometheusrule.yaml"
HEAD = """\
# Written by `make generate` from rules.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: driftbus
  labels:
    app.kubernetes.io/name: driftbus
spec:
"""


def text() -> str:
    """The whole file; comments between the rules come along."""
    lines = (HERE / "rules.yml").read_text().splitlines()
    rules = lines[lines.index("groups:") :]
    return HEAD + "".join(f"  {line}\n" if line else "\n" for line in rules)


if __name__ == "__main__":
    OUT.write_text(text())
