"""Which partition a key belongs to: Java's and librdkafka's partitioners, bit for bit.

`murmur2_random` is what Java's DefaultPartitioner and librdkafka's partitioner of that name do:
`toPositive(murmur2(key)) mod partitions`. `consistent_random` is librdkafka's own default:
`crc32(key) mod partitions`. Records without a key may go anywhere.

Sources: org.apache.kafka.common.utils.Utils.murmur2; librdkafka's rdmurmur2.c, rdcrc32.c, rdkafka_msg.c.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Literal, get_args

Partitioner = Literal["murmur2_random", "consistent_random"]
PARTITIONERS: tuple[str, ...] = get_args(Partitioner)

# MurmurHash2's own multiplier and shift, and the seed that Kafka chose (Utils.murmur2).
_MULTIPLIER = 0x5BD1E995
_SHIFT = 24
_SEED = 0x9747B28C
_UINT32 = 0xFFFFFFFF
# Keys are stream names: as many as a large installation has streams, about 200 bytes each.
_REMEMBERED_KEYS = 65_536


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit MurmurHash2 of `data`, as the signed integer that Java has.

    >>> murmur2(b"foobar")
    -790332482
    """
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = (int.from_bytes(data[i : i + 4], "little") * _MULTIPLIER) & _UINT32
        k ^= k >> _SHIFT
        h = ((h * _MULTIPLIER) & _UINT32) ^ ((k * _MULTIPLIER) & _UINT32)
    if whole != length:
        h = ((h ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER) & _UINT32
    h ^= h >> 13
    h = (h * _MULTIPLIER) & _UINT32
    h ^= h >> 15
    return h - (1 << 32) if h & 0x80000000 else h


@lru_cache(maxsize=_REMEMBERED_KEYS)
def _murmur2_positive(key: bytes) -> int:
    # Java's toPositive clears the sign bit; it is not the absolute value.
    return murmur2(key) & 0x7FFFFFFF


def partition_of(partitioner: Partitioner, key: bytes | None, partitions: int) -> int | None:
    """The partition of `key` among `partitions` (≥ 1), or None where any will do.

    Any will do without a key; `consistent_random` also spreads empty keys, as librdkafka does.
    """
    if key is None:
        return None
    if partitioner == "murmur2_random":
        return _murmur2_positive(key) % partitions
    return zlib.crc32(key) % partitions if key else None
