"""What every request passes first, and every answer last.

Rule 1: only known host names are answered, so that a page from elsewhere can't reach us under a
        name of its own (DNS rebinding); a request that names another origin is refused.
Rule 2: a path is matched as it was sent and decoded after, so that a name with a slash is one part.
Rule 3: an answer may load nothing from elsewhere, run no inline script, and be framed by nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Handler = Callable[[Any, Any, Any], Awaitable[None]]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Door:
    """An ASGI application before another.

    hosts  names that are answered besides the loopback ones
    """

    def __init__(self, inner: Handler, hosts: Iterable[str] = ()) -> None:
        self._inner = inner
        self._hosts = LOOPBACK | {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on with its path as sent."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        why = self._refusal(dict(scope["headers"]))
        if why is not None:
            await refuse(send, why)
            return
        raw = scope.get("raw_path") or scope["path"].encode()
        scope["path"] = raw.split(b"?")[0].decode("latin-1")
        await self._inner(scope, receive, guarded(send))

    def _refusal(self, headers: dict[bytes, bytes]) -> str | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if host_name(host) not in self._hosts:
            return (
                f"host is {host!r}; use 127.0.0.1 or localhost, or start with this name among "
                "STREAMOPS_WEB_HOSTS"
            )
        origin = headers.get(b"origin")
        if origin is not None and place_of(origin.decode("latin-1")) != host:
            return f"origin is {origin.decode('latin-1')!r}; only our own pages may ask"
        return None


def host_name(host: str) -> str:
    """Return a Host header's name without its port, in lower case; empty for none."""
    try:
        return (urlsplit(f"//{host}").hostname or "") if "@" not in host else ""
    except ValueError:
        return ""


def place_of(origin: str) -> str | None:
    """Return an Origin header's host and port; None where it has none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def guarded(send: Send) -> Send:
    """Return `send` with our headers on every answer."""

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *HEADERS]
        await send(message)

    return with_headers


async def refuse(send: Send, why: str) -> None:
    """Answer with status 421: this request is not for us."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": why.encode()})
