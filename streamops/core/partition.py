"""Which partition a key belongs to: Kafka's default partitioner, so all clients agree.

Rule 1: `partition_of` equals librdkafka's `murmur2_random` and the Java client's default for a
        key that isn't empty (Kafka, `org.apache.kafka.common.utils.Utils.murmur2`).
"""

from __future__ import annotations

from functools import lru_cache

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit Murmur2 hash of `data` with Kafka's seed."""
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    tail = data[whole:]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=4096)
def partition_of(key: str | bytes, partitions: int) -> int:
    """Return the partition of `key` in a topic with `partitions` partitions."""
    data = key.encode() if isinstance(key, str) else key
    return (murmur2(data) & 0x7FFFFFFF) % partitions
