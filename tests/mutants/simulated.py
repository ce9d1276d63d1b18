"""`python -m tests.mutants.simulated [SEED …]`: the normal suite's schedules up to the first that breaks.

Exit code 1 and a line that says which, as pytest would for `tests/simulation/test_simulation.py`.
"""

from __future__ import annotations

import logging
import sys
from itertools import chain

from tests.simulation.schedule import run
from tests.simulation.test_simulation import CHUNK, CHUNKS


def main(seeds: list[int]) -> int:
    logging.disable(logging.CRITICAL)
    for seed in seeds or chain.from_iterable(range(first, first + CHUNK) for first in CHUNKS):
        _, failures = run([seed])
        for broken, text in failures:
            print(f"FAILED {broken} - {' '.join(text.split())}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main([int(seed) for seed in sys.argv[1:]]))
