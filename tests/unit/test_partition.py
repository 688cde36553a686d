"""partition: Kafka's own test vectors, and what librdkafka does with them."""

from __future__ import annotations

import confluent_kafka
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamops.core.partition import murmur2, partition_of

# From Kafka's UtilsTest.testMurmur2, as signed 32-bit integers.
VECTORS = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize(("key", "signed"), VECTORS.items())
def test_the_hash_is_kafkas(key, signed):
    assert murmur2(key.encode()) == signed & 0xFFFFFFFF


@pytest.mark.parametrize(("key", "signed"), VECTORS.items())
def test_the_sign_is_cut_off_before_the_remainder(key, signed):
    assert partition_of(key, 24) == (signed & 0x7FFFFFFF) % 24


@given(st.binary(min_size=1, max_size=40), st.integers(1, 64))
def test_it_equals_librdkafkas(key, partitions):
    assert partition_of(key, partitions) == confluent_kafka.murmur2(key, partitions)


def test_text_is_hashed_as_utf_8():
    assert partition_of("Zürich", 1000) == partition_of("Zürich".encode(), 1000)


def test_every_partition_is_used():
    assert {partition_of(f"p{n}", 7) for n in range(200)} == set(range(7))
