"""Bad input on a live namespace: each record is dead-lettered with a reason that names field, value
and fix, or counted as specified; and the workers go on.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import pytest

from streamops import codec
from streamops.config import ModelConfig, config_hash
from streamops.events import (
    ActivationDelivered,
    ConfigApplied,
    Event,
    LabelArrived,
    ModelRegistered,
    OutcomeJoined,
    PaneSummarized,
    PredictionMade,
    RecordRefused,
    Tick,
)
from streamops.hosts.services import run_broadcaster
from streamops.kafka.admin import delete_namespace
from streamops.kafka.clients import make_producer
from streamops.kafka.follow import Follower
from streamops.settings import Settings
from streamops.versions import profile_hash
from tests.builders import MODEL, at, config, version
from tests.hosting import PATIENCE_S, control, fold, new_settings, running

NAN = float("nan")
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)
FAR_EPOCH = 90_000
CONFIG: ModelConfig = config(pane_s=1, allowed_lateness_s=3, maturity_s=3, horizon_s=8)


class Bad(NamedTuple):
    """A record no worker can use, and what its dead letter has to say."""

    topic: str
    value: bytes
    reason: str
    fault: str = "producer"


def plain(**fields: Any) -> dict[str, Any]:
    """A prediction as a stranger's program might build it."""
    given = {"type": "PredictionMade", "id": "bad", "time": datetime.now(UTC), "model": MODEL}
    return {**given, "version": "v1", "prediction": 1, "score": 0.5, "features": {}, **fields}


def applied(settings: ModelConfig) -> bytes:
    """A configuration as someone may write it who doesn't use the SDK."""
    hash_ = config_hash(settings)
    return codec.encode(
        ConfigApplied(
            id="unfit", time=datetime.now(UTC), config=settings, config_hash=hash_, actor="ann"
        )
    )


def without_bins() -> bytes:
    """A version whose first column has no counts, as a stranger's trainer may register it."""
    made = version("v9")
    first, *others = made.profile.features
    profile = msgspec.structs.replace(
        made.profile, features=(msgspec.structs.replace(first, counts=()), *others)
    )
    unfit = msgspec.structs.replace(made, profile=profile, profile_hash=profile_hash(profile))
    return codec.encode(ModelRegistered(id="unfit", time=datetime.now(UTC), version=unfit))


