"""DESIGN rule 7: folding runs at once gives what folding record by record gives, byte for byte.

The inputs are hostile: values of every kind under every name, several models, tasks and versions
in one batch, repeats, late ones, labels before their predictions and of any kind.
"""

from __future__ import annotations

from datetime import UTC

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamops import codec
from streamops.core import (
    label_batch,
    outcome_batch,
    prediction_batch,
    prediction_counts,
    summary_texts,
)
from streamops.core.binning import bin_column
from streamops.core.epochs import Fold
from streamops.core.feature_reader import reader_of
from streamops.core.join import JoinTable
from streamops.core.meter import Meter
from streamops.core.meter_state import MeterState
from streamops.core.moments import micros_all, moments_all
from streamops.core.processor import Batch, Output, Record
from streamops.core.profile import bin_of, category_profile, numeric_profile
from streamops.core.times import micros
from streamops.hosts.decoding import to_record
from tests.builders import activated, at, config, profile, record, rule, tick, version
from tests.shelf import MemoryShelf

HUGE = [0, -0.0, 2**53, 2**53 + 1, -(2**53) - 1, 2**64, 10**400, 1e308, -1e308, 5e-324, 0.5, 1]
TEXTS = ["a", "b", "", "é", "日本", "x" * 257, "true", "1", '"', "\n"]
VALUES = st.one_of(
    st.none(), st.booleans(), st.sampled_from(HUGE), st.sampled_from(TEXTS), st.just([1]),
    st.floats(-2, 2), st.floats(allow_nan=False, allow_infinity=False), st.integers(-3, 3),
)  # fmt: skip
PLAIN = st.one_of(st.none(), st.floats(0, 1), st.integers(0, 1))
FEATURES = st.one_of(
    st.fixed_dictionaries({}, optional={"x": PLAIN, "c": st.sampled_from(["a", "b", "z", None])}),
    st.dictionaries(st.sampled_from(["x", "c", "flag", "other", "ключ"]), VALUES, max_size=4),
)
RAW = st.one_of(
    FEATURES.map(msgspec.json.encode),
    st.sampled_from([b'{"x":1,"x":2}', b'{"x":"a","x":1}', b"[]", b"null", b'{"x":1e999}',
                     b'{"zz":1e999}', b'{"zz":"\xff"}', b'{"x":1}', b"{}"]),
)  # fmt: skip
ANSWERS = st.one_of(st.booleans(), st.integers(0, 2), st.sampled_from([1.0, 0.5, 2**60, "a", "é"]))
PREDICTION = st.fixed_dictionaries(
    {
        "id": st.sampled_from([f"p{n}" for n in range(12)]),
        "model": st.sampled_from(["m", "n", "nobody"]),
        "version": st.sampled_from(["v1", "v2", "v3"]),
        "seconds": st.integers(0, 40),
        "prediction": ANSWERS,
        "features": RAW,
    },
    optional={
        "score": st.floats(0, 1),
        "latency_ms": st.floats(0, 1e6),
        "segments": st.dictionaries(st.just("s"), st.sampled_from("abc")),
    },
)
LABEL = st.fixed_dictionaries(
    {
        "id": st.sampled_from("klm"),
        "prediction_id": st.sampled_from([f"p{n}" for n in range(14)]),
        "seconds": st.integers(0, 60),
        "label": ANSWERS,
    }
)
EPOCHS = st.lists(
    st.tuples(st.integers(0, 25), st.lists(PREDICTION, max_size=12), st.lists(LABEL, max_size=12)),
    min_size=1,
    max_size=3,
)
# Rows that stay in memory: below, each run of rows is a block of its own on the shelf.
KEEPS = st.sampled_from([0, 5, 20])
SKEWS = st.sampled_from([None, None, 0])
REGRESSION = profile(
    features=(numeric_profile("x", [1.0, 2.0, 3.0]), numeric_profile("y", [None])),
    score=numeric_profile("score", [0.0, 5.0]),
    label=numeric_profile("label", [0.0, 1.0]),
)
CLASSES = profile(
    features=(category_profile("flag", [True, False], "boolean"), category_profile("c", ["é"])),
    label=category_profile("label", ["a", "b"]),
)
SHORT = config(model="n", horizon_s=2, maturity_s=1, allowed_lateness_s=9, pane_s=5)
OPENING = (
    activated(version("v1"), 1),
    activated(version("v2", model="n", profile=REGRESSION, task="regression"), 2),
    activated(version("v1", model="n", profile=CLASSES, task="multiclass"), 3),
    activated(
        config(
            segments={"r": ("a",), "s": ("a", "b")},
            cohort_delay_s=5,
            maturity_s=8,
            horizon_s=30,
            rules=[
                rule("s", metric="drift", segment="s=a"),
                rule("r", metric="drift", segment="r=~other"),
            ],
        ),
        4,
    ),
    activated(config(model="n", horizon_s=20, allowed_lateness_s=2), 5),
    activated(
        config(model="n", horizon_s=2, maturity_s=1, allowed_lateness_s=9, pane_s=5),
        6,
        first_pane=20,
    ),
)


