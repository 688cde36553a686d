"""init, apply and the commands of people: thin over the SDK, each a fact with its actor."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from streamops.commands.output import print_json, say
from streamops.commands.place import HERE, Json, Place
from streamops.errors import ConfigError, InputError

if TYPE_CHECKING:
    from streamops.client import Client
    from streamops.events import Event

Model = Annotated[str, Parameter(help="Name of the model.")]
Version = Annotated[str, Parameter(help="Its version.")]
Fingerprint = Annotated[str, Parameter(help="The alert's fingerprint, as `alerts` shows it.")]
Reason = Annotated[str, Parameter(help="Why, in words; recorded.")]
Actor = Annotated[str | None, Parameter(help="Who commands; your user name if left out.")]

SOURCE = "streamops-cli"
ANSWER = (
    "its answer stands on deployments and alerts, a refusal on dlq: "
    'streamops sql "select * from records_refused order by time desc limit 5"'
)
DIGITS_MAX = 5  # of days: 273 years
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def init(
    file: Annotated[Path, Parameter(help="File to write.")] = Path("streamops.toml"),
    *,
    model: Annotated[str, Parameter(help="Name of the first model in it.")] = "my-model",
    pane_s: Annotated[int, Parameter(help="Length of a pane, seconds.")] = 3600,
) -> None:
    """Write a commented configuration to begin with.

    Example: streamops init streamops.toml --model demand
    """
    from streamops.operate.init import write_template

    write_template(file, model, pane_s)
    say(f"wrote {file}; edit it, then: streamops apply {file}")


def apply(
    file: Annotated[Path, Parameter(help="TOML file of one or more models.")],
    *,
    place: Place = HERE,
    actor: Actor = None,
    json: Json = False,
) -> None:
    """Check a configuration and make it the models' own.

    A model's first configuration rules from the beginning; a later one from the first pane after
    its activation.

    Example: streamops apply streamops.toml
    """
    from streamops.config import check_ticks
    from streamops.kafka.topology import read_topology
    from streamops.operate.init import read_config

    configs = read_config(file)
    topology = read_topology(place.settings())
    for config in configs:
        check_ticks(config, topology.interval_s if topology else 0)
    sent = _send(place, lambda client: [client.apply(config, actor=actor) for config in configs])
    for event in sent:
        say(f"applied {event.config.model}, configuration {event.config_hash[:12]}")
    if json:
        print_json([{"model": e.config.model, "config_hash": e.config_hash} for e in sent])


def promote(
    model: Model,
    version: Version,
    *,
    place: Place = HERE,
    reason: Reason = "",
    actor: Actor = None,
    json: Json = False,
) -> None:
    """Ask for a version to go to Production; the gate decides.

    Example: streamops promote demand 2 --reason "new data"
    """
    command(place, json, lambda c: c.promote(model, version, reason=reason, actor=actor))


def approve(
    model: Model,
    version: Version,
    *,
    place: Place = HERE,
    reason: Reason = "",
    actor: Actor = None,
    json: Json = False,
) -> None:
    """Approve a version that waits in Staging.

    Example: streamops approve demand 2
    """
    command(place, json, lambda c: c.approve(model, version, reason=reason, actor=actor))


def rollback(
    model: Model,
    *,
    place: Place = HERE,
    reason: Reason = "",
    actor: Actor = None,
    json: Json = False,
) -> None:
    """Bring the former champion back, at once.

    Example: streamops rollback demand --reason "wrong prices"
    """
    command(place, json, lambda c: c.rollback(model, reason=reason, actor=actor))


def pause(
    model: Model,
    *,
    place: Place = HERE,
    resume: Annotated[bool, Parameter(negative="", help="Let it retrain again.")] = False,
    reason: Reason = "",
    actor: Actor = None,
    json: Json = False,
) -> None:
    """Stop automatic retraining of a model, or let it go on with --resume.

    Example: streamops pause demand --reason "stocktaking"
    """
    command(
        place,
        json,
        lambda c: c.pause_retraining(model, paused=not resume, reason=reason, actor=actor),
    )


def ack(
    model: Model,
    fingerprint: Fingerprint,
    *,
    place: Place = HERE,
    reason: Reason = "",
    actor: Actor = None,
    json: Json = False,
) -> None:
    """Mark an alert as seen; it is not silenced.

    Example: streamops ack demand 3f2a
    """
    command(place, json, lambda c: c.acknowledge(model, fingerprint, reason=reason, actor=actor))


def read_duration(text: str) -> timedelta:
    """A duration of minutes, hours or days; ConfigError for any other text."""
    unit, number = UNITS.get(text[-1:]), text[:-1]
    if unit is None or not (number.isascii() and number.isdigit()):
        raise ConfigError(f"--for is {text!r}: write a number and m, h or d, like 12h")
    if len(number) > DIGITS_MAX:
        raise ConfigError(f"--for is {text!r}: give at most {DIGITS_MAX} digits")
    return timedelta(**{unit: int(number)})


def command(place: Place, json: bool, send: Callable[[Client], Event]) -> None:
    """Send one command and say what was sent."""
    event = _send(place, lambda client: [send(client)])[0]
    if json:
        print_json(event)
    else:
        say(f"sent {type(event).__name__} {event.id}; {ANSWER}")


def _send(place: Place, commands: Callable[[Client], list[Any]]) -> list[Any]:
    from streamops.client import Client

    settings = place.settings()
    with Client(
        settings.bootstrap, namespace=settings.namespace, kafka=settings.kafka, source=SOURCE
    ) as client:
        try:
            return commands(client)
        except InputError as error:
            raise ConfigError(str(error)) from None  # it is of the command's own arguments
