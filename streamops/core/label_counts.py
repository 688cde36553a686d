"""What many labels add to the panes of their predictions.

Rule 1: `tally.count_label`, one by one, is the definition; a pane in which order or a fault matters
        is left to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property, lru_cache
from operator import add
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from streamops.core.columns import Groups, Indices
from streamops.core.evidences import note_all
from streamops.core.join_rows import Pending
from streamops.core.panes import (
    CONFUSION_MAX,
    DELAY_EDGES_S,
    TENTHS,
    Pane,
    add_bins,
)
from streamops.core.performance import brier_terms, log_loss_terms
from streamops.core.profile import Kind, bin_of, category_text
from streamops.core.tally import count_label
from streamops.values import FeatureProfile, ModelVersion

# A log loss is below 2^46 quanta: so many add up below 2^63.
ROWS_MAX = 1 << 16
_DELAY_EDGES = np.array(DELAY_EDGES_S)
_DELAY_BINS = len(DELAY_EDGES_S) + 1

Place = tuple[Pane, Indices, ModelVersion | None]
Pairs = dict[tuple[str, str], int]
Texts = dict[Any, tuple[str, str]]


class Columns(Protocol):
    """What labels and their predictions bring, a column each."""

    offsets: Sequence[int]
    values: Sequence[bytes]
    label: dict[str, Sequence[Any]]
    predictions: list[Any]
    scores: NDArray[np.float64]
    time_us: Indices
    made_us: Indices

    def entry(self, at: int) -> Pending:
        """Return one prediction."""
        ...


class _Terms:
    """What each label counts as, beside its class."""

    def __init__(self, run: Columns, positive: NDArray[np.bool_]) -> None:
        delays_us = np.maximum(run.time_us - run.made_us, 0)
        self.delay = _DELAY_EDGES.searchsorted(delays_us / 1_000_000)
        self._scores, self._positive = run.scores, positive

    @cached_property
    def losses(self) -> _Losses:
        """The terms of scored labels; made where a pane counts them."""
        is_scored = ~np.isnan(self._scores)
        score = np.where(is_scored, self._scores, 0.5)
        return _Losses(
            is_scored,
            self._positive,
            log_loss_terms(score, self._positive),
            brier_terms(score, self._positive),
            np.minimum((score * TENTHS).astype(np.int64), TENTHS - 1),
        )


class _Losses(NamedTuple):
    is_scored: NDArray[np.bool_]
    positive: NDArray[np.bool_]
    log_loss: Indices
    brier: Indices
    tenth: Indices


def count_labels(run: Columns, places: Sequence[Place]) -> None:
    """Count first labels in their panes; a place is a pane, its rows and their version."""
    labels, predictions = run.label["label"], run.predictions
    groups = Groups([rows for _, rows, _ in places])
    note_all([pane for pane, _, _ in places], "labels", groups, run.offsets, run.values)
    keys = groups.parts(_keys(predictions, labels))
    texts: Texts = {}
    kept: list[tuple[Pane, Indices, ModelVersion]] = []
    is_positive: list[bool] = []
    for at, (pane, rows, version) in enumerate(places):
        if version is None or version.task == "regression":
            _one_by_one(pane, run, rows, version)
            continue
        counts = Counter(keys[at])
        if not _add_pairs(pane, counts, texts):
            _one_by_one(pane, run, rows, version)
            continue
        if version.profile.label is not None:
            _add_values(pane, version.profile.label, counts)
        kept.append((pane, rows, version))
        if version.task == "binary":
            right = {key for key in counts if texts[key][1] == version.positive}
            is_positive += map(right.__contains__, keys[at])
    binary = [(pane, rows) for pane, rows, version in kept if version.task == "binary"]
    positive = np.zeros(len(labels), dtype=np.bool_)
    if binary:
        positive[np.concatenate([rows for _, rows in binary])] = is_positive
    terms = _Terms(run, positive)
    delays = Groups([rows for _, rows, _ in kept]).histograms(terms.delay, _DELAY_BINS)
    for (pane, rows, _), delay in zip(kept, delays, strict=True):
        pane.labelled += len(rows)
        add_bins(pane.delay, delay)
    if binary:
        _add_losses(binary, terms.losses)


def _keys(predictions: Sequence[Any], labels: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return each row's prediction and label, last of a key that no other two values share."""
    if len(set(map(type, predictions))) == len(set(map(type, labels))) == 1:
        return list(zip(predictions, labels, strict=True))
    # 1, 1.0 and True are equal, and three texts.
    return list(zip(map(type, predictions), map(type, labels), predictions, labels, strict=True))


def _one_by_one(pane: Pane, run: Columns, rows: Indices, version: ModelVersion | None) -> None:
    labels, times_us = run.label["label"], run.time_us.tolist()
    for row in rows.tolist():
        count_label(pane, run.entry(row), labels[row], times_us[row], version)


def _add_pairs(pane: Pane, counts: Counter[Any], texts: Texts) -> bool:
    """Count (prediction, label); False, with nothing counted, where order or a fault matters.

    counts  of `_keys`
    texts   of keys that were met; those that are met here are added
    """
    pairs: Pairs = {}
    for key, count in counts.items():
        pair = texts.get(key)
        if pair is None:
            predicted, true = map(category_text, key[-2:])
            if predicted is None or true is None:
                return False
            pair = texts[key] = predicted, true
        pairs[pair] = pairs.get(pair, 0) + count
    if len(pairs) + len(pane.confusion) > CONFUSION_MAX < len(pairs.keys() | pane.confusion.keys()):
        return False
    for pair, count in pairs.items():
        pane.confusion[pair] = pane.confusion.get(pair, 0) + count
    return True


def _add_values(pane: Pane, profile: FeatureProfile, counts: Counter[Any]) -> None:
    bins = [0] * len(profile.counts)
    for (*_, label), count in counts.items():
        bins[_bin_of(profile, label)] += count
    add_bins(pane.labels, bins)


def _bin_of(profile: FeatureProfile, label: Any) -> int:
    if profile.kind == "numeric":
        return bin_of(profile, label)[0]
    return _category_bin(profile.kind, profile.categories, len(profile.counts), label)


# Models' labels have few categories, mostly the same, and are asked for by each pane.
@lru_cache(maxsize=4096, typed=True)
def _category_bin(kind: Kind, categories: tuple[str, ...], width: int, label: Any) -> int:
    profile = FeatureProfile(name="", kind=kind, counts=(0,) * width, categories=categories)
    return bin_of(profile, label)[0]


def _add_losses(places: Sequence[tuple[Pane, Indices]], losses: _Losses) -> None:
    scored = Groups([rows for _, rows in places]).where(losses.is_scored)
    log_loss = scored.totals(losses.log_loss, ROWS_MAX)
    brier = scored.totals(losses.brier, ROWS_MAX)
    tenths = scored.counts(losses.tenth, TENTHS)
    positives = scored.where(losses.positive).counts(losses.tenth, TENTHS)
    cells: list[list[list[int]]] = np.stack([tenths, positives], axis=2).tolist()
    found = zip(scored.sizes(), log_loss, brier, cells, strict=True)
    for (pane, _), (size, loss, square, some) in zip(places, found, strict=True):
        if not size:
            continue
        pane.scored += size
        pane.log_loss += loss
        pane.brier += square
        if not pane.calibration:
            pane.calibration = some
            continue
        for cell, more in zip(pane.calibration, some, strict=True):
            cell[:] = map(add, cell, more)
