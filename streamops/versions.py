"""A version as it may be registered: what the fold can count against.

Rule 1: what is refused here can't be folded. CONTROLLER refuses it on the log, so a check that is
        added or taken out is a change of its `semantics`.
Rule 2: the layout of counts is `core.profile`'s (its Rule 3).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from itertools import pairwise

import msgspec

from streamops.errors import InputError
from streamops.values import PHASES, FeatureProfile, ModelVersion, PaneRows, ReferenceProfile

WIDTHS = (1, 2, 4, 8)
FEATURES_MAX = 10_000
ROWS_MAX = 1 << 53
Finding = tuple[str, object, str]


def profile_hash(profile: ReferenceProfile) -> str:
    """Return the SHA-256 (hex) of the profile's canonical encoding."""
    return hashlib.sha256(msgspec.json.encode(profile, order="deterministic")).hexdigest()


def check_version(version: ModelVersion) -> ModelVersion:
    """Return `version`, or raise InputError naming the first field that can't hold."""
    for field, value, fix in _findings(version):
        raise InputError(f"version {version.version!r}: {field} is {value!r}; {fix}")
    return version


def _findings(version: ModelVersion) -> Iterator[Finding]:
    if not version.model:
        yield "model", version.model, "give the model's name"
    if not version.version:
        yield "version", version.version, "give the version's name"
    profile = version.profile
    if not 0 <= profile.rows <= ROWS_MAX:
        yield "profile.rows", profile.rows, "give the number of rows profiled: 0 to 2^53"
    names = [feature.name for feature in profile.features]
    if len(names) > FEATURES_MAX:
        yield "profile.features", len(names), f"use at most {FEATURES_MAX:,}"
    if len(set(names)) < len(names):
        twice = sorted(name for name in set(names) if names.count(name) > 1)
        yield "profile.features", twice[:3], "name each column once"
    for feature in profile.features:
        yield from _of_feature(f"feature {feature.name!r}", feature)
    for name, single in (("score", profile.score), ("label", profile.label)):
        if single is not None:
            yield from _of_feature(name, single)
    if version.profile_hash != (right := profile_hash(profile)):
        yield "profile_hash", version.profile_hash, f"this profile's is {right}"


def _of_feature(who: str, feature: FeatureProfile) -> Iterator[Finding]:
    numeric = feature.kind == "numeric"
    bins = len(feature.edges) + 4 if numeric else len(feature.categories) + 2
    if len(feature.counts) != bins:
        layout = "below, inner bins, above, missing" if numeric else "each category, other, missing"
        yield f"{who}: counts", len(feature.counts), f"give {bins}: {layout}"
    for count in feature.counts:
        if not 0 <= count <= ROWS_MAX:
            yield f"{who}: counts", count, "count rows: 0 to 2^53"
    rows = 0
    for count in feature.counts:
        rows += count
    if rows >= ROWS_MAX:
        yield f"{who}: counts", rows, "count rows: below 2^53 in all"
    yield from _of_numbers(who, feature) if numeric else _of_categories(who, feature)
    if feature.rows is not None:
        yield from _of_rows(who, feature.rows, bins)


def _of_numbers(who: str, feature: FeatureProfile) -> Iterator[Finding]:
    shape = (feature.low, *feature.edges, feature.high)
    if not all(map(math.isfinite, shape)):
        yield f"{who}: low, edges, high", shape, "use finite numbers"
    if feature.low > feature.high:
        yield f"{who}: low, high", (feature.low, feature.high), "keep low <= high"
    if any(left >= right for left, right in pairwise(feature.edges)):
        yield f"{who}: edges", feature.edges, "let each edge be above the one before"
    if feature.edges and not feature.low <= feature.edges[0] <= feature.edges[-1] <= feature.high:
        yield f"{who}: low, edges, high", shape, "keep the edges within low and high"
    if not (math.isfinite(feature.quantum) and feature.quantum > 0):
        yield f"{who}: quantum", feature.quantum, "use a finite number above 0"


def _of_categories(who: str, feature: FeatureProfile) -> Iterator[Finding]:
    if feature.kind == "boolean" and feature.categories != ("false", "true"):
        yield f"{who}: categories", feature.categories, "a boolean's are false and true"
    if len(set(feature.categories)) < len(feature.categories):
        yield f"{who}: categories", feature.categories, "list each category once"


def has_phases(rows: PaneRows) -> bool:
    """Tell whether each pane has a phase that its season has."""
    if rows.season is None:
        return not rows.phases
    return len(rows.phases) == rows.panes and max(rows.phases, default=0) < PHASES[rows.season]


def _of_rows(who: str, rows: PaneRows, bins: int) -> Iterator[Finding]:
    for name in ("dispersion", "missing_dispersion"):
        value = getattr(rows, name)
        if not (math.isfinite(value) and value >= 1):
            yield f"{who}: rows.{name}", value, "use a finite number of at least 1"
    if rows.width not in WIDTHS:
        yield f"{who}: rows.width", rows.width, f"use one of {WIDTHS}"
    if not has_phases(rows):
        yield f"{who}: rows.phases", len(rows.phases), "give a phase of the season for each pane"
    expected = rows.panes * rows.width * bins
    if rows.panes < 0 or len(rows.counts) != expected:
        yield (
            f"{who}: rows.counts",
            len(rows.counts),
            f"give panes x width x bins, {expected} bytes",
        )
