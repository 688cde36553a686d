"""The report as PDF, printed by a Chromium that is there; none is fetched."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from streamops.errors import TransportError

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-pdf-header-footer",
)
SECONDS = 180.0


def find_chromium() -> str | None:
    """Return the path of Chromium, none where there is none; STREAMOPS_CHROMIUM names another."""
    names = (os.environ.get("STREAMOPS_CHROMIUM", ""), *NAMES)
    return next((path for name in names if name and (path := shutil.which(name))), None)


def print_pdf(chromium: str, html: Path, pdf: Path) -> None:
    """Print a file; TransportError where Chromium fails or takes more than three minutes."""
    # Its sandbox can't work as root; the file is ours and runs no script.
    flags = (*FLAGS, "--no-sandbox") if os.geteuid() == 0 else FLAGS
    with tempfile.TemporaryDirectory(prefix="streamops-chromium-") as profile:
        call = [
            chromium, *flags, f"--user-data-dir={profile}", f"--print-to-pdf={pdf.absolute()}",
            html.absolute().as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(call, capture_output=True, timeout=SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TransportError(f"{chromium} did not print {html}: {error}") from None
    if done.returncode or not pdf.exists():
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise TransportError(
            f"{chromium} did not print {html} (status {done.returncode}): "
            f"{said[-1] if said else 'it said nothing'}"
        )
