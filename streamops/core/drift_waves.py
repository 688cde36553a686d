"""Which panes of an epoch are tested in one call: as many as can't tell it from one by one.

Rule 1: panes come in a fixed order, and what is concluded is what this order concludes, pane by
        pane, to the last byte.
Rule 2: panes of different tests don't know of each other. So a wave holds the first pane of each
        test that has one left, the next wave the second.
Rule 3: tests of a model's last TESTED_MAX versions are kept, by the starts of their last panes.
        Where an epoch brings more of them, one pane of that model is a wave: it may end a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from streamops.core import drift, segment_drift
from streamops.core.drift import DriftState
from streamops.core.known_plans import plan_at
from streamops.core.meter_state import ALL
from streamops.core.segment_drift import SegmentState
from streamops.core.tested_pane import Asked

TESTED_MAX = 2


class Held(NamedTuple):
    """All tests of a partition, changed in place.

    closed    of features and score, by model and version; mature: of the labels
    segments  of segments, by model, version, segment and cut
    """

    closed: dict[str, DriftState]
    mature: dict[str, DriftState]
    segments: dict[str, SegmentState]


class Wanted(NamedTuple):
    """A pane to be tested: what of it, how long it is, and when its streams alarm."""

    model: str
    version: str
    segment: str
    cut: str
    start_us: int
    asked: Asked
    pane_s: int
    limit: float

    @property
    def kind(self) -> str:
        """Which of `Held` has its test."""
        return self.cut if self.segment == ALL else "segments"

    @property
    def name(self) -> str:
        """The test's name there."""
        version = f"{self.model}\t{self.version}"
        return version if self.segment == ALL else f"{version}\t{self.segment}\t{self.cut}"


class Tests(NamedTuple):
    """What tests said of a pane, and which panes they had read then."""

    read: drift.Read
    panes: int
    chain: bytes


def run(held: Held, wanted: Sequence[Wanted]) -> list[Tests]:
    """Put panes to their tests, in their order."""
    crowded = _crowded(held, wanted)
    waves, last = dict[int, list[int]](), dict[tuple[str, str], int]()
    for number, one in enumerate(wanted):
        key = one.kind, one.model if (one.kind, one.model) in crowded else one.name
        last[key] = last.get(key, 0) + 1
        waves.setdefault(last[key], []).append(number)
    found: dict[int, Tests] = {}
    for wave in sorted(waves):
        numbers = waves[wave]
        some = [wanted[number] for number in numbers]
        found.update(zip(numbers, _wave(held, some), strict=True))
        for one in some:
            if (one.kind, one.model) in crowded:
                _forget(held, one)
    return [found[number] for number in range(len(wanted))]


def _crowded(held: Held, wanted: Sequence[Wanted]) -> set[tuple[str, str]]:
    """Return the kinds and models with more versions than are kept."""
    versions: dict[tuple[str, str], set[str]] = {}
    for one in wanted:
        versions.setdefault((one.kind, one.model), set()).add(one.version)
    for kind in {kind for kind, _ in versions}:
        names: Iterable[str] = getattr(held, kind)
        for name in names:
            model, version = name.split("\t")[:2]
            if (kind, model) in versions:
                versions[kind, model].add(version)
    return {key for key, known in versions.items() if len(known) > TESTED_MAX}


def _wave(held: Held, wanted: Sequence[Wanted]) -> list[Tests]:
    """Test panes of different tests."""
    whole = [one for one in wanted if one.segment == ALL]
    parts = [one for one in wanted if one.segment != ALL]
    said = iter(drift.step_all([_whole(held, one) for one in whole]))
    of_parts = iter(segment_drift.step_all([_part(held, one) for one in parts]))
    found = list[Tests]()
    state: DriftState | SegmentState
    for one in wanted:
        state, read = next(said) if one.segment == ALL else next(of_parts)
        getattr(held, one.kind)[one.name] = state
        found.append(Tests(read, state.panes, state.chain))
    return found


def _whole(held: Held, one: Wanted) -> drift.Asked:
    asked, known = one.asked, getattr(held, one.kind).get(one.name)
    plan = plan_at(asked.features, asked.alone, one.pane_s, asked.metric)
    if known is None or known.about != asked.about:
        known = drift.initial(plan, asked.about)
    return drift.Asked(plan, known, asked.counts, one.start_us, one.limit)


def _part(held: Held, one: Wanted) -> segment_drift.Part:
    known = held.segments.get(one.name)
    if known is None or known.about != one.asked.about:
        known = SegmentState(one.asked.about)
    return segment_drift.Part(one.asked, known, one.start_us, one.pane_s, one.limit)


def _forget(held: Held, one: Wanted) -> None:
    if one.segment != ALL:
        segment_drift.forget(held.segments, one.model, TESTED_MAX)
        return
    tests: dict[str, DriftState] = getattr(held, one.kind)
    mine = [name for name in tests if name.startswith(f"{one.model}\t")]
    for name in sorted(mine, key=lambda n: (tests[n].starts[-1], n))[:-TESTED_MAX]:
        del tests[name]
