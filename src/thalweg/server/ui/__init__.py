"""The page of `thalweg serve`: the running batch as it happens, at ``/ui``.

`router(service)` serves the page (`static/`, plain HTML, CSS and ES modules: nothing is built, nothing comes from
elsewhere), the pictures of `live.py` as server-sent events, and the details of one call. With API keys a key sees
the calls of its own tenant; tenants named in `Settings.admins` see all.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, RedirectResponse, StreamingResponse

from thalweg.scheduling import Finished
from thalweg.server.ui.call_details import details, with_probabilities
from thalweg.server.ui.live import INTERVAL, Live
from thalweg.server.ui.merge_patch import merge_patch

__all__ = ["router"]

STATIC = Path(__file__).parent / "static"
HEARTBEAT = 2.0  # seconds without a change after which an empty difference says that the line is alive
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def router(service: Any) -> APIRouter:
    """The page's routes over a `Service`."""
    routes = APIRouter(include_in_schema=False)
    live = Live(service)
    files = {path.name: path for path in STATIC.iterdir() if path.suffix in TYPES}

    @routes.get("/ui")
    async def page() -> FileResponse:
        return FileResponse(files["index.html"], media_type="text/html", headers=HEADERS)

    @routes.get("/ui/")
    async def page_with_slash(request: Request) -> RedirectResponse:
        return RedirectResponse(request.url.path.rstrip("/"))

    @routes.get("/ui/static/{name}")
    async def static(name: str) -> FileResponse:
        if name not in files:
            raise HTTPException(404)
        return FileResponse(files[name], media_type=TYPES[files[name].suffix], headers=HEADERS)

    @routes.get("/ui/live")
    async def pictures(request: Request) -> StreamingResponse:
        events = _events(live, audience(service, request), request)
        return StreamingResponse(
            events, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )

    @routes.get("/ui/call/{number}")
    async def one_call(number: int, request: Request) -> dict[str, Any]:
        return details(live, _found(live, number, request), audience(service, request))

    @routes.get("/ui/call/{number}/tokens")
    async def tokens(number: int, request: Request) -> dict[str, Any]:
        one = _found(live, number, request)
        if not isinstance(one, Finished):
            raise HTTPException(409, "The call has not ended.")
        return await with_probabilities(live, one)

    return routes


def audience(service: Any, request: Request) -> str | None:
    """The tenant whose calls a request may see; None for all.

    Raises:
        HTTPException: 401 where the server has keys and the request has none of them.
    """
    if not service.settings.api_keys:
        return None
    tenant = service.tenant(request)
    if not tenant:
        raise HTTPException(401, "Send one of the server's API keys.", {"WWW-Authenticate": "Bearer"})
    return None if tenant in service.settings.admins else tenant


def _found(live: Live, number: int, request: Request) -> Any:
    tenant = audience(live.service, request)
    one = live.find(number, tenant) if live.watchable else None
    if one is None:
        raise HTTPException(404, "This call is not remembered any more.")
    return one


async def _events(live: Live, tenant: str | None, request: Request) -> AsyncIterator[str]:
    """The whole picture first, then differences; ends when the client has gone or the server has drained."""
    shown: dict[str, Any] = {}
    said = 0.0
    while not await request.is_disconnected():
        picture = live.picture(tenant)
        patch = merge_patch(shown, picture)
        now = time.perf_counter()
        if patch or now - said >= HEARTBEAT:
            data = json.dumps({"clock": round(now, 3), "patch": patch}, ensure_ascii=False, separators=(",", ":"))
            yield f"data: {data}\n\n"
            said, shown = now, picture
        if live.service.draining and not live.service.under_way:
            return
        await asyncio.sleep(INTERVAL)
