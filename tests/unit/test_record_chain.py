"""verify-chain on a small sealed archive: each kind of tampering found, and its place named."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from streamops import codec
from streamops.audit.raw_rows import BATCH, RawFileRows
from streamops.audit.record_chain import INTACT, UNSEALED, ChainCheck, verify_chain
from streamops.audit.seal_chain import SealChain
from streamops.audit.seal_line import line_of, read_line
from streamops.audit.sealed_partition import SealedPartition
from streamops.errors import ConfigError
from streamops.events import CheckpointSealed
from streamops.views.archive import (
    COVER,
    SCHEMA,
    cover_of,
    file_name,
    raw_folder,
    raw_table,
    write_raw,
)
from streamops.views.log import Partition, RawRecord
from streamops.views.record_hash import leaf_hashes, seal_head
from streamops.views.seal import SealPace, leaves_path, seal_paths
from streamops.views.seal_events import HOME
from tests.builders import at
from tests.sealed import PLACES, SealedArchive, raw, sealed_archive

TAMPERINGS = 1000
FLIPS = 200
REPACKED = 20

Row = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SealedArchive:
    return sealed_archive(tmp_path_factory.mktemp("sealed"))


@pytest.fixture
def copy(made: SealedArchive, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.folder, tmp_path / "archive"))


def places(found: ChainCheck) -> set[tuple[str, int, int]]:
    return {(b.topic, b.partition, n) for b in found.broken for n in range(b.offset, b.next)}


def paths_of(folder: Path, place: Partition) -> list[Path]:
    return sorted(raw_folder(folder, *place).glob("*.parquet"))


def rewrite(path: Path, rows: list[Row], **how: Any) -> None:
    """Write rows in place of a file's, with its metadata."""
    kept = pq.read_schema(path).metadata
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata(kept)), path, **how)


# Intact -------------------------------------------------------------------------------------------


def test_what_was_sealed_verifies(made):
    found = verify_chain(made.folder)
    assert found.ok
    assert (found.broken, found.altered, found.unreadable) == ((), (), ())
    assert found.seals == len(made.seals) == 3
    # The last seal's own record is behind it.
    assert found.unsealed == 1
    assert found.sealed + 1 == sum(len(records) for records in made.log.values())
    assert found.line == str(line_of(made.seals[-1]))


def test_progress_is_told_of(made):
    told: list[tuple[int, int]] = []
    verify_chain(made.folder, on_progress=lambda done, total: told.append((done, total)))
    total = sum(len(records) for records in made.log.values())
    assert told[-1] == (total, total)


def test_the_seals_on_progress_are_enough(copy, made):
    shutil.rmtree(copy / "chain" / "seals")
    found = verify_chain(copy)
    assert found.ok
    assert found.seals == 3


def test_a_seal_that_progress_does_not_hold_yet_counts_by_its_copy(copy, made):
    paths_of(copy, ("progress", 0))[-1].unlink()
    found = verify_chain(copy)
    assert found.ok
    assert (found.seals, found.unsealed) == (3, 0)


# Tampered records ---------------------------------------------------------------------------------


class Tampering(NamedTuple):
    """What is done to a file's rows, and the offsets of which one at least must be named."""

    rows: list[Row]
    offsets: set[int]


def changed(rows: list[Row], chance: random.Random) -> Tampering:
    row = dict(chance.choice(rows))
    field = chance.choice(["value", "key", "timestamp_ms", "headers"])
    if field == "timestamp_ms":
        row[field] += chance.choice([-1, 1, 1000])
    elif field == "headers":
        row[field] = [*row[field], {"name": "x", "value": b""}]
    else:
        data = bytearray(row[field])
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        row[field] = bytes(data)
    rows = [row if r["offset"] == row["offset"] else r for r in rows]
    return Tampering(rows, {row["offset"]})


def renumbered(rows: list[Row], chance: random.Random) -> Tampering:
    n = chance.randrange(len(rows))
    old = rows[n]["offset"]
    new = old + chance.choice([-2, -1, 1, 2, 10**6])
    moved = [{**r, "offset": new} if i == n else r for i, r in enumerate(rows)]
    return Tampering(moved, {old})


