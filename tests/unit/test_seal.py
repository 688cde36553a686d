"""Hashes of records, and the sealer: what it seals, after a crash too."""

from __future__ import annotations

import hashlib
import shutil
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streamops import codec
from streamops.audit.in_order import longest_rise, rises
from streamops.audit.record_chain import verify_chain
from streamops.core.merkle import merkle_root
from streamops.errors import TransportError
from streamops.events import SealRequested
from streamops.views.archive import ArchiveLog
from streamops.views.log import MemoryLog, RawRecord
from streamops.views.record_hash import leaf_hashes, seal_head, segment_head
from streamops.views.seal import Sealer, SealPace, noted_files, read_seal, seal_paths
from streamops.views.seal_events import HOME, requested_by, sealed_by, seals_on
from tests.builders import at
from tests.sealed import NAMESPACE, PACE, PLACES, SealedArchive, raw, sealed_archive

RECORD = RawRecord("labels", 1, 7, 99, b"key", b"value", (("a", b"b"),))

# Hashes -------------------------------------------------------------------------------------------


def test_a_leaf_is_what_the_format_says():
    """Written out by hand: a change of this breaks every seal there is."""
    head = b"\x00" + struct.pack(">qqIII", 7, 99, 3, 5, 1)
    pair = struct.pack(">I", 1) + b"a" + struct.pack(">I", 1) + b"b"
    assert leaf_hashes([RECORD]) == [hashlib.sha256(head + b"keyvalue" + pair).digest()]


def rfc6962(leaves: list[bytes]) -> bytes:
    """The tree as RFC 6962 defines it: split at the largest power of two below the size."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = rfc6962(leaves[:split]), rfc6962(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


@given(st.integers(1, 70))
def test_the_root_is_that_of_rfc_6962(size):
    leaves = [hashlib.sha256(b"%d" % n).digest() for n in range(size)]
    assert merkle_root(leaves) == rfc6962(leaves)


fields = st.fixed_dictionaries(
    {
        "offset": st.integers(0, 3),
        "append_ms": st.integers(0, 3),
        "key": st.binary(max_size=3),
        "value": st.binary(max_size=3),
        "headers": st.lists(
            st.tuples(st.text("ab", max_size=2), st.binary(max_size=2)), max_size=2
        ).map(tuple),
    }
)


@given(fields, fields)
def test_two_records_share_a_leaf_only_if_they_are_equal(a, b):
    one, other = RECORD._replace(**a), RECORD._replace(**b)
    assert (leaf_hashes([one]) == leaf_hashes([other])) == (one == other)


@given(st.lists(st.integers(0, 8), max_size=9))
def test_the_longest_rise_is_one_and_none_is_longer(numbers):
    places = longest_rise(numbers)
    assert rises(places)
    assert rises([numbers[n] for n in places])
    best = [0] * len(numbers)
    for n, number in enumerate(numbers):
        best[n] = 1 + max((best[m] for m in range(n) if numbers[m] < number), default=0)
    assert len(places) == max(best, default=0)


# Seals --------------------------------------------------------------------------------------------


def test_a_seal_names_its_segments_and_follows_from_the_one_before(tmp_path):
    made = sealed_archive(tmp_path, files=2)
    first, second = made.seals
    assert (first.number, first.previous, second.previous) == (1, "", first.head)
    assert second.head == seal_head(second)
    mine = [s for event in made.seals for s in event.segments if s.topic == "labels"]
    assert mine[0].first == 0
    assert [s.next for s in mine][:-1] == [s.first for s in mine][1:]
    assert mine[-1].next == 80
    assert {s.records for s in mine} <= set(range(1, PACE.records + 1))
    assert mine[1].head == segment_head(mine[1], mine[0].head)
    assert [s.topic for s in second.segments if s.topic == "progress"] == ["progress"]
    newest = max(r.append_ms for records in made.log.values() for r in records)
    assert second.time.timestamp() * 1000 <= newest


def test_files_do_not_decide_what_a_segment_is(tmp_path):
    rows = [raw(PLACES[0], n, b"%d" % n) for n in range(50) if n % 7]
    heads = set()
    for step in (50, 13, 1):
        made = SealedArchive(tmp_path / str(step))
        for first in range(0, 50, step):
            end = min(first + step, 50)
            made.write(PLACES[0], [r for r in rows if first <= r.offset < end], end)
        heads.add(made.seal().head)
    assert len(heads) == 1


def reopened(made: SealedArchive, log: MemoryLog) -> tuple[Sealer, object]:
    """A new process over the same folder; what isn't sealed is hashed again, from the files."""
    sealer = Sealer(made.folder, NAMESPACE, PACE)
    unsent = sealer.resume(log)
    archive = ArchiveLog(made.folder)
    for place in sorted(made.log):
        for path, cover in archive.files(*place):
            if cover.next > sealer.sealed(place):
                records = list(archive.read(*place, cover.first, cover.next))
                sealer.take(place, records, cover, path)
    return sealer, unsent


def test_a_seal_whose_event_never_went_out_is_the_same_again(tmp_path):
    made = sealed_archive(tmp_path, files=2)
    made.write(PLACES[0], [raw(PLACES[0], n, b"x") for n in range(80, 90)])
    event = made.sealer.seal(0.0, "request")
    for _ in range(2):
        sealer, unsent = reopened(made, MemoryLog(made.log[HOME]))
        assert unsent == event
    assert sealer.chain.head == event.head
    sent = [*made.log[HOME], raw(HOME, 2, codec.encode(event)), raw(HOME, 3, codec.encode(event))]
    assert reopened(made, MemoryLog(sent))[1] is None


