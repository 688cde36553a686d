"""The end of the log, followed by one consumer.

Rule 1: a client may fall silent for good (librdkafka issues 5178 and 5301). Where records wait and
        none comes for SILENT_S, it is made anew where it stood; nothing is lost or repeated.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from confluent_kafka import Consumer, TopicPartition

from streamops.errors import TransportError
from streamops.kafka.clients import make_consumer, take
from streamops.settings import Settings
from streamops.views.log import KafkaLog, Partition, RawRecord, is_notice, to_raw

LOG = logging.getLogger(__name__)
SILENT_S = 10.0
PATIENCE_S = 2.0


class Tail:
    """Reads on from `starts`; used by one thread, closed after use.

    live    tells where the topics end, over a client of its own
    """

    def __init__(
        self, settings: Settings, client: str, live: KafkaLog, starts: Mapping[Partition, int]
    ) -> None:
        self._settings, self._client, self._live = settings, client, live
        self._next = dict(starts)
        self._passed = dict[Partition, int]()
        self._heard = time.monotonic()
        self._consumer = self._make()

    def close(self) -> None:
        """Give back the connection."""
        self._consumer.close()

    def poll(self, limit: int, timeout_s: float) -> list[RawRecord]:
        """Return the records there are, at most `limit`, waiting for the first one only.

        Raises TransportError for what broker or client report as lost.
        """
        raws = list[RawRecord]()
        for message in take(self._consumer, limit, timeout_s):
            place = self._settings.short(message.topic() or ""), message.partition() or 0
            if is_notice(message):
                # Markers stand at the end: no record will say that they were passed.
                self._passed[place] = message.offset() or 0
            else:
                raws.append(to_raw(place[0], message))
                self._next[place] = self._passed[place] = raws[-1].offset + 1
        self._listen(bool(raws))
        return raws

    def passed(self, place: Partition) -> int:
        """Return the offset up to which a partition was read; 0 before its first answer."""
        return self._passed.get(place, 0)

    def _listen(self, heard: bool) -> None:
        now = time.monotonic()
        if heard:
            self._heard = now
        elif now - self._heard > SILENT_S:
            if self._waits():
                LOG.warning("silent for %.0f s though records wait: client made anew", SILENT_S)
                self._consumer.close()
                self._consumer = self._make()
            self._heard = time.monotonic()

    def _waits(self) -> bool:
        try:
            return any(self._live.end(*p, PATIENCE_S) > self._at(p) for p in self._next)
        except TransportError:
            # A broker that gives no answer: its clients connect again by themselves.
            return False

    def _at(self, place: Partition) -> int:
        return max(self._next[place], self.passed(place))

    def _make(self) -> Consumer:
        consumer = make_consumer(self._settings, self._client, **{"enable.partition.eof": True})
        consumer.assign(
            [TopicPartition(self._settings.topic(t), p, at) for (t, p), at in self._next.items()]
        )
        return consumer
