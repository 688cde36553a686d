"""METER of one partition over its raw records, apart from all else: it reads nothing but these.

Rule 1: what comes out is what the fold concludes, epoch by epoch; where it is folded, here or in
        another process, is no part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from streamops.audit.erased import Unread, Unreadable
from streamops.audit.pace import runs_by_epoch
from streamops.audit.records import Hole, PartitionReader
from streamops.core.epochs import Fold
from streamops.core.output_rows import AddressedRows, Mixed
from streamops.core.rows import Rows
from streamops.events import Sealed

TOPICS = ("predictions", "labels")
# What a fold raises over numbers that no fold concludes: counts below zero, bins that don't fit.
UNFOLDABLE = (AssertionError, ArithmeticError, LookupError, TypeError, ValueError)
# Behind every epoch.
LAST = 1 << 62


class Metered(NamedTuple):
    """What METER concludes in an epoch, or, as the last of all, how its records ended.

    outputs  with the files of the seal, if there is one
    unread   what was read up to here of persons whose values no key opens
    records  read since the one before
    broken   why the fold stands still, empty if it doesn't
    holes    by topic, at the end
    """

    partition: int
    epoch: int
    outputs: Mixed[Any]
    files: Mapping[str, bytes]
    unread: list[Unread]
    records: int
    broken: str = ""
    holes: Mapping[str, list[Hole]] = {}


def metering(
    archive: Path,
    fold: Fold[Any],
    unreadable: Unreadable | None,
    firsts: Mapping[tuple[str, int], int],
    ends: Mapping[tuple[str, int], int],
    change: Callable[[Rows], Rows] = lambda rows: rows,
) -> Iterator[tuple[int, Metered]]:
    """Yield what METER concludes from its partition of an archive, each with its epoch.

    firsts, ends  where reading begins, and must end, by topic and partition
    change        what the fold is given in place of records
    """
    partition, broken, records, unread = fold.partition, "", 0, list[Unread]()
    readers = {
        topic: PartitionReader(
            archive, topic, partition, *(at.get((topic, partition), 0) for at in (firsts, ends))
        )
        for topic in TOPICS
    }
    for rows in runs_by_epoch((topic, reader.batches()) for topic, reader in readers.items()):
        records += len(rows)
        if unreadable is not None and rows.topic == "predictions":
            unread += unreadable.unread(rows)
        if broken:
            continue
        try:
            epochs = fold.feed_all(rows.topic, change(rows))
        except UNFOLDABLE as error:
            broken = why_broken(fold, error)
            continue
        for folded in epochs:
            files = _needed(folded.outputs, folded.files) if folded.files else {}
            outputs = _mixed(folded.outputs)
            yield folded.epoch, Metered(partition, folded.epoch, outputs, files, unread, records)
            records, unread = 0, []
    holes = {topic: reader.holes for topic, reader in readers.items()}
    yield LAST, Metered(partition, LAST, Mixed(), {}, unread, records, broken, holes)


def why_broken(fold: Fold[Any], error: Exception) -> str:
    """Return, in a sentence, why a fold can't go on: its records were altered."""
    said = " ".join(str(error).split()) or type(error).__name__
    return f"{fold.source} can't fold epoch {fold.epoch + 1}: {said}"


def _mixed(outputs: Any) -> Mixed[Any]:
    return outputs if isinstance(outputs, Mixed) else Mixed(outputs)


def _needed(outputs: Mixed[Any], files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """The manifests of seals; the parts they name are looked at by their hashes alone."""
    parts = (part for part in outputs.parts if not isinstance(part, AddressedRows))
    seals = (out.event for part in parts for out in part if isinstance(out.made, Sealed))
    named = {event.evidence.contents for event in seals if event.evidence is not None}
    return {name: files[name] for name in named}
