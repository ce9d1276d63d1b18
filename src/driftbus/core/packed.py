"""Columns of integers, and plain bytes, as short text: fixed widths, deflated, then base64.

A snapshot is mostly columns of small numbers; as JSON text they take three times the room and several times
the time. Reading it back can only give integers, so nothing from a topic is ever executed.
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from operator import sub
from zlib import DEFLATED, Z_DEFAULT_STRATEGY, Z_RLE, compressobj, decompressobj, error

import numpy as np
from numpy.typing import NDArray

# No more is inflated than a history of the largest size takes: what was read cannot fill the memory.
MAX_BYTES = 16_000_000
# Bytes of 1, 2, 4 and 8 a number; what fits none is written in digits.
_WIDTHS = "bhiq"
_BITS = {width: 8 * array(width).itemsize - 1 for width in _WIDTHS}
_DIGITS = b"d"
# Deflate's tables for a window of 4 KiB: setting up those for 32 KiB takes 30 µs, as long as packing 3 kB.
_LEVEL, _WINDOW, _MEMORY = 1, -12, 5


def squeeze(raw: bytes, strategy: int = Z_DEFAULT_STRATEGY) -> str:
    """Bytes as ASCII text, some 10 µs a kilobyte."""
    deflate = compressobj(_LEVEL, DEFLATED, _WINDOW, _MEMORY, strategy)
    return b64encode(deflate.compress(raw) + deflate.flush()).decode("ascii")


def unsqueeze(text: str) -> bytes:
    """The bytes that `squeeze` was given. Raises ValueError for text that it did not make."""
    inflate = decompressobj(_WINDOW)
    try:
        raw = inflate.decompress(b64decode(text, validate=True), MAX_BYTES)
    except error as bad:
        raise ValueError("the text does not inflate") from bad
    if not inflate.eof:
        raise ValueError("the text is cut off or too long")
    return raw


Numbers = NDArray[np.int64]


def pack(columns: Iterable[Sequence[int] | Numbers], *, scattered: bool = False) -> str:
    """Columns of integers of any size as text: each in the least width that holds all its numbers.

    `scattered`: small numbers in no order but runs: other repetitions are chance, and would cost room.
    """
    parts: list[bytes] = []
    for column in columns:
        width, raw = _bytes_of(column)
        parts += (width, len(raw).to_bytes(4, "little"), raw)
    return squeeze(b"".join(parts), Z_RLE if scattered else Z_DEFAULT_STRATEGY)


def unpack(text: str) -> list[list[int]]:
    """The columns that `pack` was given. Raises ValueError for text that it did not make."""
    return [_numbers_of(width, raw) for width, raw in _columns(text)]


def unpack_arrays(text: str) -> list[Numbers]:
    """The same as arrays. Raises ValueError, too, where a number has more than 64 bits."""
    return [_array_of(width, raw) for width, raw in _columns(text)]


def steps(numbers: Sequence[int]) -> list[int]:
    """Each number less the one before it, the first as it is: small where they rise evenly."""
    return [*numbers[:1], *map(sub, numbers[1:], numbers)]


def _columns(text: str) -> Iterator[tuple[bytes, bytes]]:
    """Width and bytes of each column."""
    raw, at = unsqueeze(text), 0
    while at < len(raw):
        width, start = raw[at : at + 1], at + 5
        at = start + int.from_bytes(raw[at + 1 : start], "little")
        if at > len(raw) or start > len(raw):
            raise ValueError("the last column is cut off")
        yield width, raw[start:at]


def _bytes_of(column: Sequence[int] | Numbers) -> tuple[bytes, bytes]:
    if isinstance(column, np.ndarray):
        least, most = int(column.min(initial=0)), int(column.max(initial=0))
        width = next(w for w, bits in _BITS.items() if -(1 << bits) <= least and most < 1 << bits)
        return width.encode("ascii"), column.astype("<" + width).tobytes()
    for width in _WIDTHS:
        try:
            numbers = array(width, column)
        except OverflowError:
            continue
        if sys.byteorder == "big":
            numbers.byteswap()
        return width.encode("ascii"), numbers.tobytes()
    return _DIGITS, b",".join(b"%d" % number for number in column)


def _array_of(width: bytes, raw: bytes) -> Numbers:
    if width == b"" or width not in _WIDTHS.encode("ascii"):
        raise ValueError("a column has an unknown width")
    return np.frombuffer(raw, "<" + width.decode("ascii")).astype(np.int64)


def _numbers_of(width: bytes, raw: bytes) -> list[int]:
    if width == _DIGITS:
        return [int(number) for number in raw.split(b",")]
    if width == b"" or width not in _WIDTHS.encode("ascii"):
        raise ValueError("a column has an unknown width")
    numbers = array(width.decode("ascii"))
    numbers.frombytes(raw)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
