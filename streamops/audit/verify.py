"""Verify: compute every alert of an archive again from the raw records its proof names.

One pass over the archive, or over what comes after a seal (`start`). Each stage is folded over its
recorded inputs and its conclusions are compared, byte for byte, with the recorded ones (`links`,
`ledger`); what follows for each alert is in `verdicts`. A seal that the fold doesn't arrive at, or
whose files differ, is a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from streamops.audit.asked import Asked
from streamops.audit.beside import ChainBeside
from streamops.audit.chain import Chains
from streamops.audit.cut import Cut
from streamops.audit.erased import Unreadable
from streamops.audit.erasures import ERASED, keys_of
from streamops.audit.ledger import (
    Ledger,
    key_of,
)
from streamops.audit.links import Links
from streamops.audit.metering import TOPICS, Job, Metered, metering
from streamops.audit.namespace import Namespace, namespace_of
from streamops.audit.pace import epochs_of, merged, rank_of
from streamops.audit.platforms import Platforms
from streamops.audit.proven import Run, outcome_runs, run_of
from streamops.audit.record_chain import records_in
from streamops.audit.records import Hole, PartitionReader, rows_again
from streamops.audit.seals import SealFiles
from streamops.audit.start import Start, Starter
from streamops.audit.verdicts import VERIFIED, Docket, Verification, at, capped, with_chain
from streamops.audit.workers import Workers, workers_for
from streamops.core import numeric
from streamops.core.detect import Detector
from streamops.core.output_rows import Addressed, AddressedRows
from streamops.core.processor import Record, Refusal
from streamops.core.rows import Rows
from streamops.errors import ConfigError, InputError
from streamops.events import (
    DriftDetected,
    EpochClosed,
    EpochConcluded,
    Event,
    Sealed,
)
from streamops.hosts.garbage import rare_collections
from streamops.personal import Opener
from streamops.views.archive import ArchiveLog

RAW = ("predictions", "labels", "lifecycle")
DERIVED = (
    "outcomes",
    "summaries",
    "metrics",
    "alerts",
    "retraining",
    "deployments",
    "progress",
    "dlq",
)
REPORT_EVERY = 2000

Progress = Callable[[int, int], None]


def verify(
    archive: Path,
    *,
    alert: str = "",
    since: datetime | None = None,
    make_detector: Callable[[str], Detector] | None = None,
    on_progress: Progress | None = None,
    workers: int | None = 1,
) -> Verification:
    """Verify all alerts of an archive, in one pass from its beginning; or some.

    alert, since   only the alert of this id, or those from a time on: from the last seal before all
                   that their proofs name. What comes before it is taken as sealed, not looked at.
    make_detector  detectors by name; river's and the user's unless given
    on_progress    called now and then with (records done, records in all), of all alerts twice:
                   once for the fold, once for the chain
    workers        processes that fold METER, and one that checks the chain; 1: this one, None: as
                   many as serve. From a seal on it is always this one. It changes nothing found.

    Raises ConfigError where the folder is no archive, or has no such alert.
    """
    asked = Asked(frozenset((alert,) if alert else ()), since)
    if workers is None and asked.is_all:
        workers = workers_for(records_in(archive), namespace_of(archive).partitions)
    with closing(ChainBeside(archive, workers if workers and asked.is_all else 1)) as chain:
        found = recompute(
            archive, asked, make_detector=make_detector, on_progress=on_progress, workers=workers
        )
        if asked.is_all:
            return with_chain(found, chain.result(on_progress or _silent))
    if alert and not found.alerts:
        raise ConfigError(
            f"alert is {alert!r}, which {str(archive)!r} doesn't hold; `streamops alerts` lists "
            "those there are"
        )
    return found


def recompute(
    archive: Path,
    asked: Asked,
    *,
    cut: Cut | None = None,
    make_detector: Callable[[str], Detector] | None = None,
    on_progress: Progress | None = None,
    workers: int | None = 1,
) -> Verification:
    """Recompute the alerts that are asked for; `cut`: the archive is a part of another one.

    Raises ConfigError where the folder is no archive, TransportError where a process of `workers`
    ends before its work does.
    """
    numeric.self_test()
    if make_detector is None:
        from streamops.training.detectors import make_audited as river

        make_detector = river
    namespace = namespace_of(archive)
    with rare_collections():
        start, findings = None, list[str]()
        if not asked.is_all and (cut is None or cut.start >= 0):
            starter = Starter(archive, namespace, make_detector)
            start = starter.start(asked.recorded(archive, namespace.partitions), asked.since)
            findings = starter.findings
        audit = _Audit(archive, namespace, make_detector, asked, start, cut)
        audit.docket.findings += findings
        if workers is None:
            workers = workers_for(audit.total, namespace.partitions)
        reported = 0
        with Workers(audit.jobs, workers if start is None else 1) as processes:
            for part in audit.parts(processes):
                audit.take_all(part)
                is_due = audit.records // REPORT_EVERY > reported // REPORT_EVERY
                if on_progress is not None and is_due:
                    on_progress(audit.records, audit.total)
                    reported = audit.records
        if on_progress is not None and reported < audit.records:
            on_progress(audit.records, audit.total)
        return audit.finish()


class Ended(NamedTuple):
    """A partition of commands of which nothing more comes."""

    topic: str
    partition: int


class _Audit:
    """One pass: readers in, links and ledger fed, verdicts out."""

    def __init__(
        self,
        archive: Path,
        namespace: Namespace,
        make_detector: Callable[[str], Detector],
        asked: Asked,
        start: Start | None,
        cut: Cut | None,
    ) -> None:
        self.start = start
        self._cut = cut
        self.ledger = Ledger(partial(rows_again, archive))
        begun = {} if start is None else start.folds
        self._seal_files = SealFiles(archive)
        self._epoch = -1 if start is None else start.epoch
        self.chains = Chains(self.ledger)
        self.links = Links(
            namespace.partitions,
            namespace.skew_ms,
            make_detector,
            self._conclude,
            self._conclude_rows,
            self.chains.take,
            seal_every=namespace.seal_every,
            begun=begun,
        )
        self.personal = Unreadable(ArchiveLog(archive), self._seal_files)
        self.ledger.excuse = self.personal.excuse
        self._unknown = {} if start is None else start.outcomes
        self.chains.begin(self._unknown)
        self._seals = 0
        platforms = Platforms(lambda: make_detector("adwin").platform)
        self.docket = Docket(self.ledger, self.chains, self.links, platforms, asked)
        self._concluded = dict.fromkeys(range(namespace.partitions), -1)
        self.records = 0
        firsts = {} if start is None else start.firsts
        if cut is not None and start is not None:
            firsts = {**cut.firsts, **firsts}
        ends = {} if cut is None else cut.ends
        self.readers = list(_readers(archive, namespace.partitions, firsts, ends))
        self.total = sum(reader.rows() for reader in self.readers)
        self._holes: dict[tuple[str, int], list[Hole]] = {}
        self.jobs = [Job(archive, p, namespace, firsts, ends) for p in range(namespace.partitions)]

    def parts(self, processes: Workers) -> Iterator[Rows | Metered | Ended]:
        """Yield at one pace what METER concludes, and all records that it doesn't read."""
        meters = processes.sources()
        if self.start is not None:
            opener = Opener(keys_of(self.jobs[0].archive))
            meters = [metering(job, self.start.folds[job.name], opener) for job in self.jobs]
        own = {(topic, job.partition) for topic in TOPICS for job in self.jobs}
        others = [r for r in self.readers if (r.topic, r.partition) not in own]
        return merged(
            [
                *((rank_of("predictions"), meter) for meter in meters),
                *((rank_of(r.topic), _paced(r)) for r in others),
            ]
        )

    def take_all(self, part: Rows | Metered | Ended) -> None:
        """Put records of one partition beside what is concluded, and feed them to their stages."""
        if isinstance(part, Metered):
            self.records += part.records
            self.personal.note(part.unread)
            self.links.take(part)
            self._holes.update({(topic, part.partition): h for topic, h in part.holes.items()})
            return
        if isinstance(part, Ended):
            self.links.end(*part)
            return
        self.records += len(part)
        if part.topic in RAW:
            self.links.feed_all(part.topic, part)
        elif part.topic != "outcomes" or not self._is_whole:
            self._take_each(part)
        else:
            self._take_outcomes(part)

    def _take_outcomes(self, part: Rows) -> None:
        if self._is_proven(run_of(part), part):
            return
        for run, rows in outcome_runs(part):
            if not self._is_proven(run, rows):
                self._take_each(rows)

    def _is_proven(self, run: Run | None, rows: Rows) -> bool:
        """Tell whether rows are, byte by byte, what comes next of a run; then they are taken."""
        if run is None or not self.ledger.record_rows(run, rows):
            return False
        self.links.feed_proven(rows, run.source, run.epoch)
        return True

    def _take_each(self, records: Iterable[Record]) -> None:
        for record in records:
            event = record.event
            if isinstance(event, Refusal):
                self.docket.note_unreadable(record, event)
            else:
                self._derived(record, event)
                self.links.feed(record)

    def finish(self) -> Verification:
        """Fold what is left and draw up the verdicts."""
        epochs = min([*self._concluded.values(), *([] if self._cut is None else [self._cut.until])])
        self.links.finish(epochs)
        holes = [
            hole
            for reader in self.readers
            for hole in self._holes.get((reader.topic, reader.partition), reader.holes)
        ]
        alerts = self.docket.conclude(holes, epochs)
        good = all(alert.status.startswith((VERIFIED, ERASED)) for alert in alerts)
        return Verification(
            alerts=alerts,
            findings=capped(self.docket.findings),
            records=self.records,
            epochs=epochs,
            ok=good and not self.docket.findings,
            seals=self._seals,
            start_epoch=self._epoch,
            erased=len([alert for alert in alerts if alert.status.startswith(ERASED)]),
        )

    @property
    def _is_whole(self) -> bool:
        """Whether nothing that is concluded, or recorded, is left aside (`_is_silent`)."""
        return self.start is None and self._cut is None

    def _conclude_rows(self, rows: AddressedRows, source: str, epoch: int) -> None:
        if self._is_whole and rows.topic == "outcomes":
            self.ledger.conclude_rows(rows, source, epoch)
            return
        for addressed in rows:
            self._conclude(addressed)

    def _conclude(self, addressed: Addressed) -> None:
        if self._is_whole and addressed.made is None and addressed.topic == "outcomes":
            self.ledger.conclude_bytes(addressed)
            return
        event = addressed.event
        if isinstance(event, Sealed):
            self.personal.note_seal(event, self.links.files)
        if not self._is_silent(addressed.topic, event):
            self.ledger.conclude(addressed, event)

    def _is_silent(self, topic: str, event: Event) -> bool:
        """Whether it isn't looked at: it stands before the start or behind the cut, is a seal in a
        cut without any, or a detector that had begun before the start had a part in it."""
        key = key_of(topic, event)
        if key is not None and self._cut is not None:
            unsealed = self._cut.start < 0 and isinstance(event, Sealed)
            if key.epoch > self._cut.until or unsealed:
                return True
        if key is None or self.start is None:
            return False
        if key.epoch <= self._epoch or not key.source.startswith("detect/"):
            return key.epoch <= self._epoch
        if isinstance(event, DriftDetected):
            return (event.model, event.version) in self._unknown
        return bool(self._unknown) and isinstance(event, EpochClosed | Sealed)

    def _derived(self, record: Record, event: Event) -> None:
        if isinstance(event, EpochConcluded) and event.partition in self._concluded:
            last = self._concluded[event.partition]
            self._concluded[event.partition] = max(last, event.epoch)
        if self._is_silent(record.topic, event):
            if record.topic == "metrics":
                self.chains.note(event)
            return
        key = self.ledger.record(record, event)
        self.docket.note(record, event, key)
        if isinstance(event, Sealed):
            self._check(record, event)
        if record.topic == "metrics":
            self.chains.note(event)

    def _check(self, record: Record, event: Sealed) -> None:
        self._seals += 1
        if self._cut is not None:
            return  # a cut has the files of the seals that it begins at, and no others
        try:
            self._seal_files.check(event)
        except InputError as error:
            self.docket.findings.append(
                f"{at(record)}: seal of {event.source} at epoch {event.epoch}: {error}"
            )


def _silent(done: int, total: int) -> None:
    """Nobody asked how far it is."""


def _paced(reader: PartitionReader) -> Iterator[tuple[int, Rows | Ended]]:
    epoch = -1
    for epoch, rows in epochs_of(reader.topic, reader.batches()):
        yield epoch, rows
    if reader.topic in RAW:
        yield epoch + 1, Ended(reader.topic, reader.partition)


def _readers(
    archive: Path,
    partitions: int,
    firsts: Mapping[tuple[str, int], int],
    ends: Mapping[tuple[str, int], int],
) -> Iterator[PartitionReader]:
    log = ArchiveLog(archive)
    for topic in (*RAW, *DERIVED):
        for partition in sorted({*range(partitions), *log.partitions(topic)}):
            at = topic, partition
            yield PartitionReader(archive, *at, firsts.get(at, 0), ends.get(at, 0))
