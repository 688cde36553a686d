"""A user's detector on the bench's error streams: false alarms, and delays after a change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count

import msgspec

from streamops.bench.errors import Alarms, Errors, delays_of, false_alarms_of
from streamops.bench.own_detector import alarms_of
from streamops.errors import ConfigError
from streamops.training.own_detectors import Make

RATES = ((0.05, 0.0), (0.2, 0.0), (0.3, 0.0), (0.2, 0.5))
CHANGES = ((0.2, 0.3), (0.1, 0.3))

Progress = Callable[[int, int], None]


class FalseAlarms(msgspec.Struct, frozen=True, kw_only=True):
    """Alarms in 100,000 outcomes of one error rate, with the exact upper 95% end of that.

    correlation  of an error with the next one: above 0 they come in runs
    """

    rate: float
    correlation: float
    streams: int
    per_100k: float
    upper95: float


class Delay(msgspec.Struct, frozen=True, kw_only=True):
    """Outcomes from a change of the error rate to the alarm: median, nine tenths.

    found  share of changes found within 10,000; early: alarms in the 5,000 outcomes before it
    dated_off  outcomes by which the change is put beside where it was, median; none unless found
    """

    before: float
    after: float
    runs: int
    median: float
    p90: float
    found: float
    early: int
    dated_off: float | None


class OwnFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, of seed `seed`."""

    seed: int
    false_alarms: tuple[FalseAlarms, ...]
    delays: tuple[Delay, ...]


def measure(
    make: Make, *, streams: int, runs: int, seed: int = 1, on_progress: Progress | None = None
) -> OwnFigures:
    """Measure a detector as the bench measures ours: of a stream it reads 5,000 outcomes first.

    streams  of 100,000 outcomes a rate; runs: changes of each size
    """
    if streams < 1 or runs < 1:
        raise ConfigError(f"--streams is {streams}, --runs {runs}; use at least 1")
    done, whole = count(1), len(RATES) * streams + len(CHANGES) * runs

    def test(reference: Errors, outcomes: Iterable[bool]) -> Alarms:
        detector = make()
        state, _ = alarms_of(detector, map(float, reference.tolist()))
        return alarms_of(detector, map(float, outcomes), state)[1]

    def tell() -> None:
        if on_progress is not None:
            on_progress(next(done), whole)

    false = [
        FalseAlarms(
            rate=rate,
            correlation=correlation,
            streams=streams,
            per_100k=found["per_100k"],
            upper95=found["upper95"],
        )
        for rate, correlation in RATES
        for found in (false_alarms_of(test, rate, correlation, streams, seed, tell),)
    ]
    delays = [
        Delay(
            before=before,
            after=after,
            runs=runs,
            median=found["median_outcomes"],
            p90=found["p90_outcomes"],
            found=found["found"],
            early=int(found["early"]),
            dated_off=found.get("dated_off_median"),
        )
        for before, after in CHANGES
        for found in (delays_of(test, before, after, runs, seed, tell),)
    ]
    return OwnFigures(seed=seed, false_alarms=tuple(false), delays=tuple(delays))
