"""Lists of small integers as short text: variable-length bytes, deflated, then base64.

A snapshot that holds a few hundred bins is mostly small numbers; as JSON text they take three times
the room. Reading it back can only give integers, so nothing from a topic is ever executed.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable
from zlib import compress, decompressobj, error

# No more is inflated than a history of the largest size takes: what was read cannot fill the memory.
MAX_BYTES = 16_000_000


def pack(numbers: Iterable[int]) -> str:
    """Integers of any size and sign as ASCII text; 1 byte each up to ±63, then 7 bits a byte."""
    out = bytearray()
    for number in numbers:
        rest = number << 1 if number >= 0 else (-number << 1) - 1  # zigzag: small either way is short
        while rest > 0x7F:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)
    return b64encode(compress(out, 6)).decode("ascii")


def unpack(text: str) -> list[int]:
    """The integers that `pack` was given. Raises ValueError for text that it did not make."""
    numbers = []
    number = shift = 0
    inflate = decompressobj()
    try:
        packed = inflate.decompress(b64decode(text, validate=True), MAX_BYTES)
    except error as bad:
        raise ValueError("the text does not inflate") from bad
    if not inflate.eof:
        raise ValueError("the text is cut off or too long")
    for byte in packed:
        number |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
        else:
            numbers.append(-((number + 1) >> 1) if number & 1 else number >> 1)
            number = shift = 0
    if shift:
        raise ValueError("the last integer is cut off")
    return numbers
