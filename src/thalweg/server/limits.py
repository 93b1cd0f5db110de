"""`Limits`: what a request must be before any program sees it - from whom, how large, from which page, how slow.

A plain ASGI layer around the application: API keys (compared in constant time; the key's name is the tenant), origins
of web pages, the host a loopback server was asked for (a page must not reach it through a name of its own), the size
of the body whether announced or not, and how long its parts may take. Cost: a few microseconds a request.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import Response

from thalweg.server.problems import refusal
from thalweg.server.service import Service
from thalweg.server.settings import is_loopback

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

OPEN = frozenset(("/", "/health", "/docs", "/openapi.json", "/ui", "/ui/"))  # what anybody may read: no calls in it
OPEN_BELOW = ("/ui/static/", "/docs/")
BODY_SECONDS = 60.0  # longest a whole body may take to come


class Limits:
    """The layer. Refusals are the JSON of `problems`."""

    def __init__(self, app: Any, service: Service) -> None:
        self.app, self.service = app, service
        self._keys = [(tenant, key.encode()) for tenant, key in service.settings.api_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(reversed(scope["headers"]))  # the first of a name counts
        refused = self._refused(scope, headers)
        if refused is not None:
            await refused(scope, receive, send)
            return
        begun = False

        def leave() -> None:
            if not begun:  # an answer that has begun notices by itself
                task.cancel()

        body = _Body(receive, self.service.settings.max_body_bytes, leave)

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            if body.trouble and not begun:  # whatever the program made of half a body
                return
            begun = True
            await send(message)

        task = asyncio.ensure_future(self.app(scope, body.receive, watched))
        try:
            with suppress(_Refused):
                await task
        except asyncio.CancelledError:
            task.cancel()
            if not body.left.is_set():
                raise
        finally:
            body.close()
        if body.trouble and not begun:
            status, what = body.trouble
            await refusal(status, what, scope["path"], headers={"Connection": "close"})(scope, receive, send)

    def _refused(self, scope: Scope, headers: dict[bytes, bytes]) -> Response | None:
        settings, path = self.service.settings, scope["path"]
        host = headers.get(b"host", b"").decode("latin-1")
        if settings.loopback and host and not is_loopback(_name(host)):
            return refusal(421, f"This server listens on this machine alone and was asked for as {host!r}.", path)
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and not self._own(origin, host) and origin not in settings.origins:
            return refusal(403, f"A page of {origin!r} may not call this server.", path)
        if self._keys and path not in OPEN and not path.startswith(OPEN_BELOW):
            tenant = self._tenant(headers.get(b"authorization", b""))
            if not tenant:
                said = "needs an API key" if b"authorization" not in headers else "does not know this API key"
                return refusal(401, f"This server {said}.", path, headers={"WWW-Authenticate": "Bearer"})
            scope["thalweg.tenant"] = tenant
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > settings.max_body_bytes:
            return refusal(413, _too_large(settings.max_body_bytes), path)
        return None

    def _tenant(self, authorization: bytes) -> str:
        scheme, _, given = authorization.partition(b" ")
        given = given.strip()
        found = ""
        for tenant, key in self._keys:  # all of them, so that the time tells nothing
            if hmac.compare_digest(given, key) and scheme.lower() == b"bearer":
                found = tenant
        return found

    def _own(self, origin: str, host: str) -> bool:
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.netloc == host


class _Refused(Exception):
    """The body is refused; the program need not go on."""


class _Body:
    """Counts the parts of a body and the time between them, then watches for the client to leave.

    `trouble` is (status, reason) once there is one; `leave` is called, once, when the client has gone.
    """

    def __init__(self, receive: Receive, most: int, leave: Callable[[], object]) -> None:
        self._receive, self._most, self._leave = receive, most, leave
        self._size = 0
        self._until = 0.0
        self._watch: asyncio.Task[None] | None = None
        self.left = asyncio.Event()
        self.trouble: tuple[int, str] | None = None

    async def receive(self) -> MutableMapping[str, Any]:
        if self._watch is not None:
            await self.left.wait()
            return {"type": "http.disconnect"}
        loop = asyncio.get_running_loop()
        self._until = self._until or loop.time() + BODY_SECONDS
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            self.trouble = 408, f"The body was not there after {BODY_SECONDS:g} s."
            raise _Refused from None
        self._size += len(message.get("body", b""))
        if self._size > self._most:
            self.trouble = 413, _too_large(self._most)
            raise _Refused
        if message["type"] != "http.request":
            self.left.set()
        elif not message.get("more_body", False):
            self._watch = asyncio.ensure_future(self._until_left())
        return message

    async def _until_left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left.set()
        self._leave()

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()


def _name(host: str) -> str:
    return host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def _too_large(most: int) -> str:
    return f"The body is larger than {most} bytes."
