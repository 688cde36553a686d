"""profile: edges, bins and fixed-point amounts, at their boundaries."""

from __future__ import annotations

import math

import pytest

from streamops.core.profile import (
    CATEGORIES_MAX,
    CLAMP,
    bin_of,
    category_profile,
    category_text,
    numeric_profile,
    to_quanta,
)
from streamops.versions import profile_hash
from tests.builders import profile


def test_edges_are_order_statistics_and_counts_are_what_bins_say():
    values = [float(n) for n in range(8)]
    found = numeric_profile("x", [*values, None, math.nan], bins=4)
    assert (found.edges, found.low, found.high) == ((2.0, 4.0, 6.0), 0.0, 7.0)
    assert found.counts == (0, 2, 2, 2, 2, 0, 2)
    counted = [0] * len(found.counts)
    for value in values:
        counted[bin_of(found, value)[0]] += 1
    assert tuple(counted) == (*found.counts[:-1], 0)


@pytest.mark.parametrize(
    ("value", "place"),
    [(-0.001, 0), (0, 1), (1.999, 1), (2, 2), (7, 4), (7.001, 5), (None, 6), ("7", 6), (True, 6)],
)
def test_a_bin_begins_at_its_edge(value, place):
    found = numeric_profile("x", [float(n) for n in range(8)], bins=4)
    assert bin_of(found, value)[0] == place


def test_a_constant_column_has_one_bin_and_an_empty_one_none():
    constant = numeric_profile("x", [3.0] * 5)
    assert (constant.edges, constant.counts) == ((), (0, 5, 0, 0))
    assert [bin_of(constant, v)[0] for v in (2.9, 3.0, 3.1)] == [0, 1, 2]
    empty = numeric_profile("x", [None, None])
    assert empty.counts == (0, 0, 0, 2)
    assert bin_of(empty, None)[0] == 3


def test_two_values_make_two_bins():
    found = numeric_profile("x", [0.0] * 9 + [1.0])
    assert (found.edges, found.counts) == ((1.0,), (0, 9, 1, 0, 0))


@pytest.mark.parametrize(
    ("scaled", "quanta"),
    [(0.5, 0), (1.5, 2), (-0.5, 0), (2.5, 2), (1e300, CLAMP), (-1e300, -CLAMP), (math.inf, CLAMP)],
)
def test_amounts_round_half_to_even_and_are_clamped(scaled, quanta):
    assert to_quanta(scaled, 1.0) == quanta


def test_a_tiny_quantum_clamps_and_never_overflows():
    assert to_quanta(1e308, 1e-300) == CLAMP


def test_categories_are_the_most_frequent_and_the_rest_is_other():
    values = [f"v{n}" for n in range(CATEGORIES_MAX + 2)] + ["v1"] * 3 + [None]
    found = category_profile("c", values)
    assert len(found.categories) == CATEGORIES_MAX
    assert "v1" in found.categories
    assert found.counts[-2:] == (2, 1)
    assert sum(found.counts) == len(values)
    other = next(v for v in values if v not in found.categories)
    assert bin_of(found, other) == (CATEGORIES_MAX, 0, False)


def test_equal_frequencies_do_not_depend_on_row_order():
    values = [f"v{n}" for n in range(CATEGORIES_MAX + 5)]
    assert category_profile("c", values) == category_profile("c", values[::-1])


def test_a_boolean_is_false_and_true():
    found = category_profile("b", [True, False, True, None], kind="boolean")
    assert (found.categories, found.counts) == (("false", "true"), (1, 2, 0, 1))
    assert [bin_of(found, v)[0] for v in (False, True, "true", "maybe", None)] == [0, 1, 1, 3, 3]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (1.0, "1"), (True, "true"), ("1", "1"), (1.5, None), ("x" * 257, None)],
)
def test_a_class_has_one_text(value, text):
    assert category_text(value) == text


def test_the_hash_names_the_content():
    assert profile_hash(profile()) == profile_hash(profile())
    assert profile_hash(profile(rows=101)) != profile_hash(profile())
