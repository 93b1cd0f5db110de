"""Typed endpoints: ``POST /flows/NAME`` calls a flow or learned function with a JSON body made from its signature.

``/flows/NAME/stream`` tells what happens as server-sent events while it runs, ``/flows/NAME/map`` answers many rows
with failures beside results, ``GET /flows`` lists what there is. A waiting request holds a future: learned calls cost
no thread, flows run in the compiler's own.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

import thalweg as tw
from thalweg.errors import DataError, Error
from thalweg.models.request import Request as Call
from thalweg.program import Learned, Session
from thalweg.program.events import partial_value
from thalweg.program.journal import Scope, inside
from thalweg.program.session import current
from thalweg.server.client_model import ClientModel
from thalweg.server.endpoint import Endpoint, read_settings, settings_schema
from thalweg.server.problems import problem, problem_response, refusal
from thalweg.server.service import Service

STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
# `curl -d` says the second of its own accord; pages of other origins, which may say it too, are refused by `Limits`.
JSON_LIKE = ("application/json", "application/x-www-form-urlencoded", "")
_requests = itertools.count(1)
AHEAD = 4  # rows of a map under way, times the model's streams


def router(service: Service) -> APIRouter:
    """The endpoints of the service's programs."""
    routes = APIRouter(tags=["programs"])
    endpoints = {name: Endpoint.of(name, program) for name, program in service.flows.items()}

    @routes.get("/flows", summary="What this server runs")
    async def listed() -> dict[str, Any]:
        return {
            "model": service.name,
            "flows": [
                {
                    "name": one.name,
                    "kind": "learned" if isinstance(one.program, Learned) else "flow",
                    "description": one.description,
                    "input": one.input_schema,
                    "output": one.output_schema,
                }
                for one in endpoints.values()
            ],
        }

    for endpoint in endpoints.values():
        _add(routes, service, endpoint)
    return routes


def _add(routes: APIRouter, service: Service, endpoint: Endpoint) -> None:
    place = f"/flows/{endpoint.name}"
    described = {"description": endpoint.description, "response_model": None}

    async def call(http: Request) -> Response:
        arguments, said = endpoint.read(await _json(http))
        with service.admitted():
            try:
                value = await _Run(service, endpoint, service.tenant(http)).result(arguments, said)
            except Exception as error:  # whatever the program raises is told, and none of it is the server's fault
                return problem_response(error, place)
        return JSONResponse({"value": value})

    async def stream(http: Request) -> Response:
        arguments, said = endpoint.read(await _json(http))
        entered = ExitStack()
        entered.enter_context(service.admitted())  # before the answer begins, so that it may still be refused
        events = _events(_Run(service, endpoint, service.tenant(http)), arguments, said, place)
        return _Stream(events, entered)

    async def many(http: Request) -> Response:
        body = await _json(http)
        if not isinstance(body, dict) or not isinstance(body.get("rows"), list) or set(body) - {"rows", "settings"}:
            raise DataError('A map takes {"rows": [...]} and "settings".', "Send each row as the endpoint's own body.")
        rows = body["rows"]
        if len(rows) > service.settings.max_rows:
            what = f"{len(rows)} rows at once; this server takes {service.settings.max_rows}."
            return refusal(413, what, f"{place}/map", remedy="Send them in parts, or use `thalweg run` for tables.")
        said = read_settings(body.get("settings", {}))
        tenant, gate = service.tenant(http), asyncio.Semaphore(AHEAD * service.streams)
        app = _run_name(endpoint)

        async def one(index: int, row: Any) -> dict[str, Any]:
            async with gate:
                try:
                    arguments, own = endpoint.read(row)
                    run = _Run(service, endpoint, tenant, app=app, objective="throughput")
                    return {"value": await run.result(arguments, own.over(said))}
                except Exception as error:
                    return {"error": problem(error, f"row {index}")}

        with service.admitted():
            results = await asyncio.gather(*(one(index, row) for index, row in enumerate(rows)))
        failed = sum("error" in result for result in results)
        return JSONResponse({"results": results, "failed": failed})

    extra = {"requestBody": _content(endpoint.body_schema)}
    value = {"type": "object", "properties": {"value": endpoint.output_schema}, "required": ["value"]}
    problems = {
        status: {"description": said, "content": {"application/json": {"schema": PROBLEM}}}
        for status, said in (("422", "an input that does not fit"), ("429", "too busy"), ("504", "too slow"))
    }
    routes.add_api_route(
        place, call, methods=["POST"], summary=endpoint.name, name=endpoint.name,
        openapi_extra={**extra, "responses": {"200": _content(value), **problems}}, **described,
    )  # fmt: skip
    told = {"description": "events, each a JSON object with `event`", "content": {"text/event-stream": {}}}
    routes.add_api_route(
        f"{place}/stream", stream, methods=["POST"], summary=f"{endpoint.name}, told while it runs",
        name=f"{endpoint.name}_stream", openapi_extra={**extra, "responses": {"200": told, **problems}}, **described,
    )  # fmt: skip
    row = {"type": "array", "items": endpoint.input_schema}
    body = {"type": "object", "properties": {"rows": row, "settings": settings_schema()}, "required": ["rows"]}
    result = {"anyOf": [value, {"type": "object", "properties": {"error": PROBLEM["properties"]["error"]}}]}
    results = {"type": "array", "items": result}
    whole = {"type": "object", "properties": {"results": results, "failed": {"type": "integer"}}}
    routes.add_api_route(
        f"{place}/map", many, methods=["POST"], summary=f"{endpoint.name} of many rows", name=f"{endpoint.name}_map",
        openapi_extra={"requestBody": _content(body), "responses": {"200": _content(whole), **problems}}, **described,
    )  # fmt: skip


