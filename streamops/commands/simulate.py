"""simulate: play any labelled table through the whole loop."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from streamops.commands.output import print_json, say
from streamops.commands.place import PARTITIONS_MAX, Json, kafka_of, whole

DEFAULT_HOME = Path(".streamops/simulate")
FAILED = 1

Pane = Annotated[
    int,
    Parameter(
        name="--pane",
        converter=whole,
        validator=validators.Number(gte=0),
        help="Length of a pane, seconds; 0: about 500 rows.",
    ),
]
Rows = Annotated[
    int,
    Parameter(
        converter=whole,
        validator=validators.Number(gte=0),
        help="Play only the first so many rows; 0: all.",
    ),
]
Partitions = Annotated[
    int,
    Parameter(
        converter=whole,
        validator=validators.Number(gte=1, lte=PARTITIONS_MAX),
        help="Partitions of each topic.",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Parts:
    """Which columns play which part."""

    target: Annotated[str, Parameter(help="Column of the label.")] = ""
    time: Annotated[str, Parameter(help="Column of the time, or of the order.")] = ""
    label_time: Annotated[str, Parameter(help="Column of the time at which labels came.")] = ""
    label_delay: Annotated[
        float | None,
        Parameter(help="Seconds from prediction to label, in place of a label time; 0 if none."),
    ] = None
    exclude: Annotated[
        tuple[str, ...], Parameter(help="Column to leave out; give it again for more.")
    ] = ()


WHATEVER = Parts()


def simulate(
    file: Annotated[Path, Parameter(help="FILE.parquet or FILE.csv, labelled.")],
    *,
    parts: Parts = WHATEVER,
    pane: Pane = 0,
    model: Annotated[
        str, Parameter(help="hist_gradient_boosting, or module:function that gets X and y.")
    ] = "hist_gradient_boosting",
    rows: Rows = 0,
    partitions: Partitions = 4,
    wait: Annotated[
        bool, Parameter(help="Lock-step, repeatable; --no-wait streams at full speed.")
    ] = True,
    home: Annotated[
        Path, Parameter(help="Folder of this run; what stood there is removed.")
    ] = DEFAULT_HOME,
    keep: Annotated[bool, Parameter(negative="", help="Leave the page up until Ctrl-C.")] = False,
    bootstrap: Annotated[str, Parameter(help="host:port of an existing Kafka.")] = "",
    kafka_config: Annotated[
        Path | None, Parameter(help="Client settings (security), key=value lines.")
    ] = None,
    json: Json = False,
) -> int:
    """Play a labelled table as a live application would, and prove the result.

    The first tenth trains version 1, the rest streams. A manifest.json beside the file supplies
    what the options don't. Exit status 1 when an alert can't be verified or a view differs from
    its topic.

    Example: streamops simulate replay/data/electricity.parquet --json
    """
    from rich.console import Console

    from streamops.operate.script import own_command
    from streamops.operate.simulate import SimulateOptions, logs_of
    from streamops.operate.simulate import simulate as play
    from streamops.operate.summary import print_summary
    from streamops.operate.table import Columns

    options = SimulateOptions(
        file=file,
        columns=Columns(
            target=parts.target,
            time=parts.time,
            label_time=parts.label_time,
            exclude=parts.exclude,
            label_delay_s=parts.label_delay,
        ),
        rows=rows,
        pane_s=pane,
        trainer=model,
        partitions=partitions,
        wait=wait,
        home=home,
        keep=keep,
        bootstrap=bootstrap,
        kafka=kafka_of(bootstrap, kafka_config),
    )
    with interrupted_by_sigterm():
        summary = play(options, Console(file=sys.stderr))
    if json:
        print_json(summary)
    elif not keep:
        print_summary(summary, Console(), where=str(home), command=own_command())
    if summary.verified.ok and summary.views_match_topics:
        return 0
    say(f"the run failed, see above. {logs_of(home)}")
    return FAILED


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C: a run that is ended stops its stack and names its logs."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
