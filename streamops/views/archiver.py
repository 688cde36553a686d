"""The archiver: Kafka's records into Parquet files, before retention drops them.

Rule 1: positions are the files' own; no group commits, no second memory.
Rule 2: only one archiver works on an archive; another finds a file where it wants one and stops.
Rule 3: a file is rolled by rows, bytes or age, and all are when the archiver is told to stop.
Rule 4: what is in files is sealed now and then, and when a person asks (`views/seal.py`).
Rule 5: told to stop, or asked for a seal, it writes up to a consistent cut (`consistent_cut`).
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import NamedTuple

import msgspec
from confluent_kafka import Message, TopicPartition

from streamops.disk import disk_of
from streamops.errors import TransportError
from streamops.events import CheckpointSealed
from streamops.hosts.garbage import rare_collections
from streamops.hosts.work import Work
from streamops.kafka.clients import BY_BATCH, by_place, make_consumer, take
from streamops.kafka.offsets import first_offsets, next_offsets
from streamops.metrics import EXPOSED, Sample
from streamops.settings import Settings
from streamops.views.archive import (
    NAMESPACE_FILE,
    ArchiveLog,
    Cover,
    cover_of,
    raw_table,
    store_raw,
)
from streamops.views.buffers import DEFAULT_ROLL, Buffer, Roll
from streamops.views.consistent_cut import consistent_cut
from streamops.views.key_index import KeyIndex
from streamops.views.log import (
    TIMEOUT_S,
    Held,
    Joined,
    KafkaLog,
    Partition,
    RawRecord,
    is_notice,
    missing,
    partition_counts,
)
from streamops.views.raw_columns import of_messages
from streamops.views.seal import DEFAULT_PACE, Sealer, SealPace
from streamops.views.seal_events import ASKED_ON, requested_by, send_seal
from streamops.views.typed import mend_typed, store_typed, typed_tables

LOG = logging.getLogger("streamops.views.archiver")
CHUNK = 1000
TO_END = {"enable.partition.eof": True}
POLL_S = 0.2
NOTE_EVERY_S = 1.0
# Where so many times a roll's `total` wait behind a cut, what Kafka will drop comes first.
BEHIND_MAX = 4
# A supervisor kills what takes 10 s to end; what isn't read by then stays in Kafka.
LAST_READ_S = 6.0


class Asked(NamedTuple):
    """A person asked for a seal when the partitions ended there."""

    request: str
    ends: dict[Partition, int]


class Archiver:
    """Reads every partition of a namespace's log from where its files end, and writes files.

    Raises TransportError where Kafka no longer has what the archive lacks, or where the topic was
    made anew; close it after use.

    goes_on  it reads what is yet to come, so the broker may wait for more before it answers
    """

    def __init__(
        self,
        settings: Settings,
        roll: Roll = DEFAULT_ROLL,
        pace: SealPace = DEFAULT_PACE,
        *,
        goes_on: bool = True,
    ) -> None:
        self._settings, self._roll = settings, roll
        self._folder = settings.archive
        self._log = ArchiveLog(self._folder)
        self._consumer = make_consumer(settings, "archiver", **(BY_BATCH if goes_on else TO_END))
        self._buffers: dict[Partition, Buffer] = {}
        self.work = Work("archiver")
        self.disk = disk_of(settings)
        self._lags = dict[Partition, int]()
        self._noted = time.monotonic()
        self._sealer = Sealer(self._folder, settings.namespace, pace, time.monotonic())
        self._index = KeyIndex(self._folder)
        # Arrow packs a file without Python's lock: meanwhile the next one's columns are made.
        self._packer = ThreadPoolExecutor(1, "archive-files")
        self._typed: Future[None] | None = None
        self._asked: list[Asked] = []
        self._cut = dict[Partition, int]()
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the client; what is in the buffers stays in Kafka, and is read again."""
        self._packer.shutdown()
        self._consumer.close()

    def cut(self, patience_s: float = TIMEOUT_S) -> dict[Partition, int]:
        """Return a consistent cut at the cluster's ends; TransportError if it takes longer."""
        return consistent_cut(self._settings, self._buffers, patience_s)

    def end_at(self, cut: dict[Partition, int]) -> None:
        """Write nothing from now on that stands behind a cut."""
        self._cut = cut

    def reached(self, ends: dict[Partition, int]) -> bool:
        """Tell whether everything below these ends was read."""
        return all(self._buffers[place].next >= end for place, end in ends.items())

    def run_once(self, timeout_s: float = POLL_S) -> int:
        """Read some records, write what is due; returns how many records came."""
        with self.work.stage("wait"):
            messages = take(self._consumer, CHUNK, timeout_s)
        now = time.monotonic()
        with self.work.stage("decode"):
            count = self._keep(messages, now)
        with self.work.stage("store"):
            self._roll_due(now)
            self._seal_due(now)
            if not count:
                self._settle()
        if now - self._noted > NOTE_EVERY_S:
            self._note_lags(now)
        return count

    def samples(self) -> Iterator[Sample]:
        """Yield what it did and how far it is behind, as the client last heard; by any thread."""
        yield from self.work.samples()
        for (topic, partition), lag in dict(self._lags).items():
            where = {"topic": topic, "partition": str(partition)}
            yield self.work.sample("streamops_lag_records", lag, **where)

    def _note_lags(self, now: float) -> None:
        self._noted = now
        for (topic, partition), buffer in self._buffers.items():
            place = TopicPartition(self._settings.topic(topic), partition)
            end = self._consumer.get_watermark_offsets(place, cached=True)[1]
            if end >= 0:
                self._lags[(topic, partition)] = max(0, end - buffer.next)

    def _keep(self, messages: Sequence[Message], now: float) -> int:
        """Take records into their buffers; returns how many came."""
        taken: Counter[str] = Counter()
        for (name, partition), some in by_place(messages).items():
            place = (self._settings.short(name), partition)
            buffer, records = self._buffers[place], of_messages(place, some)
            records = records.behind(buffer.next)
            if not records:
                continue
            buffer.add_all(records, now)
            taken[place[0]] += len(records)
            if place[0] == ASKED_ON:
                for record in records:
                    self._note_request(record)
        # What tells of a partition's end came behind its records.
        for message in filter(is_notice, messages):
            place = (self._settings.short(message.topic() or ""), message.partition() or 0)
            # The end stands behind markers, too: they are covered, as gaps.
            self._buffers[place].next = max(self._buffers[place].next, message.offset() or 0)
        for topic, count in taken.items():
            self.work.took(topic, count)
        return taken.total()

    def flush(self) -> None:
        """Write every buffer that covers anything."""
        self._write([p for p, buffer in self._buffers.items() if buffer.next > buffer.first])
        self._settle()

    def seal(self, request: str = "") -> CheckpointSealed:
        """Write every buffer, seal all that is archived, and send the seal; returns its event."""
        self.flush()
        event = self._sealer.seal(time.monotonic(), request)
        send_seal(self._settings, event)
        LOG.info("seal %d: %d segments, head %s", event.number, len(event.segments), event.head)
        return event

    def _note_request(self, record: RawRecord) -> None:
        request = requested_by(record)
        if request:
            self._asked.append(Asked(request, self.cut()))

    def _seal_due(self, now: float) -> None:
        while self._asked and self.reached(self._asked[0].ends):
            asked = self._asked[0]
            self.seal(asked.request)
            self._asked.remove(asked)
        if self._sealer.due(now):
            event = self._sealer.seal(now)
            send_seal(self._settings, event)

    def _resume_seals(self) -> None:
        """Send the seal that a crash left unsent; hash again what is archived and not sealed."""
        live = KafkaLog(self._settings)
        try:
            unsent = self._sealer.resume(Joined(self._log, live))
        finally:
            live.close()
        if unsent is not None:
            send_seal(self._settings, unsent)
        for place in self._buffers:
            for path, cover in self._log.files(*place):
                if cover.next > self._sealer.sealed(place):
                    self._take_again(place, path, cover)

    def _take_again(self, place: Partition, path: Path, cover: Cover) -> None:
        first = max(cover.first, self._sealer.sealed(place))
        try:
            records = list(self._log.read(*place, first, cover.next))
            self._sealer.take(place, records, cover, path)
        except TransportError as error:
            # To archive what Kafka will drop comes first; the seals leave the file's records out.
            LOG.error("%s; its records are sealed by nothing", error)
            return
        for record in records:
            self._note_request(record)

    def _begin(self) -> None:
        counts = partition_counts(self._settings, self._consumer)
        places = [(topic, n) for topic, count in sorted(counts.items()) for n in range(count)]
        firsts = first_offsets(self._settings, places)
        nexts = next_offsets(self._settings, places, TIMEOUT_S)
        for place in places:
            mend_typed(self._folder, self._log, place)
            self._index.mend(place, self._log)
            start = self._start(place, Held(firsts[place], nexts[place]))
            self._buffers[place] = Buffer(start, start)
        self._resume_seals()
        self._consumer.assign(
            [
                TopicPartition(self._settings.topic(topic), partition, buffer.next)
                for (topic, partition), buffer in self._buffers.items()
            ]
        )

    def _start(self, place: Partition, live: Held) -> int:
        kept = self._log.held(*place)
        if kept.next == kept.first:
            return live.first
        if kept.next < live.first:
            raise missing(*place, kept.next, live.first)
        if kept.next > live.next:
            raise TransportError(
                f"{place[0]}-{place[1]}: the archive in {self._folder} ends at offset {kept.next}, "
                f"the topic at {live.next}: it was made anew; use a new namespace or archive"
            )
        return kept.next

    def _roll_due(self, now: float) -> None:
        self._write([p for p, buffer in self._buffers.items() if buffer.due(self._roll, now)])
        held = sorted(self._buffers, key=lambda place: self._buffers[place].size)
        while held and _size_of(self._buffers) > self._roll.total:
            self._write([held.pop()])

    def _write(self, places: Iterable[Partition]) -> None:
        for place in places:
            buffer = self._buffers[place]
            cut = self._asked[0].ends if self._asked else self._cut
            if _size_of(self._buffers) > BEHIND_MAX * self._roll.total:
                cut = {}
            end = cut.get(place, buffer.next)
            if end <= buffer.first:
                continue
            rest = buffer.split(end)
            records, pack = buffer.records(place), self._packer.submit
            cover = cover_of(records.columns.offsets, buffer.first, buffer.next)
            rows = raw_table(records)
            # The start mends a partition's last typed files only: none may lack behind another.
            self._settle()
            raw = pack(store_raw, self._folder, rows, place, cover)
            columns = typed_tables(records)
            # Nothing stands beside a raw file that isn't there.
            path = raw.result()
            self._typed = pack(store_typed, self._folder, columns, place, cover.first)
            self._index.add(place, records, cover)
            self._sealer.take(place, records, cover, path)
            self._buffers[place] = rest

    def _settle(self) -> None:
        """Wait for the typed files that are written beside; raise what they met."""
        typed, self._typed = self._typed, None
        if typed is not None:
            typed.result()


