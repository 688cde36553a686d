"""scores: what three numbers say of a pane, and what can't be scored."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import polygamma

from streamops.core import scores

BINS = 20


def reference(panes: int = 50, rows: int = 200, seed: int = 1) -> np.ndarray:
    shares = np.full(BINS, 1 / BINS)
    return np.random.default_rng(seed).multinomial(rows, shares, size=(panes, 1))


def test_outer_bins_join_their_neighbours():
    laid = scores.lay_out([[1, 2, 3, 4, 9], [5, 6, 7, 8]])
    assert laid.tolist() == [[3, 7], [18, 0]]


def test_each_direction_answers_its_change():
    scale = scores.scale_of(reference())
    bins = np.full((1, BINS), 10)
    still = scores.score(scale, bins)[0]
    up = bins + np.where(np.arange(BINS) < 10, -3, 3)
    wide = bins + np.where(np.abs(np.arange(BINS) - 9.5) > 5, 3, -3)
    bumpy = bins + np.where(np.arange(BINS) % 2, 5, -5)
    assert scores.score(scale, up)[0, 0] > 0.2 > abs(still[0])
    assert scores.score(scale, wide)[0, 1] > 0.05 > abs(still[1])
    bumps = scores.score(scale, bumpy)[0]
    assert bumps[2] > still[2] + 1.5
    assert abs(bumps[0]) < 0.1


def test_noise_is_the_variance_under_independent_rows():
    panes = np.random.default_rng(2).multinomial(200, np.full(BINS, 0.05), size=(4000, 1))
    scale = scores.scale_of(panes)
    found = scores.score(scale, panes)[:, 0].var(axis=0)
    assert found == pytest.approx(scale.noise[0], rel=0.08)


def test_the_shape_noise_is_a_trigamma():
    scale = scores.scale_of(reference())
    assert scale.noise[0, 2] == pytest.approx(float(polygamma(1, (BINS - 1) / 2)), rel=1e-9)


def test_a_thin_pane_is_shrunk_and_a_thick_one_is_not():
    scale = scores.scale_of(reference())
    pane = np.tile(np.where(np.arange(BINS) < 10, 2, 3), (1, 1))
    thin, same, thick = (scores.score(scale, pane * k)[0, 0] for k in (1, 4, 16))
    assert thin == pytest.approx(same / 2)
    assert thick == pytest.approx(same)


@pytest.mark.parametrize(
    ("panes", "why"),
    [
        (reference(panes=19), "too few panes"),
        (reference(rows=19), "too few rows a pane"),
        (np.full((50, 1, 1), 200), "constant"),
        (np.tile([100, 100], (50, 1, 1)), "two bins"),
        (np.zeros((50, 1, BINS), dtype=np.int64), "all missing"),
        (np.ones((1, 1, 1), dtype=np.int64), "one row"),
    ],
)
def test_what_cannot_be_scored_says_so_and_stays_finite(panes, why):
    scale = scores.scale_of(panes)
    assert scale.usable.tolist() == [False], why
    assert not scores.is_scored(scale, panes[0]).any()
    assert np.isfinite(scores.score(scale, panes[0])).all()


def test_a_pane_of_fewer_than_twenty_rows_is_not_scored():
    scale = scores.scale_of(reference())
    pane = np.zeros((1, BINS), dtype=np.int64)
    pane[0, 3] = 19
    assert scores.is_scored(scale, pane).tolist() == [False]
    pane[0, 3] = 20
    assert scores.is_scored(scale, pane).tolist() == [True]
