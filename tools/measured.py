"""The tables of docs/guides/tuning.md that are taken from benchmarks/RESULTS.md, so that a new measurement is
one `make generate` away from being read."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/RESULTS.md"
PAGE = ROOT / "docs/guides/tuning.md"
# What `signals.error` may name, and the row in the results.
DETECTORS = {
    "`auto`": "driftbus",
    "`[adwin]`": "adwin",
    "`[page_hinkley]`": "page_hinkley",
    "`[ddm]`": "ddm",
    "`[eddm]`": "eddm",
    "`[hddm_a]`": "hddm_a",
    "`[hddm_w]`": "hddm_w",
}


def rows(head: str) -> dict[str, list[str]]:
    """The cells of the first table in the results whose head begins so, by the first cell."""
    lines = iter(RESULTS.read_text().splitlines())
    for line in lines:
        if line.startswith(f"| {head}"):
            break
    else:
        raise LookupError(f"no table {head!r} in {RESULTS.name}")
    next(lines)
    found = {}
    for line in lines:
        if not line.startswith("|"):
            break
        first, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        found[first] = cells
    return found


def plain(cell: str) -> str:
    """Without how sure each figure is: 1.86 ± 0.17 / 1.74 ± 0.14 → 1.86 / 1.74."""
    return re.sub(r" ± [\d.]+", "", cell)


def errors() -> str:
    s1 = rows("S1 | nulls")
    lines = [
        "| `signals.error` | false alarms | delay small / medium / large | µs per outcome |",
        "|---|--:|--:|--:|",
    ]
    for name, row in DETECTORS.items():
        nulls, delay, _, _, cost = s1[row]
        lines.append(f"| {name} | {nulls} | {plain(delay)} | {cost} |")
    return "\n".join(lines)


def recorded() -> str:
    s3, s4 = rows("S3: 16 sudden"), rows("S4 |")
    f1, delay, _, gradual, gradual_delay, *_ = s3["driftbus"]
    lines = [
        "| recorded streams | driftbus | ADWIN, as River has it |",
        "|---|--:|--:|",
        f"| sudden changes found, F1 (S3) | {f1} | {s3['adwin'][0]} |",
        f"| half of them within, outcomes | {delay} | {s3['adwin'][1]} |",
        f"| gradual changes found, F1 | {gradual.split(' / ')[0]} | {s3['adwin'][3].split(' / ')[0]} |",
        f"| half of them within, outcomes | {gradual_delay} | {s3['adwin'][4]} |",
    ]
    names = ("vic, tree", "vic, linear", "bike, tree", "bike, linear", "nyc, tree", "nyc, linear")
    for name, ours, theirs in zip(names, s4["driftbus"], s4["adwin"], strict=True):
        lines.append(f"| seasons without a change, alarms per 10,000 rows (S4): {name} | {ours} | {theirs} |")
    return "\n".join(lines)


def page() -> str:
    """The page with its tables as they should be."""
    text = PAGE.read_text()
    for name, table in (("errors", errors()), ("recorded", recorded())):
        begin, end = f"<!-- measured: {name} -->\n", f"\n<!-- end: {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise LookupError(f"{PAGE.name} has no place for {name}")
        text = before + begin + table + end + after
    return text
