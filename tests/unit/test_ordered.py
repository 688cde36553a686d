"""ordered, packed: one order of sums, and arrays as bytes."""

from __future__ import annotations

import numpy as np
import pytest

from streamops.core.numeric import ordered_sum
from streamops.core.ordered import dot_last, sum_first, sum_last
from streamops.core.packed import floats, integers, pack, select


@pytest.mark.parametrize("shape", [(1, 7), (3, 4, 7), (500, 7), (2, 500, 1)])
def test_a_sum_has_the_bits_of_the_ordered_sum(shape):
    x = np.random.default_rng(1).normal(size=shape) * 1e8
    expected = [ordered_sum(row) for row in x.reshape(-1, shape[-1])]
    assert sum_last(x).ravel().tolist() == expected
    assert dot_last(x, np.ones(shape[-1])).ravel().tolist() == expected
    assert sum_first(np.moveaxis(x, -1, 0)).ravel().tolist() == expected


def test_few_and_many_sums_share_their_bits():
    x = np.random.default_rng(2).normal(size=(400, 9))
    assert sum_last(x)[:3].tolist() == sum_last(x[:3]).tolist()


def test_arrays_come_back():
    x, k = np.random.default_rng(3).normal(size=(2, 3)), np.arange(6).reshape(3, 2)
    assert floats(pack(x), 2, 3).tolist() == x.tolist()
    assert integers(pack(k), 3, 2).tolist() == k.tolist()
    assert pack(x[:, ::2]) == pack(x[:, ::2].copy())


def test_select_takes_whole_streams():
    new, old = (np.ones((2, 3)), np.ones(2)), (np.zeros((2, 3)), np.zeros(2))
    found = list(select(np.array([True, False]), new, old))
    assert [part.tolist() for part in found] == [[[1, 1, 1], [0, 0, 0]], [1, 0]]
