"""Records that were too large for the broker: their error names its limit, which is asked for.

A broker may take less than a topic's declaration says, and its refusal doesn't tell how much. The
question goes out in the background with the first such record of a topic. The error is told once
it is answered; whoever flushes waits for that, and is told without the limit where none came.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource

from streamops.errors import InputError
from streamops.kafka.clients import base_conf, build
from streamops.settings import Settings

SETTING = "max.message.bytes"
ASK_TIMEOUT_S = 5.0


class Oversized:
    """What came back as too large and isn't told yet; any thread may add and ask."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, Future[Any]]] = []
        self._asked: dict[str, Future[Any]] = {}
        self._admin: AdminClient | None = None

    def add(self, topic: str, what: str) -> None:
        """Note a record of a topic, by its full name, and ask for the topic's limit."""
        with self._lock:
            if topic not in self._asked:
                self._asked[topic] = self._ask(topic)
            self._waiting.append((what, self._asked[topic]))

    def answered(self) -> list[InputError]:
        """The errors of records whose limit is known by now; each once, at once."""
        if not self._waiting:
            return []
        with self._lock:
            told = [(what, asked) for what, asked in self._waiting if asked.done()]
            self._waiting = [pair for pair in self._waiting if pair not in told]
            self._forget(told)
        return [error_of(what, limit_of(asked)) for what, asked in told]

    def all(self, timeout_s: float) -> list[InputError]:
        """The errors of all records, after waiting for their limits so long at most."""
        with self._lock:
            told, self._waiting = self._waiting, []
            self._forget(told)
        wait({asked for _, asked in told}, timeout_s)
        return [error_of(what, limit_of(asked)) for what, asked in told]

    def _ask(self, topic: str) -> Future[Any]:
        if self._admin is None:
            self._admin = build(AdminClient, {**base_conf(self._settings, "limit"), "log_level": 0})
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        answers = self._admin.describe_configs([resource], request_timeout=ASK_TIMEOUT_S)
        asked: Future[Any] = answers[resource]
        return asked

    def _forget(self, told: list[tuple[str, Future[Any]]]) -> None:
        """Ask again for a later record: the limit may have been changed by then."""
        ended = [asked for _, asked in told]
        self._asked = {topic: asked for topic, asked in self._asked.items() if asked not in ended}


def limit_of(asked: Future[Any]) -> int | None:
    """Bytes that the topic takes; None where the broker didn't say."""
    if not asked.done():
        return None
    try:
        return int(asked.result()[SETTING].value)
    except (KafkaException, KeyError, TypeError, ValueError):
        return None


def error_of(what: str, limit: int | None) -> InputError:
    """The error of one record, with the limit where it is known."""
    told = "the broker's limit" if limit is None else f"the broker's limit of {limit:,} ({SETTING})"
    return InputError(f"{what}, more than {told}: send less in one record, or raise it")