def swapped(rows: list[Row], chance: random.Random) -> Tampering:
    """The contents of two records change places, or the rows do, offsets and all."""
    a, b = sorted(chance.sample(range(len(rows)), 2))
    rows = [dict(row) for row in rows]
    if chance.random() < 0.5:
        rows[a], rows[b] = rows[b], rows[a]
        return Tampering(rows, {rows[a]["offset"], rows[b]["offset"]})
    for field in ("timestamp_ms", "key", "value", "headers"):
        rows[a][field], rows[b][field] = rows[b][field], rows[a][field]
    return Tampering(rows, {rows[a]["offset"], rows[b]["offset"]})


def removed(rows: list[Row], chance: random.Random) -> Tampering:
    gone = chance.choice(rows)
    return Tampering([row for row in rows if row is not gone], {gone["offset"]})


def inserted(rows: list[Row], chance: random.Random) -> Tampering:
    """A forged record at an offset where none stood, or at one that is taken."""
    n = chance.randrange(len(rows))
    free = {row["offset"] for row in rows}
    offset = next(
        (o for o in range(rows[n]["offset"], rows[-1]["offset"]) if o not in free),
        rows[n]["offset"],
    )
    forged = {**rows[n], "offset": offset, "value": b'{"forged":true}'}
    return Tampering(sorted([*rows, forged], key=lambda row: row["offset"]), {offset})


def cut(rows: list[Row], chance: random.Random) -> Tampering:
    keep = chance.randrange(len(rows))
    return Tampering(rows[:keep], {row["offset"] for row in rows[keep:]})


KINDS: list[Callable[[list[Row], random.Random], Tampering]] = [
    changed,
    renumbered,
    swapped,
    removed,
    inserted,
    cut,
]


def tamperings(made: SealedArchive, count: int) -> Iterator[tuple[int, Partition, int, Tampering]]:
    """Yield number, partition, which of its files, and what becomes of its rows; seeded."""
    chance = random.Random(20261127)
    files = {
        place: [pq.read_table(path).to_pylist() for path in paths_of(made.folder, place)]
        for place in PLACES
    }
    for number in range(count):
        place = chance.choice(PLACES)
        which = chance.randrange(len(files[place]))
        yield number, place, which, KINDS[number % len(KINDS)](files[place][which], chance)


def test_a_thousand_tamperings_are_found_and_their_places_named(tmp_path):
    made = sealed_archive(tmp_path, files=2)
    copy = made.folder
    segments = SealChain(copy).segments
    held = {place: {record.offset for record in made.log[place]} for place in PLACES}
    originals = {path: path.read_bytes() for place in PLACES for path in paths_of(copy, place)}
    for number, place, which, tampering in tamperings(made, TAMPERINGS):
        path = paths_of(copy, place)[which]
        rewrite(path, tampering.rows)
        if number % 25:
            part = SealedPartition(copy, place, segments[place])
            part.check()
            named = {(b.offset, b.next) for b in part.broken}
        else:
            found = verify_chain(copy)
            assert not found.ok, number
            assert {(b.topic, b.partition) for b in found.broken} == {place}, number
            named = {(b.offset, b.next) for b in found.broken}
        offsets = {n for first, end in named for n in range(first, end)}
        assert tampering.offsets <= offsets or is_order(tampering, offsets), (number, tampering)
        # Nothing else is named but where a renumbered record stands now, gaps in a run, and, of
        # rows that changed places, perhaps the one between.
        stray = (offsets & held[place] if len(offsets) > 1 else offsets) - tampering.offsets
        kind = KINDS[number % len(KINDS)]
        assert len(stray) <= (kind in (renumbered, swapped)), (number, stray)
        assert kind is renumbered or stray <= between(tampering), (number, stray)
        path.write_bytes(originals[path])
    assert verify_chain(copy).ok


def is_order(tampering: Tampering, named: set[int]) -> bool:
    """Of two rows that changed places it is enough to name one: the order says no more."""
    return len(tampering.offsets) == 2 and bool(named) and named <= between(tampering)


def between(tampering: Tampering) -> set[int]:
    return set(range(min(tampering.offsets), max(tampering.offsets) + 1))


