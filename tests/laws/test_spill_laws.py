"""Laws of what is held on disk: it changes nothing, at any limit and in any order of feeding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streamops import codec
from streamops.core.derived_inbox import DerivedInbox, close_hash, runs_of
from streamops.core.inbox import RawInbox
from streamops.core.processor import Record
from streamops.core.rows import Columns, Rows
from streamops.events import EpochClosed
from streamops.hosts.decoding import to_record
from streamops.hosts.spill import Spill
from streamops.values import Stamp
from tests.builders import at, made, mature, tick
from tests.chain import NAMES, Worker
from tests.laws.test_fold_laws import PARTITIONS, SEEDS, log_of, told

SOURCES = ("monitor/0", "detect/0")
EPOCHS = 4
LIMITS = st.sampled_from((0, 1, 5_000, 20_000, 1 << 30))


@contextmanager
def spill_of(limit: int) -> Iterator[Spill]:
    with TemporaryDirectory() as folder:
        spill = Spill(Path(folder) / "spill", limit)
        yield spill
        spill.close()


def stamped(source: str, epoch: int, ordinal: int) -> bytes:
    event = mature((epoch * 7 + ordinal * 3) % 5)
    return codec.encode(replace(event, stamp=Stamp(source, epoch, ordinal)))


def close(source: str, epoch: int, values: list[bytes]) -> bytes:
    conclusions = (codec.conclusion(codec.decode(value)) for value in values)
    return codec.encode(
        EpochClosed(
            id=f"close/{source}/{epoch}",
            time=at(0),
            source=source,
            epoch=epoch,
            count=len(values),
            hash=close_hash(conclusions),
        )
    )


@st.composite
def derived_logs(draw) -> list[Record]:
    """Epochs of two sources in any order, with repeats and wrong closes."""
    values: list[bytes] = []
    for source in SOURCES:
        for epoch in range(EPOCHS):
            of_epoch = [stamped(source, epoch, n) for n in range(draw(st.integers(0, 4)))]
            wrong = close(source, epoch, [*of_epoch, stamped(source, epoch, 9)])
            values += [*of_epoch, close(source, epoch, of_epoch)]
            values += draw(st.lists(st.sampled_from([*of_epoch, wrong]), max_size=3))
    order = draw(st.one_of(st.just(values), st.permutations(values)))
    return [to_record("metrics", 0, n, 0, b"", value) for n, value in enumerate(order)]


def drained(inbox: DerivedInbox | RawInbox, log: list[Record]) -> list[object]:
    """All that an inbox tells and hands over while it is fed."""
    found: list[object] = []
    epoch = 0
    for record in log:
        inbox.feed(record)
        found.append((inbox.position, inbox.ahead, inbox.held))
        while inbox.ready(epoch):
            records, *rest = inbox.take(epoch)
            found.append((list(records), *rest))
            epoch += 1
    return found


@settings(max_examples=60)
@given(derived_logs(), LIMITS)
def test_a_derived_partition_hands_over_the_same(log, limit):
    plain = DerivedInbox("metrics", next_epoch=0, sources=frozenset(SOURCES))
    wanted = drained(plain, log)
    assert sum(isinstance(row[0], list) for row in wanted) == EPOCHS
    with spill_of(limit) as spill:
        inbox = DerivedInbox(
            "metrics", next_epoch=0, sources=frozenset(SOURCES), buffer=spill.buffer()
        )
        assert drained(inbox, log) == wanted
        assert inbox.quarantined == plain.quarantined
        assert spill.held == 0


def drained_by_chunks(inbox: DerivedInbox, log: list[Record], size: int) -> list[object]:
    """The epochs that an inbox hands over while it is fed chunks."""
    found: list[object] = []
    epoch = 0
    for first in range(0, len(log), size):
        for group, run in runs_of(to_rows(log[first : first + size])):
            if group is not None and inbox.feed_together(group, run):
                continue
            for record in run:
                inbox.feed(record)
                while inbox.ready(epoch):
                    records, *rest = inbox.take(epoch)
                    found.append((list(records), *rest))
                    epoch += 1
    return found


def to_rows(log: list[Record]) -> Rows:
    _, _, *columns = zip(*log, strict=True)
    return Rows("metrics", 0, Columns(*columns))


@settings(max_examples=80)
@given(derived_logs(), LIMITS, st.integers(1, 30))
def test_a_derived_partition_fed_by_chunks_hands_over_the_same(log, limit, size):
    plain = DerivedInbox("metrics", next_epoch=0, sources=frozenset(SOURCES))
    wanted = [row for row in drained(plain, log) if isinstance(row[0], list)]
    assert len(wanted) == EPOCHS
    with spill_of(limit) as spill:
        inbox = DerivedInbox(
            "metrics", next_epoch=0, sources=frozenset(SOURCES), buffer=spill.buffer()
        )
        assert drained_by_chunks(inbox, log, size) == wanted
        assert inbox.position == plain.position
        assert (inbox.quarantined, inbox.disputed) == (plain.quarantined, plain.disputed)
        assert spill.held == 0


def test_what_came_in_turn_and_whole_is_matched_without_a_second_look(monkeypatch):
    values = [stamped("monitor/0", 0, n) for n in range(3)]
    log = [to_record("metrics", 0, n, 0, b"", value) for n, value in enumerate(values)]
    told = to_record("metrics", 0, 3, 0, b"", close("monitor/0", 0, values))
    inbox = DerivedInbox("metrics", next_epoch=0, sources=frozenset(["monitor/0"]))
    assert inbox.feed_together((0, "monitor/0"), to_rows(log))
    monkeypatch.setattr(inbox.buffer, "read", None)
    inbox.feed(told)
    assert inbox.ready(0)


def raw_log(kinds: list[str]) -> list[Record]:
    """Predictions, garbage, ticks that count, jump, or are refused."""
    records, epoch = [], 0
    for n, kind in enumerate(kinds):
        if kind == "tick":
            value = codec.encode(tick(epoch, epoch * 10))
            epoch += 1 + (n % 5 == 0)
        elif kind == "back in time":
            value = codec.encode(tick(epoch, -10))
        else:
            value = codec.encode(made(n)) if kind == "made" else b"garbage"
        records.append(to_record("predictions", 0, n, 0, b"", value))
    return records


KINDS = st.lists(st.sampled_from(("made", "made", "made", "tick", "back in time", "garbage")))


@settings(max_examples=60)
@given(KINDS, LIMITS, st.integers(1, 5))
def test_a_raw_partition_hands_over_the_same(kinds, limit, chunk):
    log = raw_log(kinds)
    wanted = drained(RawInbox("predictions", next_epoch=0, skew_max_ms=None), log)
    with spill_of(limit) as spill:
        inbox = RawInbox(
            "predictions", next_epoch=0, skew_max_ms=None, chunk=chunk, buffer=spill.buffer()
        )
        assert drained(inbox, log) == wanted
        inbox.buffer.clear()
        assert spill.held == 0


@settings(max_examples=20)
@given(
    SEEDS,
    st.sampled_from(NAMES),
    LIMITS,
    st.sampled_from((0, 1)),
    st.randoms(use_true_random=False),
)
def test_a_fold_concludes_the_same_and_keeps_the_limit(seed, name, limit, partition, chance):
    log = log_of(seed)
    plain, outputs = Worker(name, partition, PARTITIONS, None), []
    with spill_of(limit) as spill:
        worker = Worker(name, partition, PARTITIONS, None)
        worker.fold.hold_in(spill.buffer)
        while topics := worker.unread(log):
            topic = chance.choice(topics)
            for each in (plain, worker):
                each.read(log, topic)
            assert 0 <= spill.held <= limit
        outputs = worker.outbox
        worker.fold.let_go()
        assert spill.held == 0
    assert told(outputs) == told(plain.outbox)
