"""Panes: the exact sums of one (model, version, segment, window), and how they merge.

Rule 1: everything in a pane is an integer, so merging is commutative and associative to the last
        bit (DESIGN rule 6); evidence (spans, chain) belongs to one source and is never merged.
Rule 2: state a pane: bins of the version's features, LATENCY_EDGES_MS, DELAY_EDGES_S, and at most
        CONFUSION_MAX pairs of classes and two for the rest.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import starmap
from operator import add

import msgspec

from streamops.values import FeatureCounts, ModelVersion, Performance, RawEvidence, Span

LATENCY_EDGES_MS: tuple[float, ...] = tuple(
    m * d for d in (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0) for m in (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
)
# Floats, as the metrics made of them are: 10 and 10.0 are other bytes in a close's hash.
DELAY_EDGES_S: tuple[float, ...] = tuple(
    map(float, (1, 10, 60, 600, 3600, 10800, 21600, 43200, 86400, 259200, 604800))
)
CONFUSION_MAX = 1000
OTHER = "~other"
DIFFERENT = "~different"
TENTHS = 10
# A copy of an empty hash is made in less time than a new one.
_fresh = hashlib.sha256().copy


class PaneKey(msgspec.Struct, frozen=True, array_like=True, order=True, gc=False):
    """What a pane is of. Times in microseconds, [start, end)."""

    model: str
    version: str
    segment: str
    start_us: int
    end_us: int
    config_hash: str


class Pane(msgspec.Struct, array_like=True, gc=False):
    """Sums of one pane at one source. Mutable: a fold copies a pane before it changes it."""

    predictions: int = 0
    failures: int = 0
    repeats: int = 0
    late: int = 0
    faults: int = 0
    counts: list[list[int]] = []
    sums: list[list[int]] = []
    score: list[int] = []
    score_sums: list[int] = []
    latency: list[int] = []
    confusion: dict[tuple[str, str], int] = {}
    labelled: int = 0
    scored: int = 0
    log_loss: int = 0
    brier: int = 0
    measured: int = 0
    absolute_error: int = 0
    squared_error: int = 0
    labels: list[int] = []
    delay: list[int] = []
    calibration: list[list[int]] = []
    corrections: int = 0
    duplicates: int = 0
    spans: dict[str, list[int]] = {}
    records: int = 0
    chain: bytes = b""


def copy_pane(pane: Pane) -> Pane:
    """Return an independent copy. A feature's counts and sums are shared: to add to them is to put
    another list in their place."""
    return msgspec.structs.replace(
        pane,
        counts=list(pane.counts),
        sums=list(pane.sums),
        score=list(pane.score),
        score_sums=list(pane.score_sums),
        latency=list(pane.latency),
        confusion=dict(pane.confusion),
        labels=list(pane.labels),
        delay=list(pane.delay),
        calibration=[list(c) for c in pane.calibration],
        spans={topic: list(span) for topic, span in pane.spans.items()},
    )


def note_evidence(pane: Pane, topic: str, offset: int, value: bytes) -> None:
    """Add one raw record to the pane's spans and SHA-256 chain."""
    note_evidences(pane, topic, (offset,), (value,))


def note_evidences(pane: Pane, topic: str, offsets: Sequence[int], values: Sequence[bytes]) -> None:
    """Add raw records, at least one, in their order."""
    add_span(pane, topic, min(offsets), max(offsets), len(values))
    chain = pane.chain
    for value in values:
        link = _fresh()
        link.update(chain)
        link.update(value)
        chain = link.digest()
    pane.chain = chain


def add_span(pane: Pane, topic: str, first: int, last: int, records: int) -> None:
    """Add the offsets, and the number, of some raw records."""
    span = pane.spans.setdefault(topic, [first, last + 1])
    span[0], span[1] = min(span[0], first), max(span[1], last + 1)
    pane.records += records


def chains_after(chains: list[bytes], places: Iterable[int], values: Iterable[bytes]) -> None:
    """Add raw records, in their order, each to the SHA-256 chain at its place."""
    for at, value in zip(places, values, strict=True):
        link = _fresh()
        link.update(chains[at])
        link.update(value)
        chains[at] = link.digest()


def evidence_of(pane: Pane, partition: int) -> RawEvidence:
    """Return the pane's evidence, spans in topic order."""
    spans = (Span(t, partition, *pane.spans[t]) for t in sorted(pane.spans))
    return RawEvidence(spans=tuple(spans), records=pane.records, chain=pane.chain.hex())


def bump(counts: list[int], at: int, amount: int, size: int) -> None:
    """Add `amount` to bin `at` of a list of `size` that starts empty."""
    if not counts:
        counts.extend([0] * size)
    counts[at] += amount