def test_a_record_before_the_first_seal_is_added(tmp_path):
    """An archive that began at offset 5, where retention had got to."""
    made = SealedArchive(tmp_path)
    made.ends[PLACES[0]] = 5
    made.write(PLACES[0], [raw(PLACES[0], n, b"x") for n in (5, 6)])
    made.seal()
    write_raw(tmp_path, [raw(PLACES[0], 2, b"y")], PLACES[0], cover_of([2], 0, 5))
    found = verify_chain(tmp_path)
    assert [str(b) for b in found.broken] == [
        "predictions-0 offset 2: was added: no seal covers it"
    ]


def test_what_the_seals_leave_out_is_named(tmp_path):
    made = SealedArchive(tmp_path)
    made.write(PLACES[0], [raw(PLACES[0], n, b"x") for n in range(3)])
    made.ends[PLACES[0]] = 7
    made.write(PLACES[0], [raw(PLACES[0], n, b"x") for n in (7, 8)])
    made.seal()
    [broken] = verify_chain(tmp_path).broken
    assert (broken.offset, broken.next) == (3, 7)
    assert "sealed by nothing" in broken.why


def test_an_outlier_is_named_and_not_all_behind_it(tmp_path):
    """Its offset is far too high, in the last row of a batch that the reader hands over."""
    made = SealedArchive(tmp_path, SealPace(records=9000))
    made.write(PLACES[0], [raw(PLACES[0], n, b"x") for n in range(9000)])
    made.seal()
    [path] = paths_of(tmp_path, PLACES[0])
    for row in (100, BATCH - 1, 2 * BATCH - 1):
        rows = pq.read_table(path).to_pylist()
        saved, rows[row]["offset"] = path.read_bytes(), 10**9
        rewrite(path, rows)
        assert places(verify_chain(tmp_path)) == {(*PLACES[0], row), (*PLACES[0], 10**9)}
        path.write_bytes(saved)


def test_without_leaves_the_place_is_known_to_the_segment(copy, made):
    segment = SealChain(copy).segments[PLACES[0]][1]
    path = paths_of(copy, PLACES[0])[0]
    rows = pq.read_table(path).to_pylist()
    victim = next(n for n, row in enumerate(rows) if row["offset"] >= segment.first)
    rows[victim]["value"] = b"forged"
    rewrite(path, rows)
    assert places(verify_chain(copy)) == {(*PLACES[0], rows[victim]["offset"])}
    leaves = leaves_path(copy, PLACES[0], segment.first)
    table = pq.read_table(leaves)
    forged = leaf_hashes([record_of(rows[victim])])[0]
    altered = [forged if o == rows[victim]["offset"] else leaf for o, leaf in zip(
        table["offset"].to_pylist(), table["leaf"].to_pylist(), strict=True)]  # fmt: skip
    pq.write_table(table.set_column(1, "leaf", pa.array(altered, pa.binary(32))), leaves)
    for lose in (lambda: None, leaves.unlink):
        lose()
        [broken] = verify_chain(copy).broken
        assert (broken.offset, broken.next) == (segment.first, segment.next)
        assert "gone or altered" in broken.why


def record_of(row: Row) -> RawRecord:
    headers = tuple((pair["name"], pair["value"]) for pair in row["headers"])
    return RawRecord(
        *PLACES[0], row["offset"], row["timestamp_ms"], row["key"], row["value"], headers
    )


# Files --------------------------------------------------------------------------------------------


def test_a_flipped_byte_is_found_and_told_as_what_it_is(tmp_path):
    chance = random.Random(7)
    copy = sealed_archive(tmp_path, files=2, places=PLACES[:1]).folder
    paths = [path for place in (PLACES[0], HOME) for path in paths_of(copy, place)]
    told = dict.fromkeys(("records", "file", "unreadable"), 0)
    for number in range(FLIPS):
        path = chance.choice(paths)
        original = path.read_bytes()
        data = bytearray(original)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(bytes(data))
        found = verify_chain(copy)
        name = str(path.relative_to(copy))
        place = path.parts[-3].partition("=")[2]
        if found.unreadable:
            assert [e for e in found.unreadable if str(path) in e], (number, found)
            told["unreadable"] += 1
        elif found.ok:
            # The last seal's own record is behind it: no seal says what it was.
            is_last = path == paths[-1]
            assert found.altered == (
                f"{name}: {f'file altered, {UNSEALED}' if is_last else INTACT}",
            )
            told["file"] += 1
        else:
            assert {b.topic for b in found.broken} == {place}, (number, found)
            told["records"] += 1
        path.write_bytes(original)
    assert verify_chain(copy).ok
    assert min(told.values()) > 5, told


