"""The client for asyncio: `Client`'s methods as coroutines, nothing of its own.

A call that only fills the buffer runs at once; one that may wait runs in a thread.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from streamops.client import Client
from streamops.sdk.alerts import POLL_S, Alert, AlertReader, Patience, Resume
from streamops.sdk.run import Run

P = ParamSpec("P")
T = TypeVar("T")
AsyncMethod = Callable[Concatenate["AsyncClient", P], Coroutine[Any, Any, T]]


def at_once(method: Callable[Concatenate[Client, P], T]) -> AsyncMethod[P, T]:
    """The method as a coroutine; in a thread only where a full buffer blocks."""

    async def call(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self.client.blocks:
            return await asyncio.to_thread(method, self.client, *args, **kwargs)
        return method(self.client, *args, **kwargs)

    functools.update_wrapper(call, method)
    return call


def in_thread(method: Callable[Concatenate[Client, P], T]) -> AsyncMethod[P, T]:
    """The method as a coroutine that leaves the loop free while it waits or works."""

    async def call(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(method, self.client, *args, **kwargs)

    functools.update_wrapper(call, method)
    return call


class AsyncClient:
    """`Client` for asyncio: the same arguments, events and errors.

    A call that logs returns when the record is in the buffer; `await client.flush()` returns when
    the broker has everything.
    """

    def __init__(self, bootstrap: str, **settings: Any) -> None:
        self.client = Client(bootstrap, **settings)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.client.__exit__, kind, error, trace)

    send = at_once(Client.send)
    send_all = at_once(Client.send_all)
    log_prediction = at_once(Client.log_prediction)
    log_failure = at_once(Client.log_failure)
    log_label = at_once(Client.log_label)
    promote = at_once(Client.promote)
    approve = at_once(Client.approve)
    rollback = at_once(Client.rollback)
    pause_retraining = at_once(Client.pause_retraining)
    silence = at_once(Client.silence)
    snooze = at_once(Client.snooze)
    maintain = at_once(Client.maintain)
    end_silence = at_once(Client.end_silence)
    acknowledge = at_once(Client.acknowledge)
    apply = at_once(Client.apply)
    register = at_once(Client.register)
    report_metric = at_once(Client.report_metric)
    request_seal = at_once(Client.request_seal)
    flush = in_thread(Client.flush)
    close = in_thread(Client.close)
    dataset = in_thread(Client.dataset)

    async def predict(self, predictor: Any, features: Mapping[str, Any], **more: Any) -> Any:
        """As `Client.predict`, in a thread; the predictor may be a coroutine function."""
        if inspect.iscoroutinefunction(predictor):
            loop = asyncio.get_running_loop()
            coroutine = predictor

            def predictor(row: Mapping[str, Any]) -> Any:
                return asyncio.run_coroutine_threadsafe(coroutine(row), loop).result()

        return await asyncio.to_thread(self.client.predict, predictor, features, **more)

    @asynccontextmanager
    async def run(self, model: str, **more: Any) -> AsyncIterator[Run]:
        """As `Client.run`, for `async with`."""
        run = await asyncio.to_thread(self.client.run, model, **more)
        await asyncio.to_thread(run.__enter__)
        try:
            yield run
        except BaseException as error:
            await asyncio.to_thread(run.__exit__, type(error), error, error.__traceback__)
            raise
        await asyncio.to_thread(run.__exit__, None, None, None)

    async def alerts(
        self,
        *,
        group: str = "client",
        resume_from: Resume = "last",
        follow: bool = True,
        timeout: float | None = None,
    ) -> AsyncIterator[Alert]:
        """As `Client.alerts`, for `async for`."""
        settings = self.client.settings
        reader = await asyncio.to_thread(
            AlertReader, settings, group=group, resume_from=resume_from
        )
        patience = Patience(follow=follow, timeout_s=timeout)
        try:
            while True:
                alert = await asyncio.to_thread(reader.poll, POLL_S)
                if alert is not None:
                    yield alert
                    reader.commit()
                    patience.renew()
                elif patience.is_over(reader):
                    return
        finally:
            await asyncio.shield(asyncio.to_thread(reader.close))
