"""Python's cyclic garbage collector, run when it costs least instead of whenever it likes.

A worker holds hundreds of thousands of small objects that live long (pending predictions, remembered ids)
and makes as many that end without it, by their reference counts. The collector would look through all of
them again and again: measured, a fifth to a third of the CPU time. So it is off while the worker runs; what
is found living after a collection is not looked at again; and collections come when nothing arrives, or
after so many steps, so that cycles (of exceptions, of client libraries) do not pile up.
"""

from __future__ import annotations

import gc

# With records in each tenth of a second this is half a minute; a collection then looks at what was made since
# and still lives, some 0.1 µs an object.
MOST_STEPS = 256


class Collecting:
    """`with Collecting() as collecting:` around a loop; `idle()` and `stepped()` in it."""

    def __init__(self) -> None:
        self._steps = 0

    def __enter__(self) -> Collecting:
        gc.disable()
        self._collect()
        return self

    def __exit__(self, *error: object) -> None:
        gc.unfreeze()
        gc.enable()

    def stepped(self) -> None:
        """A step was done; another one may follow at once."""
        self._steps += 1
        if self._steps >= MOST_STEPS:
            self._collect()

    def idle(self) -> None:
        """Nothing arrived."""
        if self._steps:
            self._collect()

    def _collect(self) -> None:
        self._steps = 0
        gc.collect()
        gc.freeze()
