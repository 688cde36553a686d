"""SEA from its formula (Street, Kim 2001): three concept changes, inputs that never drift.

A logistic regression on three uniform inputs is trained on the first tenth. After an alarm it is
trained anew on the rows since the dated change, as soon as 500, 1,000, 2,000, 4,000 and 8,000 of
them are there. Each model's errors are a stream of its own, without a reference: BF-SR, by tenths
of the scores that the model gives the rows it was trained on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from streamops.bench.shipped import Shipped
from streamops.bench.streams import measured, panes_of
from streamops.core import bf_sr
from streamops.core.pane_rows import numeric_bins
from streamops.core.tenths import CODES, edges_of, tenth_of

ROWS, TRAIN = 50_000, 5_000
CHANGES = (12_500, 25_000, 37_500)
LIMITS = (8.0, 9.0, 7.0, 9.5)
NOISE = 0.1
SOON = 700
WINDOW = 500
GROWTH = (500, 1_000, 2_000, 4_000, 8_000)
# A budget of one false alarm a stream.
ALARM_AT = float(ROWS)
Floats = NDArray[np.float64]


def stream(rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
    """Inputs and labels of one stream."""
    x = rng.uniform(0.0, 10.0, (ROWS, 3))
    limit = np.array(LIMITS)[np.searchsorted(CHANGES, np.arange(ROWS), side="right")]
    clean = x[:, 0] + x[:, 1] <= limit
    return x, (clean ^ (rng.random(ROWS) < NOISE)).astype(np.int64)


def alarms(x: Floats, y: NDArray[np.int64]) -> list[int]:
    """Rows at which BF-SR alarms, the model being renewed after each."""
    model, edges = _trained(x[:TRAIN], y[:TRAIN])
    found, state, at = [], _begun(), TRAIN
    renewals: list[tuple[int, int]] = []
    while at < ROWS:
        end, since = renewals[0] if renewals else (ROWS, 0)
        alarm, state = _first_alarm(state, _outcomes(model, edges, x[at:end], y[at:end]))
        if alarm is not None:
            found.append(at + alarm[0])
            at += alarm[0] + 1
            since = at - alarm[1]
            renewals = [(max(at, since + k), since) for k in GROWTH if since + k <= ROWS]
            # Growth points already passed make one renewal, now.
            renewals = renewals[max(0, sum(1 for row, _ in renewals if row == at) - 1) :]
            continue
        at = end
        if renewals:
            renewals.pop(0)
            if len(set(y[since:at].tolist())) > 1:
                (model, edges), state = _trained(x[since:at], y[since:at]), _begun()
    return found


def _trained(x: Floats, y: NDArray[np.int64]) -> tuple[LogisticRegression, tuple[float, ...]]:
    """A model, and the tenths of its scores."""
    model = LogisticRegression().fit(x, y)
    return model, edges_of(model.predict_proba(x)[:, 1].tolist())


def _begun() -> bf_sr.State:
    return bf_sr.initial(parts=np.zeros(CODES, dtype=np.int64))


def _outcomes(
    model: LogisticRegression, edges: tuple[float, ...], x: Floats, y: NDArray[np.int64]
) -> list[tuple[bool, int]]:
    """Whether each row is an error, and the tenth of its score."""
    if not len(x):
        return []
    scores = model.predict_proba(x)[:, 1].tolist()
    wrong = (model.predict(x) != y).tolist()
    return [
        (is_error, tenth_of(edges, score)) for is_error, score in zip(wrong, scores, strict=True)
    ]


def _first_alarm(
    state: bf_sr.State, outcomes: list[tuple[bool, int]]
) -> tuple[tuple[int, int] | None, bf_sr.State]:
    """The first alarm's place and age, if any, and the state behind it."""
    for number, (is_error, tenth) in enumerate(outcomes):
        state, found = bf_sr.step(state, is_error, ALARM_AT, tenth=tenth)
        if found is not None and found.is_alarm:
            return (number, found.age), state
    return None, state


def measure(seed: int) -> dict[str, float]:
    """One stream: changes found within 700 rows, other alarms, and alarms of the input tests."""
    x, y = stream(np.random.default_rng(seed))
    left, soon, late = alarms(x, y), 0, 0.0
    for change, end in zip(CHANGES, (*CHANGES[1:], ROWS), strict=True):
        first = next((a for a in left if change <= a < end), None)
        late += min(first - change if first is not None else end - change, SOON)
        if first is not None:
            left.remove(first)
            soon += first - change < SOON
    return {
        "changes": len(CHANGES),
        "found_within_700": soon,
        "false": len(left),
        "mean_delay_capped": late / len(CHANGES),
        "input_alarms": _input_alarms(x),
    }


def _input_alarms(x: Floats) -> int:
    """Alarms of what is shipped on the three inputs, budget one a stream."""
    profiles = [measured(str(at), column[:TRAIN]) for at, column in enumerate(x.T)]
    shipped = Shipped(profiles)
    bins = [numeric_bins(p, c[TRAIN:]) for p, c in zip(profiles, x.T, strict=True)]
    limit = shipped.plan.streams * (ROWS - TRAIN) / WINDOW
    panes = panes_of(bins, shipped.widths, WINDOW)
    return sum(len(shipped.step(counts, limit)) for counts in panes)
