"""A partition of a log, decoded some hundreds of records at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from streamops.core.processor import Record
from streamops.core.rows import Rows
from streamops.hosts.decoding import to_rows
from streamops.views.log import ColumnLog

# Decoded together, and held: a fold reads dozens of partitions at once.
CHUNK = 500


def rows_of(log: ColumnLog, topic: str, partition: int) -> Iterator[Rows]:
    """Yield a partition's records as rows; raises TransportError where any is missing."""
    for columns in log.columns(topic, partition, CHUNK):
        yield to_rows(topic, partition, *columns)


def records_of(log: ColumnLog, topic: str, partition: int) -> Iterator[Record]:
    """Yield them one by one."""
    return chain.from_iterable(rows_of(log, topic, partition))
