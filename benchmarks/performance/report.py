"""The tables: medians, ratios, where the time goes, and on which machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import confluent_kafka
from benchmarks.performance.contenders import NAMES

_SHOWN = {
    "consume": "consume",
    "decode": "consume, orjson",
    "join": "consume, orjson, dict join",
    "by hand": "written by hand, no guarantees, no output",
    "by hand, transactions": "written by hand, outcomes in transactions of 5,000",
    "driftbus": "driftbus, exactly once, an outcome per pair",
}
_SKEWS = {"uniform": "uniform over 200 streams", "zipf": "Zipf 1.0 over 200 streams", "one": "one stream"}
_DIFFERENT = """\
driftbus's job is not quite the loop's. It watches features in means of 16 values against a learned reference
(a cumulative sum, not an ADWIN per value), and it does more: the score, the log loss, missing and unseen
values, values out of range and the challenger's gap are watched too; metrics are kept over sliding windows
and for the challenger; histories find onsets and training windows; late, early and repeated labels have
their fates; everything is recovered after a crash."""


def tables(
    medians: Mapping[tuple[str, str, str], tuple[float, float]],
    stages: Mapping[tuple[str, str], Mapping[str, float]],
    pairs: int,
    rounds: int,
) -> str:
    """`medians`: (skew, job, contender) → CPU and wall µs per pair."""
    lines = [machine(), "", f"{pairs:,} pairs, median of {rounds} interleaved rounds, µs per pair.", ""]
    for skew in dict.fromkeys(key[0] for key in medians):
        for job in dict.fromkeys(key[1] for key in medians):
            ours = medians.get((skew, job, "driftbus"))
            lines += [
                f"### Job {job}, {_SKEWS[skew]}",
                "",
                "| one process | CPU | wall | pairs/s | CPU against driftbus's |",
                "|---|--:|--:|--:|--:|",
            ]
            for name in NAMES:
                found = medians.get((skew, job, name))
                if found is not None:
                    cpu, wall = found
                    ratio = "" if ours is None else f"{cpu / ours[0]:.2f}"
                    lines.append(f"| {_SHOWN[name]} | {cpu:.1f} | {wall:.1f} | {1e6 / wall:,.0f} | {ratio} |")
            lines.append("")
            if (skew, job) in stages:
                lines += [breakdown(stages[skew, job]), ""]
    return "\n".join([*lines, _DIFFERENT])


def breakdown(stages: Mapping[str, float]) -> str:
    """Where the worker's thread spends its time, as a table."""
    rows = [f"| {name} | {us:.2f} |" for name, us in stages.items()]
    total = sum(stages.values())
    return "\n".join(
        ["| stage of driftbus's thread | CPU |", "|---|--:|", *rows, f"| together | {total:.2f} |"]
    )


def machine() -> str:
    """Where and when this was measured."""
    model = platform.processor() or "unknown CPU"
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}, "
        f"librdkafka {confluent_kafka.libversion()[0]}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, "
        f"load at the end {load:.1f}."
    )
