"""The rows of a raw file as they stand, whoever wrote it and whatever became of it.

Rule 1: columns are read by name, records as a consumer sees them. The file's cover isn't needed.
Rule 2: a file that can't be read ends early and says why; no error of the engine gets out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from streamops.views.archive import DAMAGE, SCHEMA, raw_folder
from streamops.views.log import Partition, RawRecord

BATCH = 4096


def raw_paths(archive: Path, place: Partition) -> list[Path]:
    """Return a partition's raw files in the order of their names."""
    return sorted(raw_folder(archive, *place).glob("[0-9]*.parquet"))


class RawFileRows:
    """The records of one raw file, in its order; `error` says, afterwards, why it ended early."""

    def __init__(self, path: Path, place: Partition) -> None:
        self.path, self.error = path, ""
        self._place = place

    def __iter__(self) -> Iterator[RawRecord]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[list[RawRecord]]:
        """Yield the records, some thousands at a time."""
        try:
            with pq.ParquetFile(self.path) as file:
                names = [name for name in SCHEMA.names if name in file.schema_arrow.names]
                for batch in file.iter_batches(BATCH, columns=names, use_threads=False):
                    yield self._records(batch)
        except DAMAGE as error:
            said = " ".join(str(error).split()) or type(error).__name__
            self.error = f"{self.path} can't be read as an archive file ({said}); restore it"

    def _records(self, batch: Any) -> list[RawRecord]:
        for name in SCHEMA.names[:4]:
            kind = batch.column(name).type
            if kind != SCHEMA.field(name).type:
                raise TypeError(f"column {name} is of type {kind}")
        offsets, times, keys, values = (batch.column(name).to_pylist() for name in SCHEMA.names[:4])
        topic, partition = self._place
        return [
            RawRecord(topic, partition, offset, append_ms, key or b"", value or b"", headers)
            for offset, append_ms, key, value, headers in zip(
                offsets, times, keys, values, _headers(batch), strict=True
            )
        ]


def _headers(batch: Any) -> list[tuple[tuple[str, bytes], ...]]:
    if "headers" not in batch.schema.names:
        return [()] * len(batch)
    column = batch.column("headers")
    if len(column.flatten()) == 0:
        return [()] * len(batch)
    return [
        tuple((pair["name"] or "", pair["value"] or b"") for pair in pairs or ())
        for pairs in column.to_pylist()
    ]
