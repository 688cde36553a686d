"""Line 6: CPU time of a feature-pane and of an outcome, the best of five."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from streamops.bench import null
from streamops.bench.correlated import Model
from streamops.bench.figures import FEATURES, Figures, alarm_at
from streamops.bench.shipped import HOUR_US
from streamops.bench.streams import Counts, Live
from streamops.core import bf_sr, drift_waves, sr_mixture
from streamops.core.drift_waves import Held, Wanted
from streamops.core.tenths import TENTHS
from streamops.core.tested_pane import SCORE_METRIC, Asked
from streamops.core.times import SECOND_US
from streamops.values import FeatureProfile

ROWS, WINDOW, OUTCOMES, BEST_OF = 10_000, 1_000, 20_000, 5
# What a call of MONITOR holds of models of 30 features, so a thousand cost as much each.
SERVICE, UNLIKE = 32, 8
PANES, SERVICE_PANES = 100, 20
# Models come one after the other, so that their panes are of different age.
AGES = 7
NEVER_ALARM = 1e12


class _Model(NamedTuple):
    profiles: tuple[FeatureProfile, ...]
    panes: list[Counts]


class Service:
    """MONITOR's tests of models whose panes close in the same epochs."""

    def __init__(self, models: Sequence[_Model]) -> None:
        self.models, self.held, self.number = models, Held({}, {}, {}), 0
        for _ in range(AGES):
            self.epoch()

    def epoch(self) -> None:
        """Close a pane of each model that has begun."""
        at = self.number
        drift_waves.run(self.held, [
            self._wanted(f"m{n}", model, at)
            for n, model in enumerate(self.models) if n % AGES <= at
        ])  # fmt: skip
        self.number += 1

    def _wanted(self, name: str, model: _Model, at: int) -> Wanted:
        counts, pane_s = model.panes[at % len(model.panes)], HOUR_US // SECOND_US
        asked = Asked(model.profiles, None, SCORE_METRIC, "bench", counts)
        limit = alarm_at() * NEVER_ALARM
        return Wanted(name, "v1", "all", "closed", at * HOUR_US, asked, pane_s, limit)

    def cost(self, epochs: int) -> float:
        """Microseconds for each feature's pane."""

        def work() -> None:
            for _ in range(epochs):
                self.epoch()

        return best(work) / (epochs * len(self.models) * FEATURES)


def feature_pane(seed: int) -> Figures:
    """Microseconds for each feature of models of 30, its missing values too: what MONITOR runs.

    independent  20 numbers, 2 with missing values, 8 categories; correlated: 30 numbers at rho .6;
                 of one model whose pane closes alone in its epoch
    service_...  the same of 32 models, of 8 kinds, whose panes close in one epoch
    """
    found: Figures = {}
    for name, make in (("independent", independent), ("correlated", correlated)):
        models = [make(seed, number, SERVICE_PANES) for number in range(UNLIKE)]
        found[name] = Service(models[:1]).cost(PANES)
        found[f"service_{name}"] = Service(models * (SERVICE // UNLIKE)).cost(SERVICE_PANES)
    return found


def independent(seed: int, number: int, panes: int) -> _Model:
    rng = np.random.default_rng((seed, number))
    columns = null.model(rng, ROWS, number)
    live = Live(columns)
    return _Model(tuple(c.profile for c in columns), [live.pane(rng, WINDOW) for _ in range(panes)])


def correlated(seed: int, number: int, panes: int) -> _Model:
    chained = Model(0.6, ROWS // 50, FEATURES, (seed, 3, number))
    return _Model(tuple(chained.profiles), list(chained.panes(panes)))


def outcome(seed: int) -> Figures:
    """Microseconds for an outcome of each error test."""
    rng = np.random.default_rng(seed)
    errors, tenths = (
        (rng.random(OUTCOMES) < 0.2).tolist(),
        rng.integers(0, TENTHS, OUTCOMES).tolist(),
    )
    base = sr_mixture.baseline(1000, 5000)
    return {
        "sr_mixture": best(lambda: _mixture(base, errors)) / OUTCOMES,
        "bf_sr": best(lambda: _bayes(errors, tenths)) / OUTCOMES,
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


def _bayes(errors: list[bool], tenths: list[int]) -> None:
    """By tenths of a score: what an outcome costs at most."""
    parts = np.tile(np.array([400, 100]), TENTHS)
    state = bf_sr.initial((1000, 5000), parts)
    for error, tenth in zip(errors, tenths, strict=True):
        state, _ = bf_sr.step(state, error, 1e9, tenth=tenth)
