"""Checkpoints: state and positions of one partition's fold, one write batch in its own RocksDB.

A store is never ahead of its fold: changes stay in memory until everything written up to there is
acknowledged (EPOCHS 14). Deleting the folder is always safe: the fold starts from the log again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from rocksdict import AccessType, Options, Rdict, WriteBatch

from streamops.core.epochs import Fold
from streamops.core.meter import Meter
from streamops.core.wide import packable
from streamops.errors import ConfigError, TransportError

FORMAT = 2
# (processor, semantics) -> its state under the next semantics; pure, bytes of MessagePack to bytes.
# Semantics 2 adds drift tests, which only configurations from then on can ask for: a state from
# before has none, and says so by leaving the new fields out. CONTROLLER's semantics 3 remembers the
# configurations before the newest; a state from before has none (decision 028). Semantics 4 keep
# which alerts page beside the models; a state from before has nothing there (decision 035).
# MONITOR's 3 and CONTROLLER's 5 know tests of labels: no configuration could ask for one (042);
# MONITOR's 4, DETECT's 3 and CONTROLLER's 6 those of segments (049). MONITOR's 5 holds the same and
# judges it otherwise (067, 068). None leads to DETECT's 4, whose BF-SR keeps other starts (069).
MIGRATIONS: dict[tuple[str, int], Callable[[bytes], bytes]] = {
    ("monitor", 1): bytes,
    ("monitor", 2): bytes,
    ("monitor", 3): bytes,
    ("monitor", 4): bytes,
    ("detect", 1): bytes,
    ("detect", 2): bytes,
    ("controller", 1): bytes,
    ("controller", 2): bytes,
    ("controller", 3): bytes,
    ("controller", 4): bytes,
    ("controller", 5): bytes,
}
_STATE = b"\x00state"


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a fold needs to go on: its state after `epoch`, and where to read again."""

    processor: str
    partition: int
    semantics: int
    epoch: int
    positions: dict[str, int]
    state: bytes
    cluster: str = ""
    extra: bytes = b""
    format: int = FORMAT


class Store:
    """The RocksDB of one (processor, partition).

    is_read_only  whether to look only at what stands there, though another process holds it
    """

    def __init__(self, folder: Path, *, is_read_only: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_max_open_files(64)
        options.set_write_buffer_size(8 << 20)
        options.set_keep_log_file_num(2)
        access = AccessType.read_only() if is_read_only else AccessType.read_write()
        try:
            self._db = Rdict(str(folder), options, access_type=access)
        except Exception as error:
            raise TransportError(
                f"checkpoint folder {folder} can't be opened: {error}; stop the process that holds "
                "it, or delete the folder (it comes back from the log)"
            ) from error

    def epoch(self) -> int:
        """Return the last checkpoint's epoch, -1 where there is none."""
        value = self._db.get(_STATE)
        return -1 if value is None else msgspec.msgpack.decode(value, type=Checkpoint).epoch

    def load(self) -> tuple[Checkpoint | None, Iterable[tuple[bytes, bytes]]]:
        """Return the last checkpoint and the join table's rows, which are read as they are asked
        for, by key: they may be more than memory is meant for."""
        value = self._db.get(_STATE)
        if value is None:
            return None, ()
        return msgspec.msgpack.decode(value, type=Checkpoint), _StoredRows(self._db)

    def save(self, checkpoint: Checkpoint, changes: dict[bytes, bytes | None]) -> None:
        """Write state, positions and the join table's changes as one batch."""
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(_STATE, msgspec.msgpack.encode(checkpoint))
        self._db.write(batch)

    def close(self) -> None:
        """Give the folder back."""
        self._db.close()


class _StoredRows:
    """The join table's rows in a store that stays open."""

    def __init__(self, db: Rdict) -> None:
        self._db = db

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        items: Any = self._db.items()
        return ((key, row) for key, row in items if key != _STATE)


def state_type(fold: Fold[Any]) -> type[Any]:
    """Return the type of a fold's state."""
    return type(fold.processor.initial())


def checkpoint_of(
    fold: Fold[Any], positions: dict[str, int], *, cluster: str = "", extra: bytes = b""
) -> Checkpoint:
    """Return a checkpoint of a fold that stands at an epoch boundary."""
    return Checkpoint(
        processor=fold.processor.name,
        partition=fold.partition,
        semantics=fold.processor.semantics,
        epoch=fold.epoch,
        positions=positions,
        state=msgspec.msgpack.encode(packable(fold.state)),
        cluster=cluster,
        extra=extra,
    )


def migrated(checkpoint: Checkpoint, semantics: int) -> Checkpoint:
    """Return a checkpoint brought to these semantics, or as far as there are migrations."""
    while checkpoint.semantics < semantics:
        migrate = MIGRATIONS.get((checkpoint.processor, checkpoint.semantics))
        if migrate is None:
            break
        checkpoint = msgspec.structs.replace(
            checkpoint, state=migrate(checkpoint.state), semantics=checkpoint.semantics + 1
        )
    return checkpoint


def resume(
    fold: Fold[Any], checkpoint: Checkpoint, rows: Iterable[tuple[bytes, bytes]]
) -> Fold[Any]:
    """Return a fold that goes on where the checkpoint stands.

    Raises ConfigError where the checkpoint was written under other semantics (EPOCHS 7) that no
    migration leads from.
    """
    processor = fold.processor
    if checkpoint.format != FORMAT:
        raise ConfigError(
            f"checkpoint of {processor.name}/{fold.partition} has format {checkpoint.format}, this "
            f"version reads {FORMAT}; delete the checkpoint folder to fold again from the log"
        )
    checkpoint = migrated(checkpoint, processor.semantics)
    if checkpoint.semantics != processor.semantics:
        raise ConfigError(
            f"checkpoint of {processor.name}/{fold.partition} has semantics "
            f"{checkpoint.semantics}, this version has {processor.semantics}; run the version "
            "that wrote it up to a close, or delete the checkpoint to fold again from the log"
        )
    is_meter = isinstance(processor, Meter)
    state = msgspec.msgpack.decode(checkpoint.state, type=state_type(fold), strict=not is_meter)
    if isinstance(processor, Meter):
        processor.join.restore(rows, state.labels_us)
    return fold.resumed(state, checkpoint.epoch, checkpoint.positions)
