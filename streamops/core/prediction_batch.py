"""A run of plain predictions, counted at once (meter_batch, rules 1 and 2).

Rule 1: a prediction is plain if its pane is open, its id is new, no label waits for it, it may
        still get one, and a typed decoder takes its features. A prediction that isn't can only make
        later ones plain that were taken for odd, never the other way round.
Rule 2: panes are opened when the run is counted: a prediction that is refused opens none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from streamops.core.binning import count_rows
from streamops.core.budget import tested
from streamops.core.columns import Flags, Indices, groups_of, joined, numbered, pick, renumbered
from streamops.core.feature_reader import Reader, reader_of
from streamops.core.join import JoinTable
from streamops.core.meter_state import (
    MeterState,
    segments_of,
    version_of,
)
from streamops.core.panes import Pane, PaneKey
from streamops.core.pending_block import GroupKey, Made
from streamops.core.personal import Open, open_all
from streamops.core.prediction_counts import Place, count_predictions
from streamops.core.prediction_run import Group, Run
from streamops.core.rows import Rows
from streamops.core.ruler import Ruler, ruler_of
from streamops.core.workspace import Step

# Below it a run costs more at once than record by record.
RUN_MIN = 16


def take_predictions(work: Step, records: Rows) -> None:
    """Fold predictions in their order: plain ones together, others by themselves."""
    if len(records) < RUN_MIN:
        for record in records:
            work.take(record)
        return
    run = Run(records)
    plain = _sieve(work.state, run)
    if work.skew_max_ms is not None:
        plain &= -(-run.time_us // 1000) <= np.array(run.append_ms) + work.skew_max_ms
    is_told = plain.copy()
    plain &= _is_new(work.join, run.column["id"])
    _read(run, plain, work.opened)
    first, kept = 0, np.ones(len(records), dtype=np.bool_)
    repeats = _repeats(work.join, run.column["id"], plain, is_told)
    for odd in (~plain).nonzero()[0].tolist():
        if odd in repeats and work.repeat(records[odd].event):  # type: ignore[arg-type]
            kept[odd] = False
            continue
        _fold(work, run.part(first, odd, kept))
        work.take(records[odd])
        first = odd + 1
    _fold(work, run.part(first, len(records), kept))


def _sieve(state: MeterState, run: Run) -> Flags:
    """Note each row's group and times; tell which are in time for their panes and labels."""
    models, versions = run.column["model"], run.column["version"]
    known, of_row = numbered(models)
    rulers = {model: ruler_of(state, model) for model in known}
    table = np.array([ruler[:4] for ruler in rulers.values()], dtype=np.int64)
    first_us, pane_us, lateness_us, horizon_us = table[of_row].T
    run.start_us = run.time_us // pane_us * pane_us
    run.expires_us = run.time_us + horizon_us
    keys: Any = list(zip(models, versions, run.start_us.tolist(), strict=True))
    if any(ruler.config.segments for ruler in rulers.values()):
        some: Any = zip(keys, run.column["segments"], strict=True)
        keys = [(*key, *segments_of(has, rulers[key[0]].config)) for key, has in some]
    distinct, run.codes = numbered(keys)
    run.groups = [_group(state, key, rulers[key[0]]) for key in distinct]
    plain: Flags = run.time_us >= first_us
    plain &= run.start_us + pane_us + lateness_us > state.predictions_us
    plain &= run.expires_us > state.labels_us
    return plain


def _is_new(join: JoinTable, ids: Sequence[str]) -> Flags:
    """Tell which ids aren't pending, waited for, or those of an earlier row."""
    index, waiting = join.pending.index, join.waiting.keys()
    seen = set(ids)
    if len(seen) == len(ids) and waiting.isdisjoint(seen) and not index.has_any(seen):
        return np.ones(len(ids), dtype=np.bool_)
    seen.clear()
    found: Flags = ~index.are_known(ids)
    for at, id_ in enumerate(ids):
        found[at] &= id_ not in seen and id_ not in waiting
        seen.add(id_)
    return found


