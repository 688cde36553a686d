"""Raw records of an archive under other configurations than those they activate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from streamops import codec
from streamops.config import ModelConfig, config_hash
from streamops.core.processor import Record
from streamops.core.rows import Columns, Rows, events_of
from streamops.events import ConfigActivated

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
