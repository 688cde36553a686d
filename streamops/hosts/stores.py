"""Which checkpoint store a worker opens for a partition: the furthest that nobody holds.

Rule 1: workers over one data folder share stores, so a partition that moves goes on where it stood.
Rule 2: a worker that sleeps (SIGSTOP) still holds the stores of partitions it has lost. Who gets
        them opens one of its own beside, and begins it with what can be read of the held one.
Rule 3: a store that fell behind is removed once nobody holds it.
"""

from __future__ import annotations

import logging
from pathlib import Path

from rocksdict import Rdict

from streamops.errors import TransportError
from streamops.hosts.checkpoint import Store

LOG = logging.getLogger(__name__)


def open_furthest(root: Path, name: str, instance: str) -> Store:
    """Open the store of `name` under `root` with the highest checkpoint.

    instance  number of this worker; names the store it opens where the shared one is held
    Raises TransportError where not even its own can be opened.
    """
    shared, own = root / name, root / f"{name}.{instance}"
    beside = sorted(root.glob(f"{name}.*"))
    stores = [store for store in map(_opened, [shared, *beside]) if store is not None]
    if not any(store.folder == shared for store in stores):
        return _beside(shared, own, stores)
    return _best(stores)


def _beside(shared: Path, own: Path, stores: list[Store]) -> Store:
    """Open a store of one's own that is at least as far as the held one could be read."""
    LOG.warning("%s is held by another process, or damaged; this worker keeps %s", shared, own)
    if not any(store.folder == own for store in stores):
        stores = [Store(own), *stores]
    best = _best(stores)
    try:
        held = Store(shared, is_read_only=True)
        checkpoint, stored = held.load()
        rows = dict(stored)
        held.close()
    except Exception as error:
        LOG.warning("%s can't be read meanwhile: %s", shared, error)
        return best
    if checkpoint is not None and checkpoint.epoch > best.epoch():
        best.save(checkpoint, {**rows})
    return best


def _best(stores: list[Store]) -> Store:
    best = max(stores, key=lambda store: store.epoch())
    for store in stores:
        if store is not best:
            store.close()
            _remove(store.folder)
    return best


def _opened(folder: Path) -> Store | None:
    try:
        return Store(folder)
    except TransportError:
        return None


def _remove(folder: Path) -> None:
    """Remove what fell behind; RocksDB refuses while another process holds it."""
    try:
        Rdict.destroy(str(folder))
    except Exception as error:
        LOG.warning("%s stays: %s", folder, error)
