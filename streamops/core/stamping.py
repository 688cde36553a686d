"""Stamps on many encoded conclusions at once.

Rule 1: `Fold._stamp`, one by one, is the definition (EPOCHS 9); this gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import compress, repeat
from operator import itemgetter
from typing import NamedTuple

import msgspec

from streamops.core.output_rows import AddressedRows, OutputRows
from streamops.values import Stamp

Target = tuple[str, int]
# An object without the brace that closes it.
_OPEN = itemgetter(slice(None, -1))


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
    groups: dict[Target, list[bytes]],
    target_of: Callable[[str], int],
) -> AddressedRows:
    """Stamp outputs that are encoded already; note their conclusions by where they go.

    Raises KeyError for a topic that isn't closed: no such output is encoded ahead.
    """
    partition_of = {key: target_of(key) for key in set(rows.keys)}
    partitions = list(map(partition_of.__getitem__, rows.keys))
    for partition in set(partition_of.values()):
        groups[rows.topic, partition] += (
            rows.conclusions
            if len(partition_of) == 1
            else compress(rows.conclusions, map(partition.__eq__, partitions))
        )
    before = b',"stamp":[%b,%d,' % (msgspec.json.encode(stamps.source), stamps.epoch)
    numbers = range(stamps.first, stamps.first + len(rows))
    ordinals = msgspec.json.encode(list(numbers))[1:-1].split(b",")
    parts = zip(
        map(_OPEN, rows.conclusions), repeat(before), ordinals, repeat(b'],"evidence":'),
        rows.evidence, repeat(b"}"), strict=False,
    )  # fmt: skip
    return AddressedRows(rows.topic, partitions, rows.keys, list(map(b"".join, parts)))
