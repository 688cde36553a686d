"""meter: METER alone, a supervised process a worker."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

from cyclopts import Parameter

from streamops.commands.output import say
from streamops.commands.place import HERE, Place
from streamops.commands.stack import Partitions


def meter(
    *,
    place: Place = HERE,
    workers: Annotated[
        int, Parameter(help="Processes, at most one a partition; they share the partitions.")
    ] = 1,
    partitions: Partitions = None,
) -> None:
    """Run METER's workers in the foreground until Ctrl-C; one that dies is started again.

    A killed worker comes back with the partitions it had. For a machine of its own beside an
    existing Kafka; `streamops up --meter-workers N` runs them within a stack.

    Example: streamops meter --workers 4 --bootstrap kafka:9092 --data /var/lib/streamops
    """
    from streamops.operate.workers import MeterWorkers

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with MeterWorkers(place.settings(partitions), workers) as running:
        shown = ", ".join(f"{name} {port}" for name, port in running.ports.items())
        say(f"{workers} workers; metrics at 127.0.0.1: {shown}; Ctrl-C ends them")
        running.wait(stop)
    say("stopped")