@pytest.fixture(autouse=True, scope="module")
def no_run_is_too_short():
    with pytest.MonkeyPatch.context() as patch:
        for module in (prediction_batch, label_batch, outcome_batch, summary_texts):
            patch.setattr(module, "RUN_MIN", 1)
        patch.setattr(prediction_counts, "PANE_MIN", 1)
        yield


def written(fields: dict, kind: str) -> bytes:
    """The record a producer writes; features as the bytes they are."""
    given = {**fields, "type": kind, "time": at(fields["seconds"])}
    del given["seconds"]
    if "features" in given:
        given["features"] = msgspec.Raw(given["features"])
    return msgspec.json.encode(given)


def batches(epochs) -> list[Batch]:
    found, seconds, offset = [], 0, 0
    for number, (step, *both) in enumerate([*epochs, (300, [], [])], 1):
        seconds += step
        cut, rows = tick(number, seconds), list[Record]()
        for topic, some in zip(("predictions", "labels"), both, strict=True):
            kind = {"predictions": "PredictionMade", "labels": "LabelArrived"}[topic]
            if number == 1 and topic == "predictions":
                rows += [record(topic, n, event) for n, event in enumerate(OPENING)]
                offset = len(OPENING)
            for n, fields in enumerate(some):
                append_ms = round(at(fields["seconds"]).timestamp() * 1000) - n % 3
                value = written(fields, kind)
                rows.append(to_record(topic, 0, offset, append_ms, b"k", value))
                offset += 1
            rows.append(record(topic, offset, cut))
            offset += 1
        found.append(Batch(number, cut.time, rows))
    return found


class Ahead(Meter):
    """METER that begins each epoch's predictions, cut at these places."""

    def __init__(self, cuts: list[int], **how) -> None:
        super().__init__(**how)
        self.cuts = cuts

    def step(self, state, batch):
        made = [r for r in batch.records if r.topic == "predictions"]
        first = 0
        for cut in sorted(cuts for cuts in self.cuts if cuts <= len(made)):
            if cut > first:
                self.begin(state, made[first:cut])
            first = max(first, cut)
        return super().step(state, batch._replace(records=batch.records[first:]))


def concluded(output: Output) -> tuple[bytes, bytes]:
    """Conclusion and evidence, wherever the output has it: beside its event, or in it."""
    within = getattr(output.event, "evidence", None)
    evidence = output.evidence if within is None else msgspec.json.encode(within)
    return codec.conclusion(output.event), evidence


def folded(meter: Meter, log: list[Batch], renewed: int | None = None):
    state, outputs, tables = meter.initial(), [], []
    for number, batch in enumerate(log):
        if number == renewed:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=MeterState)
        state, some = meter.step(state, batch)
        # With their epoch: the same ones at a later tick are other outputs.
        outputs += [(number, o.topic, o.key, *concluded(o)) for o in some]
        join = meter.join
        tables.append((dict(join.pending), dict(join.matched), dict(join.waiting)))
    return msgspec.msgpack.encode(state), outputs, tables


@settings(max_examples=150, deadline=None)
@given(EPOCHS, SKEWS)
def test_at_once_is_one_by_one(epochs, skew):
    log = batches(epochs)
    assert folded(Meter(skew_max_ms=skew), log) == folded(
        Meter(skew_max_ms=skew, at_once=False), log
    )


@settings(max_examples=100, deadline=None)
@given(EPOCHS, st.integers(1, 3))
def test_a_state_from_a_checkpoint_is_cut_at_the_same_ticks(epochs, renewed):
    """What is known beside the state, as which panes are due, is nothing but its consequence."""
    log = batches([*epochs, (7, [], []), (9, [], [])])
    assert folded(Meter(), log, renewed) == folded(Meter(at_once=False), log)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), st.sampled_from(HUGE), st.floats(-3, 3)), min_size=1))
