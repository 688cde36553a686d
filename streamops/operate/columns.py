"""A table's columns, each read when it is asked for: of a large table one at a time is in memory.

Rule 1: `table.read_frame` says what a file must be, and these are its columns.
Rule 2: texts come as dictionaries where the file has them so: equal texts are then read once.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from streamops.operate.table import check_names, is_csv, read_frame, readable


class Columns:
    """Columns of a Parquet or CSV file, for any thread; raises ConfigError where it can't be read.

    A CSV file is read at once: its columns lie beside each other.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._lock = file, Lock()
        self._opened: pq.ParquetFile | None = None
        self._whole: pa.Table | None = None
        if is_csv(file):
            self._whole = read_frame(file)
            self.names, self.rows = self._whole.column_names, self._whole.num_rows
            return
        with readable(file):
            with pq.ParquetFile(file) as opened:
                schema = opened.schema_arrow
            check_names(file, schema)
            texts = [field.name for field in schema if pa.types.is_string(field.type)]
            self._opened = pq.ParquetFile(file, read_dictionary=texts)
        self.names, self.rows = schema.names, self._opened.metadata.num_rows

    def __enter__(self) -> Columns:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            self._opened.close()

    def column(self, name: str) -> pa.ChunkedArray:
        """Read one column."""
        if self._opened is None:
            assert self._whole is not None, "a file is read at once or opened"
            return self._whole.column(name)
        with self._lock, readable(self._file):
            # A name that begins another column's, and a dot, brings that one too.
            return self._opened.read(columns=[name], use_threads=False).column(name)
