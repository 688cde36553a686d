"""Ids of source events: UUID version 7 (RFC 9562 §5.7), ordered by time of making."""

from __future__ import annotations

import os
import time
import uuid

VERSION_7 = 7 << 76
VARIANT = 0b10 << 62


def new_id() -> str:
    """A new UUIDv7 as text: 48 bits of Unix time in milliseconds, then 74 random bits."""
    moment = time.time_ns() // 1_000_000
    chance = int.from_bytes(os.urandom(10))
    high, low = chance >> 68, chance & (1 << 62) - 1
    return str(uuid.UUID(int=moment << 80 | VERSION_7 | high << 64 | VARIANT | low))
