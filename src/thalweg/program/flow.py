"""`Flow`: plain Python over learned functions, with the verbs of a learned function.

A flow runs eagerly: its source is its meaning. Inside it every call is journalled under the flow's place in the run;
`map` runs rows side by side in threads, and the engine batches whatever calls are under way. `state` collects the
parameters of every learned function the flow reaches; `bind` returns a copy that uses other ones, changing nothing.
"""

from __future__ import annotations

import functools
import inspect
import json
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload
from weakref import WeakValueDictionary

from thalweg.errors import FlowError, StateMismatch, TypeNotSupported
from thalweg.program import interpret as interpreting
from thalweg.program import state as states
from thalweg.program.assignments import filled, is_assigned, settings_of
from thalweg.program.compile import (
    BODIES,
    Abandoned,
    Frame,
    Pending,
    Task,
    arguments_may_run_aside,
)
from thalweg.program.compile.aside import may_run_aside
from thalweg.program.compile.lazy import SCALARS, leaves, materialise, snapshot
from thalweg.program.compile.resolve import called_names
from thalweg.program.events import Done, Event, Finished, Started
from thalweg.program.journal import Scope, Ticket, inside, scope_in_force
from thalweg.program.labels import BOTTOM, Labelled
from thalweg.program.learned import Learned, _in_thread
from thalweg.program.mapping import map_rows
from thalweg.program.purity import reads_only, why_impure
from thalweg.program.session import Session, current, model_in_force, settings, store_in_force, using
from thalweg.program.store import Call, Store
from thalweg.program.strategy import Parameters
from thalweg.program.types import jsonable
from thalweg.program.value import Failure, Value

if TYPE_CHECKING:
    from thalweg.program.compile.explain import Explanation
    from thalweg.program.ir import CallGraph, FlowIR, Graph
    from thalweg.program.run import Run
    from thalweg.program.spaces import Genome, Space

P = ParamSpec("P")
T = TypeVar("T")

DEEPEST = 200  # flows submitted inside each other
_eager: ContextVar[bool] = ContextVar("thalweg_eager", default=False)
_NOTHING = Session()