def bad_records() -> dict[str, Bad]:
    nan_text = msgspec.json.encode(plain(features={"x": 0})).replace(b'"x":0', b'"x":NaN')
    future_tick = codec.encode(Tick(id="far", time=FUTURE, epoch=FAR_EPOCH))
    old_tick = codec.encode(Tick(id="old", time=at(0), epoch=FAR_EPOCH))
    ahead = r"time is 2100-01-01.*60000 ms.*set the producer's clock"
    tick_ahead = r"tick's time is 2100-01-01.*ahead.*only the broadcaster may write ticks"
    tick_back = r"tick's time is 1970-01-01.*before.*only the broadcaster may write ticks"
    return {
        "not JSON": Bad("predictions", b"hello", r"value can't be read.*see topics/schemas"),
        "not JSON, a label": Bad("labels", b"{", r"value can't be read.*see topics/schemas"),
        "not JSON, a command": Bad("lifecycle", b"]", r"value can't be read.*see topics/schemas"),
        "nothing at all": Bad("labels", b"", r"value is empty.*send a JSON or MessagePack object"),
        "an unknown type": Bad(
            "predictions", b'{"type":"Guess","id":"1"}', r"Guess.*see topics/schemas"
        ),
        "a wrong type of score": Bad(
            "predictions",
            msgspec.json.encode(plain(score="high")),
            r"Expected `float \| null`, got `str` - at `\$\.score`.*see topics/schemas",
        ),
        "a time that is a number": Bad(
            "predictions", msgspec.json.encode(plain(time=12)), r"datetime.*int.*\$\.time"
        ),
        "a time without a zone": Bad(
            "predictions",
            msgspec.json.encode(plain(time="2026-01-01T00:00:00")),
            r"time is 2026-01-01T00:00:00 without a zone; add one",
        ),
        "a label on predictions": Bad(
            "predictions",
            codec.encode(LabelArrived(id="x", time=datetime.now(UTC), prediction_id="p", label=1)),
            r"type is LabelArrived; it doesn't belong on predictions",
        ),
        "NaN in features": Bad(
            "predictions",
            msgspec.msgpack.encode(plain(features={"x": NAN})),
            r"features\.x is nan; send a finite number, or leave it out",
        ),
        "NaN as score": Bad(
            "predictions",
            msgspec.msgpack.encode(plain(score=NAN)),
            r"score is nan; send a finite number, or leave it out",
        ),
        "NaN in JSON": Bad("predictions", nan_text, r"NaN.*send null"),
        "a prediction from 2100": Bad(
            "predictions", msgspec.json.encode(plain(time=FUTURE)), ahead
        ),
        "a label from 2100": Bad(
            "labels",
            codec.encode(LabelArrived(id="x", time=FUTURE, prediction_id="good", label=1)),
            ahead,
        ),
        "a tick from 2100": Bad("predictions", future_tick, tick_ahead),
        "a tick from 2100 on lifecycle": Bad("lifecycle", future_tick, tick_ahead),
        "a tick from 1970": Bad("predictions", old_tick, tick_back),
        "a tick from 1970 on lifecycle": Bad("lifecycle", old_tick, tick_back),
        "panes of no length": Bad(
            "lifecycle", applied(msgspec.structs.replace(CONFIG, pane_s=0)), r"pane_s is 0; use 1"
        ),
        "a version without bins": Bad(
            "lifecycle", without_bins(), r"feature 'x': counts is 0; give \d+: below, inner bins"
        ),
        "a label for nothing": Bad(
            "labels",
            codec.encode(
                LabelArrived(id="x", time=datetime.now(UTC), prediction_id="nobody", label=1)
            ),
            r"prediction_id is 'nobody'; no prediction with this id came.*send the id",
        ),
    }


NAMES = sorted(bad_records())


class Told(NamedTuple):
    """What the log held in the end: dead letters by topic and bytes, summaries and outcomes."""

    bad: dict[str, Bad]
    refused: dict[tuple[str, bytes], RecordRefused]
    summaries: list[PaneSummarized]
    outcomes: list[OutcomeJoined]


