"""Python's collector of cycles, seldom: records make no cycles, and it walks all that are held."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = (100_000, 50, 1000)


@contextmanager
def rare_collections() -> Iterator[None]:
    """Collect seldom while records are handled by the thousand; as before afterwards."""
    before = gc.get_threshold()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)