def add_bins(counts: list[int], amounts: Sequence[int]) -> None:
    """Add an amount to each bin of a list that starts empty."""
    counts[:] = map(add, counts, amounts) if counts else amounts


def latency_bin(latency_ms: float) -> int:
    """Return the bin of a latency; bin i ends at LATENCY_EDGES_MS[i], the last is open."""
    return bisect_left(LATENCY_EDGES_MS, latency_ms)


def delay_bin(delay_us: int) -> int:
    """Return the bin of a label delay; bin i ends at DELAY_EDGES_S[i], the last is open."""
    return bisect_left(DELAY_EDGES_S, delay_us / 1_000_000)


def count_pair(pane: Pane, prediction: str, label: str) -> None:
    """Count one (prediction, label) of classes; beyond CONFUSION_MAX pairs as OTHER.

    A right one stays right (OTHER, OTHER), a wrong one wrong (OTHER, DIFFERENT).
    """
    pair = (prediction, label)
    if pair not in pane.confusion and len(pane.confusion) >= CONFUSION_MAX:
        pair = (OTHER, OTHER if prediction == label else DIFFERENT)
    pane.confusion[pair] = pane.confusion.get(pair, 0) + 1


def confusion_of(pane: Pane) -> tuple[tuple[str, str, int], ...]:
    """Return how often each prediction met each label, sorted."""
    return tuple((*pair, count) for pair, count in sorted(pane.confusion.items()))


def performance_of(pane: Pane) -> Performance:
    """Return the labelled part of a pane as it stands in a summary."""
    return Performance(
        labelled=pane.labelled,
        confusion=confusion_of(pane),
        scored=pane.scored,
        log_loss=pane.log_loss,
        brier=pane.brier,
        measured=pane.measured,
        absolute_error=pane.absolute_error,
        squared_error=pane.squared_error,
        labels=tuple(pane.labels),
        delay_s=tuple(pane.delay),
        calibration=tuple((c[0], c[1]) for c in pane.calibration),
        corrections=pane.corrections,
        duplicates=pane.duplicates,
    )


def features_of(pane: Pane, version: ModelVersion | None) -> tuple[FeatureCounts, ...]:
    """Return the feature counts of a pane under the names of its version's profile."""
    if version is None or not pane.counts:
        return ()
    names = (feature.name for feature in version.profile.features)
    return tuple(
        FeatureCounts(name, tuple(counts), tuple(sums))
        for name, counts, sums in zip(names, pane.counts, pane.sums, strict=True)
    )


def add_counts(a: Iterable[int], b: Iterable[int]) -> tuple[int, ...]:
    """Return the sum bin by bin; an empty side is all zeros."""
    left, right = tuple(a), tuple(b)
    if not left or not right:
        return left or right
    return tuple(starmap(add, zip(left, right, strict=True)))


def merge_features(
    a: tuple[FeatureCounts, ...], b: tuple[FeatureCounts, ...]
) -> tuple[FeatureCounts, ...]:
    """Return the features' counts and sums added; an empty side is all zeros."""
    if not a or not b:
        return a or b
    return tuple(
        FeatureCounts(x.name, add_counts(x.counts, y.counts), add_counts(x.sums, y.sums))
        for x, y in zip(a, b, strict=True)
    )


def merge_performance(a: Performance, b: Performance) -> Performance:
    """Return the labelled parts of two panes added."""
    pairs: dict[tuple[str, str], int] = {}
    for prediction, label, count in (*a.confusion, *b.confusion):
        pairs[(prediction, label)] = pairs.get((prediction, label), 0) + count
    cells = (
        zip(a.calibration, b.calibration, strict=True) if a.calibration and b.calibration else ()
    )
    calibration = tuple((x[0] + y[0], x[1] + y[1]) for x, y in cells)
    return Performance(
        labelled=a.labelled + b.labelled,
        confusion=tuple((p, q, pairs[(p, q)]) for p, q in sorted(pairs)),
        scored=a.scored + b.scored,
        log_loss=a.log_loss + b.log_loss,
        brier=a.brier + b.brier,
        measured=a.measured + b.measured,
        absolute_error=a.absolute_error + b.absolute_error,
        squared_error=a.squared_error + b.squared_error,
        labels=add_counts(a.labels, b.labels),
        delay_s=add_counts(a.delay_s, b.delay_s),
        calibration=calibration or a.calibration or b.calibration,
        corrections=a.corrections + b.corrections,
        duplicates=a.duplicates + b.duplicates,
    )
