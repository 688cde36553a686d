"""The naive meter as a Faust agent: one stream over both topics, outcomes sent as they fall.

    python -m benchmarks.faust_meter BOOTSTRAP NAMESPACE TOPICS EVENTS FEATURES [PARTITIONS]

Prints events a second, from the first record to the last. With PARTITIONS, those of the topics,
pending predictions are in a Faust table, which outlives the worker in its changelog; without, in a
dictionary, which is gone with it. Panes are in dictionaries either way.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import faust

from benchmarks.naive import NaiveMeter
from benchmarks.traffic import Mix, version_of

OUT = "naive-outcomes"
IN_MEMORY, IN_TABLES = "naive-faust", "naive-faust-tables"
PENDING = "pending"
CHANGELOG = f"{IN_TABLES}-{PENDING}-changelog"
WATCH_S = 0.05
STALL_S = 60.0


def make_app(bootstrap: str, name: str, folder: Path) -> Any:
    """The application; what Faust keeps lies in a folder that goes, not where the bench is run."""
    return faust.App(
        name,
        broker=f"kafka://{bootstrap}",
        store="memory://",
        consumer_auto_offset_reset="earliest",
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        web_enabled=False,
        datadir=folder,
    )


async def measure(arguments: list[str], folder: Path) -> int:
    """Run the agent until it took all events."""
    bootstrap, namespace, topics, events, features, *partitions = arguments
    app = make_app(bootstrap, f"{namespace}.{IN_TABLES if partitions else IN_MEMORY}", folder)
    out = app.topic(OUT, value_serializer="raw", key_serializer="raw")
    written: list[tuple[bytes, bytes]] = []
    meter = NaiveMeter(
        lambda key, value: written.append((key, value)),
        version_of(Mix(features=int(features)), 0),
    )
    if partitions:
        meter.pending = app.Table(PENDING, partitions=int(partitions[0]))
    state = {"taken": 0, "first": 0.0, "last": 0.0}

    @app.agent(app.topic(*json.loads(topics), value_serializer="raw", key_serializer="raw"))
    async def join(stream: Any) -> None:
        async for value in stream:
            event = json.loads(value)
            if event["type"] in ("PredictionMade", "LabelArrived"):
                state["first"] = state["first"] or time.monotonic()
                meter.take_event(event)
                state["taken"], state["last"] = state["taken"] + 1, time.monotonic()
            for key, what in written:
                await out.send(key=key, value=what)
            written.clear()

    app.finalize()
    await app.start()
    started = time.monotonic()
    while state["taken"] < int(events):
        await asyncio.sleep(WATCH_S)
        if time.monotonic() - max(started, state["last"]) > STALL_S:
            raise SystemExit(f"Faust took {state['taken']} of {events} events and no more")
    await app.stop()
    return round(int(events) / (state["last"] - state["first"]))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        taken = asyncio.run(measure(sys.argv[1:], Path(folder)))
    print(json.dumps({"events_per_s": taken}))
