"""Laws of MONITOR's drift tests: partitions, epochs, restarts and the order of merges can't matter,
nor which panes are tested in one call.

Panes are drawn by Hypothesis, empty, absurd and all-missing ones too, and dealt out at random.
"""

from __future__ import annotations

from unittest.mock import patch

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streamops.config import config_hash
from streamops.core import drift_waves, segment_drift
from streamops.core.drift_plan import plan_of
from streamops.core.drift_waves import Held, Wanted
from streamops.core.monitor import Monitor, MonitorState
from streamops.core.pane_rows import measure_rows, numeric_bins
from streamops.core.processor import Batch
from streamops.core.profile import category_profile, numeric_profile
from streamops.core.tested_pane import Asked
from streamops.events import MetricEvaluated, PaneSummarized
from streamops.values import FeatureCounts, Stamp
from tests.builders import activated, at, config, profile, record, rule, version

RNG = np.random.default_rng(3)
WALK = np.repeat(RNG.normal(0, 1, 100), 20) + RNG.normal(0, 0.3, 2000)
PLAIN = numeric_profile("x", WALK.tolist(), bins=6)
X = replace(PLAIN, rows=measure_rows(PLAIN, numeric_bins(PLAIN, WALK)))
C = category_profile("c", ["a", "b"] * 500)
KNOWN = version(profile=profile(features=(X, C), score=PLAIN))
RULES = rule("d", metric="drift"), rule("s", metric="score_drift", feature="")
SETTINGS = config(rules=RULES, false_alarms_per_month=5000.0)
WIDTHS = (len(X.counts), len(C.counts), len(PLAIN.counts))

COUNT = st.sampled_from([0, 0, 1, 3, 20, 90, 100_000])
PANE = st.tuples(*(st.lists(COUNT, min_size=n, max_size=n) for n in WIDTHS))


def dealt(pane, number, chance, of):
    """Summaries of one pane in `of` partitions; each row went to one of them."""
    shares = [
        [chance.multinomial(count, np.full(of, 1 / of)) for count in counts] for counts in pane
    ]
    for part in range(of):
        x, c, score = (
            FeatureCounts(name, tuple(int(row[part]) for row in counts), ())
            for name, counts in zip(("x", "c", "score"), shares, strict=True)
        )
        yield PaneSummarized(
            id=f"pane/{number}/{part}", time=at(number * 10 + 10), model="m", version="v1",
            segment="all", pane_start=at(number * 10), cut="closed",
            config_hash=config_hash(SETTINGS), profile_hash="p", features=(x, c), score=score,
            stamp=Stamp(f"meter/{part}", number, 0),
        )  # fmt: skip


def fold(epochs):
    """Fold epochs of summaries, the state encoded and decoded in between."""
    monitor, said = Monitor(), []
    state = monitor.initial()
    for number, events in enumerate(([activated(SETTINGS, 1), activated(KNOWN, 2)], *epochs)):
        records = [record("summaries", n, event) for n, event in enumerate(events)]
        packed = msgspec.msgpack.encode(state)
        state = msgspec.msgpack.decode(packed, type=MonitorState)
        state, outputs = monitor.step(state, Batch(number, None, records))
        said += [output.event for output in outputs]
    return state.drift, [without_sources(event) for event in said]


def without_sources(event: MetricEvaluated) -> MetricEvaluated:
    assert event.evidence is not None
    return replace(event, evidence=replace(event.evidence, summaries=()))


