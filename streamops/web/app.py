"""The web application: pages, API, and how their errors are answered."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, cast

from litestar import Litestar, Request, Response
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Scope

from streamops.errors import InputError, TransportError
from streamops.settings import Settings
from streamops.views.queries import Failure
from streamops.web import api, site
from streamops.web.desk import Desk, NotThere
from streamops.web.door import Door
from streamops.web.lives import Lives
from streamops.web.pages.layout import not_found, refused
from streamops.web.source import Source
from streamops.web.watch import Watch

LOG = logging.getLogger(__name__)
BODY_BYTES_MAX = 1 << 20
ROUTES = (
    site.overview,
    site.model,
    site.feature,
    site.alert,
    site.prediction,
    site.asked,
    site.static,
    api.Api,
    api.health,
    api.metrics,
)


def create_app(source: Source, settings: Settings, hosts: Iterable[str] = ()) -> Litestar:
    """Return the application over the views of a running materializer.

    hosts  host names that are answered besides the loopback ones
    """
    watch = Watch(source)
    desk = Desk(source, settings, watch)

    def give_desk() -> Desk:
        return desk

    app = Litestar(
        [*ROUTES],
        dependencies={"desk": Provide(give_desk, sync_to_thread=False)},
        exception_handlers={
            NotThere: absent,
            InputError: wrong,
            TransportError: failing,
            HTTPException: other,
        },
        after_exception=[log_fault],
        lifespan=[lambda _: watching(watch), lambda _: looking_up(desk.lives)],
        openapi_config=None,
        logging_config=None,
        request_max_body_size=BODY_BYTES_MAX,
    )
    app.state.watch = watch
    app.asgi_handler = cast(ASGIApp, Door(app.asgi_handler, hosts))
    return app


@asynccontextmanager
async def watching(watch: Watch) -> AsyncIterator[None]:
    """Look at the broker in a thread of its own while the application runs."""
    stop = threading.Event()
    thread = threading.Thread(target=watch.run, args=(stop,), name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@asynccontextmanager
async def looking_up(lives: Lives) -> AsyncIterator[None]:
    """Begin no look-up in the archive once the application has ended."""
    try:
        yield
    finally:
        lives.close()


async def log_fault(error: Exception, scope: Scope) -> None:
    """Log a fault of ours with its trace; the request is answered with status 500."""
    if not isinstance(error, NotThere | InputError | TransportError | HTTPException):
        LOG.error("%s %s failed", scope["type"], scope["path"], exc_info=error)


def absent(request: Request[Any, Any, Any], error: NotThere) -> Response[Any]:
    """Answer for what isn't in the views."""
    if for_machines(request):
        return Response(Failure(str(error)), status_code=404)
    return site.html(not_found(f"{error}."), 404)


def wrong(request: Request[Any, Any, Any], error: InputError) -> Response[Any]:
    """Answer for a request that can't be understood."""
    if for_machines(request):
        return Response(Failure(str(error)), status_code=400)
    return site.html(refused("Not understood", str(error)), 400)


def failing(request: Request[Any, Any, Any], error: TransportError) -> Response[Any]:
    """Answer where the disk refuses, or a file lacks."""
    if for_machines(request):
        return Response(Failure(str(error)), status_code=503)
    return site.html(refused("Can't be read", str(error)), 503)


def other(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Answer for what the framework refuses: an unknown path, a parameter out of range."""
    detail = f"{error.detail} {error.extra or ''}".strip()
    if for_machines(request):
        return Response(Failure(detail), status_code=error.status_code)
    return site.html(refused(f"Status {error.status_code}", detail), error.status_code)


def for_machines(request: Request[Any, Any, Any]) -> bool:
    """Tell whether an answer is to be JSON."""
    return request.scope["path"].startswith("/api")
