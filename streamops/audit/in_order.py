"""Records whose offsets should rise, and the few that stand elsewhere."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from streamops.views.log import RawRecord


def in_order(
    batches: Iterable[list[RawRecord]], on_moved: Callable[[RawRecord], None]
) -> Iterator[list[RawRecord]]:
    """Yield the records in batches of rising offsets, and tell of those that break the rise.

    As few as possible are told of: one that says a far higher offset than its neighbours is told
    of, not all behind it. That holds within two batches: the one before waits for the next.
    """
    held = list[RawRecord]()
    for batch in batches:
        both = [*held, *batch]
        if rises([record.offset for record in both]):
            yield held
            held = batch
            continue
        keep = set(longest_rise([record.offset for record in both]))
        for n, record in enumerate(both):
            if n not in keep:
                on_moved(record)
        yield [record for n, record in enumerate(held) if n in keep]
        held = [record for n, record in enumerate(batch, len(held)) if n in keep]
    yield held


def rises(numbers: Sequence[int]) -> bool:
    """Tell whether each number is above the one before."""
    return all(a < b for a, b in pairwise(numbers))


def longest_rise(numbers: Sequence[int]) -> list[int]:
    """Return the places of a longest strictly rising subsequence, in order.

    Patience sorting (Fredman 1975): n log n.
    """
    ends: list[int] = []
    at: list[int] = []
    before: list[int] = []
    for place, number in enumerate(numbers):
        length = bisect_left(ends, number)
        before.append(at[length - 1] if length else -1)
        if length == len(ends):
            ends.append(number)
            at.append(place)
        else:
            ends[length], at[length] = number, place
    found = list[int]()
    place = at[-1] if at else -1
    while place >= 0:
        found.append(place)
        place = before[place]
    return found[::-1]
