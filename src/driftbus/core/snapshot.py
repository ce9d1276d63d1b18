"""State as bytes: a one-line header that is checked before anything is parsed, then the body.

    driftbus-state <format> <crc32> <fold version> <configuration hash> <libraries> <form>\\n<body>

`libraries`: who wrote it, `driftbus-0.1.0,river-0.26.0`; nothing depends on it, and every refusal names it.
`form`: `plain`, or `deflated`, as snapshots are; the checksum is that of the bytes that follow.

A body is JSON or lines of JSON. Nothing else is ever read back, so state can hold no code. A value
larger than a Kafka message is cut into parts under keys of their own (`split`, `joined`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any, NamedTuple
from zlib import DEFLATED, compressobj, crc32, decompressobj, error

import orjson

from driftbus import __version__
from driftbus.errors import StateError

MAGIC = b"driftbus-state"
PARTS_MAGIC = b"driftbus-parts"
# The layout of header and bodies; a reader refuses others. 2: the header names the libraries, a stream's
# snapshot has a fingerprint for each of its parts. 3: snapshots are deflated, rows of metric windows sorted.
FORMAT = 3
# What the fold computes: raised whenever the same records would give other decisions or another state. What
# begins anew then is said by `parts.VERSIONS`; the rest goes on.
FOLD_VERSION = 1
LIBRARIES = f"driftbus-{__version__},river-{version('river')}"
# Kafka's brokers take records of 1 MiB by default, framing included.
PART_BYTES = 900_000
# A snapshot of 17 kB becomes 10.4 kB at level 1 in 170 µs, 9.9 at level 5 in 270, no less at 6. Without
# zlib's own header and checksum: ours has one.
_LEVEL, _WINDOW = 5, -15
# No more is inflated, so that what was read cannot fill the memory; what is larger is written plain. A stream
# of 100 features with 1,000 categories each takes some 3 MB.
MAX_INFLATED_BYTES = 64_000_000
_FORMS = (b"plain", b"deflated")


class Sealed(NamedTuple):
    """A body with what its header says of it."""

    body: bytes
    fold: int
    config: str
    libraries: str

    def json(self) -> Any:
        """The body as JSON. Raises `StateError`."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise StateError(f"a state record is not JSON: {error}") from None


def seal(body: bytes, config: str, *, deflated: bool = False) -> bytes:
    """A body as bytes for the state topic. `config` is a hash without spaces."""
    deflated = deflated and len(body) <= MAX_INFLATED_BYTES
    if deflated:
        deflate = compressobj(_LEVEL, DEFLATED, _WINDOW)
        body = deflate.compress(body) + deflate.flush()
    head = (MAGIC, FORMAT, crc32(body), FOLD_VERSION, config.encode(), LIBRARIES.encode())
    return b"%b %d %08x %d %b %b %b\n%b" % (*head, b"deflated" if deflated else b"plain", body)


def unseal(data: bytes) -> Sealed:
    """What `seal` wrote. Raises `StateError` when it is anything else."""
    line, _, body = data.partition(b"\n")
    words = line.split(b" ")
    if len(words) < 2 or words[0] != MAGIC:
        raise StateError("a state record does not begin with driftbus's header")
    if words[1] != b"%d" % FORMAT:
        # Formats up to 1 did not name their writer.
        writer = words[5] if len(words) > 5 else b"an older driftbus"
        raise StateError(
            f"a state record has format {_text(words[1])}, written by {_text(writer)}; this is {LIBRARIES}, "
            f"which reads format {FORMAT}"
        )
    # No version has ten digits; thousands of them are more than `int` takes.
    if len(words) != 7 or words[6] not in _FORMS or not words[3].isdigit() or len(words[3]) > 9:
        raise StateError("a state record has a header that cannot be read")
    if words[2] != b"%08x" % crc32(body):
        raise StateError(f"a state record's checksum is wrong (written by {_text(words[5])})")
    if words[6] == b"deflated":
        body = _inflated(body, words[5])
    return Sealed(body, int(words[3]), _text(words[4]), _text(words[5]))


def _inflated(body: bytes, writer: bytes) -> bytes:
    inflate = decompressobj(_WINDOW)
    try:
        found = inflate.decompress(body, MAX_INFLATED_BYTES + 1)
    except error:
        found = b""
    if not inflate.eof or len(found) > MAX_INFLATED_BYTES:
        raise StateError(f"a state record does not inflate (written by {_text(writer)})")
    return found


def _text(word: bytes) -> str:
    return word.decode(errors="replace")


def split(key: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The records (key, value) that hold `data` under `key`: one, or a head and numbered parts."""
    if len(data) <= PART_BYTES:
        yield key, data
        return
    parts = [data[i : i + PART_BYTES] for i in range(0, len(data), PART_BYTES)]
    yield key, b"%b %d %08x" % (PARTS_MAGIC, len(parts), crc32(data))
    for index, part in enumerate(parts):
        yield f"part/{index}/{key}", part


def joined(key: str, records: Mapping[str, bytes]) -> bytes:
    """What `split` was given. Raises `StateError` when a part is missing or of another version."""
    data = records[key]
    if not data.startswith(PARTS_MAGIC):
        return data
    try:
        count, crc = int(data.split(b" ")[1]), int(data.split(b" ")[2], 16)
    except (ValueError, IndexError):
        raise StateError(f"state {key!r} has a head that cannot be read") from None
    try:
        data = b"".join(records[f"part/{index}/{key}"] for index in range(count))
    except KeyError as missing:
        raise StateError(f"state {key!r} lacks its part {missing}") from None
    if crc32(data) != crc:
        raise StateError(f"state {key!r} mixes parts of different snapshots")
    return data
