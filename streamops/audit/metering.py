"""METER of one partition over its raw records, apart from all else: it reads nothing but these.

Rule 1: what comes out is what the fold concludes, epoch by epoch; where it is folded, here or in
        another process, is no part of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from streamops.audit.decoded import rows_of
from streamops.audit.erased import Unread, unread_of
from streamops.audit.erasures import keys_of
from streamops.audit.namespace import Namespace
from streamops.audit.pace import epochs_of, merged, rank_of, runs_by_epoch
from streamops.audit.records import Hole, PartitionReader
from streamops.audit.under import Under, configs_of
from streamops.core.epochs import Fold
from streamops.core.output_rows import AddressedRows, Mixed
from streamops.events import Sealed
from streamops.hosts.memory import make_fold
from streamops.hosts.replay import forget_changes
from streamops.personal import Opener
from streamops.views.archive import ArchiveLog

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
    files: Mapping[str, bytes] = {}
    unread: Sequence[Unread] = ()
    records: int = 0
    broken: str = ""
    holes: Mapping[str, list[Hole]] = {}

    @property
    def is_last(self) -> bool:
        """Whether it says how the partition ended."""
        return self.epoch == LAST


class Job(NamedTuple):
    """METER over one partition of an archive from its beginning, as another process can be told.

    firsts, ends  where reading begins, and must end, by topic and partition
    configs       in place of every configuration that their models ever had (`packed_configs`);
                  then a record that lacks is an error, not a hole
    """

    archive: Path
    partition: int
    namespace: Namespace
    firsts: Mapping[tuple[str, int], int] = {}
    ends: Mapping[tuple[str, int], int] = {}
    configs: bytes | None = None

    @property
    def name(self) -> str:
        """Its source."""
        return f"meter/{self.partition}"


def metered(job: Job) -> Iterator[tuple[int, Metered]]:
    """Yield what METER concludes from a partition, each with its epoch.

    Raises TransportError where a record is missing and isn't to be a hole.
    """
    namespace, opener = job.namespace, Opener(keys_of(job.archive))
    fold = make_fold(
        "meter",
        job.partition,
        namespace.partitions,
        skew_max_ms=namespace.skew_ms,
        seal_every=0 if job.configs is not None else namespace.seal_every,
        open_=opener.open,
    )
    if job.configs is None:
        yield from metering(job, fold, opener)
        return
    log, under = ArchiveLog(job.archive), Under(configs_of(job.configs))
    sources = [(topic, epochs_of(topic, rows_of(log, topic, job.partition))) for topic in TOPICS]
    records = 0
    for rows in merged((rank_of(topic), rows) for topic, rows in sources):
        records += len(rows)
        for folded in fold.feed_all(rows.topic, under(rows)):
            forget_changes(fold)
            yield (
                folded.epoch,
                Metered(job.partition, folded.epoch, _mixed(folded.outputs), records=records),
            )
            records = 0
    yield LAST, Metered(job.partition, LAST, Mixed(), records=records)


def metering(job: Job, fold: Fold[Any], opener: Opener) -> Iterator[tuple[int, Metered]]:
    """Yield what a METER that may have begun elsewhere concludes; what can't be read is a hole."""
    broken, records, unread = "", 0, list[Unread]()
    readers = {topic: _reader(job, topic) for topic in TOPICS}
    for rows in runs_by_epoch((topic, reader.batches()) for topic, reader in readers.items()):
        records += len(rows)
        if rows.topic == "predictions":
            unread += unread_of(rows, opener)
        if broken:
            continue
        try:
            epochs = fold.feed_all(rows.topic, rows)
        except UNFOLDABLE as error:
            broken = why_broken(fold, error)
            continue
        if epochs:
            forget_changes(fold)
        for folded in epochs:
            outputs, epoch = _mixed(folded.outputs), folded.epoch
            files = _needed(outputs, folded.files) if folded.files else {}
            yield epoch, Metered(job.partition, epoch, outputs, files, unread, records)
            records, unread = 0, []
    holes = {topic: reader.holes for topic, reader in readers.items()}
    yield LAST, Metered(job.partition, LAST, Mixed(), {}, unread, records, broken, holes)


def _reader(job: Job, topic: str) -> PartitionReader:
    place = topic, job.partition
    return PartitionReader(job.archive, *place, job.firsts.get(place, 0), job.ends.get(place, 0))


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
