"""Line 6: CPU time of a feature-pane and of an outcome, the best of five."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks.detection.figures import FEATURES, STREAMS_A_MONTH
from benchmarks.detection.monitor import PaneTest, RowTest
from benchmarks.detection.null import SHARES
from streamops.core import bf_sr, sr_mixture

ROWS, REFERENCE, STEPS, OUTCOMES = 1_000, 50, 200, 20_000


def measure(seed: int) -> dict[str, float]:
    """Microseconds of CPU time; 30 features a call, twelve starts alive."""
    rng = np.random.default_rng(seed)
    bins = np.full((FEATURES, 20), 0.05)
    panes = rng.multinomial(ROWS, bins, size=(REFERENCE, FEATURES))
    live = rng.multinomial(ROWS, bins, size=(STEPS, FEATURES))
    shares = np.repeat(np.array([SHARES]), FEATURES, axis=0)
    known = rng.multinomial(REFERENCE * ROWS, shares)
    seen = rng.multinomial(ROWS, shares, size=(STEPS, FEATURES))
    errors = (rng.random(OUTCOMES) < 0.2).tolist()
    base = sr_mixture.baseline(1000, 5000)
    tsr_, numeric = PaneTest(panes), RowTest(panes.sum(axis=0), True)
    category = RowTest(known, False)
    each = STEPS * FEATURES
    return {
        "feature_pane_tsr": best(lambda: [tsr_.step(c, STREAMS_A_MONTH) for c in live]) / each,
        "feature_pane_esr_20_bins": best(lambda: [numeric.step(c, 1e9) for c in live]) / each,
        "feature_pane_esr_6_categories": best(lambda: [category.step(c, 1e9) for c in seen]) / each,
        "outcome_sr_mixture": best(lambda: _mixture(base, errors)) / OUTCOMES,
        "outcome_bf_sr": best(lambda: _bayes(errors)) / OUTCOMES,
    }


def best(work: Callable[[], object]) -> float:
    """Least CPU time of five runs, microseconds."""
    found = []
    for _ in range(5):
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
