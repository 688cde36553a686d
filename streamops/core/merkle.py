"""The root of a Merkle tree (RFC 6962, section 2.1), over leaves that are hashed already.

Rule 1: this is a format: seals of states and of records stand on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

NODE = b"\x01"


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over at least one leaf hash.

    Level by level: the last of an odd number goes up as it is, which gives that tree.
    """
    assert leaves, "a tree has leaves"
    level = leaves
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        above = [sha256(NODE + left + right).digest() for left, right in pairs]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]
