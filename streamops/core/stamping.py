"""Stamps on many encoded conclusions at once.

Rule 1: `Fold._stamp`, one by one, is the definition (EPOCHS 9); this gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from streamops.core.processor import Output
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
    outputs: Sequence[Output],
    stamps: StampRow,
    groups: dict[Target, list[bytes]],
    target_of: Callable[[str], int],
) -> Iterable[tuple[Any, ...]]:
    """Stamp outputs that are encoded already; note their conclusions by where they go.

    Returns a row of `Addressed` for each.
    Raises KeyError for a topic that isn't closed: no such output is encoded ahead.
    """
    topics, keys, _, _, evidence, conclusions = zip(*outputs, strict=True)
    known = list(zip(topics, keys, strict=True))
    places = {(topic, key): (topic, target_of(key)) for topic, key in set(known)}
    targets = list(map(places.__getitem__, known))
    for target in set(targets):
        groups[target] += (
            conclusions
            if len(places) == 1
            else [c for c, to in zip(conclusions, targets, strict=True) if to == target]
        )
    before = b',"stamp":[%b,%d,' % (msgspec.json.encode(stamps.source), stamps.epoch)
    numbers = range(stamps.first, stamps.first + len(outputs))
    ordinals = msgspec.json.encode(list(numbers))[1:-1].split(b",")
    parts = zip(
        map(_OPEN, conclusions), repeat(before), ordinals, repeat(b'],"evidence":'), evidence,
        repeat(b"}"), strict=False,
    )  # fmt: skip
    partitions = [partition for _, partition in targets]
    return zip(topics, partitions, keys, repeat(None), map(b"".join, parts), strict=False)
