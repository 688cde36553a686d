"""What a data set holds: its content's SHA-256, rows and columns."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import msgspec

from streamops.errors import InputError

CHUNK = 1 << 20


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """Hash (hex), rows (0 where they can't be told) and [name, kind] columns of a data set."""

    content_hash: str
    rows: int = 0
    columns: tuple[tuple[str, str], ...] = ()
    uri: str = ""


def describe(content: Any) -> Content:
    """Describe a path, bytes, or a data frame (pandas or alike).

    A file and bytes are hashed as they are; a frame by column names, kinds and values, so that it
    has one hash whatever file it came from. Raises InputError for a file that can't be read or
    another type.
    """
    if isinstance(content, bytes):
        return Content(content_hash=hashlib.sha256(content).hexdigest())
    if isinstance(content, (str, Path)):
        return _describe_file(Path(content))
    if hasattr(content, "columns") and hasattr(content, "dtypes"):
        return _describe_frame(content)
    raise InputError(f"content is a {type(content).__name__}; give a data frame, a path, or bytes")


def hash_file(path: Path) -> str:
    """SHA-256 (hex) of a file; InputError where it can't be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}; give another path") from error
    return digest.hexdigest()


def _describe_file(path: Path) -> Content:
    content_hash, uri = hash_file(path), path.absolute().as_uri()
    try:
        rows, columns = _read_shape(path)
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path} is no {path.suffix} file: {error}; give another path") from error
    return Content(content_hash=content_hash, rows=rows, columns=columns, uri=uri)


def _read_shape(path: Path) -> tuple[int, tuple[tuple[str, str], ...]]:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            lines = csv.reader(file)
            header = next(lines, [])
            return sum(1 for _ in lines), tuple((name, "") for name in header)
    if path.suffix == ".parquet":
        try:
            from pyarrow import parquet
        except ImportError:  # a producer's installation has none
            return 0, ()
        metadata = parquet.read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
        return metadata.num_rows, tuple((f.name, str(f.type)) for f in schema)
    return 0, ()


def _describe_frame(frame: Any) -> Content:
    names = [str(name) for name in frame.columns]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"content has column {name!r} twice; rename one of them")
    columns = tuple((str(name), str(frame[name].dtype)) for name in frame.columns)
    digest = hashlib.sha256(msgspec.json.encode(columns))
    for name in frame.columns:
        # JSON has one form for each value, and null for NaN and for None.
        digest.update(msgspec.json.encode(frame[name].tolist(), enc_hook=str))
    return Content(content_hash=digest.hexdigest(), rows=len(frame), columns=columns)
