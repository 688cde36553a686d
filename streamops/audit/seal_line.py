"""One line that stands for a whole chain, to be kept where the archive's owner can't change it.

    streamops-seal:1/NAMESPACE/NUMBER/TIME/HEAD/CHECK

HEAD is the head of seal NUMBER: it covers every segment of every partition up to there. TIME is the
last append time below it. CHECK tells a typo from a chain that was altered: the first eight hex
digits of the SHA-256 of what stands before it.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NamedTuple

from streamops.errors import ConfigError
from streamops.events import CheckpointSealed

KIND = "streamops-seal:1"
_SHAPE = re.compile(
    rf"{KIND}/(?P<namespace>[a-z0-9_-]+)/(?P<number>[1-9][0-9]*)/(?P<time>[0-9TZ:.+-]+)"
    r"/(?P<head>[0-9a-f]{64})/(?P<check>[0-9a-f]{8})"
)


class SealLine(NamedTuple):
    """What a line says: the seal's namespace, number, time (RFC 3339) and head."""

    namespace: str
    number: int
    time: str
    head: str

    def __str__(self) -> str:
        said = f"{KIND}/{self.namespace}/{self.number}/{self.time}/{self.head}"
        return f"{said}/{_check(said)}"


def line_of(event: CheckpointSealed) -> SealLine:
    """Return the line of a seal."""
    time = event.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return SealLine(event.namespace, event.number, time, event.head)


def read_line(text: str) -> SealLine:
    """Return what a line says; ConfigError for one that isn't whole or has a typo."""
    given = text.strip()
    found = _SHAPE.fullmatch(given)
    if found is None:
        raise ConfigError(
            f"the line is {_short(given)!r}; it must be one that `streamops seal --print` printed, "
            f"whole: {KIND}/NAMESPACE/NUMBER/TIME/HEAD/CHECK"
        )
    said, _, check = given.rpartition("/")
    if check != _check(said):
        raise ConfigError(
            f"the line {_short(given)!r} has a typo: its check is {check}, that of what stands "
            f"before is {_check(said)}; copy it again from where it is kept"
        )
    return SealLine(found["namespace"], int(found["number"]), found["time"], found["head"])


def _check(said: str) -> str:
    return sha256(said.encode()).hexdigest()[:8]


def _short(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:157]}..."