def repack(folder: Path, place: Partition, end: int, chance: random.Random) -> None:
    """Write a partition's files again: cut elsewhere, packed otherwise, with covers or without."""
    paths = paths_of(folder, place)
    records = [r for path in paths for r in RawFileRows(path, place)]
    for path in paths:
        path.unlink()
    cuts = sorted(chance.sample(range(1, len(records)), chance.randrange(min(4, len(records)))))
    for start, stop in pairwise([0, *cuts, len(records)]):
        part = records[start:stop]
        first = 0 if not start else part[0].offset
        last = end if stop == len(records) else records[stop].offset
        table = raw_table(part)
        if chance.random() < 0.7:
            cover = cover_of([r.offset for r in part], first, last)
            table = table.replace_schema_metadata({COVER: msgspec.json.encode(cover)})
        pq.write_table(
            table,
            raw_folder(folder, *place) / file_name(first),
            compression=chance.choice(["none", "snappy", "gzip", "zstd"]),
            row_group_size=chance.choice([3, 50, 1000]),
            use_dictionary=chance.random() < 0.5,
            data_page_version=chance.choice(["1.0", "2.0"]),
        )


def test_files_packed_and_cut_again_are_no_tampering(copy, made):
    chance = random.Random(11)
    for _ in range(REPACKED):
        for place in (*PLACES, HOME):
            repack(copy, place, made.ends[place], chance)
        found = verify_chain(copy)
        assert found.ok, found
        assert (found.broken, found.unreadable) == ((), ())
        assert found.altered


def test_a_file_that_another_engine_wrote_again_is_no_tampering(copy):
    path = paths_of(copy, PLACES[0])[0]
    with duckdb.connect() as con:
        con.execute(
            f'COPY (SELECT value, key, headers, "offset", timestamp_ms FROM '
            f"read_parquet('{path}', hive_partitioning=false)) TO '{path}.new' (FORMAT parquet)"
        )
    Path(f"{path}.new").replace(path)
    found = verify_chain(copy)
    assert found.ok
    assert found.altered == (f"{path.relative_to(copy)}: {INTACT}",)


def test_an_unreadable_file_is_named_with_the_offsets_it_lacks(copy):
    path = paths_of(copy, PLACES[1])[1]
    path.write_bytes(path.read_bytes()[:300])
    found = verify_chain(copy)
    assert f"{path} can't be read as an archive file" in found.unreadable[0]
    assert {(b.topic, b.partition, b.why) for b in found.broken} == {(*PLACES[1], "was removed")}
    assert min(b.offset for b in found.broken) in (40, 41)


def test_a_removed_file_and_a_removed_partition_are_named(copy, made):
    paths_of(copy, PLACES[0])[1].unlink()
    shutil.rmtree(raw_folder(copy, *PLACES[1]))
    found = verify_chain(copy)
    assert {(t, p) for t, p, _ in places(found)} == set(PLACES)
    gone = {(*PLACES[1], record.offset) for record in made.log[PLACES[1]]}
    assert gone <= places(found)


# Seals --------------------------------------------------------------------------------------------


def alter_seal(folder: Path, number: int, change: Callable[[Any], Any]) -> int:
    """Put another seal in the place of one on progress; returns its offset there."""
    for path in paths_of(folder, HOME):
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            event = codec.decode(row["value"])
            if event.number == number:
                row["value"] = codec.encode(change(event))
                rewrite(path, rows)
                return row["offset"]
    raise AssertionError("no such seal")


def reheaded(event: CheckpointSealed) -> CheckpointSealed:
    return msgspec.structs.replace(event, head=seal_head(event))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_seal_that_was_altered_is_named_and_its_copy_used(copy, number):
    offset = alter_seal(copy, number, lambda e: replace(e, segments=e.segments[:-1]))
    found = verify_chain(copy)
    assert places(found) == {(*HOME, offset)}
    assert found.seals == 3


