"""The services that fold, by name: what `streamops run NAME` starts."""

from __future__ import annotations

import threading
from collections.abc import Callable

from streamops.core.detect import Detector
from streamops.hosts.broadcaster import Broadcaster
from streamops.hosts.kafka import KafkaHost
from streamops.hosts.memory import make_fold
from streamops.settings import Settings


def run_fold(
    settings: Settings,
    name: str,
    stop: threading.Event,
    *,
    make_detector: Callable[[str], Detector] | None = None,
    instance: str = "0",
) -> None:
    """Run meter, detect, monitor or controller under the confluent-kafka host until `stop`."""
    host = KafkaHost(
        settings,
        name,
        lambda partition: make_fold(
            name,
            partition,
            settings.partitions,
            skew_max_ms=settings.skew_ms,
            make_detector=make_detector,
        ),
        instance=instance,
    )
    host.run(stop)


def run_broadcaster(settings: Settings, stop: threading.Event) -> None:
    """Run the broadcaster until `stop`."""
    Broadcaster(settings).run(stop)
