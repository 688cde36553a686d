"""The test that is told both rates: what it counts is what it says."""

from __future__ import annotations

import numpy as np

from benchmarks.detection import told


def test_it_alarms_where_the_sum_of_ratios_reaches_the_limit_and_begins_anew():
    ratios = np.array([[2.0, 2.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
    # (1 + 0) 2 = 2, (1 + 2) 2 = 6, and from 0 again.
    assert told.alarms(ratios, 6.0) == [[1, 3], []]
    assert told.alarms(ratios, 3.0) == [[1, 3], [2]]


def test_found_is_within_700_rows_of_the_change_and_not_before_it():
    # Bin 10 + 13 ends with the 700th row after the change.
    assert told.found_soon([[23], [24], [9, 22], [9], []], 10) == 2


def test_errors_rise_at_the_first_change():
    bins = told.errors(7)
    assert len(bins) == 400
    assert bins[150:].mean() > 1.3 * bins[:150].mean()
