"""A mapping that grows with an archive: the newest entries in memory, the others on disk.

Rule 1: it is a mapping and no more; what lies where changes no answer.
Rule 2: a key is known by 16 bytes of its BLAKE2 hash, so that long ids cost nothing.
Rule 3: the file is temporary, and nobody else's: SQLite makes it without a name and it goes with
        the shelf. An audit of fewer entries than HELD makes none.
"""

from __future__ import annotations

import hashlib
import sqlite3
from itertools import islice
from typing import Any, Generic, TypeVar

import msgspec

from streamops.errors import TransportError

HELD = 20_000
CACHE_KIB = 8192
SCHEMA = f"""
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA cache_size = -{CACHE_KIB};
    CREATE TABLE shelf (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""

V = TypeVar("V")
_ENCODER = msgspec.msgpack.Encoder()


class Shelf(Generic[V]):
    """Values of one type by keys that MessagePack can hold.

    held  entries in memory before the older half goes to disk
    Raises TransportError where the disk refuses.
    """

    def __init__(self, kind: type[V], held: int = HELD) -> None:
        self._decoder: msgspec.msgpack.Decoder[V] = msgspec.msgpack.Decoder(kind)
        self._held = held
        self._new: dict[bytes, V] = {}
        self._file: sqlite3.Connection | None = None

    def __contains__(self, key: object) -> bool:
        return self.get(key) is not None

    def __getitem__(self, key: object) -> V:
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def __setitem__(self, key: object, value: V) -> None:
        self._new[_digest(key)] = value
        if len(self._new) > self._held:
            self._put_away()

    def get(self, key: object) -> V | None:
        """Return a key's value; None where it has none."""
        digest = _digest(key)
        found = self._new.get(digest)
        if found is None and self._file is not None:
            row = self._run("SELECT value FROM shelf WHERE key = ?", (digest,)).fetchone()
            found = None if row is None else self._decoder.decode(row[0])
        return found

    def discard(self, key: object) -> None:
        """Forget a key."""
        digest = _digest(key)
        self._new.pop(digest, None)
        if self._file is not None:
            self._run("DELETE FROM shelf WHERE key = ?", (digest,))

    def _put_away(self) -> None:
        if self._file is None:
            self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._file.executescript(SCHEMA)
        old = list(islice(self._new.items(), len(self._new) // 2))
        rows = sorted((digest, _ENCODER.encode(value)) for digest, value in old)
        self._run("BEGIN")
        try:
            self._file.executemany("INSERT OR REPLACE INTO shelf VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            raise _refused(error) from error
        self._run("COMMIT")
        for digest, _ in old:
            del self._new[digest]

    def _run(self, statement: str, values: tuple[bytes, ...] = ()) -> Any:
        assert self._file is not None, "nothing was put away"
        try:
            return self._file.execute(statement, values)
        except sqlite3.Error as error:
            raise _refused(error) from error


def _digest(key: object) -> bytes:
    return hashlib.blake2b(_ENCODER.encode(key), digest_size=16).digest()


def _refused(error: Exception) -> TransportError:
    return TransportError(
        f"a temporary file can't be used ({error}); free some space, or name another folder in "
        "SQLITE_TMPDIR"
    )