PROBLEM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("type", "what", "where", "remedy")},
        }
    },
}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "as the schema says", "required": True, "content": {"application/json": {"schema": schema}}}


class _Run:
    """One run of a program for one client."""

    def __init__(
        self, service: Service, endpoint: Endpoint, tenant: str, *, app: str = "", objective: Any = "latency",
        watch: Any = None,
    ) -> None:  # fmt: skip
        self.service, self.endpoint = service, endpoint
        self.model = ClientModel(service, tenant, app=app or _run_name(endpoint), objective=objective, watch=watch)

    def begin(self, arguments: dict[str, Any], said: Session) -> tw.Value[Any]:
        """Start it. What it raises before it runs comes from here."""
        settings = self.service.settings
        store = {} if settings.store is None else {"store": settings.store}
        with tw.using(model=self.model, cache=settings.cache, journal=settings.journal, progress=False, **store):
            # A place of its own in the server's run: the process's would gather every answer there ever was.
            scope = Scope(self.service.run_id(current()), f"{next(_requests)}/")
            with inside(scope):
                return self.endpoint.program.using(**_said(said)).submit(**arguments)

    async def result(self, arguments: dict[str, Any], said: Session) -> Any:
        """The JSON form of its result."""
        value: Any = self.begin(arguments, said)
        return self.endpoint.pack(await self.service.finish(value, abandon=self.model.cancel))


def _run_name(endpoint: Endpoint) -> str:
    return f"{endpoint.name} {secrets.token_hex(4)}"


def _said(said: Session) -> dict[str, Any]:
    return {name: value for name, value in vars(said).items() if value is not None and not name.startswith("_")}


async def _events(run: _Run, arguments: dict[str, Any], said: Session, where: str) -> AsyncIterator[str]:
    """Server-sent events of one run; the last is `done` or `error`."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    texts: dict[int, str] = {}  # of each call, what it has written: only the latest, however slow the reader is
    told: dict[int, int] = {}  # characters
    kind = run.endpoint.program.signature.output.format.kind if isinstance(run.endpoint.program, Learned) else ""

    def watch(number: int, request: Call, text: str) -> None:
        texts[number] = text
        loop.call_soon_threadsafe(changed.set)

    run.model._watch = watch if run.service.watchable else None
    task = asyncio.ensure_future(run.result(arguments, said))
    task.add_done_callback(lambda _: changed.set())
    try:
        ended = False
        while not ended:
            await changed.wait()
            changed.clear()
            ended = task.done()
            for number, text in sorted(texts.items()):
                if number not in told:
                    told[number] = 0
                    yield _event("started", call=number)
                if len(text) > told[number]:
                    yield _event("token", call=number, text=text[told[number] :])
                    told[number] = len(text)
                    if kind and (partial := partial_value(text, kind)) is not None:
                        yield _event("partial", call=number, value=partial)
        for number in told:
            yield _event("finished", call=number)
        try:
            yield _event("done", value=task.result())
        except Exception as error:
            yield _event("error", **problem(error, where))
    finally:  # the client left: nobody waits for the rest
        if not task.done():
            task.cancel()


class _Stream(StreamingResponse):
    """Events of a run; its admission ends with the response, whether or not the first event was ever asked for."""

    def __init__(self, events: AsyncIterator[str], entered: ExitStack) -> None:
        super().__init__(events, media_type="text/event-stream", headers=STREAM)
        self._entered = entered

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        with self._entered:
            await super().__call__(scope, receive, send)


def _event(name: str, **data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps({'event': name, **data}, ensure_ascii=False)}\n\n"


async def _json(http: Request) -> Any:
    kind = http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in JSON_LIKE:
        raise _Unreadable(415, f"The body is {kind}, not JSON.")
    try:
        return json.loads(await http.body(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _Unreadable(400, f"The body is not JSON ({error}).") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


class _Unreadable(Error):
    """A body that is no JSON."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what, "Send a body that is one JSON object, with `Content-Type: application/json`.")
        self.status = status
