"""Laws of METER: splits, crashes, untouched states. Seconds to 60, panes of 10: small numbers."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from streamops import codec
from streamops.core.join import JoinTable
from streamops.core.meter import Meter
from streamops.core.meter_state import MeterState
from streamops.core.processor import Batch
from streamops.events import OutcomeJoined, PaneSummarized, RecordRefused
from tests.builders import activated, config, failed, label, made, record, tick, version
from tests.shelf import MemoryShelf

NAMES = st.sampled_from(("p1", "p2", "p3", "p4"))
SECONDS = st.integers(0, 60)
PREDICTIONS = st.one_of(
    st.builds(
        lambda s, n, v, seg: made(s, n, version=v, segments={"s": seg}),
        SECONDS, NAMES, st.sampled_from(("v1", "v2")), st.sampled_from("ab"),
    ),
    st.builds(failed, SECONDS),
)  # fmt: skip
LABELS = st.builds(
    lambda n, value, s, again: label(n, value, s, id=f"l/{n}/{again}"),
    NAMES, st.sampled_from((0, 1)), SECONDS, st.sampled_from("xy"),
)  # fmt: skip
EPOCHS = st.lists(
    st.tuples(st.integers(0, 15), st.lists(PREDICTIONS, max_size=5), st.lists(LABELS, max_size=5)),
    min_size=1,
    max_size=5,
)
CONFIGS = st.builds(
    lambda horizon, maturity, delay, lateness: config(
        horizon_s=maturity + horizon, maturity_s=maturity, cohort_delay_s=min(delay, maturity),
        allowed_lateness_s=lateness, segments={"s": ("a",)},
    ),
    st.integers(0, 30), st.integers(0, 15), st.integers(0, 15), st.integers(0, 3),
)  # fmt: skip


def batches(settings_, epochs):
    """A log of epochs; the last tick is past every horizon."""
    opening = [activated(version(), 1), activated(settings_, 2)]
    found, seconds, offsets = [], 0, {"predictions": 0, "labels": 0}
    for number, (step, predictions, labels) in enumerate([*epochs, (500, [], [])], 1):
        seconds += step
        cut = tick(number, seconds)
        rows = []
        for topic, events in (("predictions", predictions), ("labels", labels)):
            for event in (*(opening if topic == "predictions" else ()), *events, cut):
                rows.append(record(topic, offsets[topic], event))
                offsets[topic] += 1
        opening = []
        found.append(Batch(number, cut.time, rows))
    return found


def told(outputs):
    return [(o.topic, o.key, codec.encode(o.event), o.evidence) for o in outputs]


def run(meter, state, log):
    outputs = []
    for batch in log:
        state, some = meter.step(state, batch)
        outputs += told(some)
    return state, outputs


def saved(meter, state, rows):
    """The join table's rows after its changes were written."""
    for key, value in meter.join.take_changes(state.labels_us).items():
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value
    return rows


@settings(max_examples=60)
@given(CONFIGS, EPOCHS, st.data())
def test_a_batch_may_be_split_anywhere(settings_, epochs, data):
    log = batches(settings_, epochs)
    pieces = []
    for batch in log:
        cut = data.draw(st.integers(0, len(batch.records)))
        parts = (batch.records[:cut], batch.records[cut:])
        pieces += [batch._replace(records=part) for part in parts]
    whole, parts = Meter(), Meter()
    expected, outputs = run(whole, whole.initial(), log)
    state, other = run(parts, parts.initial(), pieces)
    assert other == outputs
    assert msgspec.msgpack.encode(state) == msgspec.msgpack.encode(expected)
    assert (parts.join.pending, parts.join.waiting) == (whole.join.pending, whole.join.waiting)


@settings(max_examples=60)
@given(CONFIGS, EPOCHS)
def test_step_leaves_the_state_it_got_alone(settings_, epochs):
    meter = Meter()
    state = meter.initial()
    for batch in batches(settings_, epochs):
        before = msgspec.msgpack.encode(state)
        after, _ = meter.step(state, batch)
        assert msgspec.msgpack.encode(state) == before
        state = after


@settings(max_examples=60)
@given(CONFIGS, EPOCHS, st.data(), st.sampled_from([None, 0, 2]))
def test_a_crash_between_epochs_changes_nothing(settings_, epochs, data, keep):
    """State and join table go through their bytes; what comes after is the same."""
    log = batches(settings_, epochs)
    whole = Meter()
    state, outputs = run(whole, whole.initial(), log)
    crash = data.draw(st.integers(0, len(log)))
    shelves = [None if keep is None else MemoryShelf() for _ in range(2)]
    first = Meter(join=JoinTable(shelves[0], keep or 0))
    middle, before = run(first, first.initial(), log[:crash])
    table = JoinTable(shelves[1], keep or 0)
    table.restore(list(saved(first, middle, {}).items()), middle.labels_us)
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(middle), type=MeterState)
    assert decoded == middle
    resumed, after = run(Meter(join=table), decoded, log[crash:])
    assert before + after == outputs
    assert resumed == state


@settings(max_examples=60)
@given(CONFIGS, EPOCHS)
def test_everything_ends_somewhere_and_nothing_twice(settings_, epochs):
    meter = Meter()
    outputs = []
    state = meter.initial()
    for batch in batches(settings_, epochs):
        state, some = meter.step(state, batch)
        outputs += [o.event for o in some]
    assert (state.panes, state.after) == ({}, {})
    assert (state.closed, state.matured) == (set(), set())
    assert (meter.join.pending, meter.join.matched, meter.join.waiting) == ({}, {}, {})
    ids = [e.id for e in outputs if isinstance(e, PaneSummarized | RecordRefused)]
    assert len(ids) == len(set(ids))
    joined = [e for e in outputs if isinstance(e, OutcomeJoined) and not e.correction]
    final = [s for s in outputs if isinstance(s, PaneSummarized) and s.segment == "all"]
    restated = [s for s in final if s.cut == "restated"]
    assert sum(s.performance.labelled for s in restated) == len(joined)
    closed = [s for s in final if s.cut == "closed"]
    repeats = sum(s.repeats for s in closed)
    sent = sum(type(e).__name__ == "PredictionMade" for _, made_, _ in epochs for e in made_)
    late = sum(s.late for s in closed)
    assert sum(s.predictions for s in closed) <= sent - repeats
    assert sum(s.predictions for s in closed) + repeats + late >= sent
