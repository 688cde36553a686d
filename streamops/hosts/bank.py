"""Detectors between two runs of our own process: pickled under a keyed hash (DESIGN rule 14).

Only bytes that this host signed with the key in its own folder are ever unpickled.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import pickle
import secrets
from pathlib import Path

from streamops.core.detect import Bank
from streamops.errors import TransportError

DIGEST_BYTES = 32


def dump_bank(bank: Bank, key_file: Path) -> bytes:
    """Return the bank's detectors, signed."""
    data = pickle.dumps(bank.detectors, protocol=5)
    return _sign(data, key_file) + data


def load_bank(bank: Bank, signed: bytes, key_file: Path) -> None:
    """Fill the bank; raises TransportError where the signature isn't this folder's."""
    digest, data = signed[:DIGEST_BYTES], signed[DIGEST_BYTES:]
    if not hmac.compare_digest(digest, _sign(data, key_file)):
        raise TransportError(
            f"a detector checkpoint isn't signed with {key_file}; delete the detect-* folders "
            "(they come back from the log)"
        )
    bank.detectors = pickle.loads(data)


def _sign(data: bytes, key_file: Path) -> bytes:
    return hmac.digest(_key(key_file), data, hashlib.sha256)


def _key(key_file: Path) -> bytes:
    try:
        descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return key_file.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        key = secrets.token_bytes(32)
        file.write(key)
    return key
