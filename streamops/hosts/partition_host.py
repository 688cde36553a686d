"""One partition's fold with its store: resume, feed, checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamops.core.blocks import BLOCK_ROWS, KEEP_ROWS
from streamops.core.detect import Detect
from streamops.core.epochs import Fold, Folded
from streamops.core.join import JoinTable
from streamops.core.meter import Meter
from streamops.core.output_rows import Mixed
from streamops.core.processor import Record, Refusal
from streamops.core.rows import events_of
from streamops.hosts.bank import dump_bank, load_bank
from streamops.hosts.block_files import BlockFiles
from streamops.hosts.checkpoint import Store, checkpoint_of, resume
from streamops.hosts.seal_files import keep
from streamops.hosts.sender import Sender
from streamops.hosts.stores import open_furthest
from streamops.hosts.strays import disputed, stray
from streamops.settings import Settings

# Fewer cost more together than they save: a run has its price, whatever its length.
BEGIN_ROWS = 256


class PartitionHost:
    """A fold, its checkpoint store, and the positions of its last folded epoch.

    instance    number of this worker
    begin_rows  predictions that are folded together ahead of their tick, at least
    shelf       where pending predictions lie that memory has no room for
    """

    def __init__(
        self,
        settings: Settings,
        fold: Fold[Any],
        instance: str = "0",
        *,
        begin_rows: int = BEGIN_ROWS,
    ) -> None:
        self._begin_rows = begin_rows
        root, name = settings.data / "state", f"{fold.processor.name}-{fold.partition}"
        self._archive = settings.archive
        self._key_file = root / "key"
        # Only METER runs as several workers; elsewhere a held folder is a mistake, and is said.
        is_shared = isinstance(fold.processor, Meter)
        self.store = open_furthest(root, name, instance) if is_shared else Store(root / name)
        self.shelf = BlockFiles(settings.spill / "pending")
        if isinstance(fold.processor, Meter):
            fold.processor.join = JoinTable(self.shelf, _rows_held(settings.partitions))
        checkpoint, rows = self.store.load()
        self.fold = fold
        self._positions: dict[str, int] | None = None
        if checkpoint is not None:
            self.fold = resume(fold, checkpoint, rows)
            if isinstance(fold.processor, Detect) and checkpoint.extra:
                load_bank(fold.processor.bank, checkpoint.extra, self._key_file)

    def feed(self, topic: str, records: Sequence[Record], sender: Sender) -> None:
        """Feed records of one input; hand what they concluded to the sender."""
        if topic in self.fold.processor.derived and Refusal in map(type, events_of(records)):
            for refused in filter(None, (stray(self.fold, record) for record in records)):
                sender.send(Folded(self.fold.epoch, Mixed([refused]), {}))
        for folded in self.fold.feed_all(topic, records):
            keep(self._archive, folded.files)
            sender.send(folded)
            self._positions = folded.positions
        if closes := disputed(self.fold):
            sender.send(Folded(self.fold.epoch, Mixed(closes), {}))
        self._begin()

    def _begin(self) -> None:
        """Fold predictions ahead of their tick, so that less is left to do behind it.

        Never before the last epoch is saved: the store must not be ahead of the fold (EPOCHS 14).
        """
        processor = self.fold.processor
        if self._positions is None and isinstance(processor, Meter):
            records = self.fold.hand_over("predictions", self._begin_rows)
            if len(records):
                processor.begin(self.fold.state, records)

    def checkpoint(self) -> None:
        """Save the fold; everything it wrote must be acknowledged."""
        if self._positions is None:
            return
        processor = self.fold.processor
        extra = b""
        if isinstance(processor, Detect):
            extra = dump_bank(processor.bank, self._key_file)
        changes: dict[bytes, bytes | None] = {}
        if isinstance(processor, Meter):
            changes = processor.join.take_changes(self.fold.state.labels_us)
        self.store.save(checkpoint_of(self.fold, self._positions, extra=extra), changes)
        self._positions = None

    def close(self) -> None:
        """Give the store back without saving: a refold repeats what is missing."""
        self.fold.let_go()
        self.store.close()
        self.shelf.close()


def _rows_held(partitions: int) -> int:
    """Return how many pending predictions of one partition stay in memory: a worker may hold all
    partitions."""
    return max(KEEP_ROWS // partitions, 2 * BLOCK_ROWS)
