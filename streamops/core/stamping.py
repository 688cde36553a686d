"""Stamps on many encoded conclusions at once.

Rule 1: `Fold._stamp`, one by one, is the definition (EPOCHS 9); this gives the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from itertools import compress, repeat
from typing import NamedTuple

import msgspec

from streamops.core.output_rows import AddressedRows, OutputRows
from streamops.values import Stamp

Target = tuple[str, int]


class Sent:
    """What one partition is sent in an epoch, as its close tells it: count and SHA-256 (hex) over
    conclusions in ordinal order, a newline after each (`derived_inbox.close_hash`)."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = hashlib.sha256()

    @property
    def hash(self) -> str:
        """The hash up to here."""
        return self._hash.hexdigest()

    def add(self, conclusion: bytes) -> None:
        """Note one."""
        self.count += 1
        self._hash.update(conclusion + b"\n")

    def add_all(self, bodies: Iterable[bytes]) -> None:
        """Note some, each without the brace that closes it."""
        some = list(bodies)
        self.count += len(some)
        self._hash.update(b"}\n".join((*some, b"")))


class StampRow(NamedTuple):
    """The stamps of outputs that follow each other, from an ordinal on."""

    source: str
    epoch: int
    first: int

    def at(self, number: int) -> Stamp:
        """Return one of them."""
        return Stamp(self.source, self.epoch, self.first + number)


def stamp_all(
    rows: OutputRows,
    stamps: StampRow,
    sent: dict[Target, Sent],
    target_of: Callable[[str], int],
) -> AddressedRows:
    """Stamp outputs that are encoded already; note what each partition is sent.

    Raises KeyError for a topic that isn't closed: no such output is encoded ahead.
    """
    partition_of = {key: target_of(key) for key in set(rows.keys)}
    partitions = list(map(partition_of.__getitem__, rows.keys))
    for partition in set(partition_of.values()):
        sent[rows.topic, partition].add_all(
            rows.bodies
            if len(partition_of) == 1
            else compress(rows.bodies, map(partition.__eq__, partitions))
        )
    before = b',"stamp":[%b,%d,' % (msgspec.json.encode(stamps.source), stamps.epoch)
    numbers = range(stamps.first, stamps.first + len(rows))
    ordinals = msgspec.json.encode(list(numbers))[1:-1].split(b",")
    parts = zip(
        rows.bodies, repeat(before), ordinals, repeat(b'],"evidence":'), *rows.evidence,
        repeat(b"}"), strict=False,
    )  # fmt: skip
    return AddressedRows(rows.topic, partitions, rows.keys, list(map(b"".join, parts)))
