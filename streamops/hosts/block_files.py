"""Blocks of pending predictions and their labels on disk, beyond what memory is meant for.

Rule 1: files have no name: they are gone with the process, however it ends. A restart fills the
        table from the checkpoint, and puts on its own shelf what memory has no room for.
Rule 2: blocks are read, not mapped: what a process maps counts as its memory.
Rule 3: a block lies whole in one file; a file goes with its last block. Blocks go about as they
        came, so little room is kept for what is gone.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

from streamops.errors import TransportError

FILE_BYTES = 64 << 20


class _File:
    """A file that blocks are put behind one another in."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.opened: IO[bytes] = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self.size = self.blocks = 0

    def append(self, packed: bytes) -> int:
        """Write a block; return where it begins. What was written of it in vain is overwritten."""
        first, left = self.size, memoryview(packed)
        while left:
            written = os.pwrite(self.opened.fileno(), left, first + len(packed) - len(left))
            left = left[written:]
        self.size += len(packed)
        self.blocks += 1
        return first


class BlockFiles:
    """A shelf on disk for one partition (core/block_shelf.py)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: list[_File] = []
        self._places: dict[int, tuple[_File, int]] = {}
        self._next = 0

    @property
    def size(self) -> int:
        """Bytes that its files take."""
        return sum(file.size for file in self._files)

    def put(self, packed: bytes) -> int:
        """Keep a block; return its number. Raises TransportError where the disk takes no more."""
        try:
            if not self._files or self._files[-1].size >= FILE_BYTES:
                self._files.append(_File(self.folder))
            file = self._files[-1]
            first = file.append(packed)
        except OSError as error:
            raise TransportError(
                f"folder {self.folder} takes no more pending predictions: {error}; free the disk, "
                "or give the namespace's models shorter horizons"
            ) from error
        number, self._next = self._next, self._next + 1
        self._places[number] = file, first
        return number

    def get(self, number: int, first: int, size: int) -> bytes:
        """Return some bytes of a block. Raises TransportError where the disk doesn't give them."""
        file, begin = self._places[number]
        try:
            found = os.pread(file.opened.fileno(), size, begin + first)
        except OSError as error:
            raise TransportError(
                f"pending predictions can't be read in folder {self.folder}: {error}; see to the "
                "disk: the process starts again from its checkpoint"
            ) from error
        assert len(found) == size, "a block is read as it was written"
        return found

    def drop(self, number: int) -> None:
        """Forget a block."""
        file, _ = self._places.pop(number)
        file.blocks -= 1
        if not file.blocks:
            self._files.remove(file)
            file.opened.close()

    def close(self) -> None:
        """Give the disk back."""
        for file in self._files:
            file.opened.close()
        self._files, self._places = [], {}
