"""Forgetting a person: the fact goes to the log, then the key goes."""

from __future__ import annotations

from datetime import UTC, datetime

from streamops.errors import InputError
from streamops.events import ActionTaken
from streamops.keys import KeyStore
from streamops.sdk.commands import Commands, user

ACTION = "forget"


def forget(
    client: Commands,
    keys: KeyStore,
    subject: str,
    *,
    reason: str = "",
    actor: str | None = None,
    time: datetime | None = None,
) -> ActionTaken:
    """Destroy a person's key; what it encrypted can't be read by anybody after this.

    The key goes once the log has the fact, which names the key and never the person. Interrupted
    before, it is asked for again, and is the same request. Raises InputError where the store has no
    key of this person, TransportError where the log didn't take the fact: then the key is there.
    """
    erasure = keys.begin_erasure(subject)
    if erasure is None:
        raise InputError(
            f"subject is {subject!r}, of whom {keys.path} has no key: nothing on the log was "
            "encrypted for them, or they were forgotten before"
        )
    event = ActionTaken(
        id=f"{ACTION}/{erasure.name}",
        time=time or datetime.now(UTC),
        actor=actor or user(),
        action=ACTION,
        target=erasure.name,
        correlation_id=str(erasure.number),
        detail=reason,
    )
    client.send(event)
    client.flush()
    keys.destroy(erasure)
    return event
