"""What CONTROLLER keeps to tell which of a model's alerts page. Empty for a model without any.

Rule 1: it stands beside a model's state, not in it: where nobody asks for quiet, states, seals and
        conclusions are those of semantics 3, to the byte (`is_needed`).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from streamops.quiet import Hold
from streamops.values import Severity


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """A hold that a person asked for, until an event time."""

    hold: Hold
    until_us: int


class Incident(msgspec.Struct, frozen=True, array_like=True):
    """One cause: the alert that paged, when, the worst severity paged, ids of its open alerts."""

    id: str
    at_us: int
    severity: Severity
    alerts: tuple[str, ...] = ()


class Flaps(msgspec.Struct, frozen=True, array_like=True):
    """One fingerprint: times of its last alerts; `paged`: the alert that paged as flapping."""

    raised_us: tuple[int, ...] = ()
    paged: str = ""


class NoiseState(msgspec.Struct, frozen=True, array_like=True):
    """One model: holds by name, the incident that was paged last, flaps by fingerprint."""

    holds: dict[str, Standing] = {}
    incident: Incident | None = None
    flaps: dict[str, Flaps] = {}


QUIET = NoiseState()


def is_needed(noise: Mapping[str, NoiseState]) -> bool:
    """Tell whether anything here is more than semantics 3 knows."""
    return any(state != QUIET for state in noise.values())
