"""Laws of seals: what a root is over, that a sealed state goes on as the fold itself, and that
METER's pending predictions come back from raw records or are refused.

The logs are those of `tests.chain`, and the same with ids of predictions that are used again.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streamops import codec
from streamops.audit.namespace import Namespace
from streamops.audit.seals import SealFiles
from streamops.audit.start import Starter
from streamops.core.epochs import Fold
from streamops.core.join import JoinTable
from streamops.core.meter import Meter
from streamops.core.seal import LeafRef, decode_manifest, is_due, root_of
from streamops.core.seal_leaf import Leaf
from streamops.core.seal_leaves import leaves_of, load_state, places_of
from streamops.core.seal_meter import join_hash, load_head
from streamops.events import Sealed
from streamops.hosts.memory import MemoryHost, make_fold
from tests.chain import EPOCHS, NAMES, Toy, Worker, clean
from tests.shelf import MemoryShelf
from tests.story import archive

PARTITIONS = 2
EVERY = 3
SEEDS = st.integers(0, 5)
PROCESSORS = st.sampled_from(NAMES)


@functools.cache
def host_of(seed: int) -> MemoryHost:
    return clean(seed, PARTITIONS, seal_every=EVERY, reuse=True)


def fold_of(name: str, partition: int = 0) -> Fold[Any]:
    return make_fold(
        name,
        partition,
        PARTITIONS,
        skew_max_ms=None,
        seal_every=EVERY,
        make_detector=lambda _: Toy(),
    )


def worker_of(name: str, saved: Any = None) -> Worker:
    worker = Worker(name, 0, PARTITIONS, saved)
    worker.fold.seal_every = EVERY
    return worker


def seals(outputs) -> list[Sealed]:
    return [out.event for out in outputs if isinstance(out.event, Sealed)]


def read_all(worker, log, choose=lambda topics: topics[0]) -> list[Sealed]:
    found: list[Sealed] = []
    while topics := worker.unread(log):
        worker.read(log, choose(topics))
        found += seals(worker.outbox)
        worker.outbox = []
    return found


def comparable(found: list[Sealed]) -> list[tuple[bytes, str]]:
    """What a seal says, and the hash of all that goes with it but derived positions."""
    return [(codec.conclusion(event), event.evidence.contents) for event in found]


def test_every_third_epoch_is_sealed_by_every_source():
    events = [e for e in host_of(0).events("progress") if isinstance(e, Sealed)]
    sources = {f"{name}/{p}" for name in NAMES for p in range(PARTITIONS)}
    epochs = [epoch for epoch in range(EPOCHS + 1) if is_due(epoch, EVERY)]
    assert {(e.source, e.epoch) for e in events} == {(s, e) for s in sources for e in epochs}
    assert not any(is_due(epoch, 0) for epoch in range(9))
    for event in events:
        manifest = decode_manifest(host_of(0).files[event.evidence.contents])
        assert {ref.sha256 for ref in manifest.leaves} <= host_of(0).files.keys()
    for name, data in host_of(0).files.items():
        assert hashlib.sha256(data).hexdigest() == name


def test_a_seal_stands_before_the_mark_after_which_nothing_is_sent_again():
    """A controller's epoch that `progress` names as concluded isn't sent again after a crash."""
    for records in (rows for (topic, _), rows in host_of(0).log.items() if topic == "progress"):
        ids = [r.event.id for r in records if r.event.id.startswith(("seal/controller", "conclu"))]
        sealed = [n for n, id_ in enumerate(ids) if id_.startswith("seal/")]
        assert len(sealed) == EPOCHS // EVERY
        for n in sealed:
            assert ids[n + 1] == f"concluded/{ids[n].split('/')[2]}/{ids[n].split('/')[3]}"


@settings(max_examples=12)
@given(SEEDS, PROCESSORS, st.randoms(use_true_random=False))
def test_any_interleaving_of_inputs_seals_the_same(seed, name, chance):
    log = host_of(seed).log
    once = comparable(read_all(worker_of(name), log))
    assert comparable(read_all(worker_of(name), log, chance.choice)) == once
    assert len(once) == EPOCHS // EVERY


@settings(max_examples=12)
@given(SEEDS, PROCESSORS, st.integers(0, 150))
def test_a_crash_seals_the_same_again(seed, name, stop):
    log = host_of(seed).log
    once = comparable(read_all(worker_of(name), log))
    first, sent = worker_of(name), list[Sealed]()
    for _ in range(stop):
        if topics := first.unread(log):
            first.read(log, topics[-1])
    sent += seals(first.outbox)
    first.outbox = []
    first.checkpoint()
    again = comparable(read_all(worker_of(name, first.saved), log))
    told = [*comparable(sent), *again]
    assert told == once if first.saved else again == once


@pytest.mark.parametrize("seed", range(3))
def test_record_by_record_and_runs_at_once_seal_the_same(seed):
    log = host_of(seed).log
    slow = worker_of("meter")
    slow.fold.processor._at_once = False  # type: ignore[attr-defined]
    assert comparable(read_all(slow, log)) == comparable(read_all(worker_of("meter"), log))


@pytest.mark.parametrize("name", NAMES)
def test_a_root_is_the_same_wherever_records_stand(name):
    """Other offsets and append times give the same root, and METER's contents say where."""
    log = host_of(1).log
    moved = {
        place: [record._replace(offset=record.offset + 1000, append_ms=5) for record in rows]
        for place, rows in log.items()
    }
    here, there = worker_of(name).fold, worker_of(name).fold
    mine, theirs = feed_in_turn(here, log), feed_in_turn(there, moved)
    assert [codec.conclusion(event) for event in mine] == [codec.conclusion(e) for e in theirs]
    if name == "meter":
        contents = [[event.evidence.contents for event in some] for some in (mine, theirs)]
        assert all(a != b for a, b in zip(*contents, strict=True))


