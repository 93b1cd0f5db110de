"""Errors as HTTP answers: status, headers, and a JSON body that says what, where and the remedy.

``{"error": {"type": ..., "what": ..., "where": ..., "remedy": ...}}``; `where` is the endpoint, field or call. What a
program's own code raises is told by class and message, never with a traceback.
"""

from __future__ import annotations

import json
from concurrent.futures import CancelledError
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from thalweg import errors
from thalweg.errors import Error

STATUS: tuple[tuple[type[BaseException], int], ...] = (  # the first that fits
    (errors.Overloaded, 429),
    (errors.ServerClosing, 503),
    (errors.TookTooLong, 504),
    (errors.DataError, 422),
    (errors.GraphError, 422),
    (errors.ContextOverflow, 422),
    (errors.TypeNotSupported, 422),
    (errors.UnsatisfiableConstraint, 422),
    (errors.FlowViolation, 403),
    (errors.EndpointError, 502),
    (errors.UnsupportedByBackend, 501),
    (errors.ModelError, 503),
    (Error, 500),
)
_REMEDIES = {
    400: "Send a body that is one JSON object, with `Content-Type: application/json`.",
    401: "Send `Authorization: Bearer KEY` with a key of this server.",
    403: "Call the server from its own pages, or from no web page; `--origin` allows others.",
    404: "`GET /flows` lists what is here.",
    405: "`GET /openapi.json` says which method it takes.",
    408: "Send the request faster.",
    413: "Send less at once, or start the server with a larger --max-body.",
    415: "Send JSON with `Content-Type: application/json`.",
    421: "Use the address that the server printed when it started.",
}


def problem(error: BaseException, where: str = "") -> dict[str, str]:
    """The body's ``error`` object."""
    notes = "; ".join(getattr(error, "__notes__", ()))
    where = ", ".join(part for part in (where, notes) if part)
    name = type(error).__name__
    if isinstance(error, errors.ContractViolation) and error.kind == "ensure":
        return _said(name, error.what, where, error.remedy)
    if isinstance(error, Error):
        return _said(name, error.what, where, error.remedy)
    if isinstance(error, CancelledError):
        return _said("Cancelled", "The call was cancelled before it began.", where, "Send the request again.")
    return _said(
        name,
        f"The program raised {name}: {error}" if str(error) else f"The program raised {name}.",
        where,
        "Look at what the program does with these inputs.",
    )


def status_of(error: BaseException) -> int:
    """The HTTP status that says what an error is to a client."""
    if isinstance(error, errors.ContractViolation):
        return 422 if error.kind == "require" else 500
    if isinstance(error, CancelledError):
        return 503
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def problem_response(error: BaseException, where: str = "") -> Response:
    """The whole HTTP answer to an error."""
    headers: dict[str, str] = {}
    if isinstance(error, errors.Overloaded):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, errors.ServerClosing):
        headers |= {"Retry-After": "5", "Connection": "close"}
    if isinstance(error, HTTPException):
        return refusal(error.status_code, str(error.detail), where, headers=dict(error.headers or {}))
    return _json(status_of(error), problem(error, where), headers)


def refusal(
    status: int, what: str = "", where: str = "", *, remedy: str = "", headers: dict[str, str] | None = None
) -> Response:
    """The answer to a request that is refused before any program runs."""
    phrase = HTTPStatus(status).phrase
    remedy = remedy or _REMEDIES.get(status, "Look at /docs for what this server takes.")
    name = "".join(word.capitalize() for word in phrase.split())
    return _json(status, _said(name, what or f"{phrase}.", where, remedy), headers or {})


def _said(name: str, what: str, where: str, remedy: str) -> dict[str, str]:
    return {"type": name, "what": what, "where": where, "remedy": remedy}


def _json(status: int, error: dict[str, Any], headers: dict[str, str]) -> Response:
    body = json.dumps({"error": error}, ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, status, headers, "application/json")
