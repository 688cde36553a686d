"""A socket that listens, or a sentence that says why not."""

from __future__ import annotations

import socket

from streamops.errors import ConfigError


def listen(who: str, host: str, port: int) -> socket.socket:
    """Return a listening socket; ConfigError, naming who asks, where it may not.

    port  0 for any free one
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(
            f"{who} can't listen on {host}:{port} ({error}); choose another port with --port, "
            "or 0 for a default"
        ) from error
    return listener
