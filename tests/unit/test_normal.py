"""normal: quantiles, cube roots and bin scores against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from streamops.core import normal


def test_quantiles_agree_with_scipy():
    p = np.concatenate([np.geomspace(1e-300, 0.01, 500), np.linspace(0.01, 0.999999, 999)])
    assert normal.quantile(p) == pytest.approx(stats.norm.ppf(p), rel=1e-14, abs=1e-15)


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1])
def test_a_probability_outside_is_our_own_fault(p):
    with pytest.raises(AssertionError, match="not in 0"):
        normal.quantile(np.array([p]))


def test_cube_roots():
    x = np.concatenate([np.geomspace(1e-300, 1e300, 5000), [1.0, 8.0, 27.0, 0.125]])
    assert normal.cube_root(x) == pytest.approx(np.cbrt(x), rel=1e-15)
    assert normal.cube_root(np.array([0.0])).tolist() == [0.0]


def test_scores_of_equal_bins_are_those_of_a_normal():
    scores = normal.bin_scores(np.full(20, 0.05))
    assert scores == pytest.approx(-scores[::-1], abs=1e-12)
    assert scores[19] == pytest.approx(stats.norm.pdf(stats.norm.ppf(0.95)) / 0.05)
    assert float(np.sum(scores * scores)) / 20 == pytest.approx(0.99, abs=0.01)


def test_an_empty_bin_has_the_score_zero():
    scores = normal.bin_scores(np.array([0.0, 0.5, 0.0, 0.5, 0.0]))
    assert scores.tolist()[::2] == [0.0, 0.0, 0.0]
    assert scores[1] == pytest.approx(-0.797884, abs=1e-6)
