"""How much memory pending predictions take: the join alone, given predictions whose labels never come.

python -m benchmarks.performance --pending 5000000
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

from benchmarks.performance.workload import Workload

from driftbus.core.alike import TOGETHER, decode_alike
from driftbus.core.block import Run
from driftbus.core.join import Join
from driftbus.core.settings import Limits, StreamSettings

# Different predictions in all; their ids are new each time. Rows are packed eight together, so that the same
# values again this far away help nothing.
BASE_ROWS = 20_000
RUN = 7_000
_ID_AT = len('{"prediction_id":"')
_ID_CHARS = 24


def resident_bytes() -> int:
    """This process's memory, by the kernel."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def run(count: int) -> dict[str, float]:
    """`count` predictions of workload W wait in one partition: bytes of memory and CPU µs for each."""
    rng = Random(1)
    base = [e.value for e in Workload("uniform", BASE_ROWS).events() if e.topic == "predictions"]
    rules = StreamSettings()
    join = Join(lambda stream: rules, Limits(max_pending=count))
    before, cpu = resident_bytes(), 0.0
    offset = 0
    while offset < count:
        values = []
        for i in range(offset, min(offset + RUN, count)):
            value = base[i % BASE_ROWS]
            fresh = b"%024x" % rng.getrandbits(4 * _ID_CHARS)
            values.append(value[:_ID_AT] + fresh + value[_ID_AT + _ID_CHARS :])
        taken = Run("predictions", [], list(range(offset, offset + len(values))), [])
        for start in range(0, len(values), TOGETHER):
            taken.events.extend(
                decode_alike("predictions", values[start : start + TOGETHER], 1_000_000) or ()
            )
        taken.times.extend(p.ts for p in taken.events)
        started = time.process_time()
        join.step([taken], frozenset(), None)
        cpu += time.process_time() - started
        offset += len(values)
    if len(join.pending) != count:
        raise SystemExit(f"{len(join.pending)} wait, not {count}")
    used = resident_bytes()
    return {
        "pending": count,
        "rss_mib": used / 2**20,
        "bytes_each": (used - before) / count,
        "cpu_us_each": cpu * 1e6 / count,
    }
