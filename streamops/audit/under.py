"""Raw records of an archive under other configurations than those they activate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import msgspec

from streamops import codec
from streamops.config import ModelConfig, config_hash
from streamops.core.processor import Record
from streamops.core.rows import Columns, Rows, events_of
from streamops.events import ConfigActivated
from streamops.hosts.decoding import to_rows
from streamops.views.archive import ArchiveLog
from streamops.views.log import Log, RawColumns, RawRecord

# Decoded together, and held: a fold reads dozens of partitions at once.
CHUNK = 500


_CONFIGS = msgspec.json.Decoder(tuple[ModelConfig, ...])


def packed_configs(configs: Iterable[ModelConfig]) -> bytes:
    """Return configurations as JSON: a pickled one isn't encoded, or hashed, as it was."""
    return msgspec.json.encode(tuple(configs))


def configs_of(packed: bytes) -> dict[str, ModelConfig]:
    """Return them by model."""
    return {config.model: config for config in _CONFIGS.decode(packed)}


class Under:
    """Records with the given configurations where they activate one; `met`: the models they had."""

    def __init__(self, configs: Mapping[str, ModelConfig]) -> None:
        self._configs = configs
        self.met: set[str] = set()

    def __call__(self, rows: Rows) -> Rows:
        """Return rows as they would have been; themselves where nothing in them changes."""
        if ConfigActivated not in set(map(type, events_of(rows))):
            return rows
        records = [self.record(record) for record in rows]
        values, events = [r.value for r in records], [r.event for r in records]
        columns = rows.columns._replace(values=values, events=events)
        return Rows(rows.topic, rows.partition, Columns(*columns))

    def record(self, record: Record) -> Record:
        """Return one record as it would have been."""
        event = record.event
        if not isinstance(event, ConfigActivated):
            return record
        config = self._configs.get(event.config.model)
        if config is None:
            return record
        self.met.add(config.model)
        given = msgspec.structs.replace(event, config=config, config_hash=config_hash(config))
        return record._replace(value=codec.encode(given), event=given)


def rows_of(log: Log, topic: str, partition: int) -> Iterator[Rows]:
    """Yield a partition's records, decoded some hundreds at a time; raises TransportError where
    any is missing. Of an archive columns are read, and no object is made of a record."""
    if isinstance(log, ArchiveLog):
        found = log.columns(topic, partition, CHUNK)
    else:
        found = _columns(log.read(topic, partition))
    for columns in found:
        yield to_rows(topic, partition, *columns)


def _columns(raws: Iterator[RawRecord]) -> Iterator[RawColumns]:
    while some := list(islice(raws, CHUNK)):
        offsets, times, keys, values = zip(*(raw[2:6] for raw in some), strict=True)
        yield offsets, times, keys, values