@dataclass(frozen=True, eq=False)
class Flow(Generic[P, T]):
    """A flow. Made by `@flow`, copied by `using` and `bind`."""

    function: Callable[P, T]
    own: Session = _NOTHING
    bound: Mapping[object, Parameters] = field(default_factory=dict)
    chosen: Genome | None = None
    returns_at_most: Any = None  # the highest label its result may carry (None: any)

    def __post_init__(self) -> None:
        for name in functools.WRAPPER_ASSIGNMENTS:
            if hasattr(self.function, name):
                object.__setattr__(self, name, getattr(self.function, name))
        object.__setattr__(self, "__wrapped__", self.function)

    @functools.cached_property
    def name(self) -> str:
        return self.function.__qualname__.split("<locals>.")[-1]

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    # -- the verbs --------------------------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the flow: independent calls overlap, everything else is as in `eager`. An `async def` flow gives a
        `Value` to await."""
        if self.is_async:
            return self.submit(*args, **kwargs)  # type: ignore[return-value]
        return self._run(None, args, kwargs)

    def eager(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the untransformed function, one call at a time, flows inside it too: the meaning of the flow."""
        token = _eager.set(True)
        try:
            return self._run(None, args, kwargs)
        finally:
            _eager.reset(token)

    def _place(self) -> tuple[Scope, Ticket]:
        """The next place for this flow in the run. Asked for in the caller's thread, so that places keep its order."""
        session = current()
        scope = scope_in_force(store_in_force(session) if session.journal is not False else None)
        return scope, scope.begin(self.name)

    def _run(self, place: tuple[Scope, Ticket] | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        with self._in_force():
            scope, ticket = place or self._place()
            later = place is None and bool(scope.file)  # the flow around is recorded after it
            return self._execute(scope, ticket, args, self._with_choices(args, kwargs), later=later)

    @contextmanager
    def _in_force(self) -> Iterator[None]:
        """This flow's settings, parameters and choices."""
        own = self.own
        choosing: Any = None
        if self._is_bare():
            yield
            return
        if self.chosen is not None:
            from thalweg.program.spaces import binding as choosing
        with choosing(self.chosen) if choosing is not None else nullcontext(), states.binding(self.bound):
            if assigned := settings_of(self.function.__code__):
                own = settings(**assigned).over(own)
            with using(**_said(own)) if own is not _NOTHING else nullcontext():
                yield

    def _is_bare(self) -> bool:
        """Whether it has neither settings nor parameters nor choices of its own."""
        return (
            self.own is _NOTHING and not self.bound and self.chosen is None and not settings_of(self.function.__code__)
        )

    def _with_choices(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Keyword arguments, with what is assigned to defaults that are choices left open."""
        if not is_assigned():
            return kwargs
        return {**filled(self.function, self.signature.bind(*args, **kwargs).arguments), **kwargs}

    def _execute(self, scope: Scope, ticket: Ticket, args: tuple[Any, ...], kwargs: dict[str, Any],
                 frame: Frame | None = None, *, later: bool = False) -> T:  # fmt: skip
        """Run the body at a place, and write down what came of it.

        Args:
            frame: of the body, where a frame around it has made one. later: the record may wait (see `Store.record`).
        """
        session = current()
        store = store_in_force(session) if session.journal is not False else None
        started = time.time()
        error: BaseException | None = None
        result: Any = None
        labels = interpreting.labelled_run(self, args, kwargs)
        if labels is not None:
            args, kwargs = labels.args, labels.kwargs
        body = None if _eager.get() or labels is not None else self.compiled
        inner = frame.scope if frame is not None else scope.child(ticket.path, self.function)
        bound = frame is not None  # whoever made it has bound the arguments
        if body is not None and frame is None:
            frame = Frame(inner, scope.frame, ticket.position)
        if frame is not None and session.schedule == "parrot":
            inner.sites = self.sites
        try:
            with inside(inner):
                if labels is not None:
                    result = labels.run(inner, scope, ticket)
                    return result
                if body is None or frame is None:
                    result = self.function(*args, **kwargs)
                    return _awaited(result) if self.is_async else result
                try:
                    if not bound and not self._takes(args, kwargs):
                        body = self._bare  # refused by Python in the words of the function itself
                    result = body(frame, *args, **kwargs)
                    if self.is_async:
                        result = _awaited(result)
                    result = frame.finish(result)
                except BaseException as problem:
                    frame.failed(problem)
                    raise
                return result
        except BaseException as problem:
            error = problem
            raise
        finally:
            self._record(store, scope, ticket, args, kwargs, result, error, started, later)
            if frame is not None:
                frame.close()

    def _record(self, store: Store | None, scope: Scope, ticket: Ticket, args: tuple[Any, ...],
                kwargs: dict[str, Any], result: Any, error: BaseException | None, started: float,
                later: bool) -> None:  # fmt: skip
        if store is None or isinstance(error, Abandoned):
            return
        call = Call(
            scope.run, ticket.path, "flow", self.name, None, json.dumps(jsonable({"args": list(args), **kwargs})),
            None, None, None if error else json.dumps(jsonable(result)),
            f"{type(error).__name__}: {error}" if error else None, None, None, started, time.time() - started,
        )  # fmt: skip
        scope.write(store, ticket, call, later=later)

    def __thalweg_begin__(self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any], line: int) -> Any:
        """A call by compiled code: aside, where nobody could tell, or else here and now."""
        if self.is_async or _eager.get() or interpreting.in_play(self, args, kwargs) or self.compiled is None:
            return frame._plain(self.__call__, args, kwargs, True)
        frame._go_on()
        if frame.depth > sys.getrecursionlimit() // 4:
            raise RecursionError(f"maximum recursion depth exceeded: the flow `{self.name}` calls itself without end")
        try:
            aside = may_run_aside(self) and arguments_may_run_aside(self._reads_only, self._named(args, kwargs))
        except TypeError:  # the call itself says what is wrong with it
            aside = False
        if not aside:
            args = tuple([frame.escape(one) for one in args])
            return self._run(None, args, {name: frame.escape(one) for name, one in kwargs.items()})
        args = tuple([one if type(one) in SCALARS else snapshot(one) for one in args])
        if kwargs:
            kwargs = {name: one if type(one) in SCALARS else snapshot(one) for name, one in kwargs.items()}
        needs = [one for value in (*args, *kwargs.values()) if type(value) not in SCALARS for one in leaves(value)]
        ticket = frame.scope.begin(self.name)
        ticket.line = line
        child = Frame(frame.scope.child(ticket.path, self.function), frame, ticket.position)
        frame.inner.add(child)
        if not needs and self._issues():
            return self._issue(frame, ticket, child, args, kwargs)

        def run() -> T:
            if child._is_abandoned():
                raise Abandoned
            ready = tuple([materialise(one) for one in args])
            named = {name: materialise(one) for name, one in kwargs.items()}
            with self._in_force():
                return self._execute(
                    frame.scope, ticket, ready, self._with_choices(ready, named), child, later=True
                )  # fmt: skip

        task = Task(run, tuple([one.future for one in needs]))
        pending = Pending(
            task.future, ticket.position, line, task=task, ticket=ticket, frame=child, effects=self.effects is not None
        )
        frame.add(pending)
        task.start(BODIES)
        return pending

    def _issues(self) -> bool:
        """Whether all that the body does now is to issue calls of learned functions."""
        names = self._called
        if names is None or (self.own.mode or current().mode) not in (None, "model"):
            return False
        return all(
            type(one) is Learned and one.own.mode in (None, "model") for one in called_names(self.function, names)
        )

    def _issue(
        self, frame: Frame, ticket: Ticket, child: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Pending:
        """Run a body that waits for nothing here and now; it is concluded when its last call has ended."""
        future: Future[T] = Future()
        pending = Pending(future, ticket.position, ticket.line, ticket=ticket, frame=child)
        frame.add(pending)
        started = time.time()
        store: Store | None = None
        result: Any = None
        error: BaseException | None = None

        def conclude() -> None:
            nonlocal error, result
            try:
                try:
                    if error is not None:
                        raise error
                    result = child.finish(result)
                except BaseException as problem:
                    child.failed(problem)
                    raise
            except BaseException as problem:
                error = problem
            try:
                self._record(store, frame.scope, ticket, args, kwargs, result, error, started, True)
            except BaseException as problem:
                error = problem
            child.close()
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        try:
            with nullcontext() if self._is_bare() else self._in_force(), inside(child.scope):
                session = current()
                store = store_in_force(session) if session.journal is not False else None
                kwargs = self._with_choices(args, kwargs)
                result = self.compiled(child, *args, **kwargs)  # type: ignore[misc]
        except (Exception, Abandoned) as problem:
            error = problem
        except BaseException as problem:  # for the thread that the body was run in, not for the flow
            future.set_exception(problem)
            raise
        waiting = [one.future for one in child.open if not one.future.done()]
        if waiting:
            _when_all(waiting, conclude)
        else:
            conclude()
        return pending

    @functools.cached_property
    def _called(self) -> tuple[str, ...] | None:
        """The names that the body calls, where it does nothing else."""
        from thalweg.program.compile.issuing import issues_only

        return issues_only(self.ir) if self.compiled is not None else None

    @functools.cached_property
    def _positional(self) -> tuple[str, ...] | None:
        """Names of the parameters, where all may be given by position."""
        every = self.signature.parameters.values()
        kinds = {one.kind for one in every}
        plain = kinds <= {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
        return tuple(one.name for one in every) if plain else None

    def _named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments by name, defaults applied. Raises `TypeError`."""
        names = self._positional
        if names is not None and not kwargs and len(args) == len(names):
            return dict(zip(names, args, strict=True))
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def _takes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        try:
            self._named(args, kwargs)
        except TypeError:
            return False
        return True

    def _bare(self, frame: Frame, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def _reads_only(self, parameter: str, deep: bool) -> bool:
        return reads_only(self.function, parameter, deep=deep)

    @functools.cached_property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    @functools.cached_property
    def effects(self) -> str | None:
        """Why the flow may change something outside, or read what may change; None where it surely does not."""
        return why_impure(self.function)

    @functools.cached_property
    def ir(self) -> FlowIR:
        """The flow as data. Raises `FlowError` where its source is not to be had."""
        from thalweg.program.compile import ir_of

        return ir_of(self.function)

    @functools.cached_property
    def compiled(self) -> Callable[..., Any] | None:
        """The compiled body; None for a flow that can only run eagerly (`explain` says why)."""
        from thalweg.program.compile import compile_flow
        from thalweg.program.ir import NoSource

        try:
            return compile_flow(self.function)
        except NoSource as error:
            warnings.warn(f"{error}", RuntimeWarning, stacklevel=3)
            return None

    @functools.cached_property
    def sites(self) -> Mapping[tuple[int, str], Any]:
        """What the flow's call sites are wanted for (see `program.objectives`)."""
        from thalweg.program.ir import resolver
        from thalweg.program.objectives import objectives

        return objectives(self.ir, resolver(self.function))

    def to_json(self) -> dict[str, Any]:
        """The flow as readable JSON data. Raises `FlowError` where its source is not to be had."""
        return self.ir.to_json()

    @staticmethod
    def from_json(
        data: Mapping[str, Any], tools: Iterable[Any] | Mapping[str, Any] = (), *, trusted: bool = False
    ) -> Flow[Any, Any]:
        """The flow that JSON data describes, run with `tools` as the only names outside itself.

        Args:
            tools: learned functions, flows, tools and classes it may use, listed or by name.
            trusted: the data may use opaque statements and every builtin.

        Raises:
            FlowError: the data is no flow, or uses what it may not, with the place.
        """
        from thalweg.program.ir import FlowIR

        return Flow.from_ir(FlowIR.from_json(dict(data)), tools, trusted=trusted)

    @staticmethod
    def from_ir(ir: FlowIR, tools: Iterable[Any] | Mapping[str, Any] = (), *, trusted: bool = False) -> Flow[Any, Any]:
        """The same for a `FlowIR`, for example a changed one: ``Flow.from_ir(f.ir.replace(...), tools)``."""
        from thalweg.program.from_data import function_of

        function = function_of(ir, tools, trusted=trusted)
        made: Flow[Any, Any] = Flow(function)
        function.__globals__[function.__name__] = made  # recursion goes through the flow
        return made

    def graph(self) -> Graph:
        """Control and data flow, to be drawn: ``.mermaid()``, ``.svg()``."""
        from thalweg.program.ir import resolver

        return self.ir.graph(resolver(self.function))

    def call_graph(self) -> CallGraph:
        """What the flow calls, how often at least and at most, and what must wait for what."""
        from thalweg.program.ir import call_graph

        return call_graph(self)

    def digest(self) -> str:
        """Equal for flows that do the same, whatever their names and layout are."""
        from thalweg.program.ir import identities

        return self.ir.digest(identities(self.function))

    def listing(self) -> str:
        """The flow as numbered text, with what it calls."""
        from thalweg.program.ir import listing, resolver

        return listing(self.ir, resolver(self.function))

    def explain(self) -> Explanation:
        """What overlaps in this flow, what waits, and why."""
        from thalweg.program.compile.explain import explain

        return explain(self.function, lambda: self.ir)

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Value[T]:
        """Run the flow in a thread of its own and go on; the `Value` is awaitable."""
        with using(**_said(self.own)):
            place = self._place()
        if place[0].path.count("/") > DEEPEST:
            raise FlowError(
                f"`{self.name}` was submitted {DEEPEST} flows deep ({place[1].path[:80]}...).",
                "A flow that submits itself needs a case in which it does not.",
            )
        value: Value[T]

        def run() -> T:
            with interpreting.collecting() as label:
                result = self._run(place, args, kwargs)
            value.label = label[0] if label else value.label
            return result

        task = Task(run, alone=self.is_async)
        value = Value(task.future, path=place[1].path, before_wait=lambda: _before_wait(task, place))
        task.start(BODIES)
        return value

    async def acall(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The result, from async code."""
        return await self.submit(*args, **kwargs)

    def labelled(self, *args: P.args, **kwargs: P.kwargs) -> Labelled[T]:
        """The result with its label: ``summary = triage.labelled(tw.labelled(mail, "web"))``. Bottom where no label is
        in play. Raises `FlowViolation` like any run."""
        with interpreting.collecting() as label:
            result = self._run(None, args, kwargs)
        return Labelled(result, label[0] if label else BOTTOM)

    def start(self, *args: Any, id: str | None = None, **kwargs: Any) -> Run[T]:
        """Begin a durable run in the background: every step is recorded, and `tw.resume(id)` goes on after any end of
        the process. The same id with the same flow and inputs is the same run, found again.

        Args:
            id: names the run (default: a new one). A parameter of the flow that is called `id` goes by position.

        Raises `DataError` naming an input that cannot be written down, `NonDeterminism` when the id belongs to a run
        of another flow or other inputs.
        """
        from thalweg.program.run import start

        return start(self, args, kwargs, id)

    def resume(self, id: str) -> Run[T]:
        """Go on with a durable run of this flow (see `tw.resume`)."""
        from thalweg.program.run import resume

        return resume(id, self)

    def map(self, rows: Iterable[Any], *more: Iterable[Any], fail_fast: bool = False) -> list[T | Failure]:
        """Results in order; rows run side by side and their calls are batched (see `Learned.map`)."""
        session = self.own.over(current())
        names = list(self.signature.parameters)
        streams = 1 if session.mode == "python" else model_in_force(session).capabilities.streams
        ahead = session.concurrency or 2 * max(1, streams)
        return map_rows(
            self.submit, names, rows, more, fail_fast=fail_fast, session=session, title=self.name, ahead=ahead
        )

    def stream(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[Event]:
        """`Started`, then `Finished` and `Done` with the result."""
        yield Started(self.name)
        result = self(*args, **kwargs)
        yield Finished(self.name, result)
        yield Done(result)

    async def astream(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Event]:
        """`stream`, from async code."""
        async for event in _in_thread(self.stream(*args, **kwargs)):
            yield event

    def sample(self, *args: Any, n: int = 1, temperature: float = 1.0, seed: int = 0, **kwargs: Any) -> list[T]:
        """`n` runs with every learned step drawn at `temperature`. Equal seeds give equal results."""
        runs = [
            self.using(temperature=temperature, seed=seed * 1_000_003 + i).submit(*args, **kwargs) for i in range(n)
        ]
        return [run.result() for run in runs]

    def distribution(self, *args: Any, **kwargs: Any) -> dict[T, float]:
        """Not defined for flows: raises `TypeNotSupported`."""
        raise TypeNotSupported(
            f"The flow `{self.name}` is a program, whose result has no table of probabilities.",
            f"Use `{self.name}.sample(x, n=...)`, or `distribution` of one of its learned functions: {self._names()}.",
        )

    def score(self, *args: Any, **kwargs: Any) -> float:
        """Not defined for flows: raises `TypeNotSupported`."""
        raise TypeNotSupported(
            f"The flow `{self.name}` is a program, whose result has no log-probability.",
            f"Use `score` of one of its learned functions: {self._names()}.",
        )

    def render(self, *args: Any, **kwargs: Any) -> Any:
        """Not defined for flows: raises `TypeNotSupported`."""
        raise TypeNotSupported(
            f"The flow `{self.name}` has no single prompt.", f"Use `render` of its learned functions: {self._names()}."
        )

    # -- copies and parameters --------------------------------------------------------------------------------

    def using(self, **said: Any) -> Flow[P, T]:
        """A copy whose calls use other settings (see `Session`); a learned function's own settings still win."""
        return replace(self, own=settings(**said).over(self.own))

    def learned(self) -> dict[str, Learned[..., Any]]:
        """The learned functions the flow reaches through names in its code, by state path (``triage.read``). See
        `program.reached` for what is followed."""
        from thalweg.program.reached import learned_of

        found: dict[str, Learned[..., Any]] = {}
        for one in learned_of(self.function):
            if all(one.origin is not other.origin for other in found.values()):
                path = f"{self.name}.{one.name}"
                same = sum(known == path or known.startswith(f"{path}~") for known in found)
                found[f"{path}~{same + 1}" if same else path] = one  # two functions of one name
        return found

    def state(self) -> dict[str, Any]:
        """Parameters of all learned functions as a flat dict of JSON values."""
        with states.binding(self.bound):
            return states.state_of(self.learned())

    def bind(self, state: Mapping[str, Any] | Genome) -> Flow[P, T]:
        """A copy that runs with the parameters in `state`, or with the choices of a genome of its space."""
        if not isinstance(state, Mapping):
            return replace(self.bind(state.state), chosen=state)
        functions = self.learned()
        parts: dict[str, dict[str, Any]] = {}
        for key, value in state.items():
            path = key.rpartition("/")[0]
            if path not in functions:
                raise StateMismatch(f"{key!r} is no parameter of `{self.name}`.", f"It has: {', '.join(functions)}.")
            parts.setdefault(path, {})[key] = value
        bound = dict(self.bound)
        for path, part in parts.items():
            one = functions[path]
            base = bound.get(one.origin) or one.changed or one.parameters
            bound[one.origin] = states.parameters_from(path, one.signature, base, part)
        return replace(self, bound=bound)

    def save(self, path: str | Path) -> None:
        """Write the state and the genome it is bound to as readable JSON, with a version and each contract's hash."""
        with states.binding(self.bound):
            states.save(path, self.name, self.learned(), self.chosen)

    def load(self, path: str | Path, space: Space | None = None) -> Flow[P, T]:
        """A copy with the parameters and choices saved at `path`. Raises `StateMismatch` saying what changed.

        Args:
            space: what was searched, where settings were opened whose options are objects.
        """
        from thalweg.program.saved_choices import loaded

        return loaded(self, path, self.learned(), space)

    def _names(self) -> str:
        return ", ".join(f"`{one.name}`" for one in self.learned().values()) or "it has none"


def _awaited(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def _said(session: Session) -> dict[str, Any]:
    return {one.name: value for one in fields(session) if (value := getattr(session, one.name)) is not None}


@overload
def flow(function: Callable[P, T], /) -> Flow[P, T]: ...
@overload
def flow(**said: Any) -> Callable[[Callable[P, T]], Flow[P, T]]: ...
def flow(function: Callable[P, T] | None = None, /, **said: Any) -> Any:
    """Make a function a flow. Bare (``@flow``), with settings for everything inside (``@flow(seed=1)``), or with the
    highest label that its result may carry (``@flow(returns_at_most=tw.Label("wiki"))``)."""
    if function is None:
        most = said.pop("returns_at_most", None)
        own = settings(**said)
        return lambda function: _registered(Flow(function, own, returns_at_most=most))
    if not inspect.isfunction(function):
        raise TypeError(f"@flow takes a function, not {function!r}")
    from thalweg.program.compile import ir_of
    from thalweg.program.ir import NoSource

    with suppress(NoSource):  # it runs eagerly then; calling it says so
        ir_of(function)
    return _registered(Flow(function))


FLOWS: WeakValueDictionary[str, Flow[..., Any]] = WeakValueDictionary()  # by "module:qualname", for resumed runs


def _registered(made: Flow[..., Any]) -> Flow[..., Any]:
    FLOWS[f"{made.function.__module__}:{made.function.__qualname__}"] = made
    return made


def _when_all(futures: list[Future[Any]], then: Callable[[], None]) -> None:
    """Call `then` once, in the thread that settles the last of the futures."""
    left = len(futures)
    lock = threading.Lock()

    def settled(_: Future[Any]) -> None:
        nonlocal left
        with lock:
            left -= 1
            over = left == 0
        if over:
            then()

    for one in futures:
        one.add_done_callback(settled)


_waiting: dict[tuple[str, str], str] = {}  # (run, place of code that waits) -> place of what it waits for


def _before_wait(task: Task, place: tuple[Scope, Ticket]) -> None:
    """Begin the work if nobody has; refuse to wait for what waits for us."""
    scope = scope_in_force(None)
    here, awaited = scope.path, place[1].path
    path: str | None = awaited if scope.run == place[0].run else None
    for _ in range(100):
        if path is None:
            break
        if here.startswith(f"{path}/"):
            raise FlowError(
                f"{here.rstrip('/')} waits for {awaited}, which waits for {here.rstrip('/')}: neither can end.",
                "Do not hand a flow the Value of its own run.",
            )
        within = f"{path}/"
        path = next(
            (to for (run, waiting), to in list(_waiting.items()) if run == scope.run and waiting.startswith(within)),
            None,
        )
    key = (scope.run, here)
    _waiting[key] = awaited
    task.future.add_done_callback(lambda _: _waiting.pop(key, None))
    task.help()
