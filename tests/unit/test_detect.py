"""detect: which outcomes a detector sees, its levels, and where a change is put."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import pytest
from msgspec.structs import replace

from streamops import codec
from streamops.core import bf_sr
from streamops.core.budget import streams_of
from streamops.core.detect import Bank, Detect, DetectState
from streamops.core.processor import Batch
from streamops.core.seal_leaves import leaves_of, load_state, places_of, semantics_of
from streamops.core.times import moment
from streamops.events import OutcomeJoined
from streamops.values import Stamp
from tests.builders import activated, at, config, record, rule, version


class Script:
    """A detector that says what it was told to, and notes what it saw."""

    platform = "toy 1"

    def __init__(self, levels, since_back=1):
        self.levels, self.since_back, self.seen = list(levels), since_back, []

    def update(self, error):
        self.seen.append(error)
        return self.levels.pop(0) if self.levels else "none"


def outcome(seconds, label=1, **fields):
    given = {"model": "m", "version": "v1", "prediction": 1, **fields}
    return OutcomeJoined(
        id=f"outcome/p{seconds}",
        time=at(seconds),
        prediction_id=f"p{seconds}",
        label=label,
        label_time=at(seconds),
        stamp=Stamp("meter/0", 1, int(seconds)),
        **given,
    )


class Bench:
    def __init__(self, *levels, detectors=("adwin",), since_back=1, task="binary", **settings):
        self.made = []
        self.detect = Detect(Bank(lambda name: self._make(levels, since_back)))
        self.state, self.number = self.detect.initial(), 0
        self.fold(
            activated(config(detectors=detectors, **settings), 1),
            activated(replace(version(), task=task), 2),
        )

    def _make(self, levels, since_back):
        self.made.append(Script(levels, since_back))
        return self.made[-1]

    def fold(self, *events):
        self.number += 1
        records = [record("outcomes", n, event) for n, event in enumerate(events)]
        self.state, outputs = self.detect.step(self.state, Batch(self.number, None, records))
        return [output.event for output in outputs]


def test_errors_are_seen_in_order_without_corrections_and_latecomers():
    bench = Bench()
    bench.fold(
        outcome(1), outcome(2, 0), outcome(3, 0, correction=True), outcome(4, 0, after_cohort=True)
    )
    assert bench.made[0].seen == [0.0, 1.0]
    assert bench.state.streams["m\tv1"].outcomes == 2


def test_a_regressions_error_is_its_distance_and_ddm_is_left_out():
    bench = Bench(detectors=("ddm", "adwin"), task="regression")
    bench.fold(outcome(1, 2.5, prediction=1), outcome(2, "n/a", prediction=1))
    assert [script.seen for script in bench.made] == [[1.5, 0.0]]


def test_a_warning_is_said_once_and_every_drift():
    bench = Bench("warning", "warning", "drift", "drift", "none", "warning")
    found = bench.fold(*(outcome(n) for n in range(6)))
    assert [(e.level, e.outcomes) for e in found] == [
        ("warning", 1),
        ("drift", 3),
        ("drift", 4),
        ("warning", 6),
    ]
    assert len({e.id for e in found}) == 4


def test_a_change_is_put_at_the_first_outcome_of_its_epoch():
    #  epoch 2: outcomes at 1, 2; epoch 3: 11, 12, 13 (drift, two outcomes back: the one at 12)
    bench = Bench("none", "none", "none", "none", "drift", since_back=2)
    bench.fold(outcome(1), outcome(2))
    (found,) = bench.fold(outcome(11), outcome(12, 0), outcome(13, 0))
    assert found.since == at(11)
    assert (found.time, found.error_rate, found.platform) == (at(13), 0.4, "toy 1")
    assert (found.evidence.first_epoch, found.evidence.last_epoch) == (2, 3)


def test_a_change_before_the_first_outcome_is_put_at_it():
    bench = Bench("drift", since_back=99)
    (found,) = bench.fold(outcome(5))
    assert found.since == moment(5_000_000)


def test_a_version_has_its_own_detectors():
    bench = Bench()
    bench.fold(outcome(1), outcome(2, version="v2"), outcome(3))
    assert [script.seen for script in bench.made] == [[0.0, 0.0], [0.0]]


def test_only_a_newer_configuration_counts():
    bench = Bench()
    bench.fold(activated(config(detectors=("ddm",)), 1), outcome(1))
    assert set(bench.detect.bank.detectors) == {"m\tv1\tadwin"}
    bench.fold(activated(config(detectors=("ddm",)), 5), outcome(2))
    assert set(bench.detect.bank.detectors) == {"m\tv1\tadwin", "m\tv1\tddm"}


def stream(bench, *bins):
    """Fold bins of fifty outcomes with so many errors each, a bin an epoch, spread over the bin."""
    found = []
    for errors in bins:
        first = bench.state.streams["m\tv1"].outcomes if bench.state.streams else 0
        found += bench.fold(
            *(
                outcome(first + n, 0 if (n + 1) * errors // 50 > n * errors // 50 else 1)
                for n in range(50)
            )
        )
    return found


@pytest.mark.parametrize(("name", "learned"), [("bf_sr", 20), ("sr_mixture", 40)])
def test_a_test_of_our_own_learns_its_reference_then_finds_and_dates_a_rise(name, learned):
    bench = Bench(detectors=(name,), false_alarms_per_month=1.0)
    assert stream(bench, *[10, 9, 11, 10] * (learned // 4), *[10] * 10) == []
    (found, *_) = stream(bench, *[25] * 8)
    assert bench.made == []
    assert (found.detector, found.level, found.platform) == (name, "drift", "streamops")
    assert found.score >= found.limit > 1
    first = (learned + 10) * 50
    assert found.since == at(first)
    assert found.outcomes <= first + 400


@pytest.mark.parametrize("name", ["bf_sr", "sr_mixture"])
def test_a_test_of_our_own_survives_its_checkpoint_in_the_middle_of_anything(name):
    bins = [*[10] * 41, *[30] * 4, *[10] * 3]
    whole, parted = Bench(detectors=(name,)), Bench(detectors=(name,))
    expected = stream(whole, *bins)
    found = []
    for errors in bins:
        packed = msgspec.msgpack.encode(parted.state)
        parted.state = msgspec.msgpack.decode(packed, type=DetectState)
        found += stream(parted, errors)
    assert found == expected != []
    assert parted.state == whole.state


def test_the_budget_is_shared_with_the_features_tests():
    limits = []
    rules = (rule("d", metric="drift"),)
    for settings in ({}, {"false_alarms_per_month": 0.5}, {"rules": rules}):
        bench = Bench(detectors=("bf_sr",), **settings)
        (found, *_) = stream(bench, *[10] * 20, *[40] * 8)
        limits.append(found.limit)
    # Two features' values and missing rates beside the errors: five streams.
    assert [limit / limits[0] for limit in limits] == pytest.approx([1, 2, 5])


def test_a_regression_has_no_errors_to_count():
    bench = Bench(detectors=("bf_sr", "sr_mixture"), task="regression")
    assert stream(bench, *[10] * 45, *[45] * 5) == []
    assert bench.state.tests == {}


def test_after_a_rise_the_mixture_learns_the_new_rate_and_is_silent():
    bench = Bench(detectors=("sr_mixture",))
    found = stream(bench, *[10] * 40, *[25] * 90)
    assert [event.outcomes <= 2400 for event in found] == [True]


def parted(bench, number, errors):
    """Fold fifty outcomes of two segments by turns, with so many errors in `a` and none in `b`."""
    found = []
    for n in range(50):
        first = number * 100 + 2 * n
        wrong = (n + 1) * errors // 50 > n * errors // 50
        found += bench.fold(
            outcome(first, 0 if wrong else 1, segments={"s": "a"}),
            outcome(first + 1, segments={"s": "b"}),
        )
    return found


@pytest.mark.parametrize("name", ["bf_sr", "sr_mixture"])
def test_a_segment_has_tests_of_its_own_that_date_by_its_own_outcomes(name):
    asked = rule("errors", kind="concept_drift", metric=name, feature="", segment="s=a")
    settings = {"segments": {"s": ("a",)}, "false_alarms_per_month": 100.0}
    bench = Bench(detectors=(name,), rules=(asked,), **settings)
    assert streams_of(bench.state.configs["m"][1], 2) == 2
    for number in range(42):
        assert parted(bench, number, 5) == []
    found = []
    for number in range(42, 54):
        found += parted(bench, number, 25)
    of_part = [event for event in found if event.segment == "s=a"]
    assert of_part
    first = of_part[0]
    assert (first.detector, first.level) == (name, "drift")
    assert first.id == f"drift/m/v1/{name}/s=a/{first.outcomes}"
    assert first.outcomes == first.evidence.outcomes, "of the version: what the chain holds"
    assert at(4200) <= first.since <= at(4400)
    # Half of the version's outcomes are another segment's, and right.
    stream, part = (bench.state.streams[f"m\tv1{own}"] for own in ("", "\ts=a"))
    assert (stream.errors, stream.outcomes) == (part.errors, 2 * part.outcomes)
    keys = sorted(bench.state.tests)
    assert keys == [f"m\tv1\t{name}", f"m\tv1\t{name}\ts=a"]


def test_a_segments_test_survives_its_checkpoint_and_is_sealed_under_its_semantics():
    asked = rule("errors", kind="concept_drift", metric="bf_sr", feature="", segment="*")
    given = {"detectors": ("bf_sr",), "rules": (asked,), "segments": {"s": ("a",)}}
    whole, cut, plain = Bench(**given), Bench(**given), Bench(detectors=("bf_sr",))
    assert streams_of(whole.state.configs["m"][1], 2) == 3
    for number, errors in enumerate([5] * 3 + [30] * 2):
        packed = msgspec.msgpack.encode(cut.state)
        cut.state = msgspec.msgpack.decode(packed, type=DetectState)
        assert parted(cut, number, errors) == parted(whole, number, errors)
        parted(plain, number, errors)
    assert cut.state == whole.state
    assert sorted(whole.state.tests) == [
        "m\tv1\tbf_sr",
        "m\tv1\tbf_sr\ts=a",
        "m\tv1\tbf_sr\ts=~other",
    ]
    assert semantics_of(whole.detect, whole.state) == Detect.semantics == 5
    leaves = leaves_of(whole.detect, whole.state)
    assert load_state(DetectState, leaves, places_of(whole.detect, whole.state)) == whole.state
    assert semantics_of(plain.detect, plain.state) == 2
    test = replace(plain.state.tests["m\tv1\tbf_sr"], bayes=bf_sr.initial())
    begun = replace(plain.state, tests={"m\tv1\tbf_sr": test})
    assert semantics_of(plain.detect, begun) == Detect.semantics
    assert sorted(plain.state.streams) == ["m\tv1"]


def test_a_break_inside_features_is_chained_as_it_came():
    bench = Bench(detectors=())
    odd, plain = outcome(1, features=msgspec.Raw(b'{"a":\n1}')), outcome(2)
    bench.fold(odd, plain)
    first = sha256(codec.conclusion(odd)).digest()
    chain = sha256(first + codec.conclusion(plain)).digest()
    assert bench.state.streams["m\tv1"].chain == chain


@pytest.mark.parametrize("has_scores", [True, False])
def test_a_score_shows_a_change_that_all_errors_hide(has_scores):
    """One tenth of the scores is wrong from outcome 3,000 on, as many others become right."""
    bench = Bench(detectors=("bf_sr",))
    found = []
    for first in range(0, 4500, 50):
        outcomes = []
        for n in range(first, first + 50):
            tenth, turn = n % 10, n // 10 % 5
            # One of five is wrong in each tenth; then all of the fifth, and fewer of the others.
            wrong = turn == tenth % 5 if n < 3000 or tenth > 4 else tenth == 4
            score = tenth / 10 + 0.05 if has_scores else None
            outcomes.append(outcome(n, 0 if wrong else 1, score=score))
        found += bench.fold(*outcomes)
    if not has_scores:
        assert found == []
        return
    first = found[0]
    assert (first.detector, first.level) == ("bf_sr", "drift")
    assert 3000 < first.outcomes <= 3400
    assert at(2900) <= first.since <= at(3050)
