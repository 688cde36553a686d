"""bench detection: measure on this machine what the detection promises."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from streamops.commands.output import print_json, print_table, progress, say
from streamops.commands.place import Json

if TYPE_CHECKING:
    from streamops.bench.detection import Measured

APP = App(
    name="bench",
    help="""Measure on this machine what streamops promises.

    Example: streamops bench detection --quick
    """,
)
OUT = Path("build/bench-detection.json")
TOOLS = Path("build/detection-tools")


@APP.command
def detection(
    part: Annotated[
        tuple[str, ...],
        Parameter(help="power, null, correlated, errors, sea, real, others, cost; all without."),
    ] = (),
    /,
    *,
    quick: Annotated[
        bool, Parameter(negative="", help="Under five minutes on two cores; wider bounds.")
    ] = False,
    prepare: Annotated[
        bool,
        Parameter(negative="", help="Only make the environments of Evidently and NannyML, once."),
    ] = False,
    seed: Annotated[int, Parameter(help="Of every random stream.")] = 1,
    processes: Annotated[int, Parameter(help="That work at a time.")] = 2,
    tools: Annotated[Path, Parameter(help="Folder of the other tools' environments.")] = TOOLS,
    tables: Annotated[
        Path | None,
        Parameter(help="Folder of the recorded tables (replay/data): real columns too."),
    ] = None,
    resume: Annotated[
        bool, Parameter(negative="", help="Keep what --out's details hold of this seed and size.")
    ] = False,
    out: Annotated[
        Path, Parameter(help="FILE.json of the result; details and plots beside.")
    ] = OUT,
    json: Json = False,
) -> None:
    """False alarms, power, delays and costs of detection, beside Evidently's and NannyML's rules.

    The result has one set of fields, every figure finite: FILE.json. FILE.details.json has every
    task's figures, the machine and versions; FILE.NAME.svg are plots. Parts of a run that was cut
    short stay in the details: --resume goes on.

    Example: streamops bench detection --prepare && streamops bench detection --quick
    """
    from streamops.bench.runs import run

    with progress("preparing" if prepare else "measuring") as on_progress:
        found = run(
            part, quick=quick, prepare=prepare, seed=seed, processes=processes, environments=tools,
            data=tables, resume=resume, out=out, on_progress=on_progress,
        )  # fmt: skip
    if found is None:
        say(f"environments of other tools are in {tools}")
        return
    if found.result is None:
        say(f"measured {', '.join(found.parts)}; a result takes all parts, run with --resume")
        return
    if json:
        print_json(found.result)
        return
    print_table(("line", "what", "asked", "measured", "holds"), _rows(found))
    say(f"{found.seconds:.0f} s, seed {found.seed}; {out} has the figures")


def _rows(found: Measured) -> list[tuple[str, ...]]:
    from streamops.bench.lines import lines

    assert found.result is not None, "no result"
    return [
        (str(one.line), one.what, one.asked, one.shown, "yes" if one.holds else "no")
        for one in lines(found.result)
    ]
