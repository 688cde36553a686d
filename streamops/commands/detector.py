"""detector: put a detector of one's own to the laws, and measure it on the bench."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from streamops.commands.output import print_json, print_table, progress, say
from streamops.commands.place import Json

if TYPE_CHECKING:
    from streamops.bench.own_figures import OwnFigures

APP = App(
    name="detector",
    help="""Put a detector of your own to the laws and on the bench.

    Example: streamops detector check cusum:make
    """,
)
FAILED = 1


@APP.command
def check(
    detector: Annotated[
        str, Parameter(help="module:function, importable from here; it returns a new detector.")
    ],
    /,
    *,
    streams: Annotated[
        int, Parameter(help="Streams of 100,000 outcomes for each false-alarm rate.")
    ] = 5,
    runs: Annotated[int, Parameter(help="Changes of each size.")] = 50,
    seed: Annotated[int, Parameter(help="Of every stream.")] = 1,
    at_most: Annotated[
        float | None,
        Parameter(
            help="Fail unless the upper 95% bound of every false-alarm rate is at most this."
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Check the laws of a fold on a detector, and measure its false alarms and delays.

    A detector has `initial()`, its first state, and `step(state, error)`, which returns the next
    state and how many outcomes ago a change began, 0 for none; an error is 0 or 1. Its state is
    plain data or a msgspec struct. Figures are those of `streamops bench detection errors`: alarms
    in 100,000 outcomes where nothing changes, and outcomes from a change to the alarm. Exit status
    1 where a law doesn't hold, or a rate is above --at-most.

    Example: streamops detector check cusum:make --at-most 5
    """
    from streamops.bench.own_detector import laws
    from streamops.bench.own_figures import measure
    from streamops.training.fitting import load_function
    from streamops.training.own_detectors import checked

    sys.path.insert(0, os.getcwd())
    make = checked(load_function(detector))
    found = list(laws(make, detector))
    broken = [law for law in found if not law.holds]
    figures = None
    if not broken:
        with progress("measuring") as show:
            figures = measure(make, streams=streams, runs=runs, seed=seed, on_progress=show)
    bad = 0 if figures is None or at_most is None else _above(figures, at_most)
    if json:
        print_json({"detector": detector, "laws": found, "figures": figures})
    else:
        print_table(
            ("law", "holds", "asks", "seen"),
            [(law.name, "yes" if law.holds else "NO", law.asks, law.seen) for law in found],
        )
        if figures is not None:
            _show(figures)
    if broken:
        say(f"{len(broken)} of {len(found)} laws don't hold: figures of it would mean nothing")
    if bad:
        say(f"{bad} false-alarm rates may be above {at_most:g} in 100,000 outcomes")
    return FAILED if broken or bad else 0


def _above(figures: OwnFigures, limit: float) -> int:
    return len([one for one in figures.false_alarms if one.upper95 > limit])


def _show(figures: OwnFigures) -> None:
    print()
    print_table(
        ("error rate", "in runs", "alarms in 100,000", "upper 95%"),
        [
            (f"{f.rate:g}", f"{f.correlation:g}", f"{f.per_100k:.3g}", f"{f.upper95:.3g}")
            for f in figures.false_alarms
        ],
    )
    print()
    print_table(
        ("change", "median outcomes", "nine tenths", "found", "alarms before"),
        [
            (
                f"{d.before:g} to {d.after:g}",
                f"{d.median:g}",
                f"{d.p90:g}",
                f"{d.found:.0%}",
                d.early,
            )
            for d in figures.delays
        ],
    )
