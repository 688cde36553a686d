"""The Log port: raw records by topic, partition and offset, wherever they lie (DESIGN rule 13).

Rule 1: a reader gets every record of the range it asked for, in offset order, or TransportError.
        Never less in silence.
Rule 2: an offset without a record (a transaction marker) is no missing record.
Rule 3: topics are named without their namespace, and `checkpoints` is no part of the log: it is
        compacted and disposable.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamops import codec
from streamops.core.processor import Record, Refusal
from streamops.errors import InputError, TransportError
from streamops.kafka.clients import make_consumer, take
from streamops.settings import Settings

TIMEOUT_S = 30.0
ASK_S = 5.0
RETRY_S = 0.1
CHUNK = 1000
NOT_LOG = frozenset({"checkpoints"})

# A partition that was just made, or whose broker restarts: the same call soon succeeds.
PASSING = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
    }
)

Partition = tuple[str, int]


class RawRecord(NamedTuple):
    """One record as the broker keeps it; a null key or value is empty bytes.

    topic      without the namespace
    append_ms  the broker's append time, milliseconds since 1970
    """

    topic: str
    partition: int
    offset: int
    append_ms: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


# Offsets, append times, keys and values of records that follow each other.
RawColumns = tuple[Sequence[int], Sequence[int], Sequence[bytes], Sequence[bytes]]


class Held(NamedTuple):
    """The offsets [first, next) that a log holds of one partition."""

    first: int
    next: int


class Log(Protocol):
    """Where records are read from."""

    def topics(self) -> list[str]:
        """Return the topics that are held, sorted."""
        ...

    def partitions(self, topic: str) -> list[int]:
        """Return the partitions of a topic that are held, sorted."""
        ...

    def held(self, topic: str, partition: int) -> Held:
        """Return the offsets that can be read; first equals next where there are none."""
        ...

    def read(
        self,
        topic: str,
        partition: int,
        first: int = 0,
        next: int | None = None,
    ) -> Iterator[RawRecord]:
        """Yield the records of [first, next) in offset order; without `next`, up to the end.

        Raises TransportError, naming topic, partition and offsets, where any of them is not held.
        """
        ...


class ColumnLog(Protocol):
    """A log that is read by columns: no object is made of a record."""

    def held(self, topic: str, partition: int) -> Held:
        """Return the offsets that can be read; first equals next where there are none."""
        ...

    def columns(self, topic: str, partition: int, rows: int) -> Iterator[RawColumns]:
        """Yield all records, at most `rows` at a time; raises TransportError where any is not
        held from offset 0 on."""
        ...


def to_record(raw: RawRecord) -> Record:
    """Return the record decoded; what can't be decoded carries a Refusal with the reason."""
    try:
        event: Any = codec.decode(raw.value)
    except InputError as error:
        event = Refusal(str(error))
    return Record(*raw[:6], event)


def to_records(raws: Sequence[RawRecord]) -> list[Record]:
    """Return what `to_record` makes of each; far faster where most are sound."""
    found: list[Any] = codec.decode_all([raw.value for raw in raws])
    return [
        Record(*raw[:6], Refusal(str(event)) if isinstance(event, InputError) else event)
        for raw, event in zip(raws, found, strict=True)
    ]


def to_raw(topic: str, message: Any) -> RawRecord:
    """Return a confluent-kafka message as a record of the topic's short name."""
    headers = message.headers()
    return RawRecord(
        topic,
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key() or b"",
        message.value() or b"",
        tuple((name, value or b"") for name, value in headers) if headers else (),
    )


def require_held(held: Held, topic: str, partition: int, first: int, end: int) -> None:
    """Raise TransportError if any offset of [first, end) is outside what is held."""
    if first >= end or (held.first <= first and end <= held.next):
        return
    if first < held.first:
        raise missing(topic, partition, first, min(end, held.first))
    raise missing(topic, partition, max(first, held.next), end)


def missing(topic: str, partition: int, first: int, end: int) -> TransportError:
    """Return the error for offsets [first, end) that no log holds any more."""
    return TransportError(
        f"{topic}-{partition}: offsets {first} to {end - 1} are missing; "
        "give an archive that holds them, or keep them longer in Kafka (retention_ms)"
    )


class MemoryLog:
    """A log in a list, for tests and what-if; records may come in any order."""

    def __init__(self, records: Sequence[RawRecord]) -> None:
        self._records: dict[Partition, list[RawRecord]] = {}
        for record in sorted(records, key=lambda r: (r.topic, r.partition, r.offset)):
            self._records.setdefault((record.topic, record.partition), []).append(record)

    def topics(self) -> list[str]:
        """Return the topics of the records."""
        return sorted({topic for topic, _ in self._records})

    def partitions(self, topic: str) -> list[int]:
        """Return the partitions of the topic's records."""
        return sorted(p for t, p in self._records if t == topic)

    def held(self, topic: str, partition: int) -> Held:
        """Return the span from the first record to the last."""
        records = self._records.get((topic, partition))
        return Held(records[0].offset, records[-1].offset + 1) if records else Held(0, 0)

    def read(
        self,
        topic: str,
        partition: int,
        first: int = 0,
        next: int | None = None,
    ) -> Iterator[RawRecord]:
        """Yield the records of [first, next); a hole in the offsets counts as a marker."""
        held = self.held(topic, partition)
        end = held.next if next is None else next
        require_held(held, topic, partition, first, end)
        for record in self._records.get((topic, partition), ()):
            if first <= record.offset < end:
                yield record

    def columns(self, topic: str, partition: int, rows: int) -> Iterator[RawColumns]:
        """Yield all records as `read` does."""
        raws = self.read(topic, partition)
        while some := list(islice(raws, rows)):
            offsets, times, keys, values = zip(*(raw[2:6] for raw in some), strict=True)
            yield offsets, times, keys, values


