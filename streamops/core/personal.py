"""Features of persons as they stand on the log: encrypted, under one name of their own.

    {"plan": "pro", "~personal": "1.KEY.CIPHERTEXT"}

Rule 1: METER counts what its key store opens and nothing of it goes into an output: outcomes and
        pending predictions carry the text as it stood on the log.
Rule 2: what can't be opened, whatever the reason, is missing. So a fold behind an erasure differs
        in the bins of personal features and in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

NAME = "~personal"
MARK = b'"~personal":'
FORMAT = "1"

# A record's id and its features, to the features with what their key opens in place of MARK.
Open = Callable[[str, bytes], bytes]


def unopened(id_: str, features: bytes) -> bytes:
    """Return features as they are: for whoever has no key store."""
    return features


def is_personal(features: bytes) -> bool:
    """Tell whether there may be encrypted values in features."""
    return MARK in features


def open_all(open_: Open, ids: Sequence[str], texts: Sequence[bytes]) -> Sequence[bytes]:
    """Return each record's features, opened where something in them is encrypted."""
    if open_ is unopened or not any(map(is_personal, texts)):
        return texts
    pairs = zip(ids, texts, strict=True)
    return [open_(id_, text) if is_personal(text) else text for id_, text in pairs]


def key_of(sealed: object) -> str:
    """Return the name of the key that encrypted values need; empty where it isn't one of ours."""
    parts = sealed.split(".") if isinstance(sealed, str) else []
    return parts[1] if len(parts) == 3 and parts[0] == FORMAT else ""
