"""detect: which outcomes a detector sees, its levels, and where a change is put."""

from __future__ import annotations

from msgspec.structs import replace

from streamops.core.detect import Bank, Detect
from streamops.core.processor import Batch
from streamops.core.times import moment
from streamops.events import OutcomeJoined
from streamops.values import Stamp
from tests.builders import activated, at, config, record, version


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
    def __init__(self, *levels, detectors=("adwin",), since_back=1, task="binary"):
        self.made = []
        self.detect = Detect(Bank(lambda name: self._make(levels, since_back)))
        self.state, self.number = self.detect.initial(), 0
        self.fold(
            activated(config(detectors=detectors), 1), activated(replace(version(), task=task), 2)
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
