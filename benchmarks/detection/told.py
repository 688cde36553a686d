"""How far anybody would come on SEA's first change: a test that is told both error rates.

    python -m benchmarks.detection.told [STREAMS]     prints JSON

Shiryaev-Roberts with the true likelihood ratio in bins of fifty detects soonest at a given rate of
false alarms, up to a vanishing rest (Pollak 1985). Its limit is set by its own false alarms on long
streams without a change, not by a bound: whoever has to learn the rates can't promise more.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from streamops.bench import sea
from streamops.core.outcome_bins import OUTCOMES

Floats = NDArray[np.float64]
LIMITS = (2_000, 4_000, 6_000, 8_000)
CLEAN_STREAMS, CLEAN_BINS = 400, 20_000
FIRST_SEED = 5_000


def errors(seed: int) -> NDArray[np.int64]:
    """Errors a bin of a model of the first tenth, up to the second change."""
    x, y = sea.stream(np.random.default_rng(seed))
    model = LogisticRegression().fit(x[: sea.TRAIN], y[: sea.TRAIN])
    told = slice(sea.TRAIN, sea.CHANGES[1])
    wrong = (model.predict(x[told]) != y[told]).astype(np.int64)
    found: NDArray[np.int64] = wrong.reshape(-1, OUTCOMES).sum(axis=1)
    return found


def alarms(ratios: Floats, limit: float) -> list[list[int]]:
    """Bins, from 0, in which each stream alarms and begins anew; ratios are [stream, bin]."""
    found: list[list[int]] = [[] for _ in ratios]
    sums = np.zeros(len(ratios))
    for at in range(ratios.shape[1]):
        sums = (1.0 + sums) * ratios[:, at]
        for stream in np.flatnonzero(sums >= limit).tolist():
            found[stream].append(at)
            sums[stream] = 0.0
    return found


def found_soon(alarms: Sequence[Sequence[int]], change: int) -> int:
    """How many streams alarm within SOON rows of the change, a bin's number."""
    firsts = (next((at for at in some if at >= change), None) for some in alarms)
    return sum(at is not None and (at - change + 1) * OUTCOMES <= sea.SOON for at in firsts)


def main(streams: int) -> dict[str, object]:
    """Measure at several limits."""
    bins = np.array([errors(FIRST_SEED + n) for n in range(streams)])
    change = (sea.CHANGES[0] - sea.TRAIN) // OUTCOMES
    before, after = (float(part.mean()) / OUTCOMES for part in (bins[:, :change], bins[:, change:]))
    up, down = np.log(after / before), np.log((1.0 - after) / (1.0 - before))

    def ratios(errors: NDArray[np.int64]) -> Floats:
        found: Floats = np.exp(errors * up + (OUTCOMES - errors) * down)
        return found

    rng = np.random.default_rng(1)
    clean = ratios(rng.binomial(OUTCOMES, before, size=(CLEAN_STREAMS, CLEAN_BINS)))
    share = (sea.ROWS - sea.TRAIN) / OUTCOMES * 20 / clean.size
    return {
        "rates": [before, after],
        "streams": streams,
        "by_limit": {
            limit: {
                "false_in_20_streams": sum(map(len, alarms(clean, limit))) * share,
                "first_changes_found_of_20": 20
                * found_soon(alarms(ratios(bins), limit), change)
                / streams,
            }
            for limit in LIMITS
        },
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else 400), indent=1))
