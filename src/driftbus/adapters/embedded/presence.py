"""Who is alive: each open bus holds a lock on a small file of its own, which ends with its process.

`kill -9` leaves a member in its group and promised offsets in the log. Their timeouts would end both in the
end; the lock tells at once, because the operating system drops it with the process. A successor then has the
partitions a tenth of a second later instead of a session timeout later. A process that is stopped still
holds its lock, and so does a forked child of a dead one: for those the timeouts remain. A missing file tells
nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import uuid
from pathlib import Path

from driftbus.adapters.embedded import groups, log
from driftbus.adapters.embedded.database import Handle
from driftbus.errors import Unavailable

_PREFIX = "bus.alive-"


class Presence:
    """The lock of one open bus. `name` is what its members and promises are marked with."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process = os.getpid()
        try:
            while not self._take():
                pass
        except OSError as error:
            raise Unavailable(f"{directory}: {error.strerror}") from error

    def bury_the_dead(self, handle: Handle) -> None:
        """Throw out the members, and end the transactions, of processes that have died."""
        for path in self._directory.glob(f"{_PREFIX}*"):
            if path.name == self._path.name:
                continue
            # Gone meanwhile: somebody else has buried it, or it was closed.
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    name = path.name.removeprefix(_PREFIX)
                    with handle.write() as connection:
                        groups.remove_presence(connection, name, time.time())
                        log.fence_presence(connection, name)
                    # Last: without the file nobody would ask again.
                    path.unlink()
                except BlockingIOError:
                    # Alive, or being buried by somebody else.
                    pass
                finally:
                    os.close(descriptor)

    def close(self) -> None:
        """After all members have left."""
        if os.getpid() != self._process:
            return
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _take(self) -> bool:
        self.name = uuid.uuid4().hex
        self._path = self._directory / f"{_PREFIX}{self.name}"
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        # Before it was locked somebody may have taken it for a dead one's.
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(self._descriptor), os.stat(self._path)):
                return True
        os.close(self._descriptor)
        return False
