"""Asking the archiver for a seal, over the log, and waiting for its answer."""

from __future__ import annotations

import time
from contextlib import closing

from streamops.client import Client
from streamops.errors import TransportError
from streamops.events import CheckpointSealed
from streamops.settings import Settings
from streamops.views.log import KafkaLog
from streamops.views.seal_events import HOME, seals_on

LOOK_S = 0.2


def ask_for_seal(
    settings: Settings, *, reason: str = "", actor: str | None = None, wait_s: float = 60.0
) -> CheckpointSealed:
    """Return the seal that the archiver makes at a person's request.

    Raises TransportError if none comes in `wait_s` seconds.
    """
    with closing(KafkaLog(settings)) as log:
        seen = log.held(*HOME).next
        client = Client(settings.bootstrap, namespace=settings.namespace, kafka=settings.kafka)
        with client:
            asked = client.request_seal(reason=reason, actor=actor)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            end = log.held(*HOME).next
            for event in seals_on(log, seen):
                if event.request == asked.id:
                    return event
            seen = max(seen, end)
            time.sleep(LOOK_S)
    raise TransportError(
        f"no archiver of namespace {settings.namespace!r} answered in {wait_s:g} s: start one with "
        "`streamops run archiver`, or look at its log (`streamops logs archiver`)"
    )
