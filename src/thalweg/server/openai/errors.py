"""Refusals as OpenAI's clients read them: a status and {"error": {"message", "type", "param", "code"}}.

`OpenAIRoute` turns whatever an endpoint raises into such a body, so endpoints only raise.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from thalweg.errors import (
    BudgetExceeded,
    ContextOverflow,
    DataError,
    EndpointError,
    Error,
    Overloaded,
    RequestRefused,
    ServerClosing,
    TookTooLong,
    TypeNotSupported,
    UnsatisfiableConstraint,
    UnsupportedByBackend,
)

_OF_THE_REQUEST = (BudgetExceeded, DataError, TypeNotSupported, UnsatisfiableConstraint, UnsupportedByBackend)
_PARAMS: dict[type[Error], str] = {BudgetExceeded: "max_tokens", ContextOverflow: "messages"}


def described(error: Error) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers of an error."""
    status, code, headers = 500, "", {}
    if isinstance(error, RequestRefused):
        status, code = error.status, error.code
    elif isinstance(error, ContextOverflow):
        status, code = 400, "context_length_exceeded"
    elif isinstance(error, _OF_THE_REQUEST):
        status = 400
    elif isinstance(error, Overloaded):
        status, code, headers = 429, "overloaded", {"Retry-After": str(error.retry_after)}
    elif isinstance(error, ServerClosing):
        status, headers = 503, {"Retry-After": "1"}
    elif isinstance(error, TookTooLong):
        status, code = 504, "timeout"
    elif isinstance(error, EndpointError):
        status = 502
    kind = {429: "rate_limit_error"}.get(status, "invalid_request_error" if status < 500 else "server_error")
    param = error.param if isinstance(error, RequestRefused) else _PARAMS.get(type(error), "")
    return status, body(str(error), kind, param, code), headers


def body(message: str, kind: str, param: str = "", code: str = "") -> dict[str, Any]:
    """The body of a refusal."""
    return {"error": {"message": message, "type": kind, "param": param or None, "code": code or None}}


def unsupported(param: str, remedy: str = "Leave it out.") -> RequestRefused:
    """The refusal of a parameter that OpenAI has and this server has not."""
    return RequestRefused(f"{param!r} is not supported here.", remedy, param=param, code="unsupported_parameter")


def unreadable(error: RequestValidationError) -> tuple[int, dict[str, Any], dict[str, str]]:
    """The refusal of a body that is not of the declared form: its first fault."""
    first = error.errors()[0]
    place = ".".join(str(step) for step in first.get("loc", ())[1:])
    if first["type"] == "extra_forbidden":
        text, code = f"Unrecognised request argument: {place}. Leave it out.", "unknown_parameter"
    elif first["type"] == "missing":
        text, code = f"The request lacks {place or 'a body'}. Add it.", "missing_required_parameter"
    else:
        text, code = f"{place or 'The body'} cannot be used: {first['msg']}.", "invalid_value"
    return 400, body(text, "invalid_request_error", place, code), {}


class OpenAIRoute(APIRoute):
    """A route whose errors are of OpenAI's form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                status, content, headers = unreadable(error)
            except Error as error:
                status, content, headers = described(error)
            return JSONResponse(content, status, headers)

        return guarded
