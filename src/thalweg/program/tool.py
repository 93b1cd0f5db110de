"""`Tool`: a plain function that acts on the world, with its effect declared.

`@tool(effect="write")` keeps program order: it never starts before everything earlier in the flow has succeeded, and
an *intent* is written down before it runs, so that a crash between the effect and its record is seen when the run is
resumed; `on_unknown` says what happens then. `"read"` tools see every earlier write and overlap with each other;
`"none"` ones overlap with anything. Calls are journalled like calls of a model, and not repeated by a resumed run.
Source: effect records of durable execution, as in DBOS and Temporal. Cost: one transaction a call, two for a write.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import time
import typing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from thalweg.errors import EffectUnknown, Error, ToolError
from thalweg.program.compile import BODIES, Abandoned, Frame, Pending, Task
from thalweg.program.compile.lazy import SCALARS, NotData, leaves, materialise, snapshot
from thalweg.program.interpret.watch import WATCH
from thalweg.program.journal import Scope, Ticket, inside, scope_in_force, user_line
from thalweg.program.session import current, store_in_force
from thalweg.program.store import Call, Store
from thalweg.program.types import TypePlan, jsonable, plan
from thalweg.program.value import Value
from thalweg.program.written import exact_json

P = ParamSpec("P")
T = TypeVar("T")
Effect = Literal["none", "read", "write"]
OnUnknown = Literal["retry", "ask", "fail"]


@dataclass(frozen=True, eq=False)
class Tool(Generic[P, T]):
    """A tool. Made by `@tool`.

    Args:
        effect: ``write`` changes something outside, ``read`` depends on what may change, ``none`` is a pure function.
        idempotent: a second call with equal arguments changes nothing more.
        on_unknown: what a resumed run does about a write of which it is not known whether it happened: ``retry`` it
            (default for idempotent tools), ``ask`` a person, ``fail`` with `EffectUnknown` (default).
        timeout: seconds after which a call is given up with `ToolError`.
        accepts: the label its arguments may carry (None: any). label: the label of what it returns.
    """

    function: Callable[P, T]
    effect: Effect = "write"
    idempotent: bool = False
    on_unknown: OnUnknown = "fail"
    timeout: float | None = None
    accepts: Any = None
    label: Any = None

    def __post_init__(self) -> None:
        for name in functools.WRAPPER_ASSIGNMENTS:
            if hasattr(self.function, name):
                object.__setattr__(self, name, getattr(self.function, name))
        object.__setattr__(self, "__wrapped__", self.function)

    @property
    def __thalweg_effect__(self) -> Effect:
        return self.effect

    @functools.cached_property
    def name(self) -> str:
        return self.function.__qualname__.split("<locals>.")[-1]

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    @functools.cached_property
    def _output(self) -> TypePlan[Any] | None:
        """How a result is written down and read back; None where its type does not say."""
        try:
            hint = typing.get_type_hints(self.function, include_extras=True).get("return")
            return None if hint in (None, type(None), Any) else plan(hint, name=f"{self.name}() ->")
        except (Error, NameError, TypeError):
            return None

    # -- calls ------------------------------------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it, at its place in the run."""
        self._refuse_inside()
        scope = self._scope()
        if isinstance(scope.frame, Frame):
            self._wait(scope.frame)
        return self.perform(scope, scope.begin(self.name), args, kwargs)

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Value[T]:
        """Call it in a thread of its own and go on."""
        self._refuse_inside()
        scope = self._scope()
        if isinstance(scope.frame, Frame):
            self._wait(scope.frame)
        ticket = scope.begin(self.name)
        ticket.aside = True
        task = Task(lambda: self.perform(scope, ticket, args, kwargs))
        task.start(BODIES)
        return Value(task.future, path=ticket.path, before_wait=task.help)

    async def acall(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The result, from async code."""
        return await self.submit(*args, **kwargs)

    def __thalweg_begin__(self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any], line: int) -> Any:
        """A call by compiled code."""
        self._refuse_inside()
        frame._go_on()
        aside = self.effect != "write"
        if aside:
            try:
                args = tuple([one if type(one) in SCALARS else snapshot(one) for one in args])
                kwargs = {name: one if type(one) in SCALARS else snapshot(one) for name, one in kwargs.items()}
            except (NotData, RecursionError):
                aside = False
        if not aside:
            args = tuple([frame.escape(one) for one in args])
            kwargs = {name: frame.escape(one) for name, one in kwargs.items()}
            self._wait(frame)
            ticket = frame.scope.begin(self.name)
            ticket.line = line
            return self.perform(frame.scope, ticket, args, kwargs)
        self._wait(frame)
        needs = tuple(
            one.future for value in (*args, *kwargs.values()) if type(value) not in SCALARS for one in leaves(value)
        )
        ticket = frame.scope.begin(self.name)
        ticket.line = line

        def run() -> T:
            if frame._is_abandoned():
                raise Abandoned
            ready = tuple([materialise(one) for one in args])
            return self.perform(frame.scope, ticket, ready, {name: materialise(one) for name, one in kwargs.items()})

        task = Task(run, needs)
        pending = frame.add(Pending(task.future, ticket.position, line, task=task, ticket=ticket))
        task.start(BODIES)
        return pending

    def _wait(self, frame: Frame) -> None:
        if self.effect == "write":
            frame.effects()
        elif self.effect == "read":
            frame.reads()

    def _scope(self) -> Scope:
        session = current()
        return scope_in_force(store_in_force(session) if session.journal is not False else None)

    def perform(self, scope: Scope, ticket: Ticket, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
        """Run the function at a place in the run, or take from the journal what it gave there."""
        if (watch := WATCH.get()) is not None:  # in plain code of a run with labels
            watch.tool(self, scope, ticket, args, kwargs)
        session = current()
        store = store_in_force(session) if session.journal is not False else None
        inputs = self.signature.bind(*args, **kwargs)
        inputs.apply_defaults()
        written = json.dumps(jsonable(dict(inputs.arguments)))
        key = tool_key(self.name, written)
        if scope.replay and store is not None:
            writes = self.effect == "write"
            recorded, failure = scope.recall(store, ticket, key, self.name, lambda: written)
            if scope.recording is not None and (recorded is not None or failure is not None):
                scope.recording.pass_below(ticket.path)
            if failure is not None:
                raise failure
            if recorded is not None and not recorded.error and recorded.value is not None:
                return self._read_back(recorded.value)
            if writes:
                self._check_effect(scope, ticket, written, recorded)
                if recorded is None and self._is_begun(store, scope, ticket):
                    decided = self._decide(scope, ticket, written)
                    if decided is not None:
                        return decided[0]
        if self.effect != "write" or scope.recording is None:
            return self._act(scope, ticket, store, args, kwargs, key, written)
        with scope.recording.writing() as going:
            if not going:
                raise scope.recording.stop or Abandoned
            return self._act(scope, ticket, store, args, kwargs, key, written)

    def _act(
        self, scope: Scope, ticket: Ticket, store: Store | None, args: tuple[Any, ...], kwargs: Mapping[str, Any],
        key: str, written: str,
    ) -> T:  # fmt: skip
        """Run the function, and write down what came of it."""
        started = time.time()
        if store is not None and self.effect == "write":
            store.intend(scope.run, ticket.path, self.name, written)
        error: BaseException | None = None
        result: Any = None
        try:
            with self._at_work(scope, ticket):
                result = self._run(args, kwargs)
            return result
        except BaseException as problem:
            error = problem
            raise
        finally:
            if store is not None and not isinstance(error, KeyboardInterrupt | Abandoned):
                packed = None if error else self._written(result)
                said = f"{type(error).__name__}: {error}" if error else None
                call = Call(scope.run, ticket.path, "tool", self.name, key, written, None, None, packed, said, None,
                            None, started, time.time() - started)  # fmt: skip
                if self.effect == "write":
                    failure, order = scope.durable(ticket, error)
                    store.settle_intent(call, failure=failure, position=order)
                else:
                    scope.write(store, ticket, call, error=error)

    @contextmanager
    def _at_work(self, scope: Scope, ticket: Ticket) -> Iterator[None]:
        """While its function runs: what it calls has its place below the tool's, and may do no more than the tool."""
        inner = scope.child(ticket.path, self.function if inspect.isfunction(self.function) else None)
        outer = scope.frame if isinstance(scope.frame, Frame) else None
        frame = Frame(inner, outer, ticket.position) if outer is not None else None
        if outer is not None and frame is not None:
            outer.inner.add(frame)  # what it calls waits for what is above the tool, never for the tool itself
        around = _working.get()
        token = _working.set(around if around is not None and around[0].effect != "write" else (self, ticket.path))
        try:
            with inside(inner):
                yield
        finally:
            _working.reset(token)
            if frame is not None:
                frame.close()

    def _refuse_inside(self) -> None:
        """Raises `ToolError` where a tool that declares not to write is at work."""
        around = _working.get()
        if self.effect == "write" and around is not None and around[0].effect != "write":
            raise ToolError(
                f"The tool `{around[0].name}` ({around[1]}) declares effect={around[0].effect!r} and calls "
                f"`{self.name}`, which writes{user_line()}.",
                f'Declare `{around[0].name}` with effect="write", or call `{self.name}` from the flow.',
            )

    def _is_begun(self, store: Store, scope: Scope, ticket: Ticket) -> bool:
        if scope.recording is not None:
            return ticket.path in scope.recording.intents
        return store.intent(scope.run, ticket.path) is not None

    def _check_effect(self, scope: Scope, ticket: Ticket, inputs: str, recorded: Call | None) -> None:
        """Before a write of a resumed run happens: is it the recorded program's, and does it not happen twice?"""
        if recorded is not None and not recorded.error:
            raise EffectUnknown(
                f"`{self.name}` ({ticket.path}{scope.place(ticket.line)}) happened in the run {scope.run}, and what it "
                "gave could not be written down.",
                "Give its value with `tw.settle(run, path, value)`; declare a return type that has a JSON form.",
            )
        recording = scope.recording
        if recording is None:
            return
        begun = recording.intents.get(ticket.path)
        if begun is None:
            if not ticket.aside:
                recording.before_effect(scope, ticket.path, self.name, inputs, ticket.line)
        elif begun != (self.name, inputs):
            raise recording.diverged(scope, ticket.path, ticket.path, self.name, inputs, ticket.line, begun)

    def _run(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
        try:
            if self.timeout is None:
                return self.function(*args, **kwargs)  # type: ignore[call-arg]
            task = Task(lambda: self.function(*args, **kwargs))  # type: ignore[call-arg]
            task.start(BODIES)
            return _within(task.future, self.timeout, self.name)
        except (Exception, KeyboardInterrupt, Abandoned):
            raise
        except BaseException as error:
            raise ToolError(
                f"The tool `{self.name}` left with {type(error).__name__}({error}), no exception{user_line()}.",
                "Let it raise an Exception, or return a value that says what happened.",
            ) from error

    def _written(self, result: Any) -> str | None:
        """The result as JSON: by its declared type, or as it is where that refuses it (as texts with line breaks)."""
        if self._output is not None:
            with suppress(TypeError, ValueError, Error):
                return json.dumps(self._output.to_json(result))
        try:
            return json.dumps(exact_json(result))
        except (TypeError, ValueError):
            return None

    def _read_back(self, text: str) -> Any:
        value = json.loads(text)
        if self._output is not None:
            with suppress(Error):  # it was written as it is
                return self._output.from_json(value)
        return value

    def _decide(self, scope: Scope, ticket: Ticket, inputs: str) -> tuple[Any] | None:
        """A write was begun and never recorded. None: run it (again); (value,): it happened and gave that."""
        if self.on_unknown == "retry":
            return None
        if self.on_unknown == "ask":
            from thalweg.program.human import settle_effect

            return settle_effect(self, scope, ticket, inputs)
        raise EffectUnknown(
            f"The run {scope.run} stopped while `{self.name}` ({ticket.path}{scope.place(ticket.line)}) was at work on "
            f"{inputs[:200]}: whether it happened is not known.",
            "Look, and settle it with `tw.settle(run, path, value)`; or declare the tool idempotent, or "
            'on_unknown="ask".',
        )


_working: ContextVar[tuple[Tool[..., Any], str] | None] = ContextVar("thalweg_tool_at_work", default=None)


def _within(future: Future[Any], seconds: float, name: str) -> Any:
    try:
        return future.result(seconds)
    except FutureTimeout:
        if future.done():
            raise
        raise ToolError(
            f"The tool `{name}` gave no result within {seconds:g} s{user_line()}.",
            "Raise its `timeout`, or find out what it waits for; its thread is left behind.",
        ) from None


def tool_key(name: str, inputs: str) -> str:
    """Digest of a call of a tool."""
    return hashlib.blake2b(f"{name}\x1f{inputs}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@overload
def tool(function: Callable[P, T], /) -> Tool[P, T]: ...
@overload
def tool(
    *,
    effect: Effect = "write",
    idempotent: bool = False,
    on_unknown: OnUnknown | None = None,
    timeout: float | None = None,
    accepts: Any = None,
    label: Any = None,
) -> Callable[[Callable[P, T]], Tool[P, T]]: ...
def tool(
    function: Callable[P, T] | None = None,
    /,
    *,
    effect: Effect = "write",
    idempotent: bool = False,
    on_unknown: OnUnknown | None = None,
    timeout: float | None = None,
    accepts: Any = None,
    label: Any = None,
) -> Any:
    """Make a function a tool (see `Tool`). Without an effect it is taken to write, which is never wrong.

    Example:
        >>> @tool(effect="write", idempotent=False)
        ... def send(to: str, body: str) -> None:
        ...     ...
    """
    for said, options, what in ((effect, typing.get_args(Effect), "effect"),
                                (on_unknown or "fail", typing.get_args(OnUnknown), "on_unknown")):  # fmt: skip
        if said not in options:
            raise ValueError(f"{what}={said!r}; choose one of {', '.join(options)}")
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout={timeout!r}; give seconds above 0")
    decided: OnUnknown = on_unknown or ("retry" if idempotent else "fail")

    def make(function: Callable[P, T]) -> Tool[P, T]:
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise TypeError(f"@tool takes a plain function, not {function!r}")
        return Tool(function, effect, idempotent, decided, timeout, accepts, label)

    return make if function is None else make(function)


__all__ = ["Tool", "tool"]
