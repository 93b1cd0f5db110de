"""`create_app`: the whole server as one ASGI application. `thalweg serve` runs it; tests and other servers may too.

What a request passes, from outside: `Measured` (counts), `Limits` (keys, origins, sizes), the routers. Errors of the
library become JSON with what, where and the remedy; OpenAI's endpoints say them in OpenAI's form.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from thalweg.errors import Error
from thalweg.server import flows as flow_routes
from thalweg.server import graph_sessions, openai, ui
from thalweg.server.limits import Limits
from thalweg.server.metrics import Measured, Metrics
from thalweg.server.problems import problem_response, refusal
from thalweg.server.service import Service
from thalweg.server.settings import Settings


def create_app(
    flows: Mapping[str, Any] | None = None,
    model: Any = None,
    settings: Settings | None = None,
    *,
    service: Service | None = None,
) -> FastAPI:
    """An application that serves programs and a model.

    Args:
        flows: flows and learned functions by the name of their endpoint.
        model: a name (see `thalweg.models.load`) or a model object; None takes the one in force.
        service: made before, instead of the three above; `app.state.service` otherwise.

    Raises:
        TypeNotSupported: a program takes what JSON cannot carry.
    """
    if service is None:
        from thalweg.program.session import current, model_in_force
        from thalweg.program.session import settings as said

        found = model if hasattr(model, "submit") else model_in_force(said(model=model).over(current()))
        service = Service(flows or {}, found, settings)
    app = FastAPI(
        title="Thalweg", description="Programs whose steps are learned, over HTTP.", docs_url=None, redoc_url=None
    )
    app.state.service = service
    metrics = Metrics(service)
    app.include_router(flow_routes.router(service))
    app.include_router(openai.router(service))
    app.include_router(graph_sessions.router(service))
    app.include_router(metrics.router())
    if service.settings.ui:
        app.include_router(ui.router(service))
    _add_own(app, service)
    _add_errors(app)
    app.openapi = _with_definitions(app, app.openapi)  # type: ignore[method-assign]
    app.add_middleware(Limits, service=service)
    app.add_middleware(Measured, metrics=metrics)
    return app


def _add_own(app: FastAPI, service: Service) -> None:
    @app.get("/health", summary="Whether it runs, and on what")
    async def health() -> Response:
        state = "draining" if service.draining else "ok"
        told = {
            "status": state,
            "model": service.name,
            "uptime_seconds": round(time.time() - service.started, 1),
            "under_way": service.under_way,
            "flows": sorted(service.flows),
        }
        return JSONResponse(told, 503 if service.draining else 200)

    @app.get("/", include_in_schema=False)
    async def begin() -> Response:
        return RedirectResponse("/ui" if service.settings.ui else "/docs")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Thalweg",
            swagger_js_url="/docs/assets/swagger-ui-bundle.js",
            swagger_css_url="/docs/assets/swagger-ui.css",
            swagger_favicon_url="/docs/assets/favicon.png",
        )

    import fastapi_offline  # carries the page's scripts, so that it works without the internet

    app.mount("/docs/assets", StaticFiles(directory=Path(fastapi_offline.__file__).parent / "static"))


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Error)
    async def ours(http: Request, error: Error) -> Response:
        status = getattr(error, "status", None)
        if isinstance(status, int):
            return refusal(status, error.what, http.url.path, remedy=error.remedy)
        return problem_response(error, http.url.path)

    @app.exception_handler(HTTPException)
    async def plain(http: Request, error: HTTPException) -> Response:
        return problem_response(error, http.url.path)

    @app.exception_handler(404)
    async def missing(http: Request, error: Any) -> Response:
        said = getattr(error, "detail", "Not Found")
        return refusal(404, "" if said == "Not Found" else str(said), http.url.path)

    @app.exception_handler(405)
    async def method(http: Request, error: Any) -> Response:
        return refusal(405, "", http.url.path, headers=dict(getattr(error, "headers", None) or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(http: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        return refusal(422, f"{place or 'The body'}: {first['msg']}.", http.url.path)

    @app.exception_handler(Exception)
    async def other(http: Request, error: Exception) -> Response:  # a program's own
        return problem_response(error, http.url.path)


def _with_definitions(app: FastAPI, plain: Any) -> Any:
    """The OpenAPI page, with classes that endpoints define moved to where references can find them."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        made = plain()
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for path, methods in made["paths"].items():
            if path.startswith("/flows/"):
                for said in methods.values():
                    _lift(said, path.split("/")[2], schemas)
        return made

    return openapi


def _lift(item: Any, name: str, schemas: dict[str, Any]) -> None:
    """Move every ``$defs`` below `item` to `schemas`, as NAME.CLASS, and let references follow."""
    if isinstance(item, list):
        for one in item:
            _lift(one, name, schemas)
    if not isinstance(item, dict):
        return
    for key, schema in item.pop("$defs", {}).items():
        schemas[f"{name}.{key}"] = schema
        _lift(schema, name, schemas)
    reference = item.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        item["$ref"] = f"#/components/schemas/{name}.{reference.removeprefix('#/$defs/')}"
    for one in item.values():
        _lift(one, name, schemas)
