"""How a client on the embedded broker's machine knows that its disk is nearly full.

The embedded broker listens on 127.0.0.1 only, and tells where its log lies; the floor stands beside
it. The question is asked once, in the background: until it is answered nothing is refused, and a
Kafka elsewhere is never asked.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource

from streamops.disk import FLOOR_NAME, Disk, read_floor
from streamops.kafka.clients import base_conf, build
from streamops.settings import Settings

NODE = "1"
ASK_TIMEOUT_S = 5.0
ASK_AGAIN_S = 30.0
LOOPBACK = ("127.0.0.1:", "localhost:")


class BrokerDisk:
    """The disk under the broker, once it is known; any thread may check."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._disk: Disk | None = None
        self._asked: Future[Any] | None = None
        self._admin: AdminClient | None = None
        self._is_known = not settings.bootstrap.startswith(LOOPBACK)
        self._due = 0.0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise TransportError, naming folder, free space and floor, where it is below its floor;
        returns at once while that isn't known."""
        if not self._is_known:
            self._find()
        if self._disk is not None:
            self._disk.check()

    def _find(self) -> None:
        if not self._lock.acquire(blocking=False):
            return  # another thread is at it
        try:
            if self._asked is None:
                if time.monotonic() >= self._due:
                    self._ask()
            elif self._asked.done():
                self._note(self._asked)
        finally:
            self._lock.release()

    def _ask(self) -> None:
        self._due = time.monotonic() + ASK_AGAIN_S
        self._admin = build(AdminClient, {**base_conf(self._settings, "disk"), "log_level": 0})
        broker = ConfigResource(ConfigResource.Type.BROKER, NODE)
        answers = self._admin.describe_configs([broker], request_timeout=ASK_TIMEOUT_S)
        self._asked = answers[broker]

    def _note(self, asked: Future[Any]) -> None:
        self._asked = self._admin = None
        try:
            found = asked.result()
        except KafkaException:
            return
        log = Path(found["log.dir"].value or "")
        file = log.parent / FLOOR_NAME
        floor = read_floor(file) if log.is_absolute() else None
        self._disk = None if floor is None else Disk(floor, file)
        self._is_known = True
