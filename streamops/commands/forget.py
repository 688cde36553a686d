"""forget: a person's key is destroyed, and the log says so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from streamops.commands.models import SOURCE, Actor, Reason
from streamops.commands.output import print_json, say
from streamops.commands.place import HERE, Json, Place
from streamops.errors import ConfigError


def forget(
    subject: Annotated[str, Parameter(help="The person, as the application names them.")],
    *,
    place: Place = HERE,
    keys: Annotated[
        Path | None, Parameter(help="The key store; the one beside the data folder if left out.")
    ] = None,
    reason: Reason = "",
    actor: Actor = None,
    json: Json = False,
) -> None:
    """Destroy a person's key, so that nobody can read their values on the log any more.

    The log gets a fact that names the key, never the person. Chains and proofs that don't need the
    values still verify; those that do say `erased by request N`. It can't be undone.

    Example: streamops forget anna@example.org --reason "GDPR Art. 17"
    """
    from streamops.client import Client
    from streamops.keys import KeyStore
    from streamops.sdk.erasure import forget as erase

    settings = place.settings()
    path = keys or settings.keys
    if not path.is_file():
        raise ConfigError(f"key store {path} isn't there: name the one of your client with --keys")
    store = KeyStore(path)
    with Client(
        settings.bootstrap, namespace=settings.namespace, kafka=settings.kafka, source=SOURCE
    ) as client:
        event = erase(client, store, subject, reason=reason, actor=actor)
    store.close()
    if json:
        print_json({"request": int(event.correlation_id), "key": event.target, "id": event.id})
    else:
        say(f"request {event.correlation_id}: key {event.target} is destroyed, and the log says so")