def test_a_column_has_the_bins_of_its_values(values):
    feature = numeric_profile("x", [n / 10 for n in range(-10, 11)], bins=7)
    found = bin_column(feature, values)
    together = zip(found.at.tolist(), found.amounts.tolist(), found.faults.tolist(), strict=True)
    assert list(together) == [bin_of(feature, value) for value in values]


def test_a_profile_with_names_no_struct_can_have_is_left_to_the_definition():
    odd = profile(features=(numeric_profile('a"b', [1.0]), numeric_profile("x", [1.0])))
    twice = profile(features=(numeric_profile("x", [1.0]), numeric_profile("x", [1.0])))
    assert reader_of(version("twice", profile=twice)) is None
    log = batches([(5, [], [])])
    one = activated(version("v3", profile=odd), 9)
    log[0].records.insert(6, record("predictions", 6, one))
    for n in range(20):
        value = written(
            {"id": f"o{n}", "model": "m", "version": "v3", "seconds": 1, "prediction": 1,
             "features": b'{"x":1.0}'}, "PredictionMade")  # fmt: skip
        log[0].records.insert(7, to_record("predictions", 0, 90 + n, 9**15, b"k", value))
    assert folded(Meter(), log) == folded(Meter(at_once=False), log)


def test_classes_beyond_the_limit_are_counted_in_log_order(monkeypatch):
    for module in ("label_counts", "panes"):
        monkeypatch.setattr(f"streamops.core.{module}.CONFUSION_MAX", 5)
    some = [
        {"id": f"p{n}", "model": "m", "version": "v1", "seconds": 1, "prediction": f"c{n % 9}",
         "features": b"{}"} for n in range(12)
    ]  # fmt: skip
    labels = [
        {"id": "k", "prediction_id": f"p{n}", "seconds": 2, "label": f"c{n % 7}"} for n in range(12)
    ]
    log = batches([(5, some, labels)])
    assert folded(Meter(), log) == folded(Meter(at_once=False), log)


# Most runs of the hostile input are short: here nearly all is plain, and stands at the limits.
MOMENTS_S = st.sampled_from([0, 4, 5, 9, 9.9999, 10, 10.0001, 12, 20, 21])
PLAINEST = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["m", "m", "n"]),
        "version": st.sampled_from(["v1", "v1", "v2"]),
        "seconds": MOMENTS_S,
        "prediction": st.sampled_from([True, 1, 1.0, 0, 2]),
        "features": st.sampled_from([0, 1, 2, 3, 5, 6, 9, 10, 11]).map(lambda x: b'{"x":%d}' % x),
        "score": st.sampled_from([0, 0.1, 0.3, 0.99, 1]),
        "latency_ms": st.sampled_from([0.1, 1, 7, 8]),
        "segments": st.sampled_from([{}, {"s": "a"}, {"s": "b"}]),
    }
)
TRUTHS = st.tuples(MOMENTS_S, st.sampled_from([True, 1, 1.0, 0, 2]))
PLAIN_EPOCHS = st.tuples(
    st.lists(st.tuples(PLAINEST, TRUTHS), min_size=4, max_size=30),
    st.sampled_from([0, 1, 5, 9, 10, 11]),
    st.sampled_from([0, 5, 9, 10, 15]),
)


def plain_epochs(given_):
    some, first, second = given_
    made = [{**fields, "id": f"p{n}"} for n, (fields, _) in enumerate(some)]
    labels = [
        {"id": f"l{n}", "prediction_id": f"p{n}", "seconds": seconds, "label": label}
        for n, (_, (seconds, label)) in enumerate(some)
    ]
    half = len(made) // 2
    epochs = [(first, made[:half], []), (second, made[half:], labels[:half])]
    return [*epochs, (5, [], labels[half:]), (100, [], [])]


@settings(max_examples=150, deadline=None)
@given(PLAIN_EPOCHS, SKEWS)
def test_long_runs_at_once_are_one_by_one(given_, skew):
    log = batches(plain_epochs(given_))
    assert folded(Meter(skew_max_ms=skew), log) == folded(
        Meter(skew_max_ms=skew, at_once=False), log
    )


@settings(max_examples=150, deadline=None)
@given(EPOCHS | PLAIN_EPOCHS.map(plain_epochs), st.lists(st.integers(0, 30)), KEEPS, SKEWS)
def test_predictions_may_be_folded_ahead_of_their_tick(epochs, cuts, keep, skew):
    log = batches(epochs)
    ahead = Ahead(cuts, skew_max_ms=skew, join=JoinTable(MemoryShelf(), keep))
    assert folded(ahead, log) == folded(Meter(skew_max_ms=skew, at_once=False), log)


