"""A Python function in the place of a model: `ScriptedModel`, for tests of control flow.

Choose it where what the model says is part of the test. Its name says that it is scripted, its answers must be members
of the request's format, and its identity changes with its code, so caches and journals never take it for a real model.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from hashlib import blake2b
from types import CodeType, FunctionType
from typing import Any

from thalweg.errors import ModelError
from thalweg.models.format_check import AnswerError, read_answer
from thalweg.models.request import Answer, Capabilities, Request
from thalweg.models.worker_pool import WorkerPool

_REMEDY = "Correct the script."


class ScriptedModel:
    """A Python function in the place of a model; its answers are checked against the request's format.

    Args:
        script: from a `Request` to the answer's text or an `Answer`. For ``want`` other than ``value`` it must return
            an `Answer` with `probabilities` or `logprob`. What it raises reaches the caller as it is.
        name: default: the function's. Shown as ``scripted:NAME``, so that no record takes it for a real model.
        identity: default: from the function's code and what it closes over, so that an edited script makes no use of
            answers cached for the old one. State that it reaches otherwise does not count: pass an identity then.
        max_concurrency: threads that run the script; 0 runs it at once inside `submit`.
    """

    def __init__(
        self,
        script: Callable[[Request], str | Answer],
        *,
        name: str | None = None,
        identity: str | None = None,
        max_concurrency: int = 0,
    ) -> None:
        self._script = script
        self.name = f"scripted:{name or getattr(script, '__qualname__', type(script).__name__)}"
        self.identity = f"{self.name}#{_script_digest(script)}" if identity is None else identity
        self.capabilities = Capabilities(constraints="exact", logits="none", streams=max(1, max_concurrency))
        self._pool = WorkerPool(max_concurrency, self.name)
        self._closed = False

    def __repr__(self) -> str:
        return f"ScriptedModel({self.name!r})"

    def __enter__(self) -> ScriptedModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, request: Request) -> Future[Answer]:
        """The script's answer; errors come through the future."""
        future: Future[Answer] = Future()
        if self._closed:
            future.set_exception(ModelError(f"{self.name} is closed.", "Make a new ScriptedModel."))
        elif self._pool.limit:
            self._pool.submit(future, lambda: self._answer(request))
        else:
            try:
                future.set_result(self._answer(request))
            except Exception as error:
                future.set_exception(error)
        return future

    def close(self) -> None:
        """Cancels what waits."""
        self._closed = True
        self._pool.close()

    def _answer(self, request: Request) -> Answer:
        said = self._script(request)
        if not isinstance(said, (str, Answer)):
            raise ModelError(f"{self.name} returned {type(said).__name__}, neither a text nor an Answer.", _REMEDY)
        text = said if isinstance(said, str) else said.text
        if request.want == "distribution":
            choices = request.format.choices
            if isinstance(said, str) or not choices or len(said.probabilities) != len(choices):
                what = f"{self.name} was asked for the probabilities of {len(choices)} choices and did not return them."
                raise ModelError(what, "Return an Answer with one probability a choice.")
        elif request.want == "score":
            if isinstance(said, str) or math.isnan(said.logprob):
                what = f"{self.name} was asked for the log-probability of {request.target[:80]!r} and returned none."
                raise ModelError(what, "Return an Answer with logprob.")
            return said if said.model else replace(said, model=self.identity)
        try:
            text = read_answer(text, request.format, tolerant=False)
        except AnswerError as error:
            raise ModelError(f"{self.name} returned {text[:80]!r}, which {error}.", _REMEDY) from None
        if isinstance(said, str):
            return Answer(text, model=self.identity)
        return replace(said, text=text, model=said.model or self.identity)


def _script_digest(script: object) -> str:
    """Equal for functions with equal code and surroundings, in every process; unique for other callables."""
    if not isinstance(script, FunctionType):
        return uuid.uuid4().hex[:16]
    cells = [_shown(value) for value in _closed_over(script)]
    parts = [*_code(script.__code__), _shown(script.__defaults__), _shown(script.__kwdefaults__), *cells]
    return blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _closed_over(script: FunctionType) -> Iterator[Any]:
    for cell in script.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a name that gets its value after the script is made
            yield None


def _code(code: CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield repr((code.co_names, code.co_varnames, code.co_freevars))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        elif isinstance(constant, frozenset):
            yield repr(sorted(map(repr, constant)))  # the order of a set differs between processes
        else:
            yield repr(constant)


def _shown(value: Any) -> str:
    return "\x1f".join(_code(value.__code__)) if isinstance(value, FunctionType) else repr(value)
