"""METER's state as leaves of a seal, and back.

Rule 1: a pane's evidence and where waiting labels stand are left out of the leaves and lie in
        `Places`, in the order of the leaves' rows: a key begins with its model.
Rule 2: pending predictions and their matches are counted and hashed, never copied: whoever goes on
        from a seal folds the raw records again from before the lowest one, and compares the hash.
Rule 3: waiting labels are copied whole. They are few, and which of them wait can't be told from raw
        records that begin in the middle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from streamops.config import ModelConfig
from streamops.core.columns import Indices
from streamops.core.join import JoinTable
from streamops.core.join_rows import Waiting
from streamops.core.meter_state import MeterState
from streamops.core.panes import Pane, PaneKey
from streamops.core.pending import PendingRows
from streamops.core.seal_leaf import Leaf, canonical, decoded, leaf, version_leaves
from streamops.core.wide import packable_panes
from streamops.values import ModelVersion

CHUNK = 4096


class PaneRow(msgspec.Struct, frozen=True, array_like=True):
    """A pane without its evidence; its confusion is a list, for a map's keys must be text."""

    key: PaneKey
    pane: Pane
    confusion: tuple[tuple[str, str, int], ...]


class Panes(msgspec.Struct, frozen=True, array_like=True):
    """What METER keeps of one model beside its versions."""

    configs: list[tuple[int, ModelConfig, str]]
    panes: list[PaneRow]
    after: list[PaneRow]
    closed: list[PaneKey]
    matured: list[PaneKey]


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What METER keeps of no model. `join`: SHA-256 over pending predictions and matches."""

    predictions_us: int
    labels_us: int
    revision: int
    pending: int
    matched: int
    join: str
    waiting: list[Waiting]


class PanePlace(msgspec.Struct, frozen=True, array_like=True):
    """A pane's evidence so far."""

    spans: dict[str, list[int]]
    records: int
    chain: bytes


class Places(msgspec.Struct, frozen=True, array_like=True):
    """Where METER's records stand; empty for the others.

    panes, after  evidence in the order of the leaves' rows
    waiting       [offset, append_ms] of each label and of those behind it
    reach         lowest offset of a pending prediction; -1 for none
    """

    panes: list[PanePlace] = []
    after: list[PanePlace] = []
    waiting: list[list[tuple[int, int]]] = []
    reach: int = -1


def meter_leaves(state: MeterState, join: JoinTable) -> Iterator[Leaf]:
    """Yield the head, and versions and panes of each model."""
    yield leaf("meter", "", _head(state, join))
    yield from version_leaves(state.versions)
    panes, after = _rows(packable_panes(state.panes)), _rows(packable_panes(state.after))
    closed, matured = _keys(state.closed), _keys(state.matured)
    models = panes.keys() | after.keys() | closed.keys() | matured.keys() | state.configs.keys()
    for name in sorted(models):
        part = Panes(
            state.configs.get(name, []),
            panes.get(name, []),
            after.get(name, []),
            closed.get(name, []),
            matured.get(name, []),
        )
        yield leaf("panes", name, part)


def meter_places(state: MeterState, join: JoinTable) -> Places:
    """Return where the records behind a state stand."""
    return Places(
        [_place(state.panes[key]) for key in sorted(state.panes)],
        [_place(state.after[key]) for key in sorted(state.after)],
        [[(w.offset, w.append_ms) for w in (first, *first.later)] for first in _waiting(join)],
        _reach(join.pending),
    )


def join_hash(join: JoinTable) -> str:
    """Return the SHA-256 (hex) over pending predictions in log order, each with its match."""
    digest = hashlib.sha256()
    rows = join.pending.in_log_order()
    for first in range(0, len(rows), CHUNK):
        digest.update(canonical(_pending(join, rows[first : first + CHUNK])))
    return digest.hexdigest()


