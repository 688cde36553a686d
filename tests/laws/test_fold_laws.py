"""Laws of a fold: a crash at any record, repeats, a start in the middle, wrong closes, round trips.

The logs are those of `tests.chain`: a story folded once. Each law reads them again in another way.
"""

from __future__ import annotations

import functools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streamops import codec
from streamops.core.epochs import Folded
from streamops.core.processor import Record
from streamops.events import EpochClosed
from tests.chain import EPOCHS, NAMES, Worker, clean

PARTITIONS = 2
SEEDS = st.integers(0, 3)
PROCESSORS = st.sampled_from(NAMES)


@functools.cache
def log_of(seed):
    return clean(seed, PARTITIONS).log


def read_all(worker, log, stop=None):
    """Read inputs record by record, in turn; return stamped outputs, at most `stop` records."""
    outputs, read = [], 0
    while topics := worker.unread(log):
        if stop is not None and read >= stop:
            break
        worker.read(log, topics[read % len(topics)])
        read += 1
        outputs += worker.outbox
        worker.outbox = []
    return outputs


def told(outputs):
    return [(a.topic, a.partition, a.key, codec.conclusion(a.event)) for a in outputs]


def stamped(outputs):
    found = {}
    for a in outputs:
        stamp = getattr(a.event, "stamp", None) or a.event.id
        found[(a.topic, a.partition, stamp)] = codec.conclusion(a.event)
    return found


@settings(max_examples=40)
@given(SEEDS, PROCESSORS, st.integers(0, PARTITIONS - 1), st.data())
def test_a_crash_at_any_record_sends_the_same_again(seed, name, partition, data):
    log = log_of(seed)
    whole = told(read_all(Worker(name, partition, PARTITIONS, None), log))
    first = Worker(name, partition, PARTITIONS, None)
    saved_at = data.draw(st.integers(0, 120), label="checkpoint after")
    sent = read_all(first, log, saved_at)
    first.checkpoint()
    lost = read_all(first, log, data.draw(st.integers(0, 60), label="crash after"))
    second = Worker(name, partition, PARTITIONS, first.saved)
    again = read_all(second, log)
    if first.saved is None:
        assert told(again) == whole
    else:
        assert told(sent) + told(again) == whole
    both, expected = stamped(sent) | stamped(again), stamped(lost)
    assert {key: both[key] for key in expected} == expected


@settings(max_examples=20)
@given(SEEDS, PROCESSORS, st.integers(0, PARTITIONS - 1), st.randoms(use_true_random=False))
def test_any_interleaving_of_inputs_folds_the_same(seed, name, partition, chance):
    log = log_of(seed)
    whole = told(read_all(Worker(name, partition, PARTITIONS, None), log))
    worker, outputs = Worker(name, partition, PARTITIONS, None), []
    while topics := worker.unread(log):
        worker.read(log, chance.choice(topics))
        outputs += worker.outbox
        worker.outbox = []
    assert told(outputs) == whole


@settings(max_examples=20)
@given(SEEDS, st.sampled_from(("detect", "monitor", "controller")), st.data())
def test_repeats_and_wrong_closes_change_nothing(seed, name, data):
    log = log_of(seed)
    whole = told(read_all(Worker(name, 0, PARTITIONS, None), log))
    topic = {"detect": "outcomes", "monitor": "summaries", "controller": "metrics"}[name]
    bad: list[Record] = []
    for record in log[(topic, 0)]:
        again = data.draw(st.sampled_from(("once", "twice", "old")), label=record.event.id)
        if isinstance(record.event, EpochClosed) and again != "once":
            bad.append(record._replace(event=replace(record.event, hash="0" * 64)))
        bad.append(record)
        if again == "twice":
            bad.append(record)
        if again == "old":
            bad.append(bad[len(bad) // 3])
    damaged = {**log, (topic, 0): [r._replace(offset=n) for n, r in enumerate(bad)]}
    worker = Worker(name, 0, PARTITIONS, None)
    assert [row[:4] for row in told(read_all(worker, damaged))] == whole


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", NAMES)
def test_a_state_comes_back_from_its_bytes(seed, name):
    worker = Worker(name, 0, PARTITIONS, None)
    log = log_of(seed)
    while topics := worker.unread(log):
        worker.read(log, topics[0])
        if worker.positions is None:
            continue
        worker.positions, state = None, worker.fold.state
        wire = msgspec.msgpack.encode(state)
        assert msgspec.msgpack.decode(wire, type=type(state)) == state
    assert worker.fold.epoch >= EPOCHS


@pytest.mark.parametrize("name", NAMES)
def test_stamps_count_from_zero_and_closes_come_last(name):
    worker, log = Worker(name, 0, PARTITIONS, None), log_of(1)
    folds: list[Folded] = []
    while topics := worker.unread(log):
        topic = topics[0]
        record = log[(topic, 0)][worker.fold.inboxes[topic].position]
        folds += worker.fold.feed(record)
    assert [f.epoch for f in folds] == list(range(len(folds)))
    for folded in folds:
        events = [a.event for a in folded.outputs]
        closes = [e for e in events if isinstance(e, EpochClosed)]
        assert events[len(events) - len(closes) :] == closes
        ordinals = [e.stamp.ordinal for e in events[: len(events) - len(closes)]]
        assert ordinals == list(range(len(ordinals)))
        partitions = {"meter": 2 * PARTITIONS, "controller": 0}.get(name, 1)
        assert len(closes) == partitions
