"""One file a suite: which cells it needs of whom, and its tables. `ALL` in the order of QUALITY.md."""

from __future__ import annotations

from benchmarks.quality.suites import s1, s1b, s2, s3, s4, s5, s6, tuned
from benchmarks.quality.suites.plan import Suite

ALL: dict[str, Suite] = {
    "s1": s1.SUITE,
    "tuned": tuned.SUITE,
    "s1b": s1b.SUITE,
    "s2": s2.SUITE,
    "s3": s3.SUITE,
    "s4": s4.SUITE,
    "s5": s5.SUITE,
    "s6": s6.SUITE,
}