@pytest.mark.parametrize("number", [1, 2])
def test_a_seal_altered_with_its_copies_breaks_the_next_one(copy, number):
    offset = alter_seal(copy, number, lambda e: reheaded(replace(e, segments=e.segments[:-1])))
    shutil.rmtree(copy / "chain" / "seals")
    found = verify_chain(copy)
    assert not found.ok
    assert (*HOME, offset + 1) in places(found)
    assert "doesn't follow" in " ".join(b.why for b in found.broken)


def test_a_seal_whose_time_was_altered_and_its_head_made_anew_breaks_the_next_one(copy):
    """Its segments are as they were: only the next seal's `previous` tells."""
    offset = alter_seal(copy, 1, lambda e: reheaded(replace(e, time=at(0))))
    shutil.rmtree(copy / "chain" / "seals")
    found = verify_chain(copy)
    assert (*HOME, offset + 1) in places(found)
    assert "seal 2 doesn't follow from the seal before" in str(found.broken)


def test_a_seal_that_is_gone_is_named(copy):
    paths_of(copy, HOME)[1].unlink()
    assert places(verify_chain(copy)) == {(*HOME, 1)}
    seal_paths(copy)[1].unlink()
    found = verify_chain(copy)
    assert places(found) == {(*HOME, 1)}
    assert "seal 2 is gone; 1 behind it can't be checked" in str(found.broken)


def test_of_repeated_seals_the_first_counts(copy, made):
    again = raw(HOME, 3, codec.encode(made.seals[0]))
    write_raw(copy, [again], HOME, cover_of([3], 3, 4))
    assert verify_chain(copy).ok


# The line -----------------------------------------------------------------------------------------


def test_every_seals_line_holds_however_far_the_chain_has_got(made):
    for event in made.seals:
        line = read_line(str(line_of(event)))
        found = verify_chain(made.folder, against=line)
        assert found.ok
        assert found.against == str(line)


def test_a_tail_cut_off_with_its_seals_shows_against_the_line(copy, made):
    line = line_of(made.seals[-1])
    for place in (*PLACES, HOME):
        paths_of(copy, place)[-1].unlink()
    seal_paths(copy)[-1].unlink()
    assert verify_chain(copy).ok
    found = verify_chain(copy, against=line)
    assert not found.ok
    assert places(found) == {("labels", 1, 80), ("predictions", 0, 80), ("progress", 0, 2)}
    assert "the tail was cut off" in found.broken[0].why


def test_a_history_sealed_anew_shows_against_the_line(tmp_path, made):
    forged = sealed_archive(tmp_path, seed=2, places=PLACES[:1])
    assert verify_chain(tmp_path).ok
    found = verify_chain(tmp_path, against=line_of(made.seals[1]))
    assert places(found) == {(*HOME, 1)}
    assert "sealed again" in found.broken[0].why
    assert verify_chain(tmp_path, against=line_of(forged.seals[1])).ok


def test_any_typo_in_a_line_is_told_as_one(made):
    line = str(line_of(made.seals[-1]))
    chance = random.Random(3)
    for place, old in enumerate(line):
        new = chance.choice([c for c in "0123456789abcdefz:/-" if c != old])
        for typo in (line[:place] + new + line[place + 1 :], line[:place] + line[place + 1 :]):
            with pytest.raises(ConfigError, match=r"typo|must be one that"):
                read_line(typo)
    assert read_line(f"  {line}\n") == line_of(made.seals[-1])


def test_a_line_of_another_namespace_is_told(made):
    line = line_of(made.seals[0])._replace(namespace="other")
    with pytest.raises(ConfigError, match="the line is of namespace 'other'"):
        verify_chain(made.folder, against=line)


def test_an_archive_without_a_seal_is_never_verified(tmp_path):
    made = SealedArchive(tmp_path)
    made.write(PLACES[0], [raw(PLACES[0], 0, b"x")])
    with pytest.raises(ConfigError, match="has no seal"):
        verify_chain(tmp_path)
    with pytest.raises(ConfigError, match="has no seal"):
        verify_chain(tmp_path / "nothing")
