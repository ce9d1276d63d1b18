"""Headers as one blob: per header two lengths, then name and value. No headers, no blob."""

from __future__ import annotations

import struct

from driftbus.ports import Headers

_LENGTHS = struct.Struct(">Ii")
# The length of a value that is null, which is not the same as empty.
_NULL = -1


def pack(headers: Headers) -> bytes | None:
    if not headers:
        return None
    parts = []
    for name, value in headers:
        encoded = name.encode()
        parts.append(_LENGTHS.pack(len(encoded), _NULL if value is None else len(value)))
        parts.append(encoded)
        parts.append(value or b"")
    return b"".join(parts)


def unpack(blob: bytes | None) -> Headers:
    if not blob:
        return ()
    headers: list[tuple[str, bytes | None]] = []
    at = 0
    while at < len(blob):
        name_length, value_length = _LENGTHS.unpack_from(blob, at)
        at += _LENGTHS.size
        name = blob[at : at + name_length].decode()
        at += name_length
        if value_length == _NULL:
            headers.append((name, None))
        else:
            headers.append((name, blob[at : at + value_length]))
            at += value_length
    return tuple(headers)