def feed_in_turn(fold: Fold[Any], log) -> list[Sealed]:
    found: list[Sealed] = []
    for topic in fold.inboxes:
        for record in log.get((topic, fold.partition), ()):
            for folded in fold.feed(record):
                found += seals(folded.outputs)
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", NAMES)
def test_a_state_comes_back_from_its_leaves(seed, name):
    worker, log = worker_of(name), host_of(seed).log
    checked = 0
    while topics := worker.unread(log):
        worker.read(log, topics[0])
        if worker.positions is None:
            continue
        worker.positions = None
        processor, state = worker.fold.processor, worker.fold.state
        wire = msgspec.msgpack.encode(places_of(processor, state))
        places = msgspec.msgpack.decode(wire, type=type(places_of(processor, state)))
        leaves = [msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=Leaf)
                  for one in leaves_of(processor, state)]  # fmt: skip
        assert load_state(type(state), leaves, places) == without_offsets(state)
        if isinstance(processor, Meter):
            (head,) = [load_head(one, places) for one in leaves if one.kind == "meter"]
            assert {w.prediction_id: w for w in head.waiting} == processor.join.waiting
        checked += 1
    assert checked > EPOCHS


def without_offsets(state: Any) -> Any:
    if not hasattr(state, "models"):
        return state
    models = {
        name: replace(
            model,
            rules={
                key: replace(rule, refs=tuple(replace(ref, offset=0) for ref in rule.refs))
                for key, rule in model.rules.items()
            },
        )
        for name, model in state.models.items()
    }
    return replace(state, models=models)


