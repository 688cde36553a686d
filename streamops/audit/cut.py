"""The part of an archive that some alerts rest on: offsets of each partition, up to an epoch.

Rule 1: a cut holds whole spans of offsets. What of a later epoch stands between is there, and not
        looked at: sources of one topic don't close an epoch at one offset.
"""

from __future__ import annotations

import msgspec

from streamops.values import Span

Place = tuple[str, int]


class Cut(msgspec.Struct, frozen=True):
    """Offsets [first, next) of each partition, with all that was concluded up to an epoch.

    until  the last epoch that the cut is whole for
    start  the epoch of the seal that it begins at; -1: the beginning of the log, and no seal counts
    """

    until: int
    spans: tuple[Span, ...]
    start: int = -1

    @property
    def firsts(self) -> dict[Place, int]:
        """Where each partition begins."""
        return {(span.topic, span.partition): span.first for span in self.spans}

    @property
    def ends(self) -> dict[Place, int]:
        """Where each partition ends."""
        return {(span.topic, span.partition): span.next for span in self.spans}
