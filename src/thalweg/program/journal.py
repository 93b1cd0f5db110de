"""The journal of a run: where a call stands, whether it was already answered, and writing down what came of it.

A `Scope` is a place in a run ("row 17/triage#0/"); the n-th call of a function inside it has the path
"row 17/triage#0/read#n". A resumed run finds its calls by these paths; a different call at the same path means the
program is not the one recorded, which is an error (`NonDeterminism`) and never a silent reuse.
"""

from __future__ import annotations

import inspect
import json
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from thalweg.errors import NonDeterminism
from thalweg.models.request import Answer, Request
from thalweg.models.request_codec import answer_from_json, answer_to_json, request_key
from thalweg.program.session import Session, store_in_force
from thalweg.program.store import Call, Store
from thalweg.program.value import Value

if TYPE_CHECKING:
    from thalweg.program.recording import Recording


@dataclass
class Meter:
    """Counters of a run, shared by its scopes. Calls answered by the cache or the journal count as `reused`."""

    calls: int = 0
    reused: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    forced_tokens: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, answer: Answer, *, reused: bool) -> None:
        usage = answer.usage
        with self._lock:
            self.calls += 1
            if reused:
                self.reused += 1
                return
            self.prompt_tokens += usage.prompt_tokens
            self.cached_tokens += usage.cached_tokens
            self.output_tokens += usage.output_tokens
            self.forced_tokens += usage.forced_tokens


@dataclass(eq=False, slots=True)
class Ticket:
    """The place of one call in its run, taken in program order.

    `tracked`: the call was made while something before it could still fail, so that its record may have to go again.
    `order`: the how-manieth call of its scope it is; -1 where their order may vary. `aside`: the program went on.
    """

    path: str
    position: int = 0
    tracked: bool = False
    abandoned: bool = False
    line: int = 0
    order: int = -1
    aside: bool = False
    objective: Any = None  # makes the hint of its call site out of the one in force, where more is known


GATE = threading.RLock()  # between writing down a tracked call and taking it back


