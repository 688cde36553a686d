"""What a host writes: stamped records out, acknowledged before a checkpoint or a mark.

A delivery failure ends the process before it checkpoints (EPOCHS 13); the refold sends again.
`progress` records go out only when everything before them is acknowledged (21).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, Message

from streamops import codec
from streamops.core.epochs import Addressed, Folded
from streamops.errors import TransportError
from streamops.kafka.clients import make_producer
from streamops.settings import Settings

FLUSH_S = 0.5


class Sender:
    """A producer that knows what is not acknowledged yet.

    on_sent  called with the topic of each record handed to it
    """

    def __init__(
        self, settings: Settings, client: str, on_sent: Callable[[str], None] = lambda topic: None
    ) -> None:
        self.settings, self._on_sent = settings, on_sent
        self._producer: Any = make_producer(settings, client)
        self._marks: list[Addressed] = []
        self._failed: str = ""
        self.acknowledged: dict[int, int] = {}

    def send(self, folded: Folded) -> None:
        """Queue an epoch's outputs; marks wait for `settle`."""
        for addressed in folded.outputs:
            if addressed.topic == "progress":
                self._marks.append(addressed)
            elif not self._was_acknowledged(addressed, folded.epoch):
                self._produce(addressed)

    def settle(self) -> None:
        """Wait until everything queued is acknowledged, then write the marks likewise."""
        if not self._marks and not len(self._producer):
            return
        self._flush()
        marks, self._marks = self._marks, []
        for mark in marks:
            self._produce(mark)
        if marks:
            self._flush()

    def _was_acknowledged(self, addressed: Addressed, epoch: int) -> bool:
        stamp = getattr(addressed.event, "stamp", None)
        if stamp is None or not stamp.source.startswith("controller/"):
            return False
        return epoch <= self.acknowledged.get(int(stamp.source.rpartition("/")[2]), -1)

    def _produce(self, addressed: Addressed) -> None:
        value = codec.encode(addressed.event)
        where = {} if addressed.partition is None else {"partition": addressed.partition}
        while True:
            try:
                self._producer.produce(
                    self.settings.topic(addressed.topic),
                    value,
                    addressed.key.encode(),
                    on_delivery=self._on_delivery,
                    **where,
                )
                self._on_sent(addressed.topic)
                return
            except BufferError:
                self._producer.poll(0.1)

    def _flush(self) -> None:
        while self._producer.flush(FLUSH_S):
            self._raise_failure()
        self._raise_failure()

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and not self._failed:
            self._failed = f"{message.topic()}: {error.str()}"

    def _raise_failure(self) -> None:
        if self._failed:
            raise TransportError(
                f"a record was not delivered to {self._failed}; the process ends before its "
                "checkpoint and sends it again"
            )
