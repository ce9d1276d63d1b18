"""State as bytes: a one-line header that is checked before anything is parsed, then JSON.

    driftbus-state <format> <crc32 of the payload> <fold version> <configuration hash>\\n{…}

Nothing but JSON is ever read back, so state can hold no code.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from zlib import crc32

import orjson

from driftbus.errors import StateError

MAGIC = b"driftbus-state"
# The layout of header and payloads; a reader refuses others.
FORMAT = 1
# What the fold computes: raised whenever the same records would give other decisions or models.
FOLD_VERSION = 1


class Sealed(NamedTuple):
    """A payload with what its header says of it."""

    payload: Any
    fold: int
    config: str


def seal(payload: Any, config: str) -> bytes:
    """A JSON-able payload as bytes for the state topic. `config` is a hash without spaces."""
    body = orjson.dumps(payload, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"%b %d %08x %d %b\n%b" % (MAGIC, FORMAT, crc32(body), FOLD_VERSION, config.encode(), body)


def unseal(data: bytes) -> Sealed:
    """What `seal` wrote. Raises `StateError` when it is anything else."""
    line, _, body = data.partition(b"\n")
    words = line.split(b" ")
    if len(words) != 5 or words[0] != MAGIC:
        raise StateError("a state record does not begin with driftbus's header")
    if words[1] != b"%d" % FORMAT:
        raise StateError(f"a state record has format {words[1].decode(errors='replace')}, not {FORMAT}")
    if words[2] != b"%08x" % crc32(body):
        raise StateError("a state record's checksum is wrong")
    try:
        return Sealed(orjson.loads(body), int(words[3]), words[4].decode())
    except ValueError as error:
        raise StateError(f"a state record cannot be read: {error}") from None