def _size_of(buffers: Mapping[Partition, Buffer]) -> int:
    return sum(buffer.size for buffer in buffers.values())


def note_namespace(settings: Settings) -> None:
    """Write beside the raw files what a replay must know and no record says, once."""
    file = settings.archive / NAMESPACE_FILE
    if file.exists():
        return
    facts = {
        "partitions": settings.partitions,
        "driven": settings.driven,
        "skew_max_ms": settings.skew_max_ms,
        "seal_every": settings.seal_every,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(facts))
    fresh.replace(file)


def run_archiver(settings: Settings, stop: Event) -> None:
    """Archive the namespace until `stop` is set, then write what is buffered and return."""
    note_namespace(settings)
    archiver = Archiver(settings)
    EXPOSED.add(archiver.samples)
    try:
        with rare_collections():
            while not stop.is_set():
                if archiver.disk.is_low():
                    stop.wait(POLL_S)
                else:
                    archiver.run_once()
            if not archiver.disk.is_low():
                _read_the_rest(archiver)
    finally:
        EXPOSED.remove(archiver.samples)
        archiver.close()


def _read_the_rest(archiver: Archiver) -> None:
    """Write up to a consistent cut of the log, or what was read if that can't be had in time."""
    deadline = time.monotonic() + LAST_READ_S
    try:
        cut = archiver.cut(LAST_READ_S)
        archiver.end_at(cut)
        while not (is_whole := archiver.reached(cut)) and time.monotonic() < deadline:
            archiver.run_once()
    except TransportError as error:
        is_whole = False
        LOG.warning("%s", error)
    if not is_whole:
        LOG.warning("the archive ends before the log does; the next start goes on there")
    archiver.flush()


