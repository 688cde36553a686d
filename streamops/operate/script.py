"""What a person types to call this very streamops again."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def own_command() -> str:
    """`streamops` where the shell finds this one by its name, else its path, whichever is shorter.

    A newcomer's environment isn't on the path: there it is `.venv/bin/streamops`.
    """
    script = Path(sys.executable).parent / "streamops"
    if not script.is_file():
        return f"{sys.executable} -m streamops"
    found = shutil.which("streamops")
    if found is not None and os.path.samefile(found, script):
        return "streamops"
    return min(os.path.relpath(script), str(script), key=len)
