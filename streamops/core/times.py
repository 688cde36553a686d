"""Event time as whole microseconds since 1970, UTC: exact arithmetic, no floats, no clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from streamops.errors import ConfigError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
# Times and spans up to here, added up in 64 bits, stay far below 2^63 microseconds.
SPAN_MAX_S = 100_000_000_000


def micros(moment: datetime) -> int:
    """Return the microseconds from 1970 to `moment`."""
    return (moment - EPOCH) // MICROSECOND


def moment(us: int) -> datetime:
    """Return the UTC time `us` microseconds after 1970."""
    return EPOCH + timedelta(0, 0, us)


def aware(at: datetime | None) -> datetime | None:
    """Return a time in UTC; one without a zone is meant as UTC. None stays None.

    Raises ConfigError for one that lies in no year of UTC.
    """
    if at is None:
        return None
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError:
        raise ConfigError(
            f"time is {at.isoformat()}, outside the years 1 to 9999 of UTC; give one within"
        ) from None