def archive_until_end(settings: Settings) -> None:
    """Archive everything up to the ends the partitions have now, and return.

    No other archiver may work on the archive meanwhile. Raises TransportError if no record comes
    for 30 s though some are missing.
    """
    note_namespace(settings)
    archiver = Archiver(settings, goes_on=False)
    try:
        _read_to_end(settings, archiver)
    finally:
        archiver.close()


def seal_until_end(settings: Settings) -> CheckpointSealed:
    """Archive up to the end and seal it; the archive then holds the seal's event, too."""
    note_namespace(settings)
    archiver = Archiver(settings, goes_on=False)
    try:
        _read_to_end(settings, archiver)
        event = archiver.seal()
        _read_to_end(settings, archiver)
    finally:
        archiver.close()
    return event


def _read_to_end(settings: Settings, archiver: Archiver) -> None:
    cut = archiver.cut()
    archiver.end_at(cut)
    heard = time.monotonic()
    with rare_collections():
        while not archiver.reached(cut):
            if archiver.run_once():
                heard = time.monotonic()
            elif time.monotonic() - heard > TIMEOUT_S:
                raise TransportError(
                    f"{settings.namespace}: nothing came for {TIMEOUT_S:.0f} s though the archive "
                    "lacks records; is a transaction open, or the broker down?"
                )
        archiver.flush()
