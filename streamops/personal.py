"""Values about persons on their way to the log, and back for those who hold the keys.

    personal = streamops.Personal(keys=Path("shop.keys"), features=("age", "income"))
    client = streamops.Client("localhost:9092", personal=personal)
    client.log_prediction(..., features={"age": 34, "plan": "pro"}, subject="anna@example.org")

Rule 1: what is marked never leaves the process in the clear: a record without `subject` is refused.
Rule 2: values are encrypted together with their record's id: in another record they are nothing.
"""

from __future__ import annotations

import base64
import binascii
import time
from pathlib import Path
from typing import Any

import msgspec

from streamops.core.personal import FORMAT, MARK, NAME, Open, is_personal, key_of, unopened
from streamops.errors import ConfigError, InputError
from streamops.keys import LOOK_AGAIN_S, Key, KeyStore

_ENCODER = msgspec.json.Encoder(order="deterministic")


class Personal(msgspec.Struct, frozen=True, kw_only=True):
    """What is personal in the records of a client.

    keys      the key store, a file; made when it isn't there. A stack looks for it beside its data
              folder: `.streamops/live.keys`
    features  names that are encrypted under the person's key
    ids       names of features whose values stand for the person elsewhere too: each is replaced by
              a pseudonym, always the same for the same person and value, so that joins hold
    prediction_ids  ids of predictions too are replaced by pseudonyms
    """

    keys: Path
    features: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    prediction_ids: bool = False


class Veil:
    """Hides what is personal in a record before it is made."""

    def __init__(self, personal: Personal) -> None:
        both = sorted({*personal.features} & {*personal.ids})
        if both:
            raise ConfigError(f"ids has {both[0]!r}, which features has too; name it in one")
        self.personal = personal
        self._features, self._ids = frozenset(personal.features), frozenset(personal.ids)
        self.keys = KeyStore(personal.keys)

    def id(self, id_: str, subject: str | None) -> str:
        """Return what stands for a prediction's id; itself where none is about a person."""
        if not self.personal.prediction_ids:
            return id_
        return self._key(subject, "id").pseudonym(id_)

    def features(self, raw: msgspec.Raw, id_: str, subject: str | None) -> msgspec.Raw:
        """Return features with what is personal hidden; `id_` as it stands in the record."""
        values: dict[str, Any] = msgspec.json.decode(raw)
        if NAME in values:
            raise InputError(f"features has {NAME!r}, the name of encrypted values; use another")
        secret = {name: values.pop(name) for name in values.keys() & self._features}
        named = values.keys() & self._ids
        if not secret and not named:
            return raw
        key = self._key(subject, f"features.{min({*secret, *named})}")
        for name in named:
            if values[name] is not None:
                values[name] = key.pseudonym(str(values[name]))
        if secret:
            values[NAME] = _sealed(key, id_, _ENCODER.encode(secret))
        return msgspec.Raw(_ENCODER.encode(values))

    def _key(self, subject: str | None, field: str) -> Key:
        if subject is None:
            raise InputError(f"{field} is personal; name the person it is about: subject=…")
        return self.keys.of(subject)


class Opener:
    """Opens features with the keys of a store that may not be there yet: `open` is METER's port."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store: KeyStore | None = None
        self._looked = -LOOK_AGAIN_S

    def open(self, id_: str, features: bytes) -> bytes:
        """Return features with their encrypted values in the clear, or without these."""
        return self._both(id_, features)[0]

    def read(self, id_: str, features: bytes) -> bytes | None:
        """Return features in the clear; None where values are encrypted that no key opens here."""
        text, is_whole = self._both(id_, features)
        return text if is_whole else None

    def names(self, id_: str, features: bytes) -> list[str] | None:
        """Return which features of a record are encrypted; None where they can't be opened."""
        found = self._values(id_, sealed_in(features))
        return sorted(found) or None

    def has(self, name: str) -> bool:
        """Tell whether there is a key of this name."""
        store = self._opened()
        return store is not None and store.named(name) is not None

    def _both(self, id_: str, features: bytes) -> tuple[bytes, bool]:
        """Features with what could be opened, and whether that is all."""
        try:
            values: Any = msgspec.json.decode(features)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return features, True
        if not isinstance(values, dict) or NAME not in values:
            return features, True
        found = self._values(id_, values.pop(NAME))
        return _ENCODER.encode({**found, **values}), bool(found)

    def _values(self, id_: str, sealed: object) -> dict[str, Any]:
        store, name = self._opened(), key_of(sealed)
        key = store.named(name) if store is not None and name else None
        plain = None if key is None else key.decrypt(id_, _secret(str(sealed)))
        return {} if plain is None else msgspec.json.decode(plain, type=dict[str, Any])

    def _opened(self) -> KeyStore | None:
        now = time.monotonic()
        if self._store is None and now - self._looked >= LOOK_AGAIN_S:
            self._looked = now
            if self._path.exists():
                self._store = KeyStore(self._path)
        return self._store


def opener_of(keys: Path | None) -> Open:
    """Return what opens features with the keys of a file; nothing without a file."""
    return unopened if keys is None else Opener(keys).open


def sealed_in(features: bytes) -> str:
    """Return the encrypted values of features, as text; empty for none."""
    if not is_personal(features):
        return ""
    values: Any = msgspec.json.decode(features)
    return str(values.get(NAME, "")) if isinstance(values, dict) else ""


def _sealed(key: Key, id_: str, plain: bytes) -> str:
    secret = base64.urlsafe_b64encode(key.encrypt(id_, plain)).decode()
    return f"{FORMAT}.{key.name}.{secret}"


def _secret(sealed: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(sealed.rpartition(".")[2])
    except (binascii.Error, ValueError):
        return b""


__all__ = ["MARK", "Opener", "Personal", "Veil", "opener_of", "sealed_in"]
