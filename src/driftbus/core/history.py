"""What happened to one version since its reference began, in bounded memory.

Bins of 8 rows, finest at the newest end; older bins are merged pairwise, so that n rows take
O(log n) bins and the resolution at a distance d is about d / 32. A window that starts where a bin
starts has exact row and class counts, in whatever order the labels came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from driftbus.core.records import Json


class Columns(NamedTuple):
    """The bins as columns, oldest first; all of one length."""

    first_seq: NDArray[np.int64]
    first_ts: NDArray[np.int64]
    n: NDArray[np.float64]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]


class Window(NamedTuple):
    """The rows from a bin's start to now; counts are exact. `start_ts`, `end_ts`: least and greatest ts
    among them; `onset_ts`: ts of the first of them; `rows_since_onset`: how many have ts ≥ onset_ts."""

    start_seq: int
    end_seq: int
    start_ts: int
    end_ts: int
    rows: int
    class_counts: dict[str, int]
    onset_ts: int | None
    rows_since_onset: int


class History:
    """The rows of one version in bins.

    `seen` counts every row ever added, `rows` those still held (after `cut`), `end_seq` is one past
    the newest row's seq (0 before the first).
    """

    seen: int
    rows: int
    end_seq: int

    def __init__(self, max_classes: int = 100) -> None: ...

    def extend(
        self,
        seqs: Sequence[int],
        tss: Sequence[int],
        values: Sequence[float],
        labels: Sequence[Json] | None = None,
    ) -> None:
        """Add rows, as columns of one length. `seqs` rise; `tss` are prediction times in ms, in any
        order; `values` finite (the error, or a level); `labels` the raw first labels of a
        classification, else None. Blocks may be cut anywhere: the result is the same, bit for bit."""

    def correct(self, seq: int, before: float, after: float) -> None:
        """The value of row `seq` was `before` and is now `after`; class counts stay. Unknown rows: nothing."""

    def columns(self, from_seq: int = 0) -> Columns:
        """The bins whose first seq is ≥ `from_seq`."""

    def window(self, from_seq: int = 0) -> Window:
        """The rows from the first bin that starts at or after `from_seq` (the last bin if none does)."""

    def window_since(self, ts: int) -> Window:
        """The rows from the first bin whose first row has ts ≥ `ts` (no rows if there is none)."""

    def rows_ago(self, count: int) -> tuple[int, int]:
        """(first seq, first ts) of the bin that holds the row `count` rows before the end."""

    def cut(self, seq: int) -> None:
        """Forget the bins that start before `seq`: a new reference begins there."""

    def dump(self) -> Any:
        """The state as JSON-able values."""

    @classmethod
    def load(cls, state: Any) -> History: ...


def label_text(label: Json) -> str | None:
    """A class as text: true/false, "1" for 1 and 1.0, other floats by repr, strings as they are; None
    for what is no class (null, arrays, objects)."""
