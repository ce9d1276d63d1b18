"""Would retraining help? What the challenger says, which has gone on learning while production stood still.

    error ▁▁▁▁▁▁▁▁██████████  production        before: who is better, and by how much
          ▂▂▂▂▂▂▂▂██▆▃▃▃▃▃▃▃  challenger        since: the same again; the difference is the gain

Where learning the new rows saves nothing, both have lost alike: labels have become noise, or what matters now
is among no features, and a new model will do no better. All is read from the chart's bins (`course`), so it
costs nothing until it is asked for.

The policy looks again and again, so the interval is one that holds at all times at once: an asymptotic
confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, The Annals of Statistics 52:2613).
Its variance is that of bins' means, so errors that come in bursts make it wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt
from typing import NamedTuple

from driftbus.core.records import Benefit, SignalEvidence, Verdict

# How often an interval may fail to hold the truth, ever.
ALPHA = 0.1
# The sequence is tightest about here: a request for drift goes out with `min_rows` = 500.
TIGHTEST = 500.0
_RHO2 = (-2.0 * log(ALPHA) + log(1.0 - 2.0 * log(ALPHA))) / TIGHTEST
# Rows after the onset that are not judged: the challenger is still learning them (a logistic regression
# takes some hundred rows to follow a change).
LEARNING = 128
# Bins from which a variance is worth something; rows before the change that say who was better.
LEAST_BINS, BEFORE_ROWS = 8, 2_048
# It is doubtful that retraining helps when learning has, surely, saved less than this of the rise.
LITTLE = 0.25

# A bin of the chart: first ts, rows, mean error, the challenger's mean error (None without one).
Point = tuple[int, int, float, float | None]


class Mean(NamedTuple):
    """A mean over `rows` rows, and half the width of its interval."""

    mean: float
    half: float
    rows: int


def mean_of(rows: Sequence[float], means: Sequence[float]) -> Mean | None:
    """The mean of bins of so many rows with such means; None where they are too few."""
    if len(rows) < LEAST_BINS:
        return None
    count = mean = 0.0
    for n, value in zip(rows, means, strict=True):
        count += n
        mean += (value - mean) * (n / count)
    spread = 0.0
    for n, value in zip(rows, means, strict=True):
        spread += n * (value - mean) ** 2
    scale = count * _RHO2
    width = 2.0 * (scale + 1.0) / (count * scale) * log(sqrt(scale + 1.0) / ALPHA)
    return Mean(mean, sqrt(spread / (len(rows) - 1) * width), round(count))


def error_in(signals: Sequence[SignalEvidence]) -> SignalEvidence | None:
    """How the error has changed; None where something else did, or nothing."""
    return next((one for one in signals if one.name == "error"), None)


def doubted(found: Benefit | None) -> bool:
    """Whether a new model will, surely, do little better."""
    return found is not None and found.verdict == "doubtful"


def benefit(
    points: Sequence[Point], from_ts: int, onset_ts: int | None, signals: Sequence[SignalEvidence]
) -> Benefit | None:
    """What learning has saved since the onset (None: lately) of what `signals` say that the error has risen;
    None without enough rows of a challenger. `from_ts`: when the version in production was first seen."""
    error = error_in(signals)
    points = [point for point in points if point[0] >= from_ts and point[3] is not None]
    if onset_ts is None:
        before, since = None, _newest(points, BEFORE_ROWS)
    else:
        # By their number: a label that came late makes a bin that looks old among new ones.
        began = sum(point[0] < onset_ts for point in points)
        before = _gap(_newest(points[: max(0, began - 1)], BEFORE_ROWS))
        since = _learned(points[began:])
    now = _gap(since)
    if now is None:
        return None
    gain, half = now.mean, now.half
    if before is not None:
        gain, half = gain - before.mean, sqrt(half * half + before.half * before.half)
    low, high = gain - half, gain + half
    if half > 0.0 and low > 0.0:
        verdict: Verdict = "likely"
    elif half > 0.0 and before and error and high < LITTLE * (error.after - error.before):
        verdict = "doubtful"
    else:
        verdict = "unknown"
    return Benefit(verdict, gain, low, high, now.rows)


def _gap(points: Sequence[Point]) -> Mean | None:
    """How far the challenger is ahead."""
    return mean_of([n for _, n, _, _ in points], [ours - (theirs or 0.0) for _, _, ours, theirs in points])


def _newest(points: Sequence[Point], rows: int) -> Sequence[Point]:
    start = len(points)
    while start and rows > 0:
        start -= 1
        rows -= points[start][1]
    return points[start:]


def _learned(points: Sequence[Point]) -> Sequence[Point]:
    """Those that begin when the challenger has learned `LEARNING` rows."""
    start = rows = 0
    while start < len(points) and rows < LEARNING:
        rows += points[start][1]
        start += 1
    return points[start:]
