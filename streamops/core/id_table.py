"""Rows by their ids' hashes, some eight bytes a row: which row an id may have, not whether it has.

Rule 1: an answer is a candidate. Whoever asks compares the id, so that a hash, which differs from
        process to process, changes nothing that comes out.
Rule 2: rows come in the order of their blocks and aren't taken out: a part goes with its last
        block. So nothing is ever laid out anew, and no fold waits for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamops.core.blocks import BLOCK_BITS
from streamops.core.columns import Indices

Hashes = NDArray[np.uint64]
# Of 32 bits 20 say which row of the part it is, 12 are of its hash; none is empty.
OFFSET_BITS = 20
TAGS = (1 << 12) - 1
PART_BLOCKS_MIN, PART_BLOCKS_MAX = 16, 1 << (OFFSET_BITS - BLOCK_BITS)
# Slots of a bucket, a line of the processor's cache; half of them are taken once a part is full.
SLOTS = 16
_BUCKETS_A_BLOCK = (1 << BLOCK_BITS) * 2 // SLOTS


def hashes_of(ids: Sequence[str]) -> Hashes:
    """Return each id's hash: Python's own, for a text remembers it."""
    return np.fromiter(map(hash, ids), np.int64, len(ids)).view(np.uint64)


class Part:
    """Rows of some blocks: a bucket for each of the hashes' low bits, the next where it is full."""

    def __init__(self, first_block: int, blocks: int) -> None:
        self.first_block, self.end_block = first_block, first_block + blocks
        self.blocks = 0
        buckets = blocks * _BUCKETS_A_BLOCK
        self._slots = np.zeros((buckets, SLOTS), dtype=np.uint32)
        self._taken = np.zeros(buckets, dtype=np.int64)
        self._mask = buckets - 1

    def add(self, hashes: Hashes, rows: Indices) -> None:
        """Keep rows."""
        bucket, tags = self._places(hashes)
        entries = (tags << OFFSET_BITS) + (rows - (self.first_block << BLOCK_BITS)) + 1
        while len(bucket):
            order = bucket.argsort(kind="stable")
            bucket, entries = bucket[order], entries[order]
            # Its number among those of its bucket.
            slot = np.arange(len(bucket)) - bucket.searchsorted(bucket) + self._taken[bucket]
            fits = slot < SLOTS
            self._slots[bucket[fits], slot[fits]] = entries[fits]
            np.add.at(self._taken, bucket[fits], 1)
            bucket, entries = (bucket[~fits] + 1) & self._mask, entries[~fits]

    def find(self, hashes: Hashes) -> tuple[list[Indices], list[Indices]]:
        """Return candidates: places among the hashes, and a row for each."""
        bucket, whole_tags = self._places(hashes)
        tags = whole_tags.astype(np.uint32)
        at = np.arange(len(hashes))
        places, rows = list[Indices](), list[Indices]()
        first_row = self.first_block << BLOCK_BITS
        while len(at):
            # An empty slot becomes one whose tag none has.
            slots = self._slots[bucket] - np.uint32(1)
            hit, slot = (slots >> np.uint32(OFFSET_BITS) == tags[:, None]).nonzero()
            if len(hit):
                offsets = slots[hit, slot].astype(np.int64) & ((1 << OFFSET_BITS) - 1)
                places.append(at[hit])
                rows.append(offsets + first_row)
            is_full = self._taken[bucket] == SLOTS
            at, tags = at[is_full], tags[is_full]
            bucket = (bucket[is_full] + 1) & self._mask
        return places, rows

    def _places(self, hashes: Hashes) -> tuple[Indices, Indices]:
        bucket = (hashes & np.uint64(self._mask)).astype(np.int64)
        tags = ((hashes >> np.uint64(40)) % np.uint64(TAGS)).astype(np.int64)
        return bucket, tags


class IdTable:
    """Rows by hash, in parts that grow with the table."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._of_block: dict[int, Part] = {}

    def __len__(self) -> int:
        """How many blocks it has rows of."""
        return len(self._of_block)

    def add(self, number: int, hashes: Hashes, rows: Indices) -> None:
        """Keep rows of a block; blocks come in order."""
        if not self._parts or number >= self._parts[-1].end_block:
            size = 1 << len(self._of_block).bit_length()
            blocks = min(max(size, PART_BLOCKS_MIN), PART_BLOCKS_MAX)
            self._parts.append(Part(number, blocks))
        part = self._of_block[number] = self._parts[-1]
        part.blocks += 1
        part.add(hashes, rows)

    def find(self, hashes: Hashes) -> tuple[Indices, Indices]:
        """Return candidates: places among the hashes, and a row for each."""
        none: Any = np.zeros(0, dtype=np.int64)
        places, rows = [none], [none]
        for part in self._parts:
            some, of_part = part.find(hashes)
            places += some
            rows += of_part
        return np.concatenate(places), np.concatenate(rows)

    def drop(self, number: int) -> None:
        """Forget a block's rows, if there are any."""
        part = self._of_block.pop(number, None)
        if part is None:
            return
        part.blocks -= 1
        if not part.blocks:
            self._parts.remove(part)
