"""Any OpenAI-compatible server as a model: vLLM, SGLang, llama.cpp server, hosted ones. `RemoteModel`.

Choose it when the model does not fit this machine. It declares fewer capabilities than local models: answers are asked
for as the server's own structured output where it has one, checked here in any case, and asked again with the reason
when they are invalid; distributions and scores are refused. Failures that pass (connection, timeout, 429, 5xx, broken
bodies) are retried with backoff within one deadline. No error message, name or `repr` contains a key.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Literal

from thalweg.errors import BudgetExceeded, EndpointError, ModelError, UnsupportedByBackend
from thalweg.models import remote_wire as wire
from thalweg.models.format_check import AnswerError
from thalweg.models.remote_http import Call, Endpoint, RejectedError
from thalweg.models.request import Answer, Capabilities, Message, Request, Usage
from thalweg.models.worker_pool import WorkerPool

if TYPE_CHECKING:
    import httpx


class RemoteModel:
    """A model behind ``POST {base_url}/chat/completions``.

    Args:
        model: the server's name of the model.
        base_url: such as ``http://localhost:8000/v1``; default from THALWEG_OPENAI_BASE_URL, then OPENAI_BASE_URL.
        api_key: default from THALWEG_API_KEY, then OPENAI_API_KEY; none is sent when there is none.
        timeout: seconds for one HTTP exchange. A call as a whole, with retries, waits and repairs, ends within
            ``(retries + 2) * timeout``, the waits of `requests_per_minute` not counted.
        retries: further attempts of an HTTP exchange after failures that may pass.
        max_concurrency: most exchanges at once.
        requests_per_minute: most HTTP requests a minute, evenly spaced; None: no limit.
        structured: ``auto`` asks for structured output until the server refuses it; ``json_schema`` insists;
            ``none`` states the expected form in the system message.
        repairs: how often an invalid answer is asked again with the reason.
        transport: an httpx transport, for tests and unusual networks.
        keep_alive: whether connections are used again. On one that is, a server that sends more than its answer
            makes the rest the answer to the next request.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: int = 4,
        max_concurrency: int = 8,
        requests_per_minute: float | None = None,
        structured: Literal["auto", "json_schema", "none"] = "auto",
        repairs: int = 2,
        transport: httpx.BaseTransport | None = None,
        keep_alive: bool = True,
    ) -> None:
        if structured not in ("auto", "json_schema", "none"):
            raise ModelError(f"structured={structured!r} is unknown.", "Use 'auto', 'json_schema' or 'none'.")
        if timeout <= 0 or retries < 0 or repairs < 0 or max_concurrency < 1 or (requests_per_minute or 1) <= 0:
            raise ModelError(
                f"The limits of the remote model {model!r} are out of range.",
                "timeout, max_concurrency and requests_per_minute must be positive, retries and repairs 0 or more.",
            )
        self._server = Endpoint(
            model,
            base_url,
            api_key,
            timeout=float(timeout),
            retries=retries,
            connections=max_concurrency,
            requests_per_minute=requests_per_minute,
            transport=transport,
            keep_alive=keep_alive,
        )
        self.model, self.repairs, self.structured = model, repairs, structured
        self.name = f"openai:{model}@{self._server.url}"
        self.identity = f"{self.name}#{structured}"
        self.max_concurrency = max_concurrency
        self._pool = WorkerPool(max_concurrency, f"thalweg-{model}", self._server.close)
        # What the server taught: kinds or digests of formats it refuses, whether it ever took one, its length field.
        self._refused: set[str] = set()
        self._took_schema = self._broke = False
        self._length_field = wire.LENGTH_FIELDS[0]

    def __repr__(self) -> str:
        return f"RemoteModel({self.name!r}, structured={self.structured!r})"

    def __enter__(self) -> RemoteModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The base URL, without credentials."""
        return self._server.url

    def served(self, timeout: float = 5.0) -> list[str] | None:
        """Names of the models the server lists, see `Endpoint.served`."""
        return self._server.served(timeout)

    @property
    def capabilities(self) -> Capabilities:
        """What this server can do, as far as it has shown."""
        helps = self.structured != "none" and "all" not in self._refused
        return Capabilities(constraints="server" if helps else "none", streams=self.max_concurrency)

    def submit(self, request: Request) -> Future[Answer]:
        """Asks in the background. The future carries the answer or the error; submitting never raises."""
        future: Future[Answer] = Future()
        started = time.monotonic()
        if request.want != "value":
            remedy = "Use `sample`, or a local model." if request.want == "distribution" else "Use a local model."
            what = f"{self.name} cannot give want={request.want!r}: servers do not return the probabilities it needs."
            future.set_exception(UnsupportedByBackend(what, remedy))
        elif not self._pool.submit(future, lambda: self._answer(request, started)):
            future.set_exception(self._server.closed())
        return future

    def close(self) -> None:
        """Cancels what waits and wakes what sleeps; exchanges under way end in the background."""
        self._server.stop()
        self._pool.close()

    def _answer(self, request: Request, started: float) -> Answer:
        call = self._server.call()
        messages = request.messages
        while True:
            completion, structured = self._completion(request, messages, call)
            call.prompt_tokens += completion.prompt_tokens
            call.cached_tokens += completion.cached_tokens
            call.output_tokens += completion.output_tokens
            try:
                text = wire.answer_text(completion, request.format, structured)
            except AnswerError as error:
                reason = str(error)
            else:
                usage = Usage(call.prompt_tokens, call.cached_tokens, call.output_tokens, 0, time.monotonic() - started)
                finish = "closed" if completion.finish == "length" else "complete"
                return Answer(text, finish=finish, usage=usage, model=self.identity)
            if completion.finish == "length":
                raise BudgetExceeded(
                    f"{self.name} reached max_tokens={request.sampling.max_tokens} before its answer was complete: "
                    f"{self._beginning(completion)}.",
                    "Raise max_tokens, or ask for a shorter answer.",
                )
            if call.repairs == self.repairs or completion.finish == "content_filter":
                raise EndpointError(
                    f"{self.name} gave {call.repairs + 1} invalid answer(s); the last one "
                    f"{self._server.clean(reason)}. It begins {self._beginning(completion)}.",
                    "Use a stronger model or a server with structured output, or make the type or the task simpler.",
                    fault="answer",
                )
            call.repairs += 1
            messages = wire.repaired(messages, completion.text, reason, request.format)

    def _beginning(self, completion: wire.Completion) -> str:
        return wire.beginning(self._server.clean(completion.text))

    def _completion(self, request: Request, messages: tuple[Message, ...], call: Call) -> tuple[wire.Completion, bool]:
        """One completion, and whether it was asked for as structured output; learns what the server refuses."""
        refusal, broke = "", False
        while True:
            form, field = None if refusal else self._response_format(request), self._length_field
            if form is None and request.format.kind != "text":
                asked = wire.stated(messages, request.format)
            else:
                asked = messages
            try:
                body = wire.chat_body(self.model, request, asked, form, field)
                doubtful = form is not None and self.structured == "auto" and not self._took_schema
                found = self._server.complete(body, call, doubtful=doubtful)
            except RejectedError as rejected:
                if wire.LENGTH_FIELDS[1] in rejected.said and field == wire.LENGTH_FIELDS[0]:
                    self._length_field = wire.LENGTH_FIELDS[1]
                elif form is not None and self.structured == "auto":
                    refusal, broke = rejected.said or "refused", rejected.broke
                else:
                    raise rejected.error from None
                continue
            if form is not None:
                self._took_schema = True
            elif refusal and broke and not self._broke:  # once may have been the server's bad moment
                self._broke = True
            elif refusal:  # without it the same request was fine
                self._refused.add(self._scope(request, refusal))
            return found, form is not None

    def _response_format(self, request: Request) -> dict[str, Any] | None:
        format = request.format
        if self.structured == "none" or format.kind == "text":
            return None
        if self._refused and not self._refused.isdisjoint(("all", format.kind, format.digest)):
            return None
        return wire.response_format(format)

    def _scope(self, request: Request, said: str) -> str:
        """How far a refusal reaches: regular expressions, one schema, or structured output as a whole."""
        if request.format.kind == "regex":
            return "regex"
        only_this = self._took_schema or "invalid schema" in said.lower()
        return request.format.digest if only_this else "all"
