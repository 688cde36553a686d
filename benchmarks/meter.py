"""METER on a real broker against the same records consumed, decoded, and counted naively.

python -m benchmarks.meter [ROWS]

raw_consume   every record of predictions and labels consumed
ceiling       consumed and decoded, nothing else
floor         decoded and linked, an outcome's bytes sent for each label (`benchmarks.floor`)
naive         `benchmarks.naive`: the same job in a plain loop
faust         `benchmarks.faust_meter`: the same loop in a Faust agent
stages_us_an_event  where the time of METER's thread went: `streamops_stage_seconds_total`
events_per_s  METER with join, outcomes, summaries and checkpoints: predictions and labels
short_epochs  ceiling and METER of the same rows in SHORT_EPOCHS

An epoch of the whole mix has 80,000 events: what METER takes in about a second, as a tick a second
cuts it under full load. Each epoch closes a pane.
"""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from msgspec.structs import replace

from benchmarks.faust_meter import CHANGELOG
from benchmarks.floor import JobFloor, MeterFloor
from benchmarks.naive import NaiveMeter
from benchmarks.traffic import Mix, send, version_of
from streamops import codec
from streamops.hosts.kafka import KafkaHost
from streamops.hosts.memory import make_fold
from streamops.kafka.admin import create_topics
from streamops.kafka.broker import EmbeddedBroker
from streamops.kafka.clients import make_consumer, make_producer, take
from streamops.kafka.delivery import hand_over_all
from streamops.settings import Settings

PARTITIONS = 4
TOPICS = ("predictions", "labels")
CHUNK = 5000
POLL_S = 0.02
NAIVE_TOPIC = "naive-outcomes"
EPOCHS, SHORT_EPOCHS = 5, 40
MIX = Mix(epochs=EPOCHS)


def main(arguments: list[str]) -> None:
    """Measure and print."""
    print(
        json.dumps(run(Mix(rows=int(arguments[0]), epochs=EPOCHS) if arguments else MIX), indent=1)
    )


def run(mix: Mix) -> dict[str, object]:
    """Measure on a broker of its own."""
    folder = Path(tempfile.mkdtemp(prefix="streamops-bench-"))
    broker = EmbeddedBroker(folder / "broker")
    broker.start()
    try:
        return measure(broker.bootstrap, folder, mix)
    finally:
        broker.stop()
        shutil.rmtree(folder)


