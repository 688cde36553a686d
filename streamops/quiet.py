"""Which alerts page nobody, and why: what people ask for, and what an alert says of itself.

The same rules as in `values`, which has no kinds of alerts: frozen, a new field goes last with a
default. An alert is always raised; these only say whether somebody is told (core.noise).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from streamops.config import AlertKind

How = Literal["silence", "snooze", "maintenance"]
Reason = Literal["", "silence", "snooze", "maintenance", "flapping", "group"]


class Hold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Alerts of a model that page nobody for a while; its name stands in the event's fingerprint.

    how      silence: until a time; snooze: until another version serves, at the latest at a time;
             maintenance: alerts whose panes overlap [since, until) in event time
    kind, feature, fingerprint  only alerts of these; empty: of any
    since    begin of a maintenance, with a zone; none for others
    ended    the hold of this name ends now, whatever its time
    """

    how: How = "silence"
    kind: AlertKind | None = None
    feature: str = ""
    fingerprint: str = ""
    since: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    ended: bool = False


class Noise(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an alert pages nobody, or for whom it pages.

    reason    silence, snooze, maintenance, flapping or group; empty: it pages
    by        name of the hold, or id of the alert that pages in its place; empty: it pages
    group     id of the alert that its incident was paged with
    members   fingerprints of the alerts raised with it that it pages for
    flapping  it comes and goes: the next ones page nobody until it is calm
    """

    reason: Reason = ""
    by: str = ""
    group: str = ""
    members: tuple[str, ...] = ()
    flapping: bool = False
