"""The score of a simulated stream: as operated, the first model left alone, the previous label."""

from __future__ import annotations

from typing import Any

import msgspec

from streamops.core.profile import category_text
from streamops.values import Value

NAMES = ("first_model", "operated", "previous_label")


class Tally:
    """Sums over labelled rows: right answers, or absolute errors of a regression."""

    def __init__(self, task: str, previous: Value | None) -> None:
        self.regression = task == "regression"
        self.previous = previous
        self.rows = 0
        self._sums = dict.fromkeys(NAMES, 0.0)

    def count(self, label: Value, first: Value, operated: Value) -> None:
        """Take one labelled row in stream order."""
        self.rows += 1
        for name, answer in zip(NAMES, (first, operated, self.previous), strict=True):
            self._sums[name] += self._points(answer, label)
        self.previous = label

    def score(self) -> Score:
        """Return the means, rounded to four digits."""
        means = {name: round(self._sums[name] / max(self.rows, 1), 4) for name in NAMES}
        return Score(metric="mae" if self.regression else "accuracy", **means)

    def _points(self, answer: Value | None, label: Value) -> float:
        if answer is None:
            return 0.0
        if self.regression:
            return abs(_number(answer) - _number(label))
        return float(category_text(answer) == category_text(label))


def _number(value: Any) -> float:
    return float(value)


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Mean over labelled rows: share of right answers, or mean absolute error."""

    metric: str
    first_model: float
    operated: float
    previous_label: float
