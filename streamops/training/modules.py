"""Where the modules that a user names are looked for."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def current_folder() -> Iterator[None]:
    """Find modules in the current folder, too: a child has it on its path, a console script not."""
    path = list(sys.path)
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        sys.path[:] = path
