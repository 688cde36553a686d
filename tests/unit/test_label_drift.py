"""label_drift: labels of mature panes against the reference's, by MONITOR, from rows to alarms."""

from __future__ import annotations

import numpy as np
import pytest

from streamops.config import config_hash
from streamops.core.budget import alarm_at, streams_of
from streamops.core.label_counts import bin_of
from streamops.core.monitor import Monitor
from streamops.core.seal_leaves import can_load, semantics_of
from streamops.events import PaneSummarized
from streamops.training.frames import profile_rows
from streamops.values import Performance, Stamp
from tests.builders import activated, at, config, evaluated, rule, version

RULE = rule("labels", kind="label_drift", metric="label_drift", feature="")
BUDGET = 3000.0
SETTINGS = config(rules=(RULE,), false_alarms_per_month=BUDGET)
ROWS = 100


def known_of(labels, task="multiclass"):
    """A version whose reference has these labels and no features."""
    return version(task=task, profile=profile_rows([{}] * len(labels), labels, [], task, ()))


def summary(number, label, values, cut="mature", predictions=None, settings=SETTINGS):
    """One pane's summary with these labels, counted as METER counts them."""
    counts = [0] * len(label.counts)
    for value in values:
        counts[bin_of(label, value)[0]] += 1
    n = len(values)
    part = Performance(labelled=n, confusion=(("a", "a", n),), labels=tuple(counts))
    return PaneSummarized(
        id=f"pane/{cut}/{number}", time=at(number * 10 + 10), model="m", version="v1",
        segment="all", pane_start=at(number * 10), cut=cut, config_hash=config_hash(settings),
        profile_hash="p", predictions=n if predictions is None else predictions, performance=part,
        stamp=Stamp("meter/0", number, 0),
    )  # fmt: skip


class Service:
    """MONITOR with one version, an epoch a pane, its state saved and read again in between."""

    def __init__(self, known, settings=SETTINGS):
        self.monitor, self.label, self.number = Monitor(), known.profile.label, 0
        self.state = self.monitor.initial()
        self.settings = settings
        self._fold(activated(settings, 1), activated(known, 2))

    def _fold(self, *events):
        self.state, said = evaluated(self.monitor, self.state, *events)
        return said

    def pane(self, values, **fields):
        found = summary(self.number, self.label, values, settings=self.settings, **fields)
        self.number += 1
        (said,) = self._fold(found)
        return said


def three(chance, n, rare=0.05):
    """Labels of three classes, one of them rare."""
    return [str(v) for v in chance.choice(3, n, p=(0.6 - rare, 0.4, rare))]


def numbers(chance, n, mean=0.0):
    """A wave that rows follow for some 20 of them, and noise: numbers that depend on each other."""
    walk = np.repeat(chance.normal(0, 1, n // 20 + 1), 20)[:n]
    return (mean + walk + chance.normal(0, 0.5, n)).tolist()


def sticky(chance, n):
    """Two classes in runs of about five."""
    found = [0]
    for keeps in chance.random(n - 1) < 0.8:
        found.append(found[-1] if keeps else int(chance.integers(2)))
    return found


@pytest.mark.parametrize(
    ("labels", "task"), [(three, "multiclass"), (sticky, "binary"), (numbers, "regression")]
)
def test_labels_that_do_not_drift_keep_the_budget(labels, task):
    panes, alarms, limit = 0, 0, alarm_at(streams_of(SETTINGS, 0), 30 * 8640, BUDGET)
    assert limit == 86.4
    for seed in range(2):
        chance = np.random.default_rng(seed)
        service = Service(known_of(labels(chance, 4000), task))
        for _ in range(40):
            found = service.pane(labels(chance, ROWS))
            panes, alarms = panes + 1, alarms + len(found.drift)
            assert found.status == "evaluated"
    # 80 panes at A = 86.4 expect less than one; four or more have a chance below 2%.
    assert alarms <= 3, f"{alarms} alarms in {panes} panes"


@pytest.mark.parametrize(
    ("before", "after", "task", "panes"),
    [
        (three, lambda c, n: three(c, n, rare=0.15), "multiclass", 4),
        (numbers, lambda c, n: numbers(c, n, mean=1.5), "regression", 4),
        (three, lambda c, n: ["new"] * n, "multiclass", 1),
    ],
)
def test_labels_that_shift_are_found_and_dated(before, after, task, panes):
    chance = np.random.default_rng(5)
    service = Service(known_of(before(chance, 4000), task))
    for _ in range(10):
        assert service.pane(before(chance, ROWS)).drift == ()
    for _ in range(panes):
        said = service.pane(after(chance, ROWS))
        if said.drift:
            break
    (alarm,) = said.drift
    assert (alarm.metric, alarm.feature, alarm.stream) == ("label_drift", "", "values")
    assert alarm.evidence >= alarm.alarm_at
    assert at(90) <= alarm.since <= at(120)
    assert 0 <= alarm.psi_least <= alarm.psi
    evidence = [m for m in said.metrics if m.name == "label_drift"]
    assert [(m.value, m.n) for m in evidence] == [(alarm.evidence, ROWS)]


def test_only_mature_panes_with_enough_labels_are_read():
    chance = np.random.default_rng(1)
    service = Service(known_of(three(chance, 4000)))
    for cut, predictions in (("closed", None), ("mature", 1000)):
        said = service.pane(["new"] * ROWS, cut=cut, predictions=predictions)
        assert (said.semantics, said.drift, said.evidence.panes) == (1, (), 0)
    assert service.state.labels == service.state.drift == {}
    said = service.pane(["new"] * ROWS)
    assert (said.semantics, len(said.drift), said.evidence.panes) == (5, 1, 1)
    assert service.state.drift == {}
    assert list(service.state.labels) == ["m\tv1"]


def test_a_configuration_that_tests_no_labels_means_what_it_meant():
    plain = config(rules=(rule("old", kind="label_drift", metric="label_psi", feature=""),))
    service = Service(known_of(["a", "b"] * 500), plain)
    said = service.pane(["a"] * ROWS)
    assert (said.semantics, said.drift) == (1, ())
    assert semantics_of(service.monitor, service.state) == 2
    assert can_load("monitor", 2, Monitor.semantics)


def test_labels_are_a_stream_of_the_budget():
    alone = config(rules=(rule("d", metric="drift"),))
    both = config(rules=(rule("d", metric="drift"), RULE))
    assert (streams_of(alone, 3), streams_of(both, 3)) == (6, 7)