def measure(bootstrap: str, folder: Path, mix: Mix) -> dict[str, object]:
    """Send the mix once, then run everyone over it."""
    settings = Settings(
        bootstrap=bootstrap, namespace="bench", data=folder, partitions=PARTITIONS, driven=True
    )
    create_topics({"bootstrap.servers": bootstrap}, settings.namespace, PARTITIONS)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for topic in (NAIVE_TOPIC, f"{settings.namespace}.{CHANGELOG}"):
        admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    last = send(settings, mix)
    consumed = rate(mix, lambda: drain(settings, len))
    ceiling = rate(mix, lambda: drain(settings, codec.decode_all))
    floor = rate(mix, lambda: run_floor(settings, MeterFloor()))
    job = rate(mix, lambda: run_floor(settings, JobFloor([version_of(mix, 0)])))
    naive = rate(mix, lambda: run_naive(settings, mix))
    meter, stages = run_meter(settings, mix, last)
    faust = run_faust(settings, mix)
    in_tables = run_faust(settings, mix, str(PARTITIONS))
    short = run_short(settings, replace(mix, epochs=mix.epochs * SHORT_EPOCHS // EPOCHS))
    return {
        "benchmark": "meter",
        "events": mix.events,
        "raw_consume_events_per_s": consumed,
        "ceiling_events_per_s": ceiling,
        "floor_events_per_s": floor,
        "job_events_per_s": job,
        "naive_events_per_s": naive,
        "events_per_s": meter,
        "stages_us_an_event": stages,
        "ratio_to_ceiling": round(meter / ceiling, 3),
        "floor_to_naive": round(floor / naive, 2),
        "job_to_naive": round(job / naive, 2),
        "job_to_ceiling": round(job / ceiling, 3),
        "ratio_to_naive": round(meter / naive, 2),
        "faust_events_per_s": faust,
        "ratio_to_faust": round(meter / faust, 1),
        "faust_tables_events_per_s": in_tables,
        "ratio_to_faust_tables": round(meter / in_tables, 1),
        "short_epochs": short,
    }


def run_short(settings: Settings, mix: Mix) -> dict[str, object]:
    """METER and its ceiling over shorter epochs, in a namespace of their own."""
    own = replace(settings, namespace="short", data=settings.data / "short")
    create_topics({"bootstrap.servers": own.bootstrap}, own.namespace, PARTITIONS)
    last = send(own, mix)
    ceiling = rate(mix, lambda: drain(own, codec.decode_all))
    meter, stages = run_meter(own, mix, last)
    return {
        "events_an_epoch": mix.events // mix.epochs,
        "ceiling_events_per_s": ceiling,
        "events_per_s": meter,
        "stages_us_an_event": stages,
        "ratio_to_ceiling": round(meter / ceiling, 3),
    }


def rate(mix: Mix, run: Callable[[], object]) -> int:
    """Return events a second of one run."""
    gc.collect()
    started = time.monotonic()
    run()
    return round(mix.events / (time.monotonic() - started))


def drain(settings: Settings, chunk: Callable[[list[bytes]], object]) -> None:
    """Consume both topics from their beginning to their end, a chunk at a time."""
    consumer = make_consumer(settings, "drain")
    places = [
        TopicPartition(settings.topic(topic), partition, 0)
        for topic in TOPICS
        for partition in range(settings.partitions)
    ]
    ends = {(p.topic, p.partition): consumer.get_watermark_offsets(p)[1] for p in places}
    consumer.assign(places)
    while ends:
        messages = take(consumer, CHUNK, 1.0)
        chunk([message.value() or b"" for message in messages])
        for message in messages:
            place = message.topic() or "", message.partition() or 0
            if ends.get(place) == (message.offset() or 0) + 1:
                del ends[place]
    consumer.close()


def run_naive(settings: Settings, mix: Mix) -> None:
    """The plain loop over the same records."""
    producer = make_producer(settings, "naive", **{"linger.ms": 50})

    def write(key: bytes, value: bytes) -> None:
        producer.produce(NAIVE_TOPIC, value, key)
        producer.poll(0)

    meter = NaiveMeter(write, version_of(mix, 0))
    drain(settings, lambda values: [meter.take(value) for value in values])
    producer.flush()


def run_floor(settings: Settings, floor: MeterFloor) -> None:
    """What a proof can't do without, or the job can't, over the same records."""
    producer, key = make_producer(settings, "floor", **{"linger.ms": 50}), b"model"

    def take_some(values: list[bytes]) -> None:
        sent = zip(floor.take(values), repeat(key), repeat(-1), strict=False)
        hand_over_all(producer, NAIVE_TOPIC, sent, lambda error, message: None)

    drain(settings, take_some)
    producer.flush()


def run_faust(settings: Settings, mix: Mix, *in_tables: str) -> int:
    """Return a Faust agent's events a second, from its first record to its last.

    in_tables  the number of partitions, where pending predictions are to outlive the agent
    """
    command = [sys.executable, "-m", "benchmarks.faust_meter", settings.bootstrap]
    wanted = json.dumps([settings.topic(topic) for topic in TOPICS])
    arguments = [settings.namespace, wanted, str(mix.events), str(mix.features), *in_tables]
    done = subprocess.run([*command, *arguments], stdout=subprocess.PIPE, check=True)
    return int(json.loads(done.stdout)["events_per_s"])


def run_meter(settings: Settings, mix: Mix, last: int) -> tuple[int, dict[str, float]]:
    """Return METER's events a second, from its assignment to the last epoch of all partitions, and
    where the microseconds of its thread went, an event; `wait` is for the client's records."""
    host = KafkaHost(
        settings, "meter", lambda p: make_fold("meter", p, settings.partitions, skew_max_ms=None)
    )
    stop = threading.Event()
    thread = threading.Thread(target=host.run, args=(stop,))
    thread.start()

    def wait(holds: Callable[[], bool]) -> float:
        while not holds():
            if not thread.is_alive():
                raise SystemExit("the meter ended; see above")
            time.sleep(POLL_S)
        return time.monotonic()

    started = wait(lambda: len(host.hosts) == settings.partitions)
    ended = wait(lambda: all(each.fold.epoch >= last for each in list(host.hosts.values())))
    stop.set()
    thread.join()
    stages = {
        dict(labels)["stage"]: round(seconds / mix.events * 1e6, 2)
        for name, labels, seconds in host.work.samples()
        if name == "streamops_stage_seconds_total" and isinstance(seconds, float)
    }
    return round(mix.events / (ended - started)), stages


if __name__ == "__main__":
    main(sys.argv[1:])