def _repeats(join: JoinTable, ids: Sequence[str], plain: Flags, is_told: Flags) -> set[int]:
    """Return rows that only count as repeats, whatever else the run does: their prediction is
    pending, or is a plain row before them. `is_told`: rows that the clocks let in."""
    found, before = set[int](), dict[str, int]()
    odd = (~plain & is_told).nonzero()[0].tolist()
    if not odd:
        return found
    wanted = {ids[at] for at in odd}
    for at in np.flatnonzero(plain).tolist():
        if ids[at] in wanted:
            before.setdefault(ids[at], at)
    for at in odd:
        if ids[at] in join.pending or before.get(ids[at], at) < at:
            found.add(at)
    return found


def _read(run: Run, plain: Flags, open_: Open) -> None:
    """Read the features of profiled versions; rows that the definition must judge aren't plain."""
    run.read = [None] * len(run.records)
    texts = open_all(open_, run.column["id"], run.texts)
    known = [None if g.reader is None else g.reader.decoder for g in run.groups]
    decoders, of_group = numbered(known)
    for at, rows in groups_of(of_group[run.codes]):
        decoder = decoders[at]
        if decoder is None:
            judged = np.array([group.version is not None for group in run.groups])
            plain[rows[judged[run.codes[rows]]]] = False
            continue
        found = decoder.read_all(pick(texts, rows))
        if len(rows) == len(run.read):
            run.read = found
        else:
            for row, values in zip(rows.tolist(), found, strict=True):
                run.read[row] = values
        if not all(found):
            plain[rows[[values is None for values in found]]] = False


def _group(state: MeterState, key: tuple[Any, ...], ruler: Ruler) -> Group:
    model, name, start_us, *segments = key
    version = version_of(state, model, name)
    keys = tuple(
        PaneKey(model, name, segment, start_us, start_us + ruler.pane_us, ruler.hash)
        for segment in segments or segments_of({}, ruler.config)
    )
    counted = (keys[0], *(key for key in keys[1:] if tested(ruler.config, key.segment).features))
    return Group(keys, counted, version, None if version is None else reader_of(version))


def _fold(work: Step, run: Run) -> None:
    if len(run.records) < RUN_MIN:
        for record in run.records:
            work.take(record)
        return
    panes: dict[PaneKey, list[Indices]] = {}
    owners: dict[PaneKey, Group] = {}
    for code, rows in groups_of(run.codes):
        group = run.groups[code]
        for key in group.keys:
            panes.setdefault(key, []).append(rows)
            owners.setdefault(key, group)
    places: list[Place] = []
    for key, parts in panes.items():
        group = owners[key]
        is_scored = key in group.counted and group.reader is not None and group.reader.scored
        version = None if is_scored else group.version
        places.append((work.pane(key, after=False), joined(parts), version))
    count_predictions(places, run)
    _count_features(work, run)
    work.join.add_all(_made(run))


def _made(run: Run) -> Made:
    codes, of_group = renumbered(run.codes, len(run.groups))
    # Equal texts as one object: pending predictions are many.
    keys = [run.groups[code].keys[0] for code in codes]
    groups = [GroupKey(k.model, k.version, k.start_us, k.config_hash, False) for k in keys]
    known, of_known = numbered(groups)
    column = run.column
    return Made(
        column["id"], run.time_us, run.expires_us, known, of_known[of_group],
        column["prediction"], column["score"], run.texts, column["segments"], run.offsets,
    )  # fmt: skip


def _count_features(work: Step, run: Run) -> None:
    """Count the features of profiled versions: of all rows, then of each tested segment."""
    for at in range(max(len(group.counted) for group in run.groups)):
        _count_keys(work, run, at)


def _count_keys(work: Step, run: Run, at: int) -> None:
    """Count features in panes of the groups' keys at one place, of all panes together."""
    numbers: dict[PaneKey, int] = {}
    panes, readers = list[Pane](), list[Reader]()
    of_group = np.full(len(run.groups), -1, dtype=np.int64)
    for code in dict.fromkeys(run.codes.tolist()):
        group = run.groups[code]
        if group.reader is None or at >= len(group.counted):
            continue
        key = group.counted[at]
        if key not in numbers:
            numbers[key] = len(panes)
            panes.append(work.pane(key, after=False))
            readers.append(group.reader)
        of_group[code] = numbers[key]
    places = of_group[run.codes]
    rows = np.flatnonzero(places >= 0)
    if len(rows):
        count_rows(
            panes, readers, places[rows], pick(run.read, rows), pick(run.column["score"], rows)
        )
