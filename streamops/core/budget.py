"""The promise: how much evidence an alarm takes, from how many false alarms a month are accepted.

Rule 1: a stream is whatever is tested on its own: a feature, its missing values, a segment's copy.
        Every one of them spends from the model's budget.
"""

from __future__ import annotations


def alarm_at(streams: int, panes_a_month: float, false_alarms_a_month: float) -> float:
    """Return A, the evidence at which a stream's test alarms.

    A test keeps P(false alarm within T panes) <= T / A, and begins anew after one, so a month of
    `panes_a_month` panes over `streams` streams expects at most `false_alarms_a_month`.
    """
    assert streams > 0, f"{streams} streams"
    assert panes_a_month > 0, f"{panes_a_month} panes a month"
    assert false_alarms_a_month > 0, f"a budget of {false_alarms_a_month} false alarms a month"
    return max(1.0, streams * panes_a_month / false_alarms_a_month)
