"""The promise: how much evidence an alarm takes, from how many false alarms a month are accepted.

Rule 1: a stream is whatever is tested on its own: a feature, its missing values, a version's
        errors. Every one of them spends the same share of the model's budget.
Rule 2: only what the configuration asks for is tested and counted. What is asked of a segment is
        as many streams again.
"""

from __future__ import annotations

from typing import NamedTuple

from streamops.config import DRIFT_METRICS, EACH, ERROR_TESTS, ModelConfig, segments_tested

ALL = "all"
MONTH_S = 30 * 86_400


def alarm_at(streams: int, panes_a_month: float, false_alarms_a_month: float) -> float:
    """Return A, the evidence at which a stream's test alarms.

    A test keeps P(false alarm within T panes) <= T / A, and begins anew after one, so a month of
    `panes_a_month` panes over `streams` streams expects at most `false_alarms_a_month`.
    """
    assert streams > 0, f"{streams} streams"
    assert panes_a_month > 0, f"{panes_a_month} panes a month"
    assert false_alarms_a_month > 0, f"a budget of {false_alarms_a_month} false alarms a month"
    return max(1.0, streams * panes_a_month / false_alarms_a_month)


class Tested(NamedTuple):
    """Whether rules ask for tests of the features, of the score, and of the labels."""

    features: bool
    score: bool
    labels: bool


def tested(config: ModelConfig, segment: str) -> Tested:
    """Tell what rules ask to be tested, of all rows or of a segment."""
    named = (segment,) if segment == ALL else (segment, EACH)
    metrics = {rule.metric for rule in config.rules if rule.segment in named}
    return Tested(*(metric in metrics for metric in DRIFT_METRICS))


def error_tests(config: ModelConfig, segment: str) -> tuple[str, ...]:
    """Return the tests of the error stream: of all rows, or those that rules ask of a segment."""
    found = tuple(name for name in config.detectors if name in ERROR_TESTS)
    if segment == ALL:
        return found
    asked = {rule.metric for rule in config.rules if rule.segment in (segment, EACH)}
    return tuple(name for name in found if name in asked)


def streams_of(config: ModelConfig, features: int) -> int:
    """Return how many streams share the budget of a model with so many features; at least 1."""
    streams = 0
    for segment in (ALL, *segments_tested(config)):
        asked = tested(config, segment)
        streams += len(error_tests(config, segment))
        streams += 2 * features * asked.features + asked.score + asked.labels
    return max(1, streams)


def panes_a_month(config: ModelConfig) -> float:
    """Return how many panes 30 days hold."""
    return MONTH_S / config.pane_s