@pytest.mark.parametrize(
    ("seed", "reuse"), [(0, False), (0, True), (1, True), (2, True)], ids="seed {}".format
)
def test_a_fold_goes_on_from_a_seal_as_if_it_had_never_stopped(seed, reuse, tmp_path):
    """States, pending predictions, matches and waiting labels come back, and what follows is the
    same to its end. Detectors don't come back: of DETECT only the state is compared."""
    host = clean(seed, PARTITIONS, seal_every=EVERY, reuse=reuse)
    folder = archive(host, Path(tmp_path), rows=20)
    namespace = Namespace(partitions=PARTITIONS, driven=True, seal_every=EVERY)
    starter = Starter(folder, namespace, lambda _: Toy())  # type: ignore[arg-type, return-value]
    for epoch in range(EVERY - 1, EPOCHS, EVERY):
        for source, fold in starter.prepare(epoch).folds.items():
            name, _, partition = source.partition("/")
            truth = stopped_after(fold_of(name, int(partition)), host.log, epoch)
            assert without_offsets(fold.state) == without_offsets(truth.state)
            if isinstance(fold.processor, Meter):
                join, other = fold.processor.join, truth.processor.join  # type: ignore[attr-defined]
                assert join.pending == other.pending
                assert join.matched == other.matched
                assert join.waiting == other.waiting
            feed_from_positions(fold, host.log)
            mine, whole = fold.advance(), truth.advance()
            assert len(mine) == len(whole) >= EPOCHS - epoch
            if name != "detect":
                assert outputs(mine) == outputs(whole)
    assert starter.findings == []


def feed_from_positions(fold: Fold[Any], log) -> None:
    for topic, inbox in fold.inboxes.items():
        for record in log.get((topic, fold.partition), ())[inbox.position :]:
            inbox.feed(record)


def outputs(folded) -> list[tuple[Any, ...]]:
    """All that epochs write; METER's with its evidence, which names raw records."""
    return [
        (a.topic, a.partition, a.key, say(a.event))
        for one in folded
        for a in one.outputs
        for say in [codec.encode if a.topic in ("outcomes", "summaries") else codec.conclusion]
    ]


def stopped_after(fold: Fold[Any], log, epoch: int) -> Fold[Any]:
    for topic, inbox in fold.inboxes.items():
        for record in log.get((topic, fold.partition), ()):
            inbox.feed(record)
    fold.advance(epoch)
    assert fold.epoch == epoch
    return fold


def test_a_hash_over_the_join_table_sees_each_entry_and_its_match():
    fold = stopped_after(fold_of("meter"), host_of(2).log, 5)
    join = fold.processor.join
    before, seen = join_hash(join), set[str]()
    pending, matched = dict(join.pending), dict(join.matched)
    for id_, entry in pending.items():
        for changed in (replace(entry, late=not entry.late), replace(entry, time_us=1), None):
            seen.add(join_hash(table_of({**pending, id_: changed}, matched)))
    for id_, match in matched.items():
        seen.add(join_hash(table_of(pending, {**matched, id_: replace(match, latest="other")})))
    assert before not in seen
    assert len(seen) >= 3 * len(join.pending)
    for shelf in (None, MemoryShelf()):
        assert join_hash(table_of(pending, matched, shelf)) == before


def table_of(pending, matched, shelf=None) -> JoinTable:
    table = JoinTable(shelf, keep=2)
    for entry in filter(None, pending.values()):
        table.add_pending(entry)
        if entry.id in matched:
            table.add_matched(entry, matched[entry.id])
    return table


def tree(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + tree(leaves[:k]) + tree(leaves[k:])).digest()


@given(st.lists(st.binary(min_size=1, max_size=3), max_size=40))
def test_a_root_is_that_of_rfc_6962(leaves):
    refs = [LeafRef("kind", "model", leaf.hex(), len(leaf)) for leaf in leaves]
    assert root_of(refs) == tree(leaves).hex()


def test_files_of_every_seal_are_sound(tmp_path):
    folder = archive(host_of(3), Path(tmp_path))
    files = SealFiles(folder)
    for event in host_of(3).events("progress"):
        if isinstance(event, Sealed):
            files.check(event)
            assert len(files.load(event).leaves) == event.leaves
