"""grow: a namespace's history over more partitions, in a new namespace."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter, validators

from streamops.commands.output import print_json, say
from streamops.commands.place import HERE, PARTITIONS_MAX, Json, Place
from streamops.errors import ConfigError
from streamops.settings import Settings


def grow(
    new: Annotated[str, Parameter(help="The new namespace.")],
    *,
    partitions: Annotated[
        int,
        Parameter(
            validator=validators.Number(gte=1, lte=PARTITIONS_MAX),
            help="Partitions of each of its topics.",
        ),
    ],
    archive: Annotated[
        Path | None,
        Parameter(help="Archive of the old one, finished; without it, its own, finished now."),
    ] = None,
    place: Place = HERE,
    json: Json = False,
) -> None:
    """Write a namespace's history again, into a new namespace of more partitions.

    Stop producers and services first; afterwards start both on the new namespace. It concludes
    what the old one concluded: same alerts, same ids.

    Example: streamops grow prod2 --namespace prod --partitions 48 --bootstrap kafka:9092
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from streamops.kafka.admin import create_topics
    from streamops.kafka.clients import base_conf
    from streamops.operate.folder import Folder
    from streamops.operate.grow import Growth, rows_of
    from streamops.views.archiver import archive_until_end

    old = place.settings()
    if old.namespace == new:
        raise ConfigError(f"NEW is {new!r}, the namespace to grow; name another")
    Folder(old.data).refuse_if_held("--data")
    target = msgspec.structs.replace(old, namespace=new, partitions=partitions)
    create_topics(base_conf(target, "grow"), new, partitions)
    refuse_if_filled(target)
    if archive is None:
        archive_until_end(old)
    held = archive or old.archive
    columns = (TextColumn("records"), BarColumn(), TextColumn("{task.completed:,}"),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("grow", total=rows_of(held))
        grown = Growth(held, target, lambda: bar.advance(task)).run()
    if json:
        print_json(grown)
    say(
        f"{sum(grown.records.values()):,} records to the end of epoch {grown.last_epoch} stand in "
        f"{new}; start it: streamops up --namespace {new} --partitions {partitions}"
    )


def refuse_if_filled(target: Settings) -> None:
    """Raise ConfigError where the new namespace already holds a history."""
    from streamops.kafka.follow import Follower

    with closing(Follower(target, "grow", ["lifecycle", "predictions", "labels"])) as follower:
        for _ in follower.to_end():
            raise ConfigError(
                f"NEW is {target.namespace!r}, which holds records already; name a new one"
            )
