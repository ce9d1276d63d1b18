"""What runs in a worker's process: `driftbus worker` as it is, on a bus that may kill it."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from pathlib import Path

from driftbus import journal, restore, wiring
from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.config import Settings, load
from driftbus.ports import Bus

from .doom import Doom, DoomedBus, Fate

# prctl(PR_SET_PDEATHSIG): the kernel ends this process when the one that forked it is gone, frozen or not.
_PDEATHSIG = 1

# A quarter of the real ring: a round has some dozens of steps a partition, and slots must be written over.
SMALL_RING = {"RING": 16, "SNAPSHOT_STEPS": 8, "JOIN_STEPS": 4}


def main(
    config: Path, name: str, log: Path, fate: Fate | None, goes_on: bool, lease_s: float | None = None
) -> None:
    """Run a worker until SIGTERM, its fate, or an error; the exit code is the command's own.

    `goes_on`: after being fenced, in the same process. `lease_s`: the embedded bus takes a member's
    partitions when nothing was seen of it for so long.
    """
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format=f"%(asctime)s {os.getpid()} %(levelname)s %(message)s"
    )
    environment = {"DRIFTBUS_WORKER_ID": name, "DRIFTBUS_WORKER__RESTART": str(goes_on).lower()}
    for name_of, steps in SMALL_RING.items():
        setattr(journal, name_of, steps)
    restore.RING = journal.RING
    doom = Doom(fate)
    open_bus = wiring.open_bus

    def doomed(settings: Settings) -> Bus:
        if lease_s is None:
            return DoomedBus(open_bus(settings), doom)
        partitioner = settings.partitioner
        bus = EmbeddedBus(settings.embedded_path, partitioner=partitioner, session_timeout_s=lease_s)
        return DoomedBus(bus, doom)

    wiring.open_bus = doomed
    sys.exit(wiring.run_worker(load(config, environment), config))
