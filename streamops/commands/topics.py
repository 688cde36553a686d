"""topics list, check, apply: the topics as declared, and as the cluster has them."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

from cyclopts import App, Parameter

from streamops.commands.output import print_json, print_table, say
from streamops.commands.place import HERE, Json, Place
from streamops.commands.stack import Partitions
from streamops.settings import Settings

APP = App(name="topics", help="List, check and mend the topics of a namespace.")
DIFFERENT = 1
MS = 1000


@APP.command(name="list")
def list_topics(*, json: Json = False) -> None:
    """List the topics as they are declared.

    Example: streamops topics list
    """
    from streamops.topics import load_topics

    specs = list(load_topics().values())
    if json:
        print_json(specs)
        return
    columns = ["name", "key", "partitions", "retention_ms", "cleanup", "events"]
    print_table(
        columns,
        [
            [s.name, s.key, s.partitions, s.retention_ms, s.cleanup, ", ".join(s.events)]
            for s in specs
        ],
    )


@APP.command
def check(*, place: Place = HERE, partitions: Partitions = None, json: Json = False) -> int:
    """Report every difference between the cluster and the declarations.

    Retention counts too: predictions and labels must outlast the longest horizon that is
    configured. Exit status 1 when there is a difference.

    Example: streamops topics check --bootstrap kafka:9092
    """
    from streamops.kafka.admin import check_topics
    from streamops.kafka.clients import base_conf

    settings = place.settings(partitions)
    found = check_topics(
        base_conf(settings, "topics"),
        settings.namespace,
        settings.partitions,
        join_span_ms=join_span_ms(settings),
    )
    return _report(found, json=json)


@APP.command
def apply(*, place: Place = HERE, partitions: Partitions = None, json: Json = False) -> int:
    """Create missing topics and mend what differs; report what can't be mended.

    Exit status 1 when something is left.

    Example: streamops topics apply --bootstrap kafka:9092 --partitions 24
    """
    from streamops.kafka.admin import apply_topics
    from streamops.kafka.clients import base_conf

    settings = place.settings(partitions)
    left = apply_topics(
        base_conf(settings, "topics"),
        settings.namespace,
        settings.partitions,
        join_span_ms=join_span_ms(settings),
    )
    return _report(left, json=json)


def join_span_ms(settings: Settings) -> int:
    """How long predictions and labels must be kept: the longest horizon of any model, and a pane.

    0 where no model is configured, or no `lifecycle` to read it from. Raises TransportError when
    the cluster doesn't answer.
    """
    from streamops.errors import TransportError
    from streamops.events import ConfigApplied
    from streamops.kafka.admin import connect
    from streamops.kafka.clients import base_conf
    from streamops.kafka.follow import Follower

    connect(base_conf(settings, "topics"))
    spans: dict[str, int] = {}
    try:
        follower = Follower(settings, "topics", ["lifecycle"])
    except TransportError:
        return 0
    with closing(follower):
        for record in follower.to_end():
            if isinstance(record.event, ConfigApplied):
                config = record.event.config
                spans[config.model] = (config.horizon_s + config.pane_s) * MS
    return max(spans.values(), default=0)


def _report(found: list[Any], *, json: Annotated[bool, Parameter(show=False)]) -> int:
    if json:
        print_json(found)
    for difference in found if not json else []:
        print(difference)
    if not found:
        say("the topics are as declared")
    return DIFFERENT if found else 0