@pytest.mark.parametrize("lost", ["chain", "chain/seals", "chain/leaves", None])
def test_a_restart_goes_on_as_if_there_had_been_none(tmp_path, lost):
    going, stopped = sealed_archive(tmp_path / "a"), sealed_archive(tmp_path / "b")
    if lost:
        shutil.rmtree(tmp_path / "b" / lost)
    for made in (going, stopped):
        for start in (120, 130):
            made.write(PLACES[0], [raw(PLACES[0], n, b"x") for n in range(start, start + 10)])
            if made is stopped:
                made.sealer, unsent = reopened(made, MemoryLog(made.log[HOME]))
                assert unsent is None
    assert going.seal() == stopped.seal()
    assert verify_chain(tmp_path / "b").ok


def test_a_crash_with_segments_closed_and_not_sealed_loses_nothing(tmp_path):
    made = SealedArchive(tmp_path)
    made.write(PLACES[0], [raw(PLACES[0], n, b"x") for n in range(40)])
    made.log[HOME] = []
    made.sealer, _ = reopened(made, MemoryLog([]))
    made.write(PLACES[0], [raw(PLACES[0], n, b"x") for n in range(40, 45)])
    event = made.seal()
    assert [(s.first, s.next) for s in event.segments] == [(0, 16), (16, 32), (32, 45)]
    assert verify_chain(tmp_path).ok


def test_a_second_archiver_on_the_folder_is_refused(tmp_path):
    made = sealed_archive(tmp_path, files=1)
    other, _ = reopened(made, MemoryLog(made.log[HOME]))
    made.seal()
    with pytest.raises(TransportError, match="another archiver seals this archive"):
        other.seal(0.0)


def test_a_second_archive_of_the_namespace_is_refused(tmp_path):
    made = sealed_archive(tmp_path / "a", files=1)
    sealed_archive(tmp_path / "b", files=1, seed=5)
    other = Sealer(tmp_path / "b", NAMESPACE, PACE)
    with pytest.raises(TransportError, match="let one archiver run"):
        other.resume(MemoryLog(made.log[HOME]))


def test_too_many_open_records_close_the_largest_segment(tmp_path):
    made = SealedArchive(tmp_path, SealPace(records=1000, open=30))
    made.write(PLACES[0], [raw(PLACES[0], n, b"x") for n in range(20)])
    made.write(PLACES[1], [raw(PLACES[1], n, b"x") for n in range(15)])
    made.write(PLACES[0], [raw(PLACES[0], n, b"x") for n in range(20, 25)])
    spans = [(s.topic, s.first, s.next) for s in made.seal().segments]
    assert spans == [("labels", 0, 15), ("predictions", 0, 20), ("predictions", 20, 25)]


def test_a_seal_is_due_by_time_or_records_and_never_for_seals_alone(tmp_path):
    made = SealedArchive(tmp_path, SealPace(every_s=10.0, unsealed=30))
    assert not made.sealer.due(1e9)
    made.write(PLACES[0], [raw(PLACES[0], 0, b"x")])
    assert not made.sealer.due(9.9)
    assert made.sealer.due(10.0)
    made.write(PLACES[0], [raw(PLACES[0], n, b"x") for n in range(1, 30)])
    assert made.sealer.due(0.0)
    made.seal()
    assert not made.sealer.due(1e9)


def test_a_damaged_seal_file_says_what_to_do(tmp_path):
    made = sealed_archive(tmp_path, files=1)
    [path] = seal_paths(tmp_path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(TransportError, match="restore it, or delete the folder chain"):
        Sealer(tmp_path, NAMESPACE).resume(MemoryLog(made.log[HOME]))
    found = verify_chain(tmp_path)
    assert found.ok
    assert str(path) in found.unreadable[0]


def test_a_torn_line_in_the_list_of_files_is_passed_over(tmp_path):
    sealed_archive(tmp_path, files=2)
    listed = tmp_path / "chain" / "files" / "topic=labels" / "partition=1.sha256"
    whole = noted_files(tmp_path, PLACES[1])
    assert len(whole) == 2
    listed.write_text(listed.read_text() + "12ab  raw")
    assert noted_files(tmp_path, PLACES[1]) == whole


def test_seals_and_requests_are_told_from_other_records():
    asked = SealRequested(id="r", time=at(0), actor="ada")
    value = codec.encode(asked)
    assert requested_by(RECORD._replace(topic="audit", value=value)) == "r"
    assert requested_by(RECORD._replace(topic="labels", value=value)) == ""
    assert requested_by(RECORD._replace(topic="audit", value=b'"SealRequested"')) == ""
    assert sealed_by(b'{"type":"CheckpointSealed"}') is None
    assert list(seals_on(MemoryLog([]))) == []


def test_the_file_of_a_seal_holds_its_event(tmp_path):
    made = sealed_archive(tmp_path, files=1)
    kept = read_seal(seal_paths(tmp_path)[0])
    assert kept.event == made.seals[0]
    assert kept.places["labels/1"].next == 40
    assert kept.event != replace(kept.event, request="x")
