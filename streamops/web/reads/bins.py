"""The bins of a feature in one pane beside its reference profile.

All source partitions of the pane are added: counts are integers over the same frozen edges. A pane
with two profiles isn't added up; it shows the version that was asked for.
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec

from streamops.core.evaluate import sum_of
from streamops.core.panes import add_counts
from streamops.values import FeatureCounts, FeatureProfile, Metric, ModelVersion
from streamops.web.reads.rows import one, read

PANES_MAX = 500


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """One bin: what falls into it, and counts and shares (0..1) in pane and reference.

    share is none where there are no rows at all
    """

    label: str
    count: int
    share: float | None
    reference_count: int
    reference_share: float | None


class PaneChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A closed pane in which a version was counted."""

    pane_start: datetime
    version: str
    rows: int


class FeaturePage(msgspec.Struct, frozen=True, kw_only=True):
    """A feature in one pane.

    panes    closed panes there are, newest first, at most 500
    pane     the one shown; none while there is no pane yet
    bins     empty for a version without a reference profile
    metrics  all of this feature's in the pane
    """

    model: str
    feature: str
    kind: str
    segment: str
    features: tuple[str, ...]
    panes: tuple[PaneChoice, ...]
    pane: PaneChoice | None
    pane_end: datetime | None
    bins: tuple[Bin, ...]
    rows: int
    reference_rows: int
    metrics: tuple[Metric, ...]
    newest: datetime | None


class Part(msgspec.Struct, frozen=True):
    """What one source partition counted in the pane, JSON as text."""

    features: str
    pane_end: datetime
    append_time: datetime


CHOICES = """
SELECT pane_start, version, CAST(sum(predictions) AS BIGINT) AS rows
FROM panes_summarized
WHERE model = ? AND segment = ? AND cut = 'closed' AND epoch <= (SELECT epoch FROM concluded)
GROUP BY pane_start, version HAVING sum(predictions) > 0
ORDER BY pane_start DESC, rows DESC LIMIT ?
"""
PARTS = """
SELECT CAST(features AS VARCHAR) AS features, time AS pane_end, append_time FROM panes_summarized
WHERE model = ? AND version = ? AND segment = ? AND cut = 'closed' AND pane_start = ?
    AND epoch <= (SELECT epoch FROM concluded)
"""
VERSION = """
SELECT CAST(version AS VARCHAR) FROM versions_activated
WHERE version->>'model' = ? AND version->>'version' = ? ORDER BY revision DESC LIMIT 1
"""
METRICS = """
SELECT CAST(metrics AS VARCHAR) FROM metrics_evaluated
WHERE model = ? AND version = ? AND segment = ? AND cut = 'closed' AND pane_start = ?
    AND epoch <= (SELECT epoch FROM concluded) LIMIT 1
"""


def feature_page(
    con: Any,
    model: str,
    feature: str,
    *,
    pane: datetime | None = None,
    version: str = "",
    segment: str = "all",
) -> FeaturePage | None:
    """Read a feature in a pane, the newest with rows if none is named; None if it isn't known."""
    panes = read(con, PaneChoice, CHOICES, [model, segment, PANES_MAX])
    fits = (p for p in panes if pane in (None, p.pane_start) and version in ("", p.version))
    shown = next(fits, None)
    known = version_of(con, model, shown.version if shown else version)
    profile = profile_of(known, feature)
    if profile is None:
        return None
    features = tuple(f.name for f in known.profile.features) if known else ()
    where = [model, shown.version, segment, shown.pane_start] if shown else []
    parts = read(con, Part, PARTS, where) if shown else []
    counts = counts_of(parts, feature)
    found = one(con, METRICS, where) if shown else None
    metrics = msgspec.json.decode(found, type=tuple[Metric, ...]) if found else ()
    return FeaturePage(
        model=model,
        feature=feature,
        kind=profile.kind,
        segment=segment,
        features=features,
        panes=tuple(panes),
        pane=shown,
        pane_end=max((p.pane_end for p in parts), default=None),
        bins=bins_of(profile, counts),
        rows=sum_of(counts),
        reference_rows=sum_of(profile.counts),
        metrics=tuple(m for m in metrics if m.feature == feature),
        newest=max((p.append_time for p in parts), default=None),
    )


def version_of(con: Any, model: str, version: str) -> ModelVersion | None:
    """Read a version's activation; the model's newest if none is named."""
    if version:
        found = one(con, VERSION, [model, version])
    else:
        newest = VERSION.replace("AND version->>'version' = ?", "")
        found = one(con, newest, [model])
    return msgspec.json.decode(found, type=ModelVersion) if found else None


def profile_of(version: ModelVersion | None, feature: str) -> FeatureProfile | None:
    """Return a feature's reference profile."""
    features = version.profile.features if version is not None else ()
    return next((f for f in features if f.name == feature), None)


def counts_of(parts: list[Part], feature: str) -> tuple[int, ...]:
    """Return the feature's counts added over the source partitions, empty without any."""
    total: tuple[int, ...] = ()
    for part in parts:
        for counts in msgspec.json.decode(part.features, type=tuple[FeatureCounts, ...]):
            if counts.name == feature:
                total = add_counts(total, counts.counts)
    return total


def bins_of(profile: FeatureProfile, counts: tuple[int, ...]) -> tuple[Bin, ...]:
    """Return the bins in the profile's layout; a pane without counts has zeros and no shares."""
    rows, reference_rows = sum_of(counts), sum_of(profile.counts)
    shown = counts or (0,) * len(profile.counts)
    return tuple(
        Bin(
            label=label,
            count=count,
            share=count / rows if rows else None,
            reference_count=known,
            reference_share=known / reference_rows if reference_rows else None,
        )
        for label, count, known in zip(labels_of(profile), shown, profile.counts, strict=True)
    )


def labels_of(profile: FeatureProfile) -> list[str]:
    """Return what falls into each bin, in words; see `values.FeatureProfile` for the layout."""
    if profile.kind != "numeric":
        return [*profile.categories, "other", "missing"]
    cuts = [profile.low, *profile.edges, profile.high]
    inner = [f"{low:.6g} – {high:.6g}" for low, high in pairwise(cuts)]
    return [f"< {profile.low:.6g}", *inner, f"> {profile.high:.6g}", "missing"]