@settings(max_examples=15, deadline=None)
@given(EPOCHS | PLAIN_EPOCHS.map(plain_epochs), KEEPS, st.booleans())
def test_rows_on_a_shelf_are_rows_in_memory(epochs, keep, at_once):
    """Wherever pending predictions and labels lie; and nothing stays on the shelf for ever."""
    log, shelf = batches(epochs), MemoryShelf()
    meter = Meter(join=JoinTable(shelf, keep), at_once=at_once)
    assert folded(meter, log) == folded(Meter(at_once=False), log)
    assert not shelf.blocks or meter.join.pending


@settings(max_examples=100, deadline=None)
@given(EPOCHS, st.integers(1, 3))
def test_stamped_at_once_is_stamped_one_by_one(epochs, partitions):
    """To the bytes that are sent: stamps, evidence, partitions and the hashes of closes."""
    log = batches(epochs)
    found = []
    for at_once in (True, False):
        fold = Fold(Meter(at_once=at_once), partition=0, partitions=partitions)
        sent = []
        for batch in log:
            fold.state, outputs = fold.processor.step(fold.state, batch)
            sent += fold._stamped(batch.epoch, outputs)
        found.append([(*a[:3], a.event, a.value or codec.encode(a.event)) for a in sent])
    assert found[0] == found[1]


def test_spans_beyond_64_bits_are_left_to_the_definition():
    # `check_config` refuses it; whoever writes activations past it must not end the worker.
    long = msgspec.structs.replace(
        config(model="m"), horizon_s=10**14, maturity_s=10**13, cohort_delay_s=10**13
    )
    some = [
        {"id": f"p{n}", "model": "m", "version": "v1", "seconds": 1, "prediction": 1,
         "features": b"{}"} for n in range(20)
    ]  # fmt: skip
    labels = [{"id": "k", "prediction_id": f"p{n}", "seconds": 2, "label": 1} for n in range(20)]
    log = batches([(5, some, labels)])
    log[0].records.insert(6, record("predictions", 6, activated(long, 9)))
    assert folded(Meter(), log) == folded(Meter(at_once=False), log)


def test_another_configuration_under_a_hash_is_refused_and_moves_no_cut():
    known = activated(config(maturity_s=60, horizon_s=300), 9)
    hasty = msgspec.structs.replace(
        activated(config(maturity_s=2, horizon_s=3, cohort_delay_s=1), 10),
        config_hash=known.config_hash,
    )
    some = [
        {"id": f"p{n}", "model": "m", "version": "v1", "seconds": 1, "prediction": 1,
         "features": b"{}"} for n in range(20)
    ]  # fmt: skip
    log = batches([(5, some, []), (7, [], []), (1, [], []), (1, [], [])])
    log[0].records.insert(6, record("predictions", 6, known))
    log[2].records.insert(0, record("predictions", 6, hasty))
    _, soon, _ = folded(Meter(at_once=False), log[:3])
    assert not any(b'"cut":"mature"' in value for _, _, _, value, _ in soon)
    assert any(b"config_hash is" in value for _, _, _, value, _ in soon)
    assert folded(Meter(), log) == folded(Meter(at_once=False), log)


MOMENTS = st.lists(st.datetimes(timezones=st.just(UTC)) | st.integers(0, 99).map(at), max_size=9)


@given(MOMENTS)
def test_many_times_are_the_times_of_each(moments):
    found = micros_all(moments)
    assert found.tolist() == [micros(moment) for moment in moments]
    assert moments_all(found) == moments


def test_long_runs_add_up_beyond_63_bits():
    """Amounts are clamped at 2^50 quanta: 8,192 of them overflow a 64-bit sum."""
    some = [
        {"id": f"p{n}", "model": "m", "version": "v1", "seconds": 1, "prediction": 1,
         "features": b'{"x":1e300}', "score": 1.0} for n in range(9000)
    ]  # fmt: skip
    log = batches([(5, some, [])])
    assert folded(Meter(), log) == folded(Meter(at_once=False), log)


def test_each_of_several_readers_has_its_own_edges():
    some = [
        {"id": f"p{n}", "model": "mn"[n % 2], "version": f"v{1 + n % 2}", "seconds": 21,
         "prediction": 1, "score": n / 160, "features": b'{"x":%.2f}' % (n / 40)}
        for n in range(160)
    ]  # fmt: skip
    log = batches([(5, some, [])])
    assert folded(Meter(), log) == folded(Meter(at_once=False), log)
