"""Which version answers a request: a stable hash of its key against shares of traffic.

Rule 1: the same key goes to the same version while shares stand, in every process.
Rule 2: a challenger that grows keeps the keys it had: shares are laid from the last version
        backwards, so only the champion's keys move.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

SLOTS = 1 << 32
_ROUNDING = 1e-9

Shares = Sequence[tuple[str, float]]


def route(key: str, shares: Shares) -> str:
    """Return the version that answers `key`.

    shares  (version, share 0..1) each, champion first; together 1
    Raises ValueError where they aren't.
    """
    whole = 0.0
    for _, share in shares:
        whole += share
    if not shares or abs(whole - 1.0) > _ROUNDING:
        raise ValueError(f"shares add up to {whole}, must be 1")
    place = slot(key) / SLOTS
    for version, share in reversed(shares[1:]):
        if place < share:
            return version
        place -= share
    return shares[0][0]


def slot(key: str) -> int:
    """Return the key's place in [0, 2^32): the first 32 bits of its SHA-256."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")
