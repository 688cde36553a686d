"""What the end of a test run says to whoever has no browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path


def test_a_run_without_a_browser_says_so_and_ends_with_pytests_line(root: Path) -> None:
    without = {**os.environ, "PATH": "", "STREAMOPS_CHROMIUM": "", "STREAMOPS_REQUIRE_BROWSER": ""}
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-n",
            "1",
            "-p",
            "no:cacheprovider",
            "-k",
            "lost",
            "tests/browser",
        ],
        cwd=root,
        env=without,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    assert "browser tests not run: no Chromium" in lines
    assert re.search(r"^=+ \d+ skipped in .* =+$", lines[-1])
