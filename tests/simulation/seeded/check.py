"""Play a seed and say what was wrong.

Rule 1: the quiet run must conclude what the records come to (`truth`), the bad day what the quiet
        run concluded, to the last byte, and no more.
"""

from __future__ import annotations

import traceback
from collections import Counter
from dataclasses import fields
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tests.simulation.seeded.cluster import Cluster
from tests.simulation.seeded.counted import count
from tests.simulation.seeded.member import INSTANCES
from tests.simulation.seeded.raw_log import RawLog, raw_log
from tests.simulation.seeded.told import Told, logged, quiet
from tests.simulation.seeded.troubles import Troubles
from tests.simulation.seeded.truth import truth

# Plain consumers of these drop repeats by id, so one id must not name two things.
TOLD_ONCE = ("metrics", "alerts", "retraining", "deployments", "dlq")


class Result(NamedTuple):
    """What was wrong with a seed's runs (nothing, if all is well), and how bad its day was."""

    seed: int
    wrong: list[str]
    troubles: Troubles


def check(seed: int) -> Result:
    """Play a seed; what raises is wrong as well."""
    troubles = Troubles()
    try:
        return Result(seed, _wrong(seed, troubles), troubles)
    except Exception:
        return Result(seed, [traceback.format_exc()], troubles)


def _wrong(seed: int, troubles: Troubles) -> list[str]:
    raw = raw_log(seed)
    expected = quiet(raw)
    wrong = _miscounted(raw, expected) + ([] if raw.jumped else _twice(expected))
    cluster = Cluster(raw, seed, _folder(), troubles)
    cluster.run()
    wrong += _differences(expected, logged(cluster.log.rows))
    return wrong + [f"a close was quarantined at {source}" for source in cluster.quarantined()]


def _miscounted(raw: RawLog, told: Told) -> list[str]:
    """Hold what a quiet run concluded to what its records come to."""
    right, found = truth(raw), count(told.events.values())
    wrong = [f"two things under one stamp: {fact}" for fact in told.contradicted]
    for field in fields(right):
        a, b = _nonzero(getattr(right, field.name)), _nonzero(getattr(found, field.name))
        for key in sorted(a.keys() | b.keys(), key=str):
            if a.get(key, 0) != b.get(key, 0):
                wrong.append(f"{field.name} {key}: {b.get(key, 0)}, in truth {a.get(key, 0)}")
    return wrong


def _nonzero(counts: Counter[Any]) -> dict[Any, int]:
    return {key: count for key, count in counts.items() if count}


def _twice(told: Told) -> list[str]:
    """Find ids under two stamps. Where a partition lacks a tick MONITOR evaluates a pane twice;
    that none is left out is for the broadcaster's test (`tests/unit/test_broadcaster.py`)."""
    ids = Counter(
        (fact.topic, event.id) for fact, event in told.events.items() if fact.topic in TOLD_ONCE
    )
    return [f"{topic}: {n} things have the id {i}" for (topic, i), n in ids.items() if n > 1]


def _differences(expected: Told, told: Told) -> list[str]:
    a, b = expected.conclusions, told.conclusions
    wrong = [f"two things under one stamp: {fact}" for fact in told.contradicted]
    wrong += [f"missing: {fact}" for fact in a if fact not in b]
    wrong += [f"told only on the bad day: {fact}" for fact in b if fact not in a]
    return wrong + [f"another conclusion: {fact}" for fact in a if fact in b and a[fact] != b[fact]]


@cache
def _made() -> TemporaryDirectory[str]:
    made = TemporaryDirectory(prefix="seeded-")
    for instance in range(INSTANCES):
        (Path(made.name) / str(instance) / "state").mkdir(parents=True)
    return made


def _folder() -> Path:
    """Return a folder that holds one file: the key that detectors are signed with."""
    return Path(_made().name)
