"""One completion from an OpenAI-compatible server, whatever happens on the way: `Endpoint.complete`.

Connections, retries with backoff, the server's Retry-After, the rate limit and the deadline live here; what is asked
and what is done with the answer does not. Failures that pass (connection, timeout, 408, 409, 425, 429, 5xx, bodies that
are no completion) are tried again, others are not. No error message contains a key, a password or a query string.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from thalweg.errors import ContextOverflow, EndpointError, Error, ModelError
from thalweg.models import remote_wire as wire
from thalweg.models.pacing import Pace, retry_after, retry_delay

if TYPE_CHECKING:
    import httpx

_CORRECT = "Correct the request or the server's settings."
_PASSING = frozenset((408, 409, 425, 429))  # and 5xx: statuses worth another attempt
_LARGEST_BODY_BYTES = 16 << 20
_CONNECT_SECONDS = 10.0  # most, of a connection: a machine that is gone does not say so
_KEY_VARIABLES = ("THALWEG_API_KEY", "OPENAI_API_KEY")
_URL_VARIABLES = ("THALWEG_OPENAI_BASE_URL", "OPENAI_BASE_URL")


class RejectedError(Exception):
    """The server will not take the request as it is: `said` is its reason, `error` what the user gets to see; `broke`:
    it failed on the request instead of refusing it."""

    def __init__(self, said: str, error: Error, *, broke: bool = False) -> None:
        self.said, self.error, self.broke = said, error, broke


@dataclass(slots=True)
class Call:
    """What one request has used so far, all its exchanges together."""

    deadline: float  # monotonic
    attempts: int = 0
    repairs: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


class Endpoint:
    """``POST {base_url}/chat/completions`` for one model; thread-safe. Arguments as in `RemoteModel`.

    `url` is the base URL without credentials and query, fit for names and messages.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None,
        api_key: str | None,
        *,
        timeout: float,
        retries: int,
        connections: int,
        requests_per_minute: float | None,
        transport: httpx.BaseTransport | None,
        keep_alive: bool = True,
    ) -> None:
        self._target, self.url, secrets = _address(base_url or _environment(_URL_VARIABLES))
        self._key = _checked_key(_environment(_KEY_VARIABLES) if api_key is None else api_key)
        # The longest first: a part of another secret must not leave the rest of it readable.
        self._secrets = sorted((secret for secret in (self._key, *secrets) if secret), key=len, reverse=True)
        self.model, self.timeout, self.retries = model, timeout, retries
        self._connections, self._transport, self._keep_alive = connections, transport, keep_alive
        self._closed = threading.Event()
        self._pace = Pace(requests_per_minute, self._closed)
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    def call(self) -> Call:
        """A fresh account of a request, whose deadline starts now."""
        return Call(time.monotonic() + (self.retries + 2) * self.timeout)

    def complete(self, body: bytes, call: Call, *, doubtful: bool = False) -> wire.Completion:
        """One request and its retries; raises EndpointError, ContextOverflow or RejectedError.

        Args:
            doubtful: the body asks for what the server may not have: a second answer of 500 counts as a refusal, since
                some servers fail on what they do not know.
        """
        import httpx

        attempt = 0
        while True:
            call.deadline += self._pace.wait()
            if self._closed.is_set():
                raise self.closed()
            attempt += 1
            call.attempts += 1
            asked_to_wait, fault = None, "server"
            try:
                status, asked_to_wait, content = self._post(body, min(time.monotonic() + self.timeout, call.deadline))
                if 200 <= status < 300:
                    return wire.read_completion(content)
                if status not in _PASSING and status < 500:
                    raise self._refusal(status, content, call)
                failure = f"answered {status}: {wire.beginning(self.clean(wire.error_text(content)))}"
                if doubtful and status == 500 and attempt > 1:
                    raise RejectedError("", self._failed(failure, call), broke=True)
            except wire.GarbageError as error:
                failure = f"sent {self.clean(str(error))}"
            except httpx.ConnectTimeout:
                failure = f"failed (ConnectTimeout: no connection within {min(self.timeout, _CONNECT_SECONDS):g} s)"
                fault = "connection"
            except httpx.TimeoutException:
                failure = f"did not answer within {self.timeout:g} s"
            except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
                raise self._failed(f"cannot be asked ({type(error).__name__})", call) from None
            except httpx.HTTPError as error:
                failure = f"failed ({type(error).__name__}: {self.clean(str(error))})"
                fault = _fault(error)
            delay = max(retry_delay(attempt, self.timeout), asked_to_wait or 0.0)
            if attempt > self.retries:
                raise self._failed(failure, call, fault, asked_to_wait)
            if time.monotonic() + delay >= call.deadline:
                raise self._failed(f"{failure}; waiting another {delay:.2g} s would pass the deadline", call, fault)
            if asked_to_wait:
                self._pace.pause(asked_to_wait)  # the other workers shall not run into the same refusal
                call.deadline -= asked_to_wait  # given back by the next wait for a slot
            else:
                self._closed.wait(delay)

    def _post(self, body: bytes, deadline: float) -> tuple[int, float | None, bytes]:
        import httpx

        left = max(deadline - time.monotonic(), 1e-3)
        limits = httpx.Timeout(left, connect=min(left, _CONNECT_SECONDS))
        with self._http().stream("POST", self._target, content=body, timeout=limits) as response:
            content = bytearray()
            for part in response.iter_bytes():
                content += part
                if time.monotonic() > deadline:  # httpx limits the wait for each part, not for all
                    raise httpx.ReadTimeout("the body took too long")
                if len(content) > _LARGEST_BODY_BYTES:
                    raise wire.GarbageError(f"a body of more than {_LARGEST_BODY_BYTES >> 20} MiB")
            return response.status_code, retry_after(response.headers.get("retry-after")), bytes(content)

    def served(self, timeout: float) -> list[str] | None:
        """Names of the models that ``GET {base_url}/models`` lists; None where the server has no such list.

        Raises:
            EndpointError: nobody answers there, or the server is not well.
        """
        import httpx

        address = self._target.replace("/chat/completions", "/models", 1)
        try:
            response = self._http().get(address, timeout=timeout)
        except httpx.HTTPError as error:
            failure, fault = f"failed ({type(error).__name__}: {self.clean(str(error))})", _fault(error)
        else:
            if response.status_code in (500, 502, 503, 504):
                failure, fault = f"answered {response.status_code}", "server"
            else:
                return wire.model_names(response.content) if response.status_code == 200 else None
        remedy = "Check that the server is up and reachable at base_url."
        raise EndpointError(f"GET {self.url}/models {failure}.", remedy, fault=fault)

    def _http(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                import httpx

                headers = {"Content-Type": "application/json"}
                if self._key:
                    headers["Authorization"] = f"Bearer {self._key}"
                kept = None if self._keep_alive else 0
                limits = httpx.Limits(max_connections=self._connections + 1, max_keepalive_connections=kept)
                self._client = httpx.Client(headers=headers, limits=limits, transport=self._transport)
            return self._client

    def _refusal(self, status: int, content: bytes, call: Call) -> Exception:
        said = self.clean(wire.error_text(content))
        what = f"POST {self.url}/chat/completions answered {status} (attempt {call.attempts}): "
        what += f"{wire.beginning(said)}."
        if status in (401, 403):
            remedy = f"Set {_KEY_VARIABLES[0]} (or {_KEY_VARIABLES[1]}) to a key it accepts."
            return EndpointError(what, remedy, fault="settings")
        if status == 404:
            remedy = f"Check the model name {self.model!r} and the path of base_url."
            return EndpointError(what, remedy, fault="settings")
        if status < 400:
            remedy = "Give the base_url it redirects to; redirects are not followed."
            return EndpointError(what, remedy, fault="settings")
        if status in (400, 413, 422):
            if status == 413 or wire.is_overflow(said):
                return ContextOverflow(what, "Shorten the inputs, lower max_tokens, or use a model with more context.")
            return RejectedError(said, EndpointError(what, _CORRECT, fault="answer"))
        return EndpointError(what, _CORRECT, fault="answer")

    def _failed(
        self, failure: str, call: Call, fault: str = "server", retry_after: float | None = None
    ) -> EndpointError:
        return EndpointError(
            f"POST {self.url}/chat/completions {failure} ({call.attempts} attempt(s), model {self.model!r}).",
            "Check that the server is up and reachable at base_url; raise timeout or retries if it is slow.",
            fault=fault,
            retry_after=retry_after,
        )

    def closed(self) -> ModelError:
        """The error of who asks after `stop`."""
        return ModelError(f"The remote model {self.model!r} is closed.", "Make a new one, or ask before closing it.")

    def clean(self, text: str) -> str:
        """`text` without the key and other secrets, should the server have repeated them."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def stop(self) -> None:
        """Wakes who waits; they get an error."""
        self._closed.set()

    def close(self) -> None:
        """Closes the connections, after `stop` and when no exchange is under way."""
        with self._lock:
            if self._client is not None:
                self._client.close()


def _fault(error: httpx.HTTPError) -> str:
    """Whose an exchange's failure is, as `EndpointError` has it."""
    import httpx

    return "connection" if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) else "server"


def _environment(names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := os.environ.get(name))), "")


def _address(base_url: str) -> tuple[str, str, list[str]]:
    """The URL to post to, the base URL fit for messages, and the secrets in it."""
    remedy = f"Pass base_url='http://host:port/v1', or set {_URL_VARIABLES[0]} (or {_URL_VARIABLES[1]})."
    if not base_url:
        raise ModelError("A remote model needs the address of its server.", remedy)
    try:
        parts = urlsplit(base_url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ModelError("The base_url of a remote model is not a URL.", remedy) from None
    if parts.scheme not in ("http", "https") or not host:
        raise ModelError("The base_url of a remote model must start with http:// or https://, then a host.", remedy)
    host = f"[{host}]" if ":" in host else host
    path = parts.path.rstrip("/")
    shown = f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}"
    endpoint = parts._replace(path=f"{path}/chat/completions", fragment="").geturl()
    return endpoint, shown, [secret for secret in (parts.password, parts.query) if secret]


def _checked_key(key: str) -> str:
    key = key.strip()
    if not all("!" <= character <= "~" for character in key):
        remedy = f"Set {_KEY_VARIABLES[0]} to the key alone."
        raise ModelError("The API key has spaces, line breaks or letters that no key has.", remedy)
    return key
