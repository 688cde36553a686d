"""A shelf for blocks that lies in memory (core/block_shelf.py)."""

from __future__ import annotations


class MemoryShelf:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.blocks: dict[int, bytes] = {}
        self._next = 0

    def put(self, packed: bytes) -> int:
        """Keep a block; return its number."""
        self.blocks[self._next] = packed
        self._next += 1
        return self._next - 1

    def get(self, number: int, first: int, size: int) -> bytes:
        """Return some bytes of a block."""
        return self.blocks[number][first : first + size]

    def drop(self, number: int) -> None:
        """Forget a block."""
        del self.blocks[number]
