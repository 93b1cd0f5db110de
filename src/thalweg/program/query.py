"""`Query`: a prompt written as a Python function, with holes that the model fills under declared constraints.

Choose it where the prompt itself is a program: reasoning steps, tools between them, parts that depend on earlier ones.
Each hole is one call on a growing trace, so that what was read is not read again; where constraints leave no choice
nothing is asked. Tables of queries run side by side and batch together. A typed value alone is simpler as `learned`.
Source: Beurer-Kellner, Fischer and Vechev 2023, "Prompting Is Programming: A Query Language for Large Language Models".
Cost: one call a hole; finished holes are in the journal like any learned call.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, overload

from thalweg.errors import BudgetExceeded, TypeNotSupported
from thalweg.program.compile import BODIES, Task
from thalweg.program.journal import Scope, Ticket, inside, scope_in_force
from thalweg.program.mapping import map_rows
from thalweg.program.session import Session, current, model_in_force, settings, store_in_force
from thalweg.program.store import Call
from thalweg.program.types import jsonable
from thalweg.program.value import Failure, Value

if TYPE_CHECKING:
    from thalweg.program.query_trace import Trace

P = ParamSpec("P")
T = TypeVar("T")
Decoder = Literal["argmax", "sample"]

MOST_HOLES = 64  # of one query, unless it says otherwise
_NOTHING = Session()


@dataclass(frozen=True)
class QueryUsage:
    """What a query cost.

    Args:
        model_calls: steps in which the model chose a token; forced ones need none.
        decoder_calls: holes that were asked for, with attempts that led into dead ends.
        billable_tokens: tokens of the trace, read or written, each once (a model without a cache of prompts bills each
            call's prompt anew).
        computed_tokens: tokens the model computed here; the cache may have held more of the trace, or have lost some.
        forced_tokens: tokens written without asking the model.
    """

    model_calls: int = 0
    decoder_calls: int = 0
    billable_tokens: int = 0
    computed_tokens: int = 0
    forced_tokens: int = 0


@dataclass(frozen=True)
class QueryResult(Generic[T]):
    """What came of a query.

    Args:
        text: the whole trace.
        vars: the last text of every hole.
        value: what the function returned.
        usage: what it cost.
        distributions: probabilities of finite holes that were asked for.
    """

    text: str
    vars: dict[str, str]
    value: T
    usage: QueryUsage
    distributions: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Query(Generic[P, T]):
    """A query. Made by `@query`, copied by `using`."""

    function: Callable[Concatenate[Trace, P], T]
    decoder: Decoder = "argmax"
    max_holes: int = MOST_HOLES
    own: Session = _NOTHING

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
        """Of the inputs, without the trace."""
        whole = inspect.signature(self.function)
        return whole.replace(parameters=list(whole.parameters.values())[1:])

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> QueryResult[T]:
        """Run the query."""
        return self._run(self._place(), args, kwargs)

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Value[QueryResult[T]]:
        """Run the query in a thread of its own and go on; the `Value` is awaitable."""
        place = self._place()
        task = Task(lambda: self._run(place, args, kwargs))
        value: Value[QueryResult[T]] = Value(task.future, path=place[1].path, before_wait=task.help)
        task.start(BODIES)
        return value

    async def acall(self, *args: P.args, **kwargs: P.kwargs) -> QueryResult[T]:
        """The result, from async code."""
        return await self.submit(*args, **kwargs)

    def map(self, rows: Iterable[Any], *more: Iterable[Any], fail_fast: bool = False) -> list[QueryResult[T] | Failure]:
        """Results in order; rows run side by side and their holes are batched (see `Learned.map`)."""
        session = self._session()
        ahead = session.concurrency or 2 * max(1, model_in_force(session).capabilities.streams)
        return map_rows(
            self.submit, list(self.signature.parameters), rows, more, fail_fast=fail_fast, session=session,
            title=self.name, ahead=ahead,
        )  # fmt: skip

    def sample(
        self, *args: Any, n: int = 1, temperature: float = 1.0, seed: int = 0, **kwargs: Any
    ) -> list[QueryResult[T]]:
        """`n` runs side by side with every hole drawn at `temperature`. Equal seeds give equal results."""
        drawing = replace(self, decoder="sample")
        runs = [
            drawing.using(temperature=temperature, seed=seed * 1_000_003 + i).submit(*args, **kwargs) for i in range(n)
        ]
        return [run.result() for run in runs]

    def using(self, **said: Any) -> Query[P, T]:
        """A copy with other settings (see `Session`)."""
        return replace(self, own=settings(**said).over(self.own))

    # -- one run ----------------------------------------------------------------------------------------------------

    def _session(self) -> Session:
        return self.own.over(current()) if self.own is not _NOTHING else current()

    def _place(self) -> tuple[Scope, Ticket]:
        session = self._session()
        scope = scope_in_force(store_in_force(session) if session.journal is not False else None)
        return scope, scope.begin(self.name)

    def _run(self, place: tuple[Scope, Ticket], args: tuple[Any, ...], kwargs: dict[str, Any]) -> QueryResult[T]:
        from thalweg.program.query_trace import Trace

        scope, ticket = place
        session = self._session()
        store = store_in_force(session) if session.journal is not False else None
        started, error, result = time.time(), None, None
        temperature = 0.0 if self.decoder == "argmax" else session.temperature or 1.0
        trace = Trace(self.name, session, temperature, self.max_holes)
        try:
            with inside(scope.child(ticket.path, self.function)):
                value = self.function(trace, *args, **kwargs)
            result = QueryResult(trace.text, dict(trace.vars), value, trace.usage, dict(trace.distributions))
            return result
        except BaseException as problem:
            error = problem
            raise
        finally:
            if store is not None:
                told = None if result is None else {"text": result.text, "vars": result.vars, "value": result.value}
                call = Call(
                    scope.run, ticket.path, "flow", self.name, None,
                    json.dumps(jsonable({"args": list(args), **kwargs})), None, None,
                    None if error else json.dumps(jsonable(told)),
                    f"{type(error).__name__}: {error}" if error else None,
                    None, None, started, time.time() - started,
                )  # fmt: skip
                scope.write(store, ticket, call, error=error)


@overload
def query(function: Callable[Concatenate[Trace, P], T], /) -> Query[P, T]: ...
@overload
def query(
    *, decoder: Decoder = "argmax", max_holes: int = MOST_HOLES, **said: Any
) -> Callable[[Callable[Concatenate[Trace, P], T]], Query[P, T]]: ...
def query(
    function: Callable[..., Any] | None = None, /, *, decoder: Any = "argmax", max_holes: int = MOST_HOLES, **said: Any
) -> Any:
    """Make a query of a function whose first argument is the trace to write on.

    Args:
        decoder: ``argmax`` takes the most likely token everywhere, ``sample`` draws (at temperature 1.0 unless told
            otherwise; `sample(n=...)` draws several).
        max_holes: how many holes a run may fill before it is stopped as endless.
        said: settings (see `Session`).

    Example:
        >>> @query
        ... def capital(q, country: str):
        ...     return q(f"The capital of {country} is [CITY]", where=stops_before("CITY", "."))["CITY"]
    """
    if decoder not in ("argmax", "sample"):
        raise TypeNotSupported(
            f"decoder={decoder!r} is none a query has.", 'Choose "argmax" or "sample"; see `Query.sample` for several.'
        )
    own = settings(**said)
    if function is None:
        return lambda function: Query(function, decoder, max_holes, own)
    if not inspect.isfunction(function):
        raise TypeError(f"@query takes a function, not {function!r}")
    return Query(function, decoder, max_holes, own)


def hole_seed(seed: int, hole: int) -> int:
    """A seed for each hole of a run: draws in different holes must not share their random numbers."""
    digest = hashlib.blake2b(f"{seed}:{hole}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def too_many_holes(name: str, most: int) -> BudgetExceeded:
    return BudgetExceeded(
        f"`{name}` filled {most} holes and asks for more: its loop may be endless.",
        "Let it end, or declare @tw.query(max_holes=...).",
    )
