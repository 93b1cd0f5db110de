"""Sessions for graphs of calls: a program of several dependent calls is sent at once and runs without round trips.

``POST /v1/sessions`` opens one (with its first calls, if there are any), ``POST .../graph`` adds calls and says what is
wanted, ``GET .../variables/NAME`` waits for a value (or streams it as server-sent events), ``DELETE`` ends it. A
session belongs to a tenant and expires when nobody has used it for a while. See `thalweg.scheduling.parrot`. Source:
Lin et al. 2024, "Parrot" (its submit and get).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from thalweg.errors import GraphError, Overloaded
from thalweg.scheduling.parrot import GraphRun, Prefixes, node_from_json
from thalweg.server.problems import problem, refusal
from thalweg.server.service import Service

IDLE_SECONDS = 600.0
MOST_SESSIONS = 1024  # of one tenant
MOST_NODES = 4096  # of one session
STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Want(BaseModel):
    """A variable that is asked for."""

    model_config = ConfigDict(extra="forbid")
    var: str
    criteria: Literal["latency", "throughput"] = "latency"


class GraphBody(BaseModel):
    """Calls, transforms and values for a session, and what of them is wanted."""

    model_config = ConfigDict(extra="forbid")
    calls: list[dict[str, Any]] = Field(default=[], description="Calls and transforms, see the manual.")
    values: dict[str, str] = Field(default={}, description="Variables that no call makes.")
    get: list[Want] = []
    wait: bool = Field(default=False, description="Answer when all of `get` is there, with the values.")
    end: bool = Field(default=False, description="End the session with this answer.")


@dataclass
class _Session:
    tenant: str
    run: GraphRun
    used: float = field(default_factory=lambda: time.monotonic())
    waited_for: int = 0


class Sessions:
    """The sessions of one server."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.prefixes = Prefixes()
        self._sessions: dict[str, _Session] = {}

    def open(self, tenant: str) -> str:
        """A new session's id. Raises `Overloaded` when the tenant has too many."""
        self.expire()
        if sum(one.tenant == tenant for one in self._sessions.values()) >= MOST_SESSIONS:
            raise Overloaded(
                f"There are {MOST_SESSIONS} sessions already.", "End those that are not needed (DELETE, or `end`)."
            )
        name = secrets.token_urlsafe(12)
        run = GraphRun(self.service.model, app=f"session {name[:8]}", partition=tenant, prefixes=self.prefixes)
        self._sessions[name] = _Session(tenant, run)
        return name

    def find(self, name: str, tenant: str) -> _Session | None:
        """The tenant's session of that id; to everybody else it does not exist."""
        self.expire()
        found = self._sessions.get(name)
        if found is None or found.tenant != tenant:
            return None
        found.used = time.monotonic()
        return found

    def close(self, name: str) -> None:
        found = self._sessions.pop(name, None)
        if found is not None:
            found.run.cancel()

    def expire(self) -> None:
        """End the sessions that nobody uses any more."""
        now = time.monotonic()
        for name, one in list(self._sessions.items()):
            if not one.waited_for and now - one.used > IDLE_SECONDS:
                self.close(name)


