"""season: tables of regressors, and products in the space they span."""

from __future__ import annotations

import numpy as np
import pytest

from streamops.core import season


def test_sines_are_sines():
    table = np.array(season.sines(24, 2).rows)
    angle = 2 * np.pi * np.arange(24) / 24
    expected = [np.ones(24), np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)]
    assert table == pytest.approx(np.stack(expected, axis=1), abs=1e-14)


@pytest.mark.parametrize("one", [season.NO_SEASON, season.phases(5), season.sines(6, 2)])
def test_whitened_products_are_those_of_least_squares(one):
    rng = np.random.default_rng(1)
    phases = rng.integers(0, len(one.rows), 40)
    x = np.array(one.rows)[phases]
    gram = season.products(one)[phases].sum(axis=0)[np.newaxis]
    a, b = rng.normal(size=(2, 1, one.columns))
    root = season.root(one, gram)
    found = season.whiten(one, root, a) * season.whiten(one, root, b)
    assert found.sum() == pytest.approx(float((a @ np.linalg.inv(x.T @ x) @ b.T)[0, 0]))
    assert season.ranks(one, root).tolist() == [one.columns]


@pytest.mark.parametrize("one", [season.phases(5), season.sines(6, 2)])
def test_a_phase_never_seen_adds_no_rank(one):
    root = season.root(one, season.products(one)[:1])
    assert season.ranks(one, root).tolist() == [1]
    x = np.array(one.rows)[:1]
    white = season.whiten(one, root, x)
    assert float((white * white).sum()) == pytest.approx(1.0)


@pytest.mark.parametrize(("count", "harmonics"), [(2, 1), (24, 12), (3, 0)])
def test_too_many_waves_are_our_own_fault(count, harmonics):
    with pytest.raises(AssertionError, match="harmonics"):
        season.sines(count, harmonics)
