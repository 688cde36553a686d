"""Rows by their ids' hashes, some 13 bytes a row: which rows an id may have, not whether it has.

Rule 1: an answer is a candidate. Whoever asks compares the id, so that a hash, which differs from
        process to process, changes nothing that comes out.
Rule 2: one look at one bucket tells, mostly: a bucket is a line of the processor's cache. What a
        bucket has no room for lies in the next; it then says so until the table is laid out anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from streamops.core.blocks import BLOCK_BITS, PLACE
from streamops.core.columns import Indices

Hashes = NDArray[np.uint64]
SLOTS = 8
BUCKETS_MIN = 1 << 12
# Rows laid out anew at once: what that takes besides the table stays small.
CHUNK = 1 << 18
_LOW = (1 << 32) - 1
_HALF = np.uint64(32)


def hash_of(id_: str) -> int:
    """Return 32 bits of an id's hash, never 0: of Python's own, for a text remembers it."""
    return max(hash(id_) & _LOW, 1)


def hashes_of(ids: Sequence[str]) -> Hashes:
    """Return `hash_of` each."""
    found = np.fromiter(map(hash, ids), np.int64, len(ids)).view(np.uint64)
    hashes: Hashes = np.maximum(found & np.uint64(_LOW), np.uint64(1))
    return hashes


class IdTable:
    """Buckets of entries: 32 bits of hash, 20 of the block's code, 12 of the place; 0 is none.

    A block has a code while it has rows here; the first is 1.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._codes: dict[int, int] = {}
        self._numbers = np.zeros(64, dtype=np.int64)
        self._free: list[int] = []
        self._fresh: Iterator[int] = count(1)
        self._lay_out(BUCKETS_MIN)

    def __len__(self) -> int:
        return self._rows

    def add(self, number: int, hashes: Hashes, places: Indices) -> None:
        """Keep rows of a block that it has none of."""
        code = self._codes[number] = self._free.pop() if self._free else next(self._fresh)
        if code >= len(self._numbers):
            self._numbers = np.concatenate([self._numbers, np.zeros_like(self._numbers)])
        self._numbers[code] = number
        self._rows += len(places)
        if self._rows * 8 > self._slots.size * 5:
            self._renew(2 * len(self._slots))
        elif np.count_nonzero(self._runs_over) * 4 > len(self._slots):
            self._renew(len(self._slots))
        self._insert(self._entries(code, hashes, places))

    def remove(self, number: int, hashes: Hashes, places: Indices) -> None:
        """Forget rows of a block."""
        entries = self._entries(self._codes[number], hashes, places)
        _, bucket, slot = self._where(hashes, entries)
        assert len(bucket) == len(entries), "each row is there, once"
        self._slots[bucket, slot] = 0
        self._rows -= len(entries)

    def drop(self, number: int) -> None:
        """Note that a block has no row here any more, if it had one."""
        if (code := self._codes.pop(number, None)) is not None:
            self._free.append(code)

    def find(self, hashes: Hashes) -> tuple[Indices, Indices]:
        """Return candidates: places among the hashes, and a row for each."""
        at, bucket, slot = self._where(hashes, None)
        low = (self._slots[bucket, slot] & np.uint64(_LOW)).astype(np.int64)
        return at, (self._numbers[low >> BLOCK_BITS] << BLOCK_BITS) + (low & PLACE)

    def find_one(self, hash_: int) -> list[int]:
        """Return the candidates of one hash."""
        found: list[int] = []
        bucket = hash_ & self._mask
        while True:
            for entry in self._slots[bucket].tolist():
                if entry >> 32 == hash_:
                    number = self._numbers.item((entry & _LOW) >> BLOCK_BITS)
                    found.append((number << BLOCK_BITS) + (entry & PLACE))
            if not self._runs_over[bucket]:
                return found
            bucket = (bucket + 1) & self._mask

    def _entries(self, code: int, hashes: Hashes, places: Indices) -> Hashes:
        return (hashes << _HALF) + ((code << BLOCK_BITS) + places).astype(np.uint64)

    def _where(self, hashes: Hashes, entries: Hashes | None) -> tuple[Indices, Indices, Indices]:
        """Return where these entries lie, or all that have the hashes: for each its place among
        them, bucket and slot."""
        at, bucket = np.arange(len(hashes)), (hashes & np.uint64(self._mask)).astype(np.int64)
        found = [(at[:0], at[:0], at[:0])]
        while len(at):
            slots = self._slots[bucket]
            if entries is None:
                hits = slots >> _HALF == hashes[at, None]
            else:
                hits = slots == entries[at, None]
            hit, slot = hits.nonzero()
            found.append((at[hit], bucket[hit], slot))
            goes_on = self._runs_over[bucket]
            at, bucket = at[goes_on], (bucket[goes_on] + 1) & self._mask
        places, buckets, of_bucket = (np.concatenate(some) for some in zip(*found, strict=True))
        return places, buckets, of_bucket

    def _insert(self, entries: Hashes) -> None:
        bucket = ((entries >> _HALF) & np.uint64(self._mask)).astype(np.int64)
        while len(entries):
            order = bucket.argsort(kind="stable")
            bucket, entries = bucket[order], entries[order]
            # Its number among those of its bucket, and the free slots of that, these first.
            rank = np.arange(len(bucket)) - bucket.searchsorted(bucket)
            is_taken = self._slots[bucket] != 0
            free = is_taken.argsort(axis=1, kind="stable")
            fits = rank < SLOTS - np.count_nonzero(is_taken, axis=1)
            self._slots[bucket[fits], free[fits, rank[fits]]] = entries[fits]
            bucket, entries = bucket[~fits], entries[~fits]
            self._runs_over[bucket] = True
            bucket = (bucket + 1) & self._mask

    def _renew(self, buckets: int) -> None:
        """Lay the table out anew."""
        before = self._slots
        self._lay_out(buckets)
        step = CHUNK // SLOTS
        for first in range(0, len(before), step):
            some = before[first : first + step]
            self._insert(some[some != 0])

    def _lay_out(self, buckets: int) -> None:
        self._slots = np.zeros((buckets, SLOTS), dtype=np.uint64)
        self._runs_over = np.zeros(buckets, dtype=np.bool_)
        self._mask = buckets - 1
