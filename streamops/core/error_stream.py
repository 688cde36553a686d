"""One version's outcomes as DETECT reads them, and how a detector's word becomes an event.

Rule 1: what a detector says names the epochs and the chain of all outcomes it had read.
Rule 2: a change is put at the first outcome of the epoch it lies in: marks are few, not one each.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from streamops.core.times import micros, moment
from streamops.events import DriftDetected, OutcomeJoined
from streamops.values import OutcomeEvidence

Level = Literal["none", "warning", "drift", "failed"]
MARKS_MAX = 2000


class Found(NamedTuple):
    """What a detector said: since how many outcomes, and a test's evidence with its limit."""

    name: str
    level: Literal["warning", "drift", "failed"]
    since_back: int
    platform: str
    evidence: float | None = None
    alarm_at: float | None = None
    reason: str = ""


class Stream(msgspec.Struct, array_like=True, frozen=True):
    """One version's outcomes so far. `marks`: [outcomes before it, first time, epoch] an epoch."""

    outcomes: int = 0
    errors: int = 0
    first_epoch: int = -1
    chain: bytes = b""
    marks: tuple[tuple[int, int, int], ...] = ()


Marks = tuple[tuple[int, int, int], ...]


def marked(marks: Marks, event: OutcomeJoined, epoch: int, outcomes: int) -> Marks:
    """Return the marks as they are with an outcome behind so many others."""
    if marks and marks[-1][2] == epoch:
        return marks
    return (*marks[-MARKS_MAX:], (outcomes, micros(event.time), epoch))


def counted(stream: Stream, event: OutcomeJoined, epoch: int) -> Stream:
    """Return the stream with one more outcome, not chained: a segment's, part of another one."""
    return Stream(
        stream.outcomes + 1,
        stream.errors,
        epoch if stream.first_epoch < 0 else stream.first_epoch,
        stream.chain,
        marked(stream.marks, event, epoch, stream.outcomes),
    )


def detected(
    event: OutcomeJoined,
    stream: Stream,
    found: Found,
    hash_: str,
    epoch: int,
    part: tuple[str, Stream] | None = None,
) -> DriftDetected:
    """Return the event of what was found at a version's last outcome.

    part  the segment that it was found in, and its outcomes
    """
    segment, whole = "all", stream
    if part is not None:
        segment, stream = part
    about = found.name if part is None else f"{found.name}/{segment}"
    at = stream.outcomes - found.since_back
    since_us = max((m for m in stream.marks if m[0] <= at), default=stream.marks[0])[1]
    return DriftDetected(
        id=f"drift/{event.model}/{event.version}/{about}/{whole.outcomes}",
        time=event.time,
        model=event.model,
        version=event.version,
        detector=found.name,
        level=found.level,
        since=moment(since_us),
        outcomes=whole.outcomes,
        error_rate=stream.errors / stream.outcomes,
        platform=found.platform,
        config_hash=hash_,
        score=found.evidence,
        limit=found.alarm_at,
        reason=found.reason,
        segment=segment,
        evidence=OutcomeEvidence(
            first_epoch=whole.first_epoch,
            last_epoch=epoch,
            outcomes=whole.outcomes,
            chain=whole.chain.hex(),
        ),
    )
