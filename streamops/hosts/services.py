"""The services that fold, by name: what `streamops run NAME` starts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial

from streamops.core.detect import Detector
from streamops.hosts.backlog import ReadArchive, no_archive
from streamops.hosts.broadcaster import Broadcaster
from streamops.hosts.kafka import KafkaHost
from streamops.hosts.memory import make_fold
from streamops.personal import opener_of
from streamops.settings import Settings


def run_fold(
    settings: Settings,
    name: str,
    stop: threading.Event,
    *,
    make_detector: Callable[[str], Detector] | None = None,
    instance: str = "0",
    read_archive: ReadArchive = no_archive,
) -> None:
    """Run meter, detect, monitor or controller under the confluent-kafka host until `stop`."""
    open_ = opener_of(settings.keys if name == "meter" else None)
    host = KafkaHost(
        settings,
        name,
        lambda partition: make_fold(
            name,
            partition,
            settings.partitions,
            skew_max_ms=settings.skew_ms,
            seal_every=settings.seal_every,
            make_detector=make_detector,
            open_=open_,
        ),
        instance=instance,
        read_archive=read_archive,
    )
    host.run(stop)


def run_control(
    settings: Settings,
    stop: threading.Event,
    *,
    instance: str = "0",
    read_archive: ReadArchive = no_archive,
) -> None:
    """Run MONITOR and CONTROLLER in one process, on the host that `settings.control` names.

    Raises what ends either of them.
    """
    if settings.control == "kafka":
        _run_together(settings, ("monitor", "controller"), stop, instance, read_archive)
        return
    # Faust takes a second and 40 MB: the services of the data plane don't pay for it.
    from streamops.hosts import control

    control.run_control(settings, stop, instance=instance, read_archive=read_archive)


def _run_together(
    settings: Settings,
    names: tuple[str, ...],
    stop: threading.Event,
    instance: str,
    read_archive: ReadArchive,
) -> None:
    """Run folds in a thread each; the first that ends stops the others."""
    ended = _Either(stop)
    run = partial(run_fold, settings, stop=ended, instance=instance, read_archive=read_archive)
    with ThreadPoolExecutor(len(names)) as pool:
        running = [pool.submit(run, name) for name in names]
        wait(running, return_when=FIRST_COMPLETED)
        ended.set()
    for one in running:
        one.result()


class _Either(threading.Event):
    """Set when it or the other event is."""

    def __init__(self, other: threading.Event) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        return super().is_set() or self._other.is_set()


def run_broadcaster(settings: Settings, stop: threading.Event, *, is_standby: bool = False) -> None:
    """Run a broadcaster until `stop`; a standby lets the others be first."""
    Broadcaster(settings, is_standby=is_standby).run(stop)