def router(service: Service) -> APIRouter:
    """The routes under ``/v1/sessions``."""
    routes = APIRouter(prefix="/v1/sessions", tags=["call graphs"])
    sessions = Sessions(service)

    def missing(http: Request) -> Response:
        return refusal(404, "There is no such session.", http.url.path, remedy="Open one with POST /v1/sessions.")

    @routes.post("", summary="Open a session, with its first calls if there are any", status_code=201)
    async def opened(http: Request, body: GraphBody | None = None) -> dict[str, Any]:
        name = sessions.open(service.tenant(http))
        told: dict[str, Any] = {"session": name, "expires_in": IDLE_SECONDS}
        if body is not None:
            try:
                told |= await _added(service, sessions.find(name, service.tenant(http)), body)
            except BaseException:
                sessions.close(name)  # nobody knows its id
                raise
            if body.end:
                sessions.close(name)
        return told

    @routes.delete("/{name}", summary="End a session", status_code=204, response_model=None)
    async def ended(name: str, http: Request) -> Response:
        if sessions.find(name, service.tenant(http)) is None:
            return missing(http)
        sessions.close(name)
        return Response(status_code=204)

    @routes.post("/{name}/graph", summary="Add calls, and say what is wanted", response_model=None)
    async def graph(name: str, body: GraphBody, http: Request) -> Response:
        session = sessions.find(name, service.tenant(http))
        if session is None:
            return missing(http)
        try:
            return JSONResponse(await _added(service, session, body))
        finally:
            if body.end:
                sessions.close(name)

    @routes.get("/{name}/variables/{variable}", summary="Wait for a variable", response_model=None)
    async def variable(
        name: str, variable: str, http: Request, criteria: Literal["latency", "throughput"] = "latency"
    ) -> Response:
        session = sessions.find(name, service.tenant(http))
        if session is None:
            return missing(http)
        if "text/event-stream" in http.headers.get("accept", ""):
            return StreamingResponse(
                _events(service, session, variable, criteria), media_type="text/event-stream", headers=STREAM
            )
        with service.admitted():
            told = await _waited(service, session, {variable: session.run.get(variable, criteria)})
        if variable in told["errors"]:
            error = session.run.errors[variable]
            raise (
                error if isinstance(error, GraphError) else GraphError(told["errors"][variable]["what"], "Correct it.")
            )
        return JSONResponse({"var": variable, "value": told["values"][variable]})

    return routes


async def _added(service: Service, session: _Session | None, body: GraphBody) -> dict[str, Any]:
    """Put calls into a session, begin what is wanted, and say what came of it, or how far it is."""
    assert session is not None
    run = session.run
    if len(run.graph.nodes) + len(body.calls) > MOST_NODES:
        raise GraphError(f"A session holds at most {MOST_NODES} calls.", "Open another one.")
    with service.admitted():
        nodes = [node_from_json(data, f"calls[{index}]") for index, data in enumerate(body.calls)]
        run.add(nodes, body.values)
        futures = {one.var: run.get(one.var, one.criteria) for one in body.get}
        if body.wait:
            return await _waited(service, session, futures)
    return {"states": {node.output: run.state(node.output) for node in run.graph.nodes}}


async def _waited(service: Service, session: _Session, futures: dict[str, Future[str]]) -> dict[str, Any]:
    """Values and errors of variables, once each has one of them."""
    values, failed = {}, {}
    session.waited_for += 1
    try:
        for name, future in futures.items():
            try:
                values[name] = await service.finish(future, abandon=lambda: None)
            except Exception as error:
                if not future.done():
                    raise  # the server's own time-out
                failed[name] = problem(error, name)
    finally:
        session.waited_for -= 1
        session.used = time.monotonic()
    return {"values": values, "errors": failed}


async def _events(service: Service, session: _Session, variable: str, criteria: Any) -> AsyncIterator[str]:
    """What is written of a variable while it is; the last event is `done` or `error`."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    def observe(text: str) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, text)

    end = session.run.watch(variable, observe)
    shown = 0
    try:
        with service.admitted():
            task = asyncio.ensure_future(_waited(service, session, {variable: session.run.get(variable, criteria)}))
            task.add_done_callback(lambda _: queue.put_nowait(None))
            while (text := await queue.get()) is not None:
                if len(text) > shown:
                    yield _event("token", text=text[shown:])
                    shown = len(text)
            told = task.result()
            if variable in told["errors"]:
                yield _event("error", **told["errors"][variable])
            else:
                yield _event("done", value=told["values"][variable])
    except Exception as error:
        yield _event("error", **problem(error, variable))
    finally:
        end()


def _event(name: str, **data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps({'event': name, **data}, ensure_ascii=False)}\n\n"
