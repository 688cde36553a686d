"""The end of the log, followed by one consumer.

Rule 1: a client that fell silent for good (`kafka/silence.py`) is made anew where it stood;
        nothing is lost or repeated.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from confluent_kafka import Consumer, TopicPartition

from streamops.kafka.clients import BY_BATCH, make_consumer, take
from streamops.kafka.silence import Silence
from streamops.settings import Settings
from streamops.views.log import Partition, RawRecord, is_notice, to_raw

LOG = logging.getLogger(__name__)
NOTE_EVERY_S = 1.0


class Tail:
    """Reads on from `starts`; used by one thread, closed after use."""

    def __init__(self, settings: Settings, client: str, starts: Mapping[Partition, int]) -> None:
        self._settings, self._client = settings, client
        self._next = dict(starts)
        self._silence = Silence(settings)
        self._noted = time.monotonic()
        self._lags = dict[Partition, int]()
        self._consumer = self._make()

    def lags(self) -> dict[Partition, int]:
        """Return how many records are not read, a partition, as the client knew a second ago."""
        return dict(self._lags)

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
                self._silence.pass_end(place, message.offset() or 0)
            else:
                raws.append(to_raw(place[0], message))
                self._next[place] = raws[-1].offset + 1
                self._silence.pass_end(place, raws[-1].offset + 1)
        if self._silence.is_dead(bool(raws), lambda: self._next):
            LOG.warning("%s fell silent though records wait: client made anew", self._client)
            self._consumer.close()
            self._consumer = self._make()
        if time.monotonic() - self._noted > NOTE_EVERY_S:
            self._note_lags()
        return raws

    def _note_lags(self) -> None:
        self._noted = time.monotonic()
        for topic, partition in self._next:
            place = TopicPartition(self._settings.topic(topic), partition)
            end = self._consumer.get_watermark_offsets(place, cached=True)[1]
            if end >= 0:
                at = max(self._next[(topic, partition)], self.passed((topic, partition)))
                self._lags[(topic, partition)] = max(0, end - at)

    def passed(self, place: Partition) -> int:
        """Return the offset up to which a partition was read; 0 before its first answer."""
        return self._silence.passed(place)

    def _make(self) -> Consumer:
        consumer = make_consumer(self._settings, self._client, **BY_BATCH)
        consumer.assign(
            [TopicPartition(self._settings.topic(t), p, at) for (t, p), at in self._next.items()]
        )
        return consumer
