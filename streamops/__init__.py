"""streamops: monitors models in production, retrains them, and proves every alert from the log.

`Client` and `AsyncClient` are for applications; they need only the base installation. They are
loaded on first use, so that `import streamops` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamops.async_client import AsyncClient
    from streamops.client import Client
    from streamops.personal import Personal

__all__ = ["AsyncClient", "Client", "Personal", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "Client":
        from streamops.client import Client

        return Client
    if name == "AsyncClient":
        from streamops.async_client import AsyncClient

        return AsyncClient
    if name == "Personal":
        from streamops.personal import Personal

        return Personal
    raise AttributeError(f"module 'streamops' has no attribute {name!r}")
