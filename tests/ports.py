"""Ports of the loopback address for servers that a test starts.

A port that was bound to 0 and closed again is anybody's: of the other test process, and of every outgoing
connection, whose own port the system takes from the same range. A client that knocks again and again at a
port of that range, while its broker restarts, even comes to be connected to itself. So ports are taken from
below that range, and each is one process's own for as long as it lives: it holds a lock on the port's file.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

# Not for users of less rights, or of well-known services, below; Linux begins there by default, above.
_LOWEST, _EPHEMERAL = 10_000, 32_768

# Not the generator that tests seed: they must not be given the same ports one after the other.
_dice = random.SystemRandom()

# Open for as long as this process lives: what holds the locks.
_held: list[int] = []


def free_port() -> int:
    """A port that nobody listens on, and that no other test of this machine is given."""
    folder = Path(tempfile.gettempdir()) / f"driftbus-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    while True:
        port = _dice.randrange(_LOWEST, _highest())
        file = os.open(folder / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(file)
            continue
        _held.append(file)
        return port


def _highest() -> int:
    """Where the ports of outgoing connections begin."""
    try:
        begins = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        begins = _EPHEMERAL
    return begins if begins > _LOWEST + 1000 else _EPHEMERAL
