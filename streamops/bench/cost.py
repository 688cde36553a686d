"""Line 6: CPU time of a feature-pane and of an outcome, the best of five."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from streamops.bench import null
from streamops.bench.correlated import Model
from streamops.bench.figures import FEATURES, Figures, alarm_at
from streamops.bench.shipped import Shipped
from streamops.bench.streams import Counts, Live, Random
from streamops.core import bf_sr, sr_mixture

ROWS, WINDOW, PANES, OUTCOMES, BEST_OF = 10_000, 1_000, 100, 20_000, 5
NEVER_ALARM = 1e12


def feature_pane(seed: int) -> Figures:
    """Microseconds for each feature of a model of 30, its missing values too: what MONITOR runs.

    independent  20 numbers, 2 with missing values, 8 categories; correlated: 30 numbers at rho .6
    many         32 such models in one call
    """
    rng = np.random.default_rng(seed)
    mixed, many = _independent(rng, 1), _independent(rng, 32)
    chained = Model(0.6, ROWS // 50, FEATURES, (seed, 3))
    panes = list(chained.panes(PANES))
    return {
        "independent": _best(mixed) / (PANES * FEATURES),
        "correlated": _best((chained.shipped, panes)) / (PANES * FEATURES),
        "many": _best((many[0], many[1][:20])) / (20 * 32 * FEATURES),
    }


def _independent(rng: Random, models: int) -> tuple[Shipped, list[Counts]]:
    columns = [column for number in range(models) for column in null.model(rng, ROWS, number)]
    live = Live(columns)
    panes = PANES if models == 1 else 20
    return Shipped(c.profile for c in columns), [live.pane(rng, WINDOW) for _ in range(panes)]


def _best(job: tuple[Shipped, list[Counts]]) -> float:
    shipped, panes = job

    def work() -> None:
        for counts in panes:
            shipped.step(counts, alarm_at() * NEVER_ALARM)

    return best(work)


def outcome(seed: int) -> Figures:
    """Microseconds for an outcome of each error test."""
    errors = (np.random.default_rng(seed).random(OUTCOMES) < 0.2).tolist()
    base = sr_mixture.baseline(1000, 5000)
    return {
        "sr_mixture": best(lambda: _mixture(base, errors)) / OUTCOMES,
        "bf_sr": best(lambda: _bayes(errors)) / OUTCOMES,
    }


def best(work: Callable[[], object]) -> float:
    """Return the least CPU time of five runs, microseconds."""
    found = []
    for _ in range(BEST_OF):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found) * 1e6


def _mixture(base: sr_mixture.Baseline, errors: list[bool]) -> None:
    state = sr_mixture.initial()
    for error in errors:
        state, _ = sr_mixture.step(base, state, error, 1e9)


def _bayes(errors: list[bool]) -> None:
    state = bf_sr.initial((1000, 5000))
    for error in errors:
        state, _ = bf_sr.step(state, error, 1e9)
