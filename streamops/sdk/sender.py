"""From an event to a record on its topic: buffered, bounded, checked before it is taken.

Rule 1: a record that a reader would refuse is refused here, as InputError, to the one who made it.
Rule 2: `send` returns once the record is in the buffer. What happens to it later is told by
        `on_error`, and raised by the next `send`, `flush` or `close`.
Rule 3: nothing is dropped in silence: a full buffer, an expiry, an exit before delivery.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamops import codec
from streamops.core.refusal import CONCLUSION_BYTES_MAX
from streamops.errors import InputError, ServiceError, TransportError
from streamops.events import ConfigApplied, Event, ModelRegistered
from streamops.kafka.clients import make_producer
from streamops.sdk.address import address
from streamops.sdk.disk import BrokerDisk
from streamops.sdk.oversized import Oversized
from streamops.settings import Settings
from streamops.topics import load_topics

CLOSE_TIMEOUT_S = 10.0
BLOCK_POLL_S = 0.05
# librdkafka looks for expired records once a second.
EXPIRY_SCAN_S = 2.0
# An epoch waits for its tick, so nobody misses what a record waits here for others to go with it;
# a request for every few records costs the broker more than they do (071). `flush` sends at once.
LINGER_MS = 50
# What Kafka's record and batch headers add at most to key, value and headers, bytes.
RECORD_OVERHEAD = 128
BUFFER_KBYTES = 262_144
TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE)

# A person's command is taken whatever the disk says: it is small, and may be what makes room.
INGEST = ("predictions", "labels")
CONTENT_TYPES = {"json": "application/json", "msgpack": "application/msgpack"}


Headers = list[tuple[str, str | bytes | None]]


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """How a client sends.

    source    who sends, a URI reference; with the id it makes a record unique (CloudEvents)
    encoding  of the value
    buffer    most records that wait for the broker; 256 MiB bound them too
    on_full   what a full buffer does to `send`: raise TransportError, or block
    delivery_timeout_s  how long a record is tried, and how long a full buffer blocks
    on_error  called with each delivery failure, from the call that learns of it
    """

    source: str
    encoding: Literal["json", "msgpack"] = "json"
    buffer: int = 100_000
    on_full: Literal["raise", "block"] = "raise"
    delivery_timeout_s: float = 300.0
    on_error: Callable[[ServiceError], None] | None = None


class Sender:
    """One producer; safe to share between threads."""

    def __init__(self, settings: Settings, sending: Sending) -> None:
        self.settings = settings
        self.sending = sending
        self.closed = False
        self._lock = threading.Lock()
        self._failures: list[ServiceError] = []
        self._disk = BrokerDisk(settings)
        self._oversized = Oversized(settings)
        timeout_ms = max(1, round(sending.delivery_timeout_s * 1000))
        self._producer = make_producer(
            settings,
            "client",
            **{
                # Who gives up sooner than that gathers for half as long.
                "linger.ms": min(LINGER_MS, timeout_ms / 2),
                "message.timeout.ms": timeout_ms,
                "queue.buffering.max.messages": sending.buffer,
                "queue.buffering.max.kbytes": BUFFER_KBYTES,
            },
        )
        self._at_exit = weakref.finalize(self, flush_at_exit, self._producer, settings.bootstrap)

    def send(self, event: Event) -> None:
        """Check, encode and buffer an event; raises as `send_all` does."""
        self.send_all((event,))

    def send_all(self, events: Sequence[Event]) -> None:
        """Check and encode events, then buffer them: none of them where one can't be sent.

        Raises InputError for what readers would refuse or the broker's limit forbids;
        TransportError for earlier records that were not delivered (this one is then not taken
        either), for a full buffer, and for a prediction or label while the embedded broker's disk
        is below its floor.
        """
        if self.closed:
            raise RuntimeError("the client is closed; make another")
        self._serve(0)
        self._note(self._oversized.answered())
        self._raise_failures("; the record of this call was not taken, send it again")
        for record in [self._record(event) for event in events]:
            self._produce(*record)

    def _record(self, event: Event) -> tuple[str, str, bytes, Headers]:
        topic, key = address(event)
        if topic in INGEST:
            self._disk.check()
        value = encoded(event, self.sending.encoding)
        headers = cloud_headers(event, self.sending)
        check_size(event, topic, len(key.encode()) + len(value) + headers_size(headers))
        return self.settings.topic(topic), key, value, headers

    def flush(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Return once every record was acknowledged; TransportError for each that was not."""
        deadline = time.monotonic() + timeout_s
        left = self._producer.flush(timeout_s)
        self._note(self._oversized.all(max(0.0, deadline - time.monotonic())))
        self._raise_failures("")
        if left:
            raise TransportError(
                f"{left} records are undelivered after {timeout_s:g} s; they are tried on for "
                f"delivery_timeout_s={self.sending.delivery_timeout_s:g}: is "
                f"{self.settings.bootstrap} up?"
            )

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Flush and end; a second call does nothing. Raises TransportError as `flush` does."""
        if not self.closed:
            self.closed = True
            self._at_exit.detach()
            self.flush(timeout_s)

    def _produce(self, topic: str, key: str, value: bytes, headers: Headers) -> None:
        deadline = time.monotonic() + self.sending.delivery_timeout_s + EXPIRY_SCAN_S
        while True:
            try:
                self._producer.produce(
                    topic, value, key, headers=headers, on_delivery=self._delivered
                )
                return
            except BufferError:
                self._wait_or_raise(deadline)
            except KafkaException as error:
                raise TransportError(f"{topic} takes no record: {error.args[0].str()}") from error

    def _wait_or_raise(self, deadline: float) -> None:
        blocks = self.sending.on_full == "block"
        if not blocks or time.monotonic() > deadline:
            way_out = "" if blocks else ', or set on_full="block"'
            raise TransportError(f"the buffer is full: {self._bound()}{way_out}")
        self._serve(BLOCK_POLL_S)

    def _bound(self) -> str:
        """Which of the buffer's two bounds was hit, and what helps."""
        waiting = len(self._producer)
        if waiting >= self.sending.buffer:
            return (
                f"buffer={self.sending.buffer} (queue.buffering.max.messages) records wait for the "
                "broker; send slower or raise it"
            )
        return (
            f"the {waiting:,} records that wait for the broker fill its {BUFFER_KBYTES / 1024:g} "
            "MiB (queue.buffering.max.kbytes); send slower or less in one record"
        )

    def _serve(self, timeout_s: float) -> None:
        self._producer.poll(timeout_s)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            return
        if error.code() in TOO_LARGE:
            size = len(message.value() or b"")
            what = f"{record_of(error, message)}; its value has {size:,} bytes"
            self._oversized.add(message.topic() or "", what)
        else:
            self._note([delivery_failure(error, message)])

    def _note(self, failures: Sequence[ServiceError]) -> None:
        for failure in failures:
            with self._lock:
                self._failures.append(failure)
            if self.sending.on_error is not None:
                self.sending.on_error(failure)

    def _raise_failures(self, consequence: str) -> None:
        if not self._failures:
            return
        with self._lock:
            failures, self._failures = self._failures, []
        kind = InputError if isinstance(failures[0], InputError) else TransportError
        raise kind(f"{len(failures)} not delivered; the first: {failures[0]}{consequence}")


