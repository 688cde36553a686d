"""Topics read from their beginning and then for ever, without a consumer group.

For effects (trainer, gateway) that keep nothing: what they must know stands on small topics, and a
restart reads them again. A record that can't be decoded is passed over: it is the fold's to refuse.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from streamops import codec
from streamops.core.processor import Record
from streamops.errors import InputError, TransportError
from streamops.kafka.clients import make_consumer, take
from streamops.kafka.silence import Silence
from streamops.settings import Settings

LOG = logging.getLogger(__name__)
CHUNK = 1000
TIMEOUT_S = 30.0
RETRY_S = 0.1
# librdkafka mends these by itself; a record's error says only that it has not yet.
_PASSING = frozenset(
    {KafkaError._PARTITION_EOF, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}
)


class Follower:
    """All partitions of some topics, from their beginning.

    client  name of the reader in the broker's eyes
    topics  names without the namespace
    """

    def __init__(self, settings: Settings, client: str, topics: Sequence[str]) -> None:
        self.settings, self._client = settings, client
        # A question on a connection that waits for records waits as long: ask on another one.
        self._asker = make_consumer(settings, f"{client}-asks")
        places = [
            TopicPartition(settings.topic(topic), partition, OFFSET_BEGINNING)
            for topic in topics
            for partition in self._partitions(settings.topic(topic))
        ]
        self._next = {(place.topic, place.partition): 0 for place in places}
        self._silence = Silence(settings)
        self._consumer = self._make()

    def poll(self, timeout_s: float) -> Iterator[Record]:
        """Yield what has come, decoded; wait at most `timeout_s` for the first record."""
        heard = False
        for message in take(self._consumer, CHUNK, timeout_s):
            heard = heard or message.error() is None
            record = self._record(message)
            if record is not None:
                yield record
        if self._silence.is_dead(heard, self._positions):
            LOG.warning("%s fell silent though records wait: client made anew", self._client)
            self._consumer.close()
            self._consumer = self._make()

    def to_end(self) -> Iterator[Record]:
        """Yield everything up to where the topics ended at the call; raises TransportError."""
        ends = self._ends()
        deadline = time.monotonic() + TIMEOUT_S
        while any(self._next[place] < end for place, end in ends.items()):
            before = dict(self._next)
            yield from self.poll(0.1)
            if before != self._next:
                deadline = time.monotonic() + TIMEOUT_S
            elif time.monotonic() > deadline:
                raise TransportError(
                    f"{self.settings.bootstrap} gave no record for {TIMEOUT_S:g} s; is it up?"
                )

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()
        self._asker.close()

    def _make(self) -> Consumer:
        consumer = make_consumer(self.settings, self._client, **{"enable.partition.eof": True})
        consumer.assign(
            [TopicPartition(*place, at or OFFSET_BEGINNING) for place, at in self._next.items()]
        )
        return consumer

    def _positions(self) -> dict[tuple[str, int], int]:
        return {(self.settings.short(t), p): at for (t, p), at in self._next.items()}

    def _partitions(self, topic: str) -> list[int]:
        try:
            found = self._asker.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
        except KafkaException as error:
            raise TransportError(
                f"{self.settings.bootstrap} doesn't answer: {error}; is it up?"
            ) from None
        if found.error is not None or not found.partitions:
            raise TransportError(
                f"topic {topic} can't be read: {found.error}; `streamops topics apply` makes it"
            )
        return sorted(found.partitions)

    def _ends(self) -> dict[tuple[str, int], int]:
        ends: dict[tuple[str, int], int] = {}
        for topic, partition in self._next:
            found = self._watermarks(TopicPartition(topic, partition))
            if found is not None and found[1] > found[0]:
                ends[(topic, partition)] = found[1]
        return ends

    def _watermarks(self, place: TopicPartition) -> tuple[int, int] | None:
        """A partition made a moment ago has a leader that may not know it yet: ask again."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                return self._asker.get_watermark_offsets(place, TIMEOUT_S)
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise TransportError(
                        f"{place.topic} partition {place.partition} can't be read: {error}"
                    ) from None
                time.sleep(RETRY_S)

    def _record(self, message: Message) -> Record | None:
        error = message.error()
        topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._silence.pass_end((self.settings.short(topic), partition), offset or 0)
            if error.code() in _PASSING:
                return None
            raise TransportError(f"{message.topic()} can't be read: {error.str()}; start again")
        assert offset is not None, "a record has an offset"
        self._next[(topic, partition)] = offset + 1
        value = message.value() or b""
        try:
            event = codec.decode(value)
        except InputError:
            return None
        return Record(
            self.settings.short(topic),
            partition,
            offset,
            message.timestamp()[1],
            message.key() or b"",
            value,
            event,
        )