class Log:
    """A live namespace as producers and readers have it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.producer = make_producer(settings, "stranger")
        self.seen: list[Event] = []

    def write(self, topic: str, key: str, value: bytes) -> None:
        self.producer.produce(self.settings.topic(topic), value, key.encode())

    def predict(self, id: str, **fields: Any) -> None:
        given = {"model": MODEL, "version": "v1", "prediction": 1, "score": 0.75}
        event = PredictionMade(**{"id": id, "time": datetime.now(UTC), **given, **fields})
        self.write("predictions", id, codec.encode(event))

    def label(self, of: str) -> None:
        event = LabelArrived(id=f"l/{of}", time=datetime.now(UTC), prediction_id=of, label=1)
        self.write("labels", of, codec.encode(event))

    def until(self, follower: Follower, what: str, holds: Callable[[], bool]) -> None:
        self.producer.flush()
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            self.seen += [r.event for r in follower.poll(0.2) if isinstance(r.event, Event)]
            refused = sorted((e.key, e.reason) for e in self.of(RecordRefused))
            assert time.monotonic() < deadline, f"waited for {what}; refused: {refused}"

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.seen if isinstance(event, kind)]


def play(log: Log, bad: dict[str, Bad], follower: Follower) -> None:
    """Good records, the bad ones, then good ones again; and wait for what comes of them."""
    now = datetime.now(UTC)
    first = ModelRegistered(id="reg", time=now, version=version("v1"))
    applied = ConfigApplied(
        id="cfg", time=now, config=CONFIG, config_hash=config_hash(CONFIG), actor="ann"
    )
    # Tick 0 comes before any traffic (EPOCHS 1): the next one says that it stands everywhere.
    log.until(follower, "ticks", lambda: any(tick.epoch > 0 for tick in log.of(Tick)))
    for event in (applied, first):
        log.write("lifecycle", MODEL, codec.encode(event))
    log.until(follower, "activations", lambda: len(log.of(ActivationDelivered)) == 2)
    log.predict("good")
    log.predict("good")
    log.predict("unknown", version="v9")
    log.predict("old", time=at(0))
    for of in ("good", "good", "unknown"):
        log.label(of)
    for name, record in bad.items():
        log.write(record.topic, name, record.value)
    log.until(follower, "refusals", lambda: len(dead_letters(log)) >= len(bad))
    log.predict("after")
    log.label("after")
    log.until(follower, "the pane of a later prediction", lambda: is_mature(log, "after"))


def dead_letters(log: Log) -> dict[str, RecordRefused]:
    return {event.id: event for event in log.of(RecordRefused)}


def is_mature(log: Log, id: str) -> bool:
    """Whether the outcome of a prediction came and its pane was judged."""
    found = [o for o in log.of(OutcomeJoined) if o.prediction_id == id]
    matured = [s for s in log.of(PaneSummarized) if s.cut == "mature" and s.version == "v1"]
    return bool(found) and any(s.pane_start <= found[0].time < s.time for s in matured)


@pytest.fixture(scope="module")
def told(broker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    namespace, data = "t-bad-input", tmp_path_factory.mktemp("bad")
    driven = new_settings(broker.bootstrap, namespace, data, 2)
    settings = msgspec.structs.replace(driven, driven=False, interval_s=0.25)
    log, bad = Log(settings), bad_records()
    topics = ["lifecycle", "dlq", "outcomes", "summaries"]
    with (
        running(settings, [run_broadcaster, fold("meter"), fold("detect"), control]),
        closing(Follower(settings, "test", topics)) as follower,
    ):
        play(log, bad, follower)
    yield Told(
        bad,
        {(event.topic, event.raw): event for event in dead_letters(log).values()},
        log.of(PaneSummarized),
        log.of(OutcomeJoined),
    )
    delete_namespace({"bootstrap.servers": broker.bootstrap}, namespace)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_dead_lettered_with_a_reason_a_person_understands(told, name):
    bad = told.bad[name]
    found = told.refused[bad.topic, bad.value]
    assert re.search(bad.reason, found.reason), found.reason
    assert (found.fault, found.raw_bytes) == (bad.fault, len(bad.value))


def test_nothing_else_is_refused(told):
    assert told.refused.keys() == {(bad.topic, bad.value) for bad in told.bad.values()}


def closed(told: Told) -> list[PaneSummarized]:
    return [s for s in told.summaries if s.cut == "closed" and s.segment == "all"]


def test_an_unknown_version_is_counted_without_a_profile(told):
    (found,) = [s for s in closed(told) if s.version == "v9"]
    assert (found.predictions, found.profile_hash, found.features) == (1, "", ())
    assert [o.version for o in told.outcomes if o.prediction_id == "unknown"] == ["v9"]


def test_a_prediction_from_1970_is_late_and_one_sent_twice_a_repeat(told):
    found = closed(told)
    assert sum(s.late for s in found) == 1
    assert sum(s.repeats for s in found) == 1
    assert sum(s.predictions for s in found if s.version == "v1") == 2


def test_a_label_sent_twice_is_one_outcome_and_a_duplicate(told):
    found = [s.performance for s in told.summaries if s.cut == "mature" and s.version == "v1"]
    assert sum(p.duplicates for p in found if p is not None) == 1
    assert [o.prediction_id for o in told.outcomes].count("good") == 1


def test_the_workers_go_on(told):
    assert [o.prediction_id for o in told.outcomes].count("after") == 1
