"""inbox: how ticks cut a raw partition, and when a derived epoch is complete."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streamops import codec
from streamops.core.derived_inbox import DerivedInbox, close_hash, sources_of, total_key
from streamops.core.inbox import EPOCHS_AHEAD_MAX, RawInbox
from streamops.core.processor import Refusal
from streamops.events import EpochClosed, MetricReported
from streamops.hosts.memory import MemoryHost
from streamops.values import Stamp
from tests.builders import activated, at, config, made, mature, record, tick


def raw(*events, next_epoch=0, skew_max_ms=None):
    inbox = RawInbox("predictions", next_epoch=next_epoch, skew_max_ms=skew_max_ms)
    for offset, event in enumerate(events):
        inbox.feed(record("predictions", offset, event))
    return inbox


def names(records):
    return [r.event.reason if isinstance(r.event, Refusal) else r.event.id for r in records]


def test_an_epoch_is_what_stands_between_two_ticks():
    #  tick 0 . p1 . p2 . tick 1 . p3 ...
    inbox = raw(tick(0, 0), made(1), made(2), tick(1, 10), made(11))
    assert inbox.ready(0)
    assert not inbox.ready(1)
    records, time, position = inbox.take(0)
    assert names(records) == ["tick/0", "p1", "p2", "tick/1"]
    assert (time, position) == (at(10), 3), "the closing tick is read again by who resumes"


def test_what_stands_before_the_first_tick_belongs_to_epoch_0():
    inbox = raw(made(1), tick(0, 0), made(2), tick(1, 10))
    assert names(inbox.take(0)[0]) == ["p1", "tick/0", "p2", "tick/1"]


def test_only_the_open_epoch_is_handed_over_and_only_the_rest_waits():
    inbox = raw(tick(0, 0), made(1), tick(1, 10), made(11), made(12))
    assert inbox.hand_over(0, 1) == (), "it is complete, and p11 isn't its own"
    assert inbox.hand_over(1, 3) == ()
    assert names(inbox.hand_over(1, 2)) == ["p11", "p12"]
    for offset, event in enumerate((made(13), tick(2, 20)), 5):
        inbox.feed(record("predictions", offset, event))
    assert names(inbox.take(0)[0]) == ["tick/0", "p1", "tick/1"]
    assert names(inbox.take(1)[0]) == ["p13", "tick/2"]


def test_a_tick_again_counts_for_nothing():
    inbox = raw(tick(0, 0), tick(0, 0), made(1), tick(1, 10), tick(1, 10), tick(0, 0), tick(2, 20))
    assert names(inbox.take(0)[0]) == ["tick/0", "p1", "tick/1"]
    assert names(inbox.take(1)[0]) == ["tick/2"]


def test_a_tick_that_jumps_closes_every_epoch_between():
    #  tick 0 . p1 . tick 3: p1 is epoch 0's, epochs 1 and 2 hold the tick alone
    inbox = raw(tick(0, 0), made(1), tick(3, 30))
    assert [names(inbox.take(e)[0]) for e in range(3)] == [
        ["tick/0", "p1", "tick/3"],
        ["tick/3"],
        ["tick/3"],
    ]
    assert not inbox.ready(3)


@pytest.mark.parametrize("jump", [0, 1])
def test_the_farthest_jump_is_a_limit(jump):
    inbox = raw(tick(0, 0), tick(EPOCHS_AHEAD_MAX + jump, 10))
    assert inbox.ready(0) == (jump == 0)


def test_a_tick_ahead_of_its_append_time_is_refused():
    ahead = replace(tick(1, 0), time=at(4102444800))  # the year 2100
    inbox = RawInbox("predictions", next_epoch=0, skew_max_ms=5000)
    inbox.feed(record("predictions", 0, tick(0, 0)))
    inbox.feed(record("predictions", 1, ahead)._replace(append_ms=0))
    assert not inbox.ready(0)
    inbox.feed(record("predictions", 2, tick(1, 10)))
    reasons = names(inbox.take(0)[0])
    assert reasons[0] == "tick/0"
    assert "2100" in reasons[1]
    assert reasons[2] == "tick/1"


@pytest.mark.parametrize(("ahead_ms", "counts"), [(5000, True), (5001, False)])
def test_a_tick_may_be_ahead_by_the_skew_exactly(ahead_ms, counts):
    inbox = RawInbox("labels", next_epoch=0, skew_max_ms=5000)
    inbox.feed(record("labels", 0, tick(0, 0)))
    inbox.feed(record("labels", 1, tick(1, ahead_ms / 1000))._replace(append_ms=0))
    assert inbox.ready(0) == counts


def test_time_never_falls():
    inbox = raw(tick(0, 100), tick(1, 99.5), tick(2, 100))
    assert [n[:11] for n in names(inbox.take(0)[0])] == ["tick/0", "tick's time", "tick/2"]


def test_a_resumed_partition_starts_at_the_tick_that_opened_its_epoch():
    """The tick that closed the last folded epoch sets the time and is no record again."""
    log = [tick(0, 0), made(1), tick(1, 10), tick(1, 17), made(11), tick(2, 9), tick(2, 20)]
    whole = raw(*log)
    position = whole.take(0)[2]
    resumed = RawInbox("predictions", next_epoch=1, skew_max_ms=None)
    for offset, event in list(enumerate(log))[position:]:
        resumed.feed(record("predictions", offset, event))
    assert names(resumed.take(1)[0]) == names(whole.take(1)[0])


def test_a_partition_resumed_inside_a_jump_closes_what_is_left_of_it():
    log = [tick(0, 0), made(1), tick(3, 30), made(31), tick(4, 40)]
    whole = raw(*log)
    position = whole.take(0)[2]
    resumed = RawInbox("predictions", next_epoch=1, skew_max_ms=None)
    for offset, event in list(enumerate(log))[position:]:
        resumed.feed(record("predictions", offset, event))
    for epoch in (1, 2, 3):
        assert names(resumed.take(epoch)[0]) == names(whole.take(epoch)[0])


# Derived partitions ------------------------------------------------------------------------------

SOURCES = frozenset({"monitor/0", "detect/0"})


def stamped(source, epoch, ordinal, pane=0):
    return replace(mature(pane), stamp=Stamp(source, epoch, ordinal))


def close(source, epoch, *events):
    return EpochClosed(
        id=f"close/{source}/{epoch}",
        time=at(0),
        source=source,
        epoch=epoch,
        count=len(events),
        hash=close_hash(codec.conclusion(e) for e in events),
    )


def derived(*events, next_epoch=0, start=0):
    inbox = DerivedInbox("metrics", next_epoch=next_epoch, sources=SOURCES)
    for offset, event in enumerate(events, start):
        inbox.feed(record("metrics", offset, event))
    return inbox


def test_an_epoch_waits_for_every_source():
    a, b = stamped("monitor/0", 0, 0, pane=2), stamped("monitor/0", 0, 1, pane=1)
    inbox = derived(a, b, close("monitor/0", 0, a, b))
    assert not inbox.ready(0)
    assert inbox.stalled(0) == ["detect/0"]
    inbox.feed(record("metrics", 3, close("detect/0", 0)))
    assert inbox.ready(0)
    records, time, position = inbox.take(0)
    assert [r.event for r in records] == [b, a]  # by time, whatever their order of arrival
    assert (time, position) == (None, 4)


def test_repeats_vanish_even_when_a_lost_record_comes_last():
    #  sent a, b (lost), the close; healed: a again, b, the close again
    a, b = stamped("monitor/0", 0, 0), stamped("monitor/0", 0, 1, pane=1)
    end, other = close("monitor/0", 0, a, b), close("detect/0", 0)
    inbox = derived(a, end, other, a)
    assert not inbox.ready(0)
    inbox.feed(record("metrics", 4, b))
    inbox.feed(record("metrics", 5, end))
    assert [r.offset for r in inbox.take(0)[0]] == [0, 4]
    inbox.feed(record("metrics", 6, a))  # a zombie, epochs later
    inbox.feed(record("metrics", 7, end))
    assert inbox.held == 0


@pytest.mark.parametrize("first", [True, False])
def test_a_close_that_does_not_match_is_counted_and_never_stops_the_epoch(first):
    a = stamped("monitor/0", 0, 0)
    wrong, right = replace(close("monitor/0", 0, a), hash="0" * 64), close("monitor/0", 0, a)
    ends = [wrong, wrong, right] if first else [right, wrong]
    inbox = derived(a, *ends, close("detect/0", 0))
    assert inbox.ready(0)
    assert inbox.quarantined == (2 if first else 1)
    assert [r.event for r in inbox.disputed] == [wrong] * inbox.quarantined
    inbox.take(0)


def test_a_close_is_held_against_what_came_together():
    a, b = stamped("monitor/0", 0, 0), stamped("monitor/0", 0, 1, pane=1)
    inbox = derived(close("detect/0", 0))
    together = [record("metrics", 1, a), record("metrics", 2, b)]
    assert inbox.feed_together((0, "monitor/0"), together)
    right = close("monitor/0", 0, a, b)
    inbox.feed(record("metrics", 3, replace(right, hash="0" * 64)))
    assert not inbox.ready(0)
    inbox.feed(record("metrics", 4, right))
    assert (inbox.ready(0), inbox.quarantined) == (True, 1)
    assert [r.event for r in inbox.take(0)[0]] == [a, b]


def test_a_close_set_aside_is_recorded_once_as_our_fault():
    host = MemoryHost(partitions=1, make_detector=str)
    right = EpochClosed(id="c", time=at(0), source="meter/0", epoch=0, count=0, hash=close_hash([]))
    for close_ in (replace(right, count=3), right, right):
        host.append("summaries", "meter/0", close_, partition=0)
    host.run()
    host.append("summaries", "meter/0", right, partition=0)
    host.run()
    (refused,) = host.events("dlq")
    assert (refused.topic, refused.offset, refused.fault) == ("summaries", 0, "us")
    assert "count is 3" in refused.reason
    assert "not what meter/0 sent of epoch 0" in refused.reason


def test_the_same_close_twice_is_no_fault():
    a = stamped("monitor/0", 0, 0)
    inbox = derived(a, close("monitor/0", 0, a), close("monitor/0", 0, a), close("detect/0", 0))
    assert inbox.ready(0)
    assert inbox.quarantined == 0


def test_positions_go_back_to_the_first_record_of_a_later_epoch():
    #  offsets      0   1    2    3    4      epoch 1 began at offset 1, before epoch 0 was complete
    a, b = stamped("monitor/0", 0, 0), stamped("detect/0", 1, 0)
    inbox = derived(a, b, close("monitor/0", 0, a), close("detect/0", 0), close("detect/0", 1, b))
    assert inbox.take(0)[2] == 1
    resumed = derived(
        b, close("monitor/0", 0, a), close("detect/0", 0), close("detect/0", 1, b),
        close("monitor/0", 1), next_epoch=1, start=1,
    )  # fmt: skip
    assert [r.event for r in resumed.take(1)[0]] == [b]


def test_strangers_are_counted_and_held_nowhere():
    inbox = derived(
        MetricReported(id="r", time=at(0), model="m", name="revenue", value=1.0),
        stamped("meter/7", 0, 0),
        close("meter/7", 0),
        Refusal("value is empty"),
    )
    assert inbox.strays == 4
    assert inbox.held == 0


def test_what_misses_a_source_is_never_ahead_and_so_never_paused():
    """Pausing it would keep away the very records that complete it."""
    inbox = derived(*(close("monitor/0", epoch) for epoch in range(9)))
    assert (inbox.held, inbox.ahead) == (9, 0)
    for epoch in range(1, 5):
        inbox.feed(record("metrics", 9 + epoch, close("detect/0", epoch)))
    assert inbox.ahead == 0, "epoch 0 still misses one"
    inbox.feed(record("metrics", 20, close("detect/0", 0)))
    assert inbox.ahead == 5
    inbox.take(0)
    assert (inbox.held, inbox.ahead) == (8, 4)


def test_activations_come_first_then_time_id_kind_source_and_ordinal():
    late, early = stamped("monitor/0", 0, 0, pane=5), stamped("monitor/0", 0, 1, pane=1)
    twin = replace(early, stamp=Stamp("detect/0", 0, 9))
    first = replace(activated(config(), 1, first_pane=900), stamp=Stamp("monitor/0", 0, 2))
    events = [late, early, twin, first]
    ordered = sorted((record("metrics", n, e) for n, e in enumerate(events)), key=total_key)
    assert [r.event for r in ordered] == [first, twin, early, late]


def test_only_meter_closes_to_every_partition():
    assert sources_of("summaries", ("meter",), 1, 3) == {"meter/0", "meter/1", "meter/2"}
    assert sources_of("metrics", ("monitor", "detect"), 1, 3) == {"monitor/1", "detect/1"}