@dataclass(eq=False)
class Scope:
    """A place in a run.

    Args:
        run: the run's id. path: of this place, "" or ending in "/".
        replay: answer calls from the journal where it has them.
        answers: the calls answered inside this scope so far, with their formats (`tokens`, `confidence`).
    """

    run: str
    path: str = ""
    replay: bool = False
    meter: Meter = field(default_factory=Meter)
    answers: list[tuple[Request, Answer]] = field(default_factory=list)
    frame: Any = None  # the execution of a compiled flow that works here
    store: Store | None = None
    recording: Recording | None = None  # of a durable run
    file: str = ""  # of the flow whose body runs here
    sites: Any = None  # what its call sites are wanted for, by (line, name)
    ordered: bool = False  # its calls are made in one order, whatever finishes first
    undone: bool = False  # calls made ahead of a failure were taken back here, or around here
    _counts: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _made: int = 0

    def next(self, function: str) -> str:
        with self._lock:
            count = self._counts.get(function, 0)
            self._counts[function] = count + 1
            self._made += 1
        return f"{self.path}{function}#{count}"

    def begin(self, function: str) -> Ticket:
        """The next place for a call of `function`, in program order."""
        ticket = Ticket(self.next(function))
        if self.recording is not None:
            order = self._made - 1
            self.recording.take(self, ticket.path, order)
            if self.ordered:
                ticket.order = order
        frame = self.frame
        if frame is not None:
            ticket.position = frame.count
            frame.count += 1
            if frame.open:
                frame.begun.append((ticket, function))
                ticket.tracked = True
            elif frame.parent is not None:
                ticket.tracked = frame._speculative()
        return ticket

    def give_back(self, function: str) -> None:
        """The last place of `function` was taken beyond a failure."""
        with self._lock:
            self._counts[function] -= 1
            self._made -= 1

    def forget(self, paths: list[str]) -> None:
        """Remove records of calls that never happened: they were made ahead of a failure."""
        if paths and self.store is not None:
            self.store.forget_calls(self.run, paths)
        if self.recording is not None:
            self.undone = True
            self.recording.undone(self, paths)

    def write(
        self, store: Store, ticket: Ticket, call: Call, *, cache: bool = False, error: BaseException | None = None,
        later: bool = False,
    ) -> bool:  # fmt: skip
        """Journal a call at its place; False (nothing written) where it was begun beyond a failure, or its durable run
        is over. `later`: with the next record; not in durable runs."""
        if self.recording is None:
            return self._write(store, ticket, call, cache, error, later)
        with self.recording.writing() as going:
            return going and self._write(store, ticket, call, cache, error, False)

    def _write(
        self, store: Store, ticket: Ticket, call: Call, cache: bool, error: BaseException | None, later: bool
    ) -> bool:
        failure, order = self.durable(ticket, error)
        if self.recording is not None and call.kind in ("flow", "strategy"):
            self.recording.flow_ended(call.path)
            if self._stands(store, call):
                with GATE:
                    self.note(store, ticket)
                return True
        if not ticket.tracked:
            store.record(call, cache=cache, failure=failure, position=order, later=later)
            return True
        with GATE:
            if ticket.abandoned or (self.frame is not None and self.frame._is_abandoned()):
                return False
            store.record(call, cache=cache, failure=failure, position=order, later=later)
            self.note(store, ticket)
        return True

    def note(self, store: Store, ticket: Ticket) -> None:
        """The journal holds a call that may have to be taken back."""
        if ticket.tracked:
            self.store = store
            if self.frame is not None:
                self.frame.written.append((ticket.position, ticket.path))

    def durable(self, ticket: Ticket, error: BaseException | None = None) -> tuple[str | None, int | None]:
        """What a durable run records besides a call: its failure, and its position: twice its order in its scope, plus
        one where it was made ahead of something that could fail."""
        recording = self.recording
        if recording is None:
            return None, None
        position = 2 * ticket.order + ticket.tracked
        return None if error is None else recording.failed(ticket.path, error), position

    def _stands(self, store: Store, call: Call) -> bool:
        """Whether a resumed run has a flow's record as it is, so that it need not be written again."""
        if self.recording is None or call.path not in self.recording.known:
            return False
        old = store.call(call.run, call.path)
        return old is not None and (old.inputs, old.value, old.error) == (call.inputs, call.value, call.error)

    def recall(
        self, store: Store, ticket: Ticket, key: str, function: str, inputs: Callable[[], str]
    ) -> tuple[Call | None, BaseException | None]:
        """What a resumed run recorded at a place: the call, and the failure to raise again if it failed.

        Raises `NonDeterminism` where another call is recorded there.
        """
        recording = self.recording
        if recording is not None and recording.store is store:
            found = recording.recall(self, ticket.path, key, function, inputs, ticket.line)
            if found[0] is not None:
                with GATE:
                    self.note(store, ticket)
            return found
        call = store.call(self.run, ticket.path)
        if call is not None and call.key != key:
            from thalweg.program.recording import shown

            raise NonDeterminism(
                f"At {ticket.path}{self.place(ticket.line)} the run {self.run} recorded another call than the program "
                f"now makes: {shown(call.function, call.inputs)}, now {shown(function, inputs())}.",
                "Give the same command on the same program and data, or start over with --fresh.",
            )
        return call, None

    def place(self, line: int = 0) -> str:
        """Where the user's code makes a call, for messages: " (flow.py, line 12)"."""
        if line and self.file:
            return f" ({Path(self.file).name}, line {line})"
        return user_line(line)

    def child(self, path: str, function: Callable[..., Any] | None = None) -> Scope:
        """The scope of what runs at `path`: the body of `function`."""
        made = Scope(self.run, path + "/", self.replay, self.meter, self.answers, store=self.store)
        if self.recording is not None:
            made.recording, made.undone = self.recording, self.undone
            self.recording.same_flow(self, path, path.rpartition("/")[2].partition("#")[0])
        if function is not None:
            made.file = function.__code__.co_filename
            made.ordered = not function.__code__.co_flags & inspect.CO_COROUTINE
        return made

    @property
    def tokens(self) -> int:
        """Tokens of the calls in this scope, prompts and answers, however they were obtained."""
        return sum(answer.usage.prompt_tokens + answer.usage.output_tokens for _, answer in self.answers)

    @property
    def confidence(self) -> float:
        """How sure the model was here: the product over calls that decide between finitely many values; without
        such calls, the least per-token probability (geometric mean) of the others; nan without calls."""
        decisions: list[float] = []
        texts: list[float] = []
        for request, answer in self.answers:
            if answer.probabilities:
                decisions.append(max(answer.probabilities))
            elif math.isnan(answer.logprob) or request.want == "score":
                continue
            elif request.format.kind == "choices":
                decisions.append(math.exp(answer.logprob))
            else:
                drawn = max(1, answer.usage.output_tokens - answer.usage.forced_tokens)
                texts.append(math.exp(answer.logprob / drawn))
        if decisions:
            return math.prod(sorted(decisions))  # sorted: calls may finish in any order, the product must not vary
        return min(texts, default=float("nan"))


_scope: ContextVar[Scope | None] = ContextVar("thalweg_scope", default=None)
_ambient: WeakKeyDictionary[Any, Scope] = WeakKeyDictionary()  # by store
_ambient_lock = threading.Lock()


class _NoStore:
    """Stands for the missing store of calls that are not recorded."""


_NO_STORE = _NoStore()


def new_run_id(prefix: str) -> str:
    import secrets

    return f"{prefix}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"


