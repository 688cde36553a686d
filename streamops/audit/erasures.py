"""Erasures as they stand on the log, and what became of one record's values about a person."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from streamops.core.personal import key_of
from streamops.events import ActionTaken
from streamops.personal import Opener, sealed_in
from streamops.sdk.erasure import ACTION
from streamops.settings import keys_beside
from streamops.views.archive import ArchiveLog
from streamops.views.log import to_record

NO_KEY = "not recomputable here: keys of persons' values are not in the key store"
ERASED = "erased by request "


class Erased(NamedTuple):
    """An erasure as it stands on the log."""

    number: int
    event: ActionTaken

    def __str__(self) -> str:
        said = f", {self.event.detail}" if self.event.detail else ""
        when = self.event.time.isoformat(timespec="seconds")
        return f"{ERASED}{self.number} ({when} by {self.event.actor}{said})"


def erasures(log: ArchiveLog) -> dict[str, Erased]:
    """Return the erasures on the log, by the name of the key that went."""
    found: dict[str, Erased] = {}
    for partition in log.partitions("audit"):
        for raw in log.read("audit", partition):
            event = to_record(raw).event
            if isinstance(event, ActionTaken) and event.action == ACTION and event.allowed:
                number = event.correlation_id
                found.setdefault(event.target, Erased(int(number or 0), event))
    return found


def keys_of(archive: Path) -> Path:
    """Return where the key store lies that belongs to an archive in its data folder."""
    return keys_beside(archive.absolute().parent)


def personal_of(archive: Path, id_: str, features: bytes) -> str:
    """Return what became of a record's values about a person, in words; empty for none."""
    sealed = sealed_in(features)
    if not sealed:
        return ""
    names = Opener(keys_of(archive)).names(id_, features)
    if names:
        return f"encrypted, readable with the key here: {', '.join(names)}"
    erased = erasures(ArchiveLog(archive)).get(key_of(sealed))
    return NO_KEY if erased is None else str(erased)
