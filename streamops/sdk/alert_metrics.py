"""The metrics that an alert rests on, read from Kafka where its proof says they stand."""

from __future__ import annotations

import time
from types import TracebackType

from confluent_kafka import KafkaError, TopicPartition

from streamops import codec
from streamops.errors import InputError, TransportError
from streamops.events import AlertRaised, MetricEvaluated
from streamops.kafka.clients import make_consumer
from streamops.settings import Settings
from streamops.values import MetricRef

PATIENCE_S = 15.0
POLL_S = 0.2


class MetricsBehind:
    """A reader of single records; use it in a `with`."""

    def __init__(self, settings: Settings) -> None:
        self._topic, self._bootstrap = settings.topic("metrics"), settings.bootstrap
        self._consumer = make_consumer(
            settings, "alerts.why", **{"enable.partition.eof": True, "fetch.wait.max.ms": 10}
        )

    def __enter__(self) -> MetricsBehind:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._consumer.close()

    def of(self, alert: AlertRaised) -> list[MetricEvaluated]:
        """Return the evaluated panes that its proof names, those that Kafka still holds.

        Raises TransportError where the broker doesn't answer.
        """
        refs = () if alert.evidence is None else alert.evidence.metrics
        return [event for event in map(self._read, refs) if event is not None]

    def _read(self, ref: MetricRef) -> MetricEvaluated | None:
        partition = int(ref.stamp.source.rpartition("/")[2])
        self._consumer.assign([TopicPartition(self._topic, partition, ref.offset)])
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            message = self._consumer.poll(POLL_S)
            if message is None:
                continue
            error = message.error()
            if error is None:
                event = _event(message.value()) if message.offset() == ref.offset else None
                return event if event is None or event.id == ref.id else None
            if error.code() in (KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET):
                return None
        raise TransportError(f"{self._topic} can't be read: is {self._bootstrap} up?")


def _event(value: bytes | None) -> MetricEvaluated | None:
    try:
        event = codec.decode(value)
    except InputError:
        return None
    return event if isinstance(event, MetricEvaluated) else None