def scope_in_force(store: Store | None) -> Scope:
    """The scope of the running flow or row; outside of any, one run for the whole process and store."""
    scope = _scope.get()
    if scope is not None:
        return scope
    key = _NO_STORE if store is None else store
    found = _ambient.get(key)
    if found is None:
        with _ambient_lock:
            found = _ambient.get(key)
            if found is None:
                found = Scope(new_run_id("script"))
                if store is not None:
                    store.begin(found.run, "script", "", {})
                _ambient[key] = found
    if len(found.answers) > 10_000:  # nobody asks a script's scope for its confidence
        found.answers.clear()
    return found


@contextmanager
def inside(scope: Scope) -> Iterator[Scope]:
    token = _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.reset(token)


def submit_call(
    function: str,
    request: Request,
    model: Any,
    session: Session,
    *,
    inputs: Callable[[], str],
    decode: Callable[[Answer], tuple[Any, Any]],
    observe: Callable[[str], None] | None = None,
    ticket: Ticket | None = None,
) -> Value[Any]:
    """Answer one request through journal, cache and model, in that order, and write it down before anyone sees it.

    Args:
        inputs: JSON of the inputs, for the journal.
        decode: from the answer to (value, JSON form of the value).
        ticket: the call's place, where it was taken before.
    """
    journal = session.journal is not False
    cache = session.cache is not False
    store = store_in_force(session) if journal or cache else None
    scope = scope_in_force(store if journal else None)
    if ticket is None:
        ticket = scope.begin(function)
    path = ticket.path
    started = time.time()
    key = request_key(request, model.identity)
    future: Future[Any] = Future()
    result: Value[Any] = Value(future, path=path)

    def settle(
        answer: Answer | None, error: BaseException | None, *, text: str | None = None, write: bool = True
    ) -> None:
        value: Any = None
        packed: Any = None
        if error is None and answer is not None:
            try:
                if observe is not None:  # of a stored answer, or of a model that cannot be watched, nothing was told
                    observe(answer.text)
                value, packed = decode(answer)
            except Exception as problem:
                error = problem
        if answer is not None:
            if answer.logprob == answer.logprob:  # not nan
                result.details = {"logprob": answer.logprob}
            scope.answers.append((request, answer))
            scope.meter.add(answer, reused=text is not None)
        if store is not None and write:
            try:
                done = text if text is not None else (answer_to_json(answer) if answer is not None else None)
                fresh = cache and text is None and error is None
                if journal:
                    prompt = request.prefix + request.suffix or json.dumps(
                        [[message.role, message.content] for message in request.messages]
                    )
                    kept = scope.write(
                        store,
                        ticket,
                        Call(
                            scope.run,
                            path,
                            request.want,
                            function,
                            key,
                            inputs(),
                            prompt,
                            done,
                            json.dumps(packed) if error is None else None,
                            f"{type(error).__name__}: {error}" if error else None,
                            model.identity,
                            request.sampling.seed,
                            started,
                            time.time() - started,
                        ),  # fmt: skip
                        cache=fresh,
                        error=error,
                    )
                    if not kept and fresh and done is not None:
                        store.remember(key, done, model.identity)
                elif fresh and done is not None:
                    store.remember(key, done, model.identity)
            except Exception as problem:
                error = problem
        if error is not None:
            if not getattr(error, "__notes__", None):  # one failure of an engine is the error of many calls
                error.add_note(f"call {path}")
            future.set_exception(error)
        else:
            future.set_result(value)

    if scope.replay and journal and store is not None:
        recorded, failure = scope.recall(store, ticket, key, function, inputs)
        if failure is not None:
            if recorded is not None and recorded.answer:
                scope.answers.append((request, answer_from_json(recorded.answer)))
            future.set_exception(failure)
            return result
        if recorded is not None and recorded.answer and not recorded.error:
            settle(answer_from_json(recorded.answer), None, text=recorded.answer, write=False)
            return result
    if cache and store is not None:
        text = store.cached(key)
        if text is not None:
            settle(answer_from_json(text), None, text=text)
            return result

    def finished(inner: Future[Answer]) -> None:
        if inner.cancelled():
            future.cancel()
            return
        error = inner.exception()
        settle(None if error else inner.result(), error)

    # Only models that read token by token can be watched.
    watched = observe is not None and hasattr(model, "prompt_tokens")
    try:
        inner = model.submit(request, observe) if watched else model.submit(request)
    except Exception as problem:
        if scope.recording is None:
            raise
        settle(None, problem)  # a resumed run must meet it again
        return result
    inner.add_done_callback(finished)
    return result


def user_line(known: int = 0) -> str:
    """Where the user's code stands, for messages: " (flow.py, line 12)"."""
    frame = sys._getframe(1)
    while frame is not None:
        if not frame.f_globals.get("__name__", "").startswith(("thalweg.", "concurrent.", "threading")):
            return f" ({Path(frame.f_code.co_filename).name}, line {frame.f_lineno})"
        frame = frame.f_back
    return f" (line {known})" if known else ""