def encoded(event: Event, encoding: str) -> bytes:
    """The record's value, read once as every reader will; InputError for what they would refuse."""
    try:
        for name in event.__struct_fields__:
            field = getattr(event, name)
            if type(field) is not str:
                codec.refuse_not_finite(name, field)
        value = codec.pack(event) if encoding == "msgpack" else codec.encode(event)
    except (TypeError, OverflowError, UnicodeEncodeError) as error:
        raise InputError(
            f"{type(event).__name__} {event.id!r} can't be written: {error}; see topics/schemas"
        ) from None
    codec.decode(value)
    return value


def cloud_headers(event: Event, sending: Sending) -> Headers:
    """CloudEvents 1.0 attributes, Kafka protocol binding, binary content mode."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.id.encode()),
        ("ce_source", sending.source.encode()),
        ("ce_type", type(event).__name__.encode()),
        ("ce_time", event.time.isoformat().encode()),
        ("content-type", CONTENT_TYPES[sending.encoding].encode()),
    ]


def headers_size(headers: Headers) -> int:
    """Bytes of headers in a record, lengths included."""
    return sum(len(name) + len(value or "") + 4 for name, value in headers)


@cache
def size_limit(topic: str) -> int:
    """The topic's max.message.bytes as declared."""
    return load_topics()[topic].max_bytes


def check_size(event: Event, topic: str, size: int) -> None:
    """InputError for a record larger than its topic's declared max.message.bytes.

    What is activated goes into other records as a whole, and has to leave them room.
    """
    limit = size_limit(topic)
    if isinstance(event, ConfigApplied | ModelRegistered):
        limit = min(limit, CONCLUSION_BYTES_MAX)
    if size + RECORD_OVERHEAD > limit:
        raise InputError(
            f"{type(event).__name__} {event.id!r} has {size:,} bytes; {topic} takes {limit:,} less "
            f"{RECORD_OVERHEAD} (max.message.bytes): send less in one record"
        )


def record_of(error: KafkaError, message: Message) -> str:
    """Which record came back, and why."""
    key = (message.key() or b"").decode(errors="replace")
    return f"{message.topic()}, key {key!r}: {error.str()}"


def delivery_failure(error: KafkaError, message: Message) -> TransportError:
    """What went wrong with one record on its way."""
    what = record_of(error, message)
    if error.code() in (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART):
        return TransportError(f"{what}; `streamops topics apply` creates a namespace's topics")
    return TransportError(what)


def flush_at_exit(producer: Producer, bootstrap: str) -> None:
    left = producer.flush(CLOSE_TIMEOUT_S)
    if left:
        print(f"streamops: {left} records were lost at exit: no answer from {bootstrap} in "
              f"{CLOSE_TIMEOUT_S:g} s", file=sys.stderr)  # fmt: skip
