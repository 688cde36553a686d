"""Reading `alerts` as a consumer that remembers: where it left off, and what it has seen.

Rule 1: the position is committed after an alert was consumed, so a crash shows it again, once.
Rule 2: a processor that restarts sends again; a record is shown only if its revision is above all
        that its fingerprint has shown. The topic is read from its beginning for that: it is small.
Rule 3: no group membership: the group holds the position, each reader reads every partition.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Literal, get_args

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamops import codec
from streamops.errors import ConfigError, InputError, TransportError
from streamops.events import AlertRaised, AlertResolved, AlertSilenced
from streamops.kafka.clients import make_consumer
from streamops.settings import Settings

Alert = AlertRaised | AlertResolved | AlertSilenced
Resume = Literal["last", "earliest", "latest"]

BROKER_TIMEOUT_S = 15.0
POLL_S = 0.2
# Errors that librdkafka mends by itself.
PASSING = (
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
)


class AlertReader:
    """One reader's place in `alerts`; its methods may be called from any thread.

    group  name of the reader in the namespace; its position is kept under it
    resume_from  `last`: after what the group consumed, or the beginning; `earliest`: the beginning
                 again; `latest`: only what comes from now on

    Raises ConfigError for another `resume_from`, TransportError when the broker doesn't answer or
    the topic isn't there.
    """

    def __init__(self, settings: Settings, *, group: str, resume_from: Resume = "last") -> None:
        if resume_from not in get_args(Resume):
            raise ConfigError(f"resume_from is {resume_from!r}; use one of {get_args(Resume)}")
        self._lock = threading.Lock()
        self._topic = settings.topic("alerts")
        self._revisions: dict[str, int] = {}
        self._ended: set[int] = set()
        self._consumed: Message | None = None
        self._consumer: Consumer | None = make_consumer(
            settings,
            f"alerts.{group}",
            **{
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
            },
        )
        try:
            self._starts = self._find_starts(self._consumer, resume_from)
            beginning = [TopicPartition(self._topic, p, 0) for p in self._starts]
            self._consumer.assign(beginning)
        except KafkaException as error:
            self.close()
            raise TransportError(
                f"{self._topic} can't be read: {error.args[0].str()}; is {settings.bootstrap} up?"
            ) from error

    @property
    def caught_up(self) -> bool:
        """Whether the end of every partition was reached."""
        return self._ended >= self._starts.keys()

    def poll(self, timeout_s: float) -> Alert | None:
        """The next alert not yet shown, or None after at most `timeout_s`.

        Raises TransportError for an error that won't pass by itself.
        """
        with self._lock:
            if self._consumer is None:
                return None
            message = self._consumer.poll(timeout_s)
            return None if message is None else self._read(message)

    def commit(self) -> None:
        """Keep the position behind the alert that `poll` returned last."""
        with self._lock:
            if self._consumer is not None and self._consumed is not None:
                self._consumer.commit(message=self._consumed)

    def close(self) -> None:
        """Commit what is on its way and leave; a second call does nothing."""
        with self._lock:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    def _find_starts(self, consumer: Consumer, resume_from: Resume) -> dict[int, int]:
        found = consumer.list_topics(self._topic, timeout=BROKER_TIMEOUT_S).topics[self._topic]
        if not found.partitions:
            self.close()
            raise TransportError(
                f"topic {self._topic} isn't there; `streamops topics apply` creates it"
            )
        places = [TopicPartition(self._topic, p) for p in sorted(found.partitions)]
        if resume_from == "earliest":
            return {place.partition: 0 for place in places}
        if resume_from == "last":
            committed = consumer.committed(places, timeout=BROKER_TIMEOUT_S)
            return {place.partition: max(place.offset, 0) for place in committed}
        return {
            place.partition: consumer.get_watermark_offsets(place, timeout=BROKER_TIMEOUT_S)[1]
            for place in places
        }

    def _read(self, message: Message) -> Alert | None:
        error = message.error()
        if error is not None:
            self._meet(error, message.partition())
            return None
        partition, offset = message.partition(), message.offset()
        assert partition is not None, "a record lies in a partition"
        assert offset is not None, "a record has an offset"
        alert = as_alert(message.value())
        if alert is None or alert.revision <= self._revisions.get(alert.fingerprint, -1):
            return None
        self._revisions[alert.fingerprint] = alert.revision
        if offset < self._starts[partition]:
            return None
        self._consumed = message
        return alert

    def _meet(self, error: KafkaError, partition: int | None) -> None:
        if error.code() == KafkaError._PARTITION_EOF and partition is not None:
            self._ended.add(partition)
        elif error.code() not in PASSING:
            raise TransportError(f"{self._topic} can't be read: {error.str()}")


def as_alert(value: bytes | None) -> Alert | None:
    """The alert a record holds; None for any other record: it is for others to refuse it."""
    try:
        event = codec.decode(value)
    except InputError:
        return None
    return event if isinstance(event, (AlertRaised, AlertResolved, AlertSilenced)) else None


class Patience:
    """When a reader stops: at the end of the log unless it follows, or after a silence.

    timeout_s  seconds without an alert; None waits for ever
    """

    def __init__(self, *, follow: bool, timeout_s: float | None) -> None:
        self._follow = follow
        self._timeout_s = timeout_s
        self._since = time.monotonic()

    def renew(self) -> None:
        """An alert came."""
        self._since = time.monotonic()

    def is_over(self, reader: AlertReader) -> bool:
        """Whether to stop, after a poll that brought nothing."""
        if not self._follow and reader.caught_up:
            return True
        return self._timeout_s is not None and time.monotonic() - self._since >= self._timeout_s


def read_alerts(reader: AlertReader, patience: Patience) -> Iterator[Alert]:
    """Alerts as they come; each is committed when the next is asked for."""
    try:
        while True:
            alert = reader.poll(POLL_S)
            if alert is not None:
                yield alert
                reader.commit()
                patience.renew()
            elif patience.is_over(reader):
                return
    finally:
        reader.close()
