"""What a host writes: stamped records out, acknowledged before a checkpoint or a mark.

A delivery failure ends the process before it checkpoints (EPOCHS 13); the refold sends again.
`progress` records go out only when everything before them is acknowledged (21).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, Message

from streamops import codec
from streamops.core.epochs import Folded
from streamops.core.output_rows import Addressed, AddressedRows
from streamops.errors import TransportError
from streamops.hosts.work import Work
from streamops.kafka.clients import make_producer
from streamops.kafka.delivery import flush_all, hand_over, hand_over_all
from streamops.settings import Settings

ANY_PARTITION = -1


class Sender:
    """A producer that knows what is not acknowledged yet.

    on_sent  called with a topic and how many records for it were handed over
    work     counts the time that it takes
    """

    def __init__(
        self,
        settings: Settings,
        client: str,
        on_sent: Callable[[str, int], None] = lambda topic, records: None,
        work: Work | None = None,
    ) -> None:
        self.settings, self._on_sent = settings, on_sent
        self._work = work or Work(client)
        self._producer: Any = make_producer(
            settings, client, **{"delivery.report.only.error": True}
        )
        self._names: dict[str, str] = {}
        self._marks: list[Addressed] = []
        self._failed: str = ""
        self.acknowledged: dict[int, int] = {}

    def send(self, folded: Folded) -> None:
        """Queue an epoch's outputs; marks wait for `settle`."""
        sent: Counter[str] = Counter()
        with self._work.stage("produce"):
            for part in folded.outputs.parts:
                if isinstance(part, AddressedRows):
                    self._produce_all(part)
                    sent[part.topic] += len(part)
                    continue
                for addressed in part:
                    if addressed.topic == "progress":
                        self._marks.append(addressed)
                    elif not self._was_acknowledged(addressed, folded.epoch):
                        self._produce(addressed)
                        sent[addressed.topic] += 1
        for topic, records in sent.items():
            self._on_sent(topic, records)

    def settle(self) -> None:
        """Wait until everything queued is acknowledged, then write the marks likewise."""
        if not self._marks and not len(self._producer):
            return
        with self._work.stage("produce"):
            self._settle()

    def _settle(self) -> None:
        self._flush()
        marks, self._marks = self._marks, []
        for mark in marks:
            self._produce(mark)
        if marks:
            self._on_sent("progress", len(marks))
            self._flush()

    def serve(self) -> None:
        """Write the marks that wait, or only look after what was delivered."""
        if self._marks:
            self.settle()
        self._producer.poll(0)
        self._raise_failure()

    def _was_acknowledged(self, addressed: Addressed, epoch: int) -> bool:
        stamp = getattr(addressed.made, "stamp", None)
        if stamp is None or not stamp.source.startswith("controller/"):
            return False
        return epoch <= self.acknowledged.get(int(stamp.source.rpartition("/")[2]), -1)

    def _produce(self, addressed: Addressed) -> None:
        topic, partition, key, _, value = addressed
        value = value or codec.encode(addressed.event)
        where = ANY_PARTITION if partition is None else partition
        name = self._name(topic)
        hand_over(self._producer, name, value, key.encode(), where, self._on_delivery)

    def _produce_all(self, rows: AddressedRows) -> None:
        name, keys = self._name(rows.topic), {key: key.encode() for key in set(rows.keys)}
        hand_over_all(
            self._producer,
            name,
            zip(rows.values, map(keys.__getitem__, rows.keys), rows.partitions, strict=True),
            self._on_delivery,
        )

    def _name(self, topic: str) -> str:
        name = self._names.get(topic)
        if name is None:
            name = self._names[topic] = self.settings.topic(topic)
        return name

    def _flush(self) -> None:
        flush_all(self._producer, self.settings, self._raise_failure)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and not self._failed:
            self._failed = f"{message.topic()}: {error.str()}"

    def _raise_failure(self) -> None:
        if self._failed:
            raise TransportError(
                f"a record was not delivered to {self._failed}; the process ends before its "
                "checkpoint and sends it again"
            )
