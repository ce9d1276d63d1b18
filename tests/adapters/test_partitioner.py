"""The partitioners against the values that Kafka's and librdkafka's own tests hold."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.adapters.partitioner import PARTITIONERS, Partitioner, murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        # org.apache.kafka.common.utils.UtilsTest.testMurmur2
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_java_s(key: bytes, hashed: int) -> None:
    assert murmur2(key) == hashed
    # toPositive, not abs.
    assert partition_of("murmur2_random", key, 1 << 31) == hashed & 0x7FFFFFFF


@pytest.mark.parametrize(
    ("key", "crc32", "positive_murmur2"),
    [
        # librdkafka, tests/0048-partitioner.c
        (b"hejsan", 0xD077037E, 0x5EC19395),
        (b"this is another string with more length to it perhaps", 0xB0150DF7, 0x4F7703DA),
    ],
)
def test_both_are_librdkafka_s(key: bytes, crc32: int, positive_murmur2: int) -> None:
    for partitions in (1, 7, 17, 32):
        assert partition_of("consistent_random", key, partitions) == crc32 % partitions
        assert partition_of("murmur2_random", key, partitions) == positive_murmur2 % partitions


def test_no_key_may_go_anywhere() -> None:
    assert partition_of("murmur2_random", None, 3) is None
    assert partition_of("consistent_random", None, 3) is None
    # librdkafka treats an empty key as none for `consistent_random` only.
    assert partition_of("consistent_random", b"", 3) is None
    assert partition_of("murmur2_random", b"", 1 << 31) == 0x106E08D9


@given(st.binary(max_size=40), st.integers(1, 1000), st.sampled_from(PARTITIONERS))
def test_a_partition_exists(key: bytes, partitions: int, partitioner: Partitioner) -> None:
    found = partition_of(partitioner, key, partitions)
    assert found is None or 0 <= found < partitions


@given(st.binary(min_size=1))
def test_consistent_is_crc32(key: bytes) -> None:
    assert partition_of("consistent_random", key, 1 << 32) == zlib.crc32(key)
