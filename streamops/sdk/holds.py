"""Names of holds: what is asked for twice is one hold, so its name says all that it is about."""

from __future__ import annotations

from datetime import timedelta

from streamops.errors import InputError
from streamops.quiet import Hold

SNOOZE = timedelta(days=30)


def name_of(model: str, hold: Hold) -> str:
    """Return the name of a hold, as alerts and `silences` show it.

    Raises InputError for one that names an alert and more about it: that can be nothing else.
    """
    if hold.fingerprint and (hold.kind or hold.feature):
        raise InputError(
            f"fingerprint is {hold.fingerprint!r}, which is one alert already; leave kind and "
            "feature out, or the fingerprint"
        )
    parts = [hold.fingerprint] if hold.fingerprint else [hold.kind or "*", hold.feature or "*"]
    since = [] if hold.since is None else [hold.since.isoformat()]
    return "/".join((model, f"~{hold.how}", *parts, *since))
