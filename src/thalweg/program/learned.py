"""`Learned`: a Python function whose body is learned - a conditional distribution p(value | inputs, instruction, type).

`@learned` reads the contract from the function's types and docstring. Calling it draws a value of the declared type
from the model in force; every other verb looks at the same distribution. Settings and parameters are frozen data:
`using` and `bind` return copies.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import itertools
import json
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from thalweg.errors import ContextOverflow, ModelError, TypeNotSupported, UnsupportedByBackend
from thalweg.models.request import Answer, Format, Request, Sampling
from thalweg.program import state as states
from thalweg.program.assignments import settings_of
from thalweg.program.events import Done, Event, Finished, Partial, Started, Token, partial_value
from thalweg.program.hints import hint_in_force, hinted
from thalweg.program.journal import Ticket, scope_in_force, submit_call
from thalweg.program.labels.labelled import has_labelled
from thalweg.program.mapping import Planned, map_rows
from thalweg.program.prompt import Prompter, Rendered
from thalweg.program.session import (
    Session,
    current,
    decoder_in_force,
    model_in_force,
    schedule_in_force,
    settings,
    store_in_force,
)
from thalweg.program.signature import Signature, has_body, row_inputs
from thalweg.program.strategy import Demonstration, Direct, Parameters, is_procedure
from thalweg.program.types import jsonable
from thalweg.program.value import Failure, Value

if TYPE_CHECKING:
    from thalweg.program.spaces import Genome, Space

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Learned(Generic[P, T]):
    """A learned function. Made by `@learned`, copied by `using` and `bind`."""

    function: Callable[P, T]
    own: Session = Session()
    changed: Parameters | None = None
    origin: object = None  # what this function is, however it was copied
    chosen: Genome | None = field(default=None, kw_only=True)  # that it is bound to

    def __post_init__(self) -> None:
        if self.origin is None:
            object.__setattr__(self, "origin", object())
        for name in functools.WRAPPER_ASSIGNMENTS:
            if hasattr(self.function, name):
                object.__setattr__(self, name, getattr(self.function, name))
        object.__setattr__(self, "__wrapped__", self.function)
        # Types are compiled now where they can be, so that a mistake shows where it is made.
        try:
            self.signature  # noqa: B018
        except TypeNotSupported as error:
            if "names something undefined" not in error.what:
                raise

    # -- what it is -------------------------------------------------------------------------------------------

    @functools.cached_property
    def signature(self) -> Signature:
        return Signature.of(self.function)

    @property
    def name(self) -> str:
        return self.signature.name

    @property
    def parameters(self) -> Parameters:
        """The parameters in force: bound by a running flow, else this function's own."""
        return states.bound_parameters(self.origin) or self.changed or self._first

    @functools.cached_property
    def _first(self) -> Parameters:
        return Parameters(self.signature.instruction)

    @functools.cached_property
    def _prompter(self) -> Prompter:
        return Prompter(self.signature)

    # -- the verbs --------------------------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """A value: the most likely one under the decoder in force (greedy unless told otherwise)."""
        return self.submit(*args, **kwargs).result()

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Value[T]:
        """Start the call and go on; the `Value` is awaitable and has `.result(timeout)`."""
        return self.submit_at(None, args, kwargs)

    def submit_at(self, ticket: Ticket | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value[T]:
        """`submit` at a place in the run that was taken before (None: the next one)."""
        inputs = self.signature.bind(args, kwargs)
        session = self._session()
        if ticket is None and (session.labels is not None or has_labelled(list(inputs.values()))):
            from thalweg.program.interpret.watch import WATCH

            if WATCH.get() is None:  # not inside a labelled run, which has dealt with the labels
                return self._propagated(inputs, session)
        return self._ask(inputs, session, ticket)

    def _ask(
        self, inputs: dict[str, Any], session: Session, ticket: Ticket | None = None, *, given: bool = True
    ) -> Value[T]:
        """One call on bound inputs without labels, by the model or by the function's own body.

        Args:
            given: ask for what the function requires of its inputs (see `Contracted`).
        """
        if session.mode == "python":
            return self._run_body(inputs)
        try:
            value: Value[T] = self._submit(inputs, session, ticket=ticket)
        except ModelError:
            if session.mode == "fallback":
                return self._run_body(inputs)
            raise
        return self._or_body(value, inputs) if session.mode == "fallback" else value

    def _propagated(self, inputs: dict[str, Any], session: Session) -> Value[T]:
        """One call outside of flows with labels: the session's propagator makes the value, and its label."""
        from thalweg.program.compile.tasks import BODIES, Task
        from thalweg.program.labels import Conservative, unlabel

        bare, labels = unlabel(inputs)
        propagator = session.labels or Conservative()

        def run() -> T:
            found = propagator.propagate(self, bare, labels, session)
            value.label = found.label
            return found.value

        task = Task(run)
        value: Value[T] = Value(task.future, path=self.name, before_wait=task.help)
        task.start(BODIES)
        return value

    def _require(self, inputs: Mapping[str, Any]) -> None:
        """Raises what the function requires of its inputs before it is called; nothing here (see `Contracted`)."""

    def _refused(self, inputs: Mapping[str, Any], value: Any) -> str:
        """Why a value may not be the function's, "" where it may; anything of the type may here."""
        return ""

    async def acall(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The value, from async code."""
        return await self.submit(*args, **kwargs)

    def map(self, rows: Iterable[Any], *more: Iterable[Any], fail_fast: bool = False) -> list[T | Failure]:
        """Results in order for many rows, batched as one workload.

        A row is a dict of inputs by name, a tuple by position, or the only input; several iterables are zipped. A
        failing row becomes a `Failure` (false in a condition) unless `fail_fast`.
        """
        names = [field.name for field in self.signature.inputs]
        session = self._session()
        return map_rows(
            self.submit, names, rows, more, fail_fast=fail_fast, session=session, title=self.name,
            planned=self._planned(session),
        )  # fmt: skip

    def _planned(self, session: Session) -> Planned | None:
        """How the rows of a `map` are ordered; None where their order cannot matter, or must be theirs."""
        from thalweg.program.row_order import WINDOW, plannable, row_order

        model = None if session.mode == "python" else model_in_force(session)
        if model is None or session.labels is not None or not plannable(model, schedule_in_force(session, model)):
            return None
        scope = scope_in_force(store_in_force(session) if session.journal is not False else None)
        if scope.frame is not None or scope.recording is not None:  # its calls have places that depend on the order
            return None
        ranks = itertools.count()

        def plan(rows: list[tuple[Any, Any]]) -> tuple[Sequence[int], list[Callable[..., Value[Any]]]]:
            bound: list[Mapping[str, Any] | None] = []
            for args, kwargs in rows:
                try:
                    bound.append(self.signature.bind(args, kwargs))
                except Exception:  # said again, with its row, when the row is submitted
                    bound.append(None)
            order = row_order(self, bound, session, model)
            known = set(order)
            order += [index for index in range(len(rows)) if index not in known]

            rank = {index: next(ranks) for index in order}

            def at(index: int, ticket: Ticket) -> Callable[..., Value[Any]]:
                def place(*args: Any, **kwargs: Any) -> Value[Any]:
                    with hinted(rank=rank[index]):
                        return self.submit_at(ticket, args, kwargs)

                return place

            return order, [at(index, scope.begin(self.name)) for index in range(len(rows))]

        return Planned(WINDOW, plan)

    def stream(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[Event]:
        """Typed events while the value is written: `Started`, `Token`, `Partial`, `Finished`, `Done`."""
        events: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
        inputs = self.signature.bind(args, kwargs)
        session = self._session()
        kind = self.signature.output.format.kind
        told = ""
        path = self.name
        if is_procedure(session.strategy):  # it asks more than once: nothing that it reads on the way is the answer
            yield Started(path)
            value = self.submit(*args, **kwargs).result()
            yield Finished(path, value)
            yield Done(value)
            return

        def observe(text: str) -> None:
            nonlocal told
            if len(text) == len(told):
                return
            events.put(Token(path, text[len(told) :]))
            told = text
            if (partial := partial_value(text, kind)) is not None:
                events.put(Partial(path, partial))

        def finished(future: Future[T]) -> None:
            error = future.exception()
            if error is not None:
                events.put(error)
            else:
                events.put(Finished(path, future.result()))
                events.put(Done(future.result()))

        yield Started(path)
        if session.mode == "python":
            self._run_body(inputs).add_done_callback(finished)
        else:
            self._submit(inputs, session, observe=observe).add_done_callback(finished)
        while True:
            event = events.get()
            if isinstance(event, BaseException):
                raise event
            yield event
            if isinstance(event, Done):
                return

    async def astream(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Event]:
        """`stream`, from async code."""
        async for event in _in_thread(self.stream(*args, **kwargs)):
            yield event

    def sample(self, *args: Any, n: int = 1, temperature: float = 1.0, seed: int = 0, **kwargs: Any) -> list[T]:
        """`n` independent draws from the constrained distribution. Equal seeds give equal draws."""
        inputs = self.signature.bind(args, kwargs)
        drawn = [
            self._submit(inputs, settings(temperature=temperature, seed=seed * 1_000_003 + i).over(self._session()))
            for i in range(n)
        ]
        return [value.result() for value in drawn]

    def distribution(self, *args: P.args, **kwargs: P.kwargs) -> dict[T, float]:
        """Probability of every value of a finite type; they sum to 1. The law that `sample` draws from.

        Raises `TypeNotSupported` for types with infinitely (or more than 512) many values.
        """
        value: Value[dict[T, float]] = self.submit_distribution(*args, **kwargs)
        return value.result()

    distribution.__thalweg_submit__ = "_distribution_at"  # type: ignore[attr-defined]

    def submit_distribution(self, *args: P.args, **kwargs: P.kwargs) -> Value[dict[T, float]]:
        """`distribution`, started without waiting."""
        return self._distribution_at(None, args, kwargs)

    def _distribution_at(
        self, ticket: Ticket | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Value[dict[T, float]]:
        output = self.signature.output
        values = output.values()
        if values is None or output.format.kind != "choices":
            raise TypeNotSupported(
                f"`{self.name}` returns one of infinitely many values, which have no table of probabilities.",
                "Use `sample` for draws or `score` for the probability of one value.",
            )

        def decode(answer: Answer) -> tuple[dict[Any, float], Any]:
            found = list(zip(values, answer.probabilities, strict=True))
            table = [[output.to_json(value), p] for value, p in found]
            try:
                made: dict[Any, float] = dict(found)
            except TypeError:  # unhashable values: their texts stand for them
                made = {}
            if len(made) < len(found):  # so too where Python takes several for one, as 1 and True
                made = dict(zip(output.format.choices, answer.probabilities, strict=True))
            return made, table

        inputs = self.signature.bind(args, kwargs)
        return self._submit(inputs, self._session(), want="distribution", decode=decode, ticket=ticket)

    def score(self, *args: Any, value: Any = ..., **kwargs: Any) -> float:
        """Natural log-probability of a given value: ``f.score(x, value)`` or ``f.score(x, value=value)``."""
        if value is ...:
            if len(args) + len(kwargs) <= len(self.signature.parameters.parameters) - self._optional:
                raise TypeError(f"{self.name}.score() misses the value: write {self.name}.score(inputs, value=...)")
            *args_, value = args
            args = tuple(args_)
        text = self.signature.output.encode(value)
        inputs = self.signature.bind(args, kwargs)

        def decode(answer: Answer) -> tuple[float, float]:
            return answer.logprob, answer.logprob

        return self._submit(inputs, self._session(), want="score", target=text, decode=decode).result()

    def request(self, *args: P.args, **kwargs: P.kwargs) -> Request:
        """The `Request` a call would make of the model in force. Calls nothing."""
        session = self._session()
        return self._request(self.signature.bind(args, kwargs), session, model_in_force(session))

    def render(self, *args: P.args, **kwargs: P.kwargs) -> Rendered:
        """Exactly what the model would see: text, tokens, constraint. Calls nothing."""
        return Rendered.of(self.request(*args, **kwargs), model_in_force(self._session()))

    # -- copies and parameters --------------------------------------------------------------------------------

    def using(self, **said: Any) -> Learned[P, T]:
        """A copy with other settings (see `Session`)."""
        return self._copy(own=settings(**said).over(self.own))

    def bind(self, state: Mapping[str, Any] | Genome) -> Learned[P, T]:
        """A copy with parameters replaced from a state: ``{"read/instruction": "...", ...}``, or with the choices of a
        genome of its space: parameters, and settings such as the strategy."""
        if not isinstance(state, Mapping):
            from thalweg.program.spaces import assignment

            said = assignment(state.values, state.space).settings.get(self.origin, {})
            made = self.bind(state.state).using(**said) if said else self.bind(state.state)
            return made._copy(chosen=state)
        return self._copy(changed=states.parameters_from(self.name, self.signature, self.parameters, state))

    def with_instruction(self, instruction: str) -> Learned[P, T]:
        return self._copy(changed=replace(self.parameters, instruction=instruction))

    def with_demonstrations(self, *demonstrations: tuple[Any, Any] | Demonstration) -> Learned[P, T]:
        """A copy with worked examples: pairs of (inputs, output), inputs as `map` takes a row."""
        made = []
        names = [field.name for field in self.signature.inputs]
        for index, one in enumerate(demonstrations):
            if isinstance(one, Demonstration):
                made.append(one)
                continue
            row, output = one
            args, kwargs = row_inputs(names, row, index)
            self.signature.output.encode(output)  # a wrong example fails here, not in the middle of a run
            made.append(Demonstration(self.signature.bind(args, kwargs), output))
        return self._copy(changed=replace(self.parameters, demonstrations=tuple(made)))

    def state(self) -> dict[str, Any]:
        """Parameters as a flat dict of JSON values."""
        return states.state_of({self.name: self})

    def save(self, path: str | Path) -> None:
        """Write the state and the genome it is bound to as readable JSON, with a version and the contract's hash."""
        states.save(path, self.name, {self.name: self}, self.chosen)

    def load(self, path: str | Path, space: Space | None = None) -> Learned[P, T]:
        """A copy with the parameters and choices saved at `path`. Raises `StateMismatch` saying what changed.

        Args:
            space: what was searched, where settings were opened whose options are objects.
        """
        from thalweg.program.saved_choices import loaded

        return loaded(self, path, {self.name: self}, space)

    @functools.cached_property
    def _optional(self) -> int:
        parameters = self.signature.parameters.parameters.values()
        return sum(parameter.default is not parameter.empty for parameter in parameters)

    def _copy(self, **changes: Any) -> Learned[P, T]:
        copy = object.__new__(type(self))  # not through __init__: what was worked out of the function stays
        copy.__dict__.update(self.__dict__ | changes)
        return copy

    # -- one call ---------------------------------------------------------------------------------------------

    def _session(self) -> Session:
        pinned = self.__dict__.get("_pinned")  # a procedure asks: exactly these settings
        if pinned is not None:
            return self.own.over(pinned)
        session = current()
        if self.own is not _NOTHING:
            session = self.own.over(session)
        if assigned := settings_of(self.origin):  # choices left open in its settings
            session = settings(**assigned).over(session)
        return session

    def _submit(
        self,
        inputs: dict[str, Any],
        session: Session,
        *,
        want: Any = "value",
        target: str = "",
        decode: Callable[[Answer], tuple[Any, Any]] | None = None,
        observe: Callable[[str], None] | None = None,
        ticket: Ticket | None = None,
    ) -> Value[Any]:
        if is_procedure(session.strategy):
            from thalweg.program.procedure import run_procedure

            return run_procedure(self, inputs, session, want, ticket)
        model = model_in_force(session)
        if want != "value" and model.capabilities.logits == "none" and "recorded" not in model.name:
            raise UnsupportedByBackend(
                f"{model.name} returns no probabilities, which `{want}` of `{self.name}` needs.",
                "Use a local model, or `sample`.",
            )
        if (sampler := session.sampler or "masked") != "masked":
            self._check_sampler(sampler, model, want)
        request = self._request(inputs, session, model, want, target)
        if ticket is not None and ticket.objective is not None:
            request = replace(request, hint=ticket.objective(request.hint))
        return submit_call(
            self.name,
            request,
            model,
            session,
            inputs=lambda: json.dumps(jsonable(inputs)),
            decode=decode or self._decode,
            observe=observe,
            ticket=ticket,
        )

    def _check_sampler(self, sampler: str, model: Any, want: str) -> None:
        if want != "value":
            raise UnsupportedByBackend(
                f"`{want}` of `{self.name}` looks at the masked distribution, and the sampler in force is {sampler!r}.",
                'Use sampler="masked" for it, or draw samples.',
            )
        if model.capabilities.logits != "full":
            raise UnsupportedByBackend(
                f"sampler={sampler!r} of `{self.name}` needs logits over the whole vocabulary, which {model.name} does "
                "not give.",
                'Use a local model, or sampler="masked".',
            )

    def __thalweg_begin__(self, frame: Any, args: tuple[Any, ...], kwargs: dict[str, Any], line: int) -> Any:
        """A call by compiled code: issued at once."""
        return frame.issue(self.name, self.submit_at, args, kwargs, line)

    def _decode(self, answer: Answer) -> tuple[Any, Any]:
        output = self.signature.output
        value = output.decode(answer.text)
        return value, output.to_json(value)

    def _request(
        self, inputs: dict[str, Any], session: Session, model: Any, want: Any = "value", target: str = ""
    ) -> Request:
        format: Format = self.signature.output.format
        sampling = Sampling(
            session.temperature or 0.0,
            1.0 if session.top_p is None else session.top_p,
            session.top_k or 0,
            session.seed or 0,
            session.max_tokens or 512,
            session.sampler or "masked",
        )
        strategy = session.strategy or _DIRECT
        if is_procedure(strategy):
            raise UnsupportedByBackend(
                f"`{self.name}` is asked by the strategy {strategy.name!r}, which has no single prompt.",
                "Look at the calls of a run with `thalweg inspect`, or render the function with another strategy.",
            )
        parameters = self.parameters
        messages, prefix, suffix = self._prompter.prompt(strategy, parameters, inputs, model)
        reserve = self._prompter.reserve(model)
        request = Request(
            messages, format, sampling, prefix, suffix, want, target, reserve,
            decoder_in_force(session, model), session.lossless or "exact", hint=hint_in_force(session.objective),
        )  # fmt: skip
        if session.overflow == "truncate":
            request = self._truncated(request, strategy, parameters, inputs, model)
        return request

    def _truncated(
        self, request: Request, strategy: Any, parameters: Parameters, inputs: Mapping[str, Any], model: Any
    ) -> Request:
        limit = model.capabilities.context
        if not limit or not hasattr(model, "prompt_tokens"):
            return request
        room = limit - min(request.sampling.max_tokens, 256) - 8
        while (excess := len(model.prompt_tokens(request)) - room) > 0:
            texts = {name: value for name, value in inputs.items() if isinstance(value, str)}
            longest = max(texts, key=lambda name: len(texts[name]), default=None)
            if longest is None or not texts[longest]:
                raise ContextOverflow(
                    f"The prompt of `{self.name}` has {excess} tokens too many, and no text input is left to cut.",
                    "Shorten the instruction or the demonstrations, or load the model with a larger `context`.",
                )
            text = texts[longest]
            share = len(text) / max(1, len(model.tokenizer.encode(text)))
            inputs = {**inputs, longest: text[: max(0, len(text) - max(1, int(excess * share)))]}
            messages, prefix, suffix = self._prompter.prompt(strategy, parameters, dict(inputs), model)
            request = replace(request, messages=messages, prefix=prefix, suffix=suffix)
        return request

    def _run_body(self, inputs: dict[str, Any]) -> Value[T]:
        future: Future[T] = Future()
        try:
            if not has_body(self.function):
                raise TypeNotSupported(f"`{self.name}` has no Python body to run.", 'Write one, or use mode="model".')
            future.set_result(self.function(**inputs))  # type: ignore[call-arg]
        except Exception as error:
            future.set_exception(error)
        return Value(future, path=self.name)

    def _or_body(self, value: Value[T], inputs: dict[str, Any]) -> Value[T]:
        future: Future[T] = Future()
        context = contextvars.copy_context()

        def settle(source: Value[T]) -> None:
            error = source.exception()
            future.set_exception(error) if error else future.set_result(source.result())

        def finished(inner: Future[T]) -> None:
            if isinstance(inner.exception(), ModelError):
                # Not on the engine's thread: the body may call learned functions and wait for them.
                body = threading.Thread(
                    target=lambda: settle(context.run(self._run_body, inputs)), name=f"body {self.name}", daemon=True
                )
                body.start()
            else:
                settle(value)

        value.add_done_callback(finished)
        return Value(future, path=value.path)


_DIRECT = Direct()
_NOTHING = Session()


@overload
def learned(function: Callable[P, T], /) -> Learned[P, T]: ...
@overload
def learned(**said: Any) -> Callable[[Callable[P, T]], Learned[P, T]]: ...
def learned(function: Callable[P, T] | None = None, /, **said: Any) -> Any:
    """Make a function learned. Bare (``@learned``), with settings (``@learned(temperature=0.7)``), or with a contract
    (``@learned(require=..., ensure=..., repair=3)``, see `contracted`).

    Example:
        >>> @learned
        ... def urgent(mail: str) -> bool:
        ...     \"\"\"Does this mail need an answer today?\"\"\"
    """
    if function is None:
        terms = {name: said.pop(name) for name in ("require", "ensure", "repair") if name in said}
        own = settings(**said)
        if terms:
            from thalweg.program.contract import contracted  # a contract is made of learned functions

            return lambda function: contracted(function, own=own, **terms)
        return lambda function: Learned(function, own)
    if not inspect.isfunction(function):
        raise TypeError(f"@learned takes a function, not {function!r}")
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"`{function.__name__}` is async; write it as a plain function and call it with `acall`")
    return Learned(function, _NOTHING)


async def _in_thread(events: Iterator[Event]) -> AsyncIterator[Event]:
    """Drive a blocking iterator from async code without blocking the loop."""
    import asyncio

    end = object()
    while (event := await asyncio.to_thread(next, events, end)) is not end:
        yield event  # type: ignore[misc]


__all__ = ["Learned", "learned"]
