"""Event time as whole microseconds since 1970, UTC: exact arithmetic, no floats, no clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000


def micros(moment: datetime) -> int:
    """Return the microseconds from 1970 to `moment`."""
    return (moment - EPOCH) // MICROSECOND


def moment(us: int) -> datetime:
    """Return the UTC time `us` microseconds after 1970."""
    return EPOCH + timedelta(0, 0, us)
