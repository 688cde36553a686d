"""What a page loads: our style and scripts, one vendored chart library, nothing from outside."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
FILES = (
    "page.css",
    "page.js",
    "charts.js",
    "icon.svg",
    "uplot/uPlot.iife.min.js",
    "uplot/uPlot.min.css",
)


class Asset(NamedTuple):
    """A file with its media type and a short hash of its content."""

    content: bytes
    media_type: str
    mark: str


@cache
def assets() -> dict[str, Asset]:
    """Return all files by name."""
    found = {}
    for name in FILES:
        content = files("streamops.web").joinpath("dashboard", name).read_bytes()
        media_type = f"{TYPES[name.rsplit('.', 1)[1]]}; charset=utf-8"
        mark = hashlib.sha256(content).hexdigest()[:12]
        found[name.rsplit("/", 1)[-1]] = Asset(content, media_type, mark)
    return found


def asset(name: str) -> str:
    """Return a file's address, which changes with its content."""
    return f"/static/{name}?v={assets()[name].mark}"