@settings(max_examples=40)
@given(st.lists(PANE, min_size=1, max_size=6), st.data())
def test_a_pane_counts_the_same_wherever_its_rows_went(panes, data):
    chance = np.random.default_rng(data.draw(st.integers(0, 9999)))
    whole = fold([list(dealt(pane, n, chance, 1)) for n, pane in enumerate(panes)])
    epochs: list[list[PaneSummarized]] = [[]]
    for number, pane in enumerate(panes):
        parts = list(dealt(pane, number, chance, data.draw(st.integers(1, 4))))
        epochs[-1] += [parts[n] for n in chance.permutation(len(parts))]
        if data.draw(st.booleans()):
            epochs.append([])
    for events in epochs:
        # Within an epoch records come by time and id, partitions in any order.
        events.sort(key=lambda event: event.time, reverse=data.draw(st.booleans()))
    assert fold(epochs) == whole
    said = whole[1]
    assert [event.evidence.panes for event in said] == list(range(1, len(panes) + 1))
    for event in said:
        for alarm in event.drift:
            assert alarm.evidence >= alarm.alarm_at
            assert alarm.since <= event.pane_start
            assert 0 <= alarm.psi_least <= alarm.psi


# Tests by row and by pane, with a season or without, of several widths, with and without features.
WAVES = RNG.normal(0, 0.3, 2000) + 3 * np.sin(np.arange(2000) * np.pi / 240)
TIMES = 180_000_000 * np.arange(2000)
DAILY = numeric_profile("d", WAVES.tolist(), bins=6)
DAILY = replace(DAILY, rows=measure_rows(DAILY, numeric_bins(DAILY, WAVES), times_us=TIMES))
WIDE = numeric_profile("w", RNG.normal(0, 1, 900).tolist(), bins=9)
MODELS = (
    ((X, C), PLAIN), ((C, WIDE), None), ((DAILY, X), None), ((), PLAIN), ((WIDE, DAILY, C), PLAIN),
)  # fmt: skip
WANTED = st.tuples(
    st.integers(0, len(MODELS) - 1),
    st.sampled_from(["v1", "v1", "v1", "v2", "v3"]),
    st.sampled_from(["all", "all", "k=a"]),
    st.integers(0, 9),
    st.integers(0, 2**32 - 1),
)


def wanted(model, version, segment, start, seed):
    """A pane of drawn counts: of a start that may lie behind the last one's."""
    features, alone = MODELS[model]
    chance = np.random.default_rng(seed)
    counts = [
        tuple(chance.choice([0, 0, 1, 3, 20, 90, 100_000][: 3 + seed % 5], len(c.counts)).tolist())
        for c in (*features, *(() if alone is None else (alone,)))
    ]
    asked = Asked(features, alone, "score_drift", f"p{model}", counts)
    # Lengths of panes for which a season counts, and for which it doesn't.
    pane_s = (600, 600, 90_000, 600, 600)[model]
    return Wanted(f"m{model}", version, segment, "closed", start * 600_000_000, asked, pane_s, 40.0)


def concluded(calls):
    """All tests, what was said pane by pane, and how many alarms there were."""
    held, said = Held({}, {}, {}), []
    with patch.object(segment_drift, "LEARNED", 2):
        for some in calls:
            said += drift_waves.run(held, some)
    return msgspec.msgpack.encode(held), said, sum(len(one.read.alarms) for one in said)


@settings(max_examples=40, deadline=None)
@given(st.lists(WANTED, min_size=2, max_size=20), st.data())
def test_panes_of_one_call_are_concluded_as_one_by_one(drawn, data):
    """Any grouping: kinds of models, start ages, missing bins, alarms, learned segments mixed."""
    panes = [wanted(*one) for one in drawn]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(panes) - 1), max_size=4)))
    groups = [panes[a:b] for a, b in zip([0, *cuts], [*cuts, len(panes)], strict=True)]
    assert concluded(groups) == concluded([[pane] for pane in panes])


def test_the_panes_of_that_law_alarm_and_come_to_differ_in_age():
    chance = np.random.default_rng(5)
    panes = [
        wanted(model, "v1", "all", start, int(chance.integers(2**32)))
        for start in range(1 + 8)
        for model in range(len(MODELS))
        if chance.random() < 0.8
    ]
    assert concluded([panes]) == concluded([[pane] for pane in panes])
    assert concluded([panes])[2] > 20
    seasons = [plan_of(*MODELS[m], 600).seasons for m in (2, 4)]
    assert all(any(names) for names in seasons)
    assert plan_of(*MODELS[2], 90_000).seasons != seasons[0]