class KafkaLog:
    """What a namespace's topics hold at this moment; one consumer for each range that is read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer = self._make()

    def close(self) -> None:
        """Give back the connection; the log is not used after this."""
        self._consumer.close()

    def topics(self) -> list[str]:
        """Return the namespace's topics on the cluster."""
        return sorted(self._counts())

    def partitions(self, topic: str) -> list[int]:
        """Return the partitions the cluster has for the topic."""
        return list(range(self._counts().get(topic, 0)))

    def held(self, topic: str, partition: int) -> Held:
        """Return what retention has left, up to the high watermark."""
        return watermarks(self._settings, self._consumer, topic, partition)

    def end(self, topic: str, partition: int, patience_s: float) -> int:
        """Return the high watermark; TransportError if it isn't had in about `patience_s`."""
        return watermarks(self._settings, self._consumer, topic, partition, patience_s).next

    def read(
        self,
        topic: str,
        partition: int,
        first: int = 0,
        next: int | None = None,
    ) -> Iterator[RawRecord]:
        """Yield the committed records of [first, next)."""
        held = self.held(topic, partition)
        end = held.next if next is None else next
        require_held(held, topic, partition, first, end)
        if first < end:
            yield from self._read(topic, partition, first, end)

    def _read(self, topic: str, partition: int, first: int, end: int) -> Iterator[RawRecord]:
        consumer = self._make()
        try:
            consumer.assign([TopicPartition(self._settings.topic(topic), partition, first)])
            while True:
                messages = take(consumer, CHUNK, TIMEOUT_S)
                if not messages:
                    raise TransportError(
                        f"{topic}-{partition}: no answer for {TIMEOUT_S:.0f} s in offsets "
                        f"{first} to {end - 1}; is a transaction open, or the broker down?"
                    )
                for message in messages:
                    notice, offset = is_notice(message), message.offset() or 0
                    if offset >= end:
                        return
                    if not notice:
                        yield to_raw(topic, message)
                        if offset == end - 1:
                            return
        finally:
            consumer.close()

    def _counts(self) -> dict[str, int]:
        return partition_counts(self._settings, self._consumer)

    def _make(self) -> Consumer:
        return make_consumer(self._settings, "log", **{"enable.partition.eof": True})


def partition_counts(settings: Settings, consumer: Consumer) -> dict[str, int]:
    """Return the partitions of each topic of the log, by short name; raises TransportError."""
    try:
        found = consumer.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise unreachable(settings.bootstrap, error.args[0]) from error
    prefix = settings.topic("")
    counts = {
        settings.short(n): len(t.partitions) for n, t in found.items() if n.startswith(prefix)
    }
    return {name: count for name, count in counts.items() if name not in NOT_LOG}


def watermarks(
    settings: Settings,
    consumer: Consumer,
    topic: str,
    partition: int,
    patience_s: float = TIMEOUT_S,
) -> Held:
    """Return the offsets a partition has on the cluster; raises TransportError.

    A partition that was made a moment ago has no leader yet, and a request may get lost: asked
    again for `patience_s`.
    """
    name = TopicPartition(settings.topic(topic), partition)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return Held(*consumer.get_watermark_offsets(name, timeout=min(ASK_S, patience_s)))
        except KafkaException as error:
            if error.args[0].code() not in PASSING or time.monotonic() > deadline:
                raise unreachable(f"{topic}-{partition}", error.args[0]) from error
            time.sleep(RETRY_S)


def is_notice(message: Any) -> bool:
    """Tell whether a message is no record: the partition's end, or what the client retries.

    Raises TransportError for what broker or client report as lost.
    """
    error = message.error()
    if error is None:
        return False
    if error.code() in (KafkaError._PARTITION_EOF, KafkaError._TRANSPORT) or error.retriable():
        return True
    raise unreachable(f"{message.topic()}-{message.partition()}", error)


def unreachable(what: str, error: Any) -> TransportError:
    """Return the error for a call that broker or client refused."""
    return TransportError(f"{what}: {error.str()}; check the broker and its retention")


class Joined:
    """The archive as far as it reaches, then Kafka: everything a namespace has ever written."""

    def __init__(self, archive: Log, live: Log) -> None:
        self._archive, self._live = archive, live

    def topics(self) -> list[str]:
        """Return the topics of either."""
        return sorted({*self._archive.topics(), *self._live.topics()})

    def partitions(self, topic: str) -> list[int]:
        """Return the topic's partitions of either."""
        return sorted({*self._archive.partitions(topic), *self._live.partitions(topic)})

    def held(self, topic: str, partition: int) -> Held:
        """Return what both hold together; only Kafka's part where a gap lies between them."""
        old, new = self._archive.held(topic, partition), self._live.held(topic, partition)
        if old.first == old.next:
            return new
        if new.first == new.next and new.next <= old.next:
            return old
        if old.next < new.first:
            return new
        return Held(min(old.first, new.first), max(old.next, new.next))

    def read(
        self,
        topic: str,
        partition: int,
        first: int = 0,
        next: int | None = None,
    ) -> Iterator[RawRecord]:
        """Yield the records of [first, next), from the archive while it has them."""
        old = self._archive.held(topic, partition)
        if old.first <= first < old.next:
            seam = old.next if next is None else min(old.next, next)
            yield from self._archive.read(topic, partition, first, seam)
            first = seam
        if next is None or first < next:
            yield from self._live.read(topic, partition, first, next)
