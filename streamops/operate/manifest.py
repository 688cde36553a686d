"""`manifest.json` beside tables: which columns of each play which part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from streamops.errors import ConfigError


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest says of one file; null and absent are the same."""

    file: str
    target: str | None = None
    time_column: str | None = None
    label_time_column: str | None = None
    exclude_from_features: tuple[str, ...] | None = None


def read_entry(table: Path) -> Entry | None:
    """The entry of a table in the manifest beside it; None where there is none.

    A `manifest.json` without a list `datasets` is another program's, and says nothing. Raises
    ConfigError for one that is no JSON, or whose entry can't be meant so.
    """
    file = table.parent / "manifest.json"
    try:
        found: Any = msgspec.json.decode(file.read_bytes()) if file.is_file() else None
        entries = found.get("datasets") if isinstance(found, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("file") == table.name:
                return msgspec.convert(entry, Entry)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(
            f"{file} can't be read: {error}; mend it, or move {table.name} away from it"
        ) from None
    return None