def load_meter(
    leaves: Mapping[str, Sequence[Leaf]], versions: dict[str, ModelVersion], places: Places
) -> MeterState:
    """Return the state beside the join table."""
    head: Head = decoded(leaves["meter"][0], Head)
    state = MeterState(
        predictions_us=head.predictions_us,
        labels_us=head.labels_us,
        revision=head.revision,
        versions=versions,
        configs={},
        panes={},
        after={},
        closed=set(),
        matured=set(),
    )
    panes, after = iter(places.panes), iter(places.after)
    for one in leaves.get("panes", ()):
        part: Panes = decoded(one, Panes, strict=False)
        if part.configs:
            state.configs[one.model] = part.configs
        state.panes.update((row.key, _pane(row, next(panes))) for row in part.panes)
        state.after.update((row.key, _pane(row, next(after))) for row in part.after)
        state.closed.update(part.closed)
        state.matured.update(part.matured)
    return state


def load_head(one: Leaf, places: Places) -> Head:
    """Return the head, its waiting labels where they stand."""
    head: Head = decoded(one, Head)
    waiting: list[Waiting] = []
    for label, at in zip(head.waiting, places.waiting, strict=True):
        later = zip(label.later, at[1:], strict=True)
        behind = tuple(replace(w, offset=o, append_ms=ms) for w, (o, ms) in later)
        waiting.append(replace(label, offset=at[0][0], append_ms=at[0][1], later=behind))
    return replace(head, waiting=waiting)


def _head(state: MeterState, join: JoinTable) -> Head:
    waiting = [
        replace(_bare(first), later=tuple(map(_bare, first.later))) for first in _waiting(join)
    ]
    return Head(
        state.predictions_us,
        state.labels_us,
        state.revision,
        len(join.pending),
        len(join.matched),
        join_hash(join),
        waiting,
    )


def _rows(panes: Mapping[PaneKey, Pane]) -> dict[str, list[PaneRow]]:
    found: dict[str, list[PaneRow]] = {}
    for key in sorted(panes):
        pane = panes[key]
        confusion = tuple((*pair, pane.confusion[pair]) for pair in sorted(pane.confusion))
        bare = replace(pane, confusion={}, spans={}, records=0, chain=b"")
        found.setdefault(key.model, []).append(PaneRow(key, bare, confusion))
    return found


def _keys(keys: set[PaneKey]) -> dict[str, list[PaneKey]]:
    found: dict[str, list[PaneKey]] = {}
    for key in sorted(keys):
        found.setdefault(key.model, []).append(key)
    return found


def _pane(row: PaneRow, place: PanePlace) -> Pane:
    confusion = {(prediction, label): count for prediction, label, count in row.confusion}
    return replace(
        row.pane,
        confusion=confusion,
        spans=place.spans,
        records=place.records,
        chain=place.chain,
    )


def _place(pane: Pane) -> PanePlace:
    return PanePlace(pane.spans, pane.records, pane.chain)


def _bare(label: Waiting) -> Waiting:
    return replace(label, offset=0, append_ms=0)


def _waiting(join: JoinTable) -> list[Waiting]:
    return [join.waiting[name] for name in sorted(join.waiting)]


def _reach(pending: PendingRows) -> int:
    rows = pending.in_log_order()[:1]
    return int(pending.gather(rows, "offset")[0][0]) if len(rows) else -1


def _pending(join: JoinTable, rows: Indices) -> list[tuple[Any, ...]]:
    """Return what is hashed of some predictions."""
    have = join.matched.have(rows)
    matches = iter(join.matched.of_rows(rows[have]))
    columns = join.pending.gather(rows, "id", "time_us", "expires_us", "group")
    found: list[tuple[Any, ...]] = []
    for *times, code, has in zip(*(c.tolist() for c in columns), have.tolist(), strict=True):
        key = join.pending.key_of(code)
        said = (*times, key.model, key.version, key.late)
        if has:
            m = next(matches)
            first = m.label_id, m.label, m.time_us, m.release_us, m.after_cohort
            found.append((said, first, m.latest_id, m.latest))
        else:
            found.append(said)
    return found
