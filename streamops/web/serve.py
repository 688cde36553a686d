"""The materializer with its page: one process, the page in a thread of its own.

The address is written beside the views (`web.url`, and `web.json` for programs), and the port of
the last time is taken again where it is free, so that an open page finds its way back.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import uvicorn

from streamops.errors import ConfigError
from streamops.listener import listen
from streamops.settings import Settings
from streamops.views.materializer import Materializer, keep_up
from streamops.views.queries import address_file
from streamops.web.app import create_app
from streamops.web.source import Source

LOG = logging.getLogger(__name__)
HOST = "127.0.0.1"
EVERY = ("", "0.0.0.0")
HOSTS_VARIABLE = "STREAMOPS_WEB_HOSTS"
DRAIN_S = 3


class Address(msgspec.Struct, frozen=True):
    """What `web.json` holds."""

    url: str


def run_with_page(
    settings: Settings, stop: threading.Event, *, host: str = HOST, port: int = 0
) -> None:
    """Keep the views up to date and serve them until `stop` is set.

    port  0 takes the last one again if it is free, else any
    """
    materializer = Materializer(settings)
    try:
        with serving(materializer, settings, host, port, known_hosts()):
            keep_up(materializer, stop)
    finally:
        materializer.close()


def serve_web(
    source: Source,
    settings: Settings,
    host: str,
    port: int,
    stop: threading.Event,
    hosts: Iterable[str] = (),
) -> None:
    """Serve the page until `stop` is set; ConfigError for an address that can't be had."""
    with serving(source, settings, host, port, hosts):
        stop.wait()


@contextmanager
def serving(
    source: Source, settings: Settings, host: str, port: int, hosts: Iterable[str] = ()
) -> Iterator[str]:
    """Serve the page in a thread; gives its address, which is also recorded."""
    listener = listen("the page", host, port or last_port(settings, host))
    url = f"http://{HOST if host in EVERY else host}:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        create_app(source, settings, [*hosts, host]),
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="page", daemon=True)
    thread.start()
    record(settings, url)
    LOG.info("the page is at %s", url)
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
        for file in files(settings):
            file.unlink(missing_ok=True)


def known_hosts() -> list[str]:
    """Return the host names that the environment adds, separated by commas."""
    return [name.strip() for name in os.environ.get(HOSTS_VARIABLE, "").split(",") if name.strip()]


def last_port(settings: Settings, host: str) -> int:
    """Return the port recorded by a process that was killed, if it is free; else 0."""
    try:
        port = urlsplit(address_file(settings).read_text().strip()).port or 0
        listen("the page", host, port).close()
    except (OSError, ValueError, ConfigError):
        return 0
    return port


def record(settings: Settings, url: str) -> None:
    """Write the address beside the views; whoever looks finds a whole file, or none."""
    settings.data.mkdir(parents=True, exist_ok=True)
    plain, struct = files(settings)
    for path, content in ((plain, url.encode()), (struct, msgspec.json.encode(Address(url)))):
        unfinished = path.with_suffix(f"{path.suffix}.new")
        unfinished.write_bytes(content)
        unfinished.replace(path)


def files(settings: Settings) -> tuple[Path, Path]:
    """Return the files that hold the address: as text, and as JSON."""
    return address_file(settings), settings.data / "web.json"
