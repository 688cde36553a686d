"""epochs: stamps, closes and positions of folded epochs, by example."""

from __future__ import annotations

from streamops import codec
from streamops.core.derived_inbox import close_hash
from streamops.core.epochs import Fold
from streamops.core.meter import Meter
from streamops.core.partition import partition_of
from streamops.events import EpochClosed, OutcomeJoined, RecordRefused
from streamops.values import Stamp
from tests.builders import activated, config, label, made, record, tick, version


def fed(fold, topic, *events, start=0):
    folded = []
    for offset, event in enumerate(events, start):
        folded += fold.feed(record(topic, offset, event))
    return folded


def meter_fold():
    return Fold(Meter(), partition=1, partitions=3)


def test_an_epoch_waits_for_every_input():
    fold = meter_fold()
    assert fed(fold, "predictions", tick(0, 0), tick(1, 10), tick(2, 20)) == []
    (zero,) = fed(fold, "labels", tick(0, 0), tick(1, 10))
    assert (zero.epoch, zero.positions) == (0, {"predictions": 1, "labels": 1})
    (one,) = fed(fold, "labels", tick(2, 20), start=2)
    assert (one.epoch, one.positions) == (1, {"predictions": 2, "labels": 2})


def test_every_output_partition_is_closed_with_what_it_was_sent():
    fold = meter_fold()
    log = [tick(0, 0), activated(version(), 1), activated(config(), 2), made(3), tick(1, 10)]
    fed(fold, "predictions", *log)
    (zero,) = fed(fold, "labels", tick(0, 0), tick(1, 10))
    home = partition_of("m", 3)
    sent = {"outcomes": [], "summaries": []}
    for written in zero.outputs:
        if not isinstance(written.event, EpochClosed):
            assert written.partition == home
            sent[written.topic].append(codec.conclusion(written.event))
    closes = [w for w in zero.outputs if isinstance(w.event, EpochClosed)]
    assert {(c.topic, c.partition) for c in closes} == {
        (topic, p) for topic in ("outcomes", "summaries") for p in range(3)
    }
    for close in closes:
        expected = sent[close.topic] if close.partition == home else []
        assert (close.event.count, close.event.hash) == (len(expected), close_hash(expected))
    assert [len(sent["outcomes"]), len(sent["summaries"])] == [2, 4]
    assert [w.event.stamp for w in zero.outputs[:2]] == [
        Stamp("meter/1", 0, 0),
        Stamp("meter/1", 0, 1),
    ]


def test_an_empty_epoch_is_closed_too():
    fold = meter_fold()
    fed(fold, "predictions", tick(0, 0), tick(1, 10))
    (zero,) = fed(fold, "labels", tick(0, 0), tick(1, 10))
    assert {type(w.event) for w in zero.outputs} == {EpochClosed}
    assert {w.event.hash for w in zero.outputs} == {close_hash([])}


def test_a_resumed_fold_goes_on_where_it_stood():
    fold = meter_fold()
    fed(fold, "predictions", tick(0, 0), made(3), tick(1, 10))
    (zero,) = fed(fold, "labels", tick(0, 0), tick(1, 10))
    resumed = fold.resumed(fold.state, zero.epoch, zero.positions)
    assert resumed.inboxes["predictions"].position == 2
    fed(resumed, "predictions", tick(1, 10), made(13), tick(2, 20), start=2)
    fed(fold, "predictions", made(13), tick(2, 20), start=3)
    (again,) = fed(resumed, "labels", tick(1, 10), tick(2, 20), start=1)
    (one,) = fed(fold, "labels", tick(2, 20), start=2)
    assert again == one


def test_a_conclusion_that_no_topic_would_take_is_refused_and_the_fold_goes_on():
    fold = meter_fold()
    huge = made(3, "huge", features={"x": 0.5, "c": "y" * 2_500_000})
    fed(fold, "predictions", tick(0, 0), activated(version(), 1), activated(config(), 2), huge,
        made(4, "small"), tick(1, 10))  # fmt: skip
    long = label("huge", "z" * 2_000_000, 5, id="long")
    (zero,) = fed(fold, "labels", tick(0, 0), long, label("small", 1, 5), tick(1, 10))
    outcomes = [w.event for w in zero.outputs if isinstance(w.event, OutcomeJoined)]
    assert [outcome.prediction_id for outcome in outcomes] == ["small"]
    (refused,) = [w for w in zero.outputs if w.topic == "dlq"]
    assert isinstance(refused.event, RecordRefused)
    assert "would be 4,5" in refused.event.reason
    assert len(refused.event.raw) == 65536
    home = ("outcomes", partition_of("m", 3))
    *sent, close = [w.event for w in zero.outputs if (w.topic, w.partition) == home]
    assert (close.count, close.hash) == (len(sent), close_hash(map(codec.conclusion, sent)))
    assert max(len(codec.encode(w.event)) for w in zero.outputs) < 4_194_304
