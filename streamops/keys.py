"""Keys of persons, one each, in one SQLite file that is no part of the log.

Rule 1: a key's name is drawn by lot. Of a subject the file keeps a salted hash, and no more.
Rule 2: a destroyed key is overwritten (`secure_delete`), and no process uses it a second later.
        Copies of the file, made by whoever, hold it until they go: keep none for long.
Rule 3: an erasure has a number before its fact is written, and the key is destroyed after: whoever
        is interrupted asks again and gets the same number.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from streamops.errors import ConfigError, InputError, TransportError

# A key is this long: AES-256-SIV takes two of 32 bytes, pseudonyms a third.
KEY_BYTES, CIPHER_BYTES, NAME_BYTES = 96, 64, 12
LOOK_AGAIN_S = 1.0
BUSY_S = 10.0
CACHED_MAX = 100_000
SCHEMA = """
    CREATE TABLE IF NOT EXISTS salt (value BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS keys (
        subject BLOB PRIMARY KEY, name TEXT NOT NULL UNIQUE, key BLOB NOT NULL
    );
    CREATE TABLE IF NOT EXISTS erasures (
        number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE
    );
"""


class Key(NamedTuple):
    """One person's key. `name` is what records say of it."""

    name: str
    cipher: Any
    pseudonyms: bytes

    def encrypt(self, id_: str, plain: bytes) -> bytes:
        """Return the values of one record encrypted; the same values give the same bytes."""
        found: bytes = self.cipher.encrypt(plain, [id_.encode()])
        return found

    def decrypt(self, id_: str, secret: bytes) -> bytes | None:
        """Return a record's values; None where this isn't what the key made of that record's."""
        from cryptography.exceptions import InvalidTag

        try:
            found: bytes = self.cipher.decrypt(secret, [id_.encode()])
        except (InvalidTag, ValueError):
            return None
        return found

    def pseudonym(self, id_: str) -> str:
        """Return what stands for an id of the person: always the same, while there is the key."""
        return "~" + hmac.new(self.pseudonyms, id_.encode(), hashlib.sha256).hexdigest()[:32]


class Erasure(NamedTuple):
    """A person's request to be forgotten: its number, and the name of the key that goes."""

    number: int
    name: str


class KeyStore:
    """The keys in a file; safe to share between threads and processes, not across a fork.

    Raises TransportError for a file that can't be used, ConfigError without the library.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cipher = _cipher()
        self._lock = threading.Lock()
        self._by_subject: OrderedDict[str, Key] = OrderedDict()
        self._by_name: OrderedDict[str, Key | None] = OrderedDict()
        self._version, self._looked = -1, 0.0
        with self._guarded():
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._file = sqlite3.connect(
                path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._file.execute("PRAGMA secure_delete = ON")
            self._file.execute("PRAGMA synchronous = FULL")
            self._file.executescript(SCHEMA)
            self._salt = self._read_salt()

    def close(self) -> None:
        """Close the file and forget what was read."""
        self._file.close()
        self._by_subject.clear()
        self._by_name.clear()

    def of(self, subject: str) -> Key:
        """Return a person's key, made on the first call; InputError for an empty name."""
        if not subject:
            raise InputError("subject is empty; name the person that the record is about")
        with self._lock:
            self._look()
            key = self._by_subject.get(subject)
            return key if key is not None else self._make(subject)

    def named(self, name: str) -> Key | None:
        """Return the key of this name; None where it was destroyed, or lies in another store."""
        with self._lock:
            self._look()
            if name not in self._by_name:
                with self._guarded():
                    row = self._file.execute(
                        "SELECT key FROM keys WHERE name = ?", (name,)
                    ).fetchone()
                _keep(self._by_name, name, None if row is None else self._key(name, row[0]))
            return self._by_name[name]

    def begin_erasure(self, subject: str) -> Erasure | None:
        """Give the erasure of a person's key a number; None where there is no key."""
        with self._lock, self._guarded(), self._write():
            row = self._file.execute(
                "SELECT name FROM keys WHERE subject = ?", (self._hash(subject),)
            ).fetchone()
            if row is None:
                return None
            self._file.execute(
                "INSERT INTO erasures (name) SELECT ?1"
                " WHERE NOT EXISTS (SELECT * FROM erasures WHERE name = ?1)",
                row,
            )
            number = self._file.execute("SELECT number FROM erasures WHERE name = ?", row)
            return Erasure(number.fetchone()[0], row[0])

    def destroy(self, erasure: Erasure) -> None:
        """Destroy the key: nobody can read what it encrypted any more."""
        with self._lock, self._guarded():
            with self._write():
                self._file.execute("DELETE FROM keys WHERE name = ?", (erasure.name,))
            self._forget()

    def _make(self, subject: str) -> Key:
        with self._guarded(), self._write():
            made = self._hash(subject), os.urandom(NAME_BYTES).hex(), os.urandom(KEY_BYTES)
            self._file.execute("INSERT OR IGNORE INTO keys VALUES (?, ?, ?)", made)
            name, secret = self._file.execute(
                "SELECT name, key FROM keys WHERE subject = ?", made[:1]
            ).fetchone()
        key = self._key(name, secret)
        _keep(self._by_subject, subject, key)
        _keep(self._by_name, name, key)
        return key

    def _key(self, name: str, secret: bytes) -> Key:
        return Key(name, self._cipher(secret[:CIPHER_BYTES]), secret[CIPHER_BYTES:])

    def _hash(self, subject: str) -> bytes:
        return hmac.new(self._salt, subject.encode(), hashlib.sha256).digest()

    def _read_salt(self) -> bytes:
        with self._write():
            self._file.execute(
                "INSERT INTO salt SELECT ? WHERE NOT EXISTS (SELECT * FROM salt)",
                (os.urandom(32),),
            )
        found: bytes = self._file.execute("SELECT value FROM salt").fetchone()[0]
        return found

    def _look(self) -> None:
        """Forget all that was read where another process has changed the file."""
        now = time.monotonic()
        if now - self._looked >= LOOK_AGAIN_S:
            self._looked = now
            with self._guarded():
                version = self._file.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version:
                self._version = version
                self._forget()

    def _forget(self) -> None:
        self._by_subject.clear()
        self._by_name.clear()

    @contextmanager
    def _write(self) -> Iterator[None]:
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise TransportError(
                f"{self.path} can't be used as a key store ({error}); check path, rights and disk"
            ) from error


def _keep(cache: OrderedDict[str, Any], name: str, value: object) -> None:
    cache[name] = value
    if len(cache) > CACHED_MAX:
        cache.popitem(last=False)


def _cipher() -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV
    except ImportError as error:
        raise ConfigError(
            "keys of persons need the library cryptography: pip install 'streamops[personal]'"
        ) from error
    return AESSIV
