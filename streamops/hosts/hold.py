"""A worker that reads nothing while the disk is low, and keeps its place in the group."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import Consumer, TopicPartition

from streamops.disk import Disk


class Hold:
    """Pauses a consumer while the disk is low.

    is_kept  whether a topic's partition stays paused, for a reason of its own, when there is room
    """

    def __init__(self, consumer: Consumer, disk: Disk, is_kept: Callable[[str, int], bool]) -> None:
        self._consumer, self._disk, self._is_kept = consumer, disk, is_kept
        self.is_on = False

    def keep(self) -> bool:
        """Pause or go on as the disk says; whether nothing is to be taken now.

        Asked each round: what is assigned meanwhile is paused too.
        """
        if self._disk.is_low():
            self.is_on = True
            self._consumer.pause(self._consumer.assignment())
        elif self.is_on:
            self.is_on = False
            places: list[TopicPartition] = self._consumer.assignment()
            self._consumer.resume([p for p in places if not self._is_kept(p.topic, p.partition)])
        return self.is_on
