"""Strategies that ask more than once: a `Procedure` has `solve` where a plain strategy has `messages`.

A call of a learned function whose strategy is a procedure is one call for whoever made it: the questions that it takes
are journalled inside its place of the run ("read#0/..."), batched with everybody else's, and replayed when a run is
resumed. The procedure gets the function with its inner strategy and the inputs by name, and returns a value of the
declared type, or `Solved` to tell how it came about. Cost: that of its questions, and a thread while it works.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from thalweg.errors import DataError, TypeNotSupported, UnsupportedByBackend
from thalweg.program.compile.frame import Frame
from thalweg.program.compile.tasks import BODIES, Task
from thalweg.program.journal import Scope, Ticket, inside, scope_in_force
from thalweg.program.session import Session, store_in_force, using
from thalweg.program.signature import Signature
from thalweg.program.store import Call
from thalweg.program.strategy import Direct
from thalweg.program.types import jsonable
from thalweg.program.value import Value

if TYPE_CHECKING:
    from thalweg.program.learned import Learned


class Procedure(Protocol):
    """A strategy of several questions. Give `inner` (default: none) as the strategy of the questions themselves.

    It may also have ``distribution(ask, inputs) -> {value: probability}``, where it knows one.
    """

    @property
    def name(self) -> str: ...

    def solve(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Any:
        """A value for `inputs`. `ask` is the function, asked by the inner strategy; `derived` makes others of it."""
        ...


_KEPT = 256  # derived questions of a function


@dataclass(frozen=True)
class Solved:
    """A value and how it came about: `details` is JSON data, kept in the journal and by `Value.details`."""

    value: Any
    details: Mapping[str, Any] = field(default_factory=dict)


def run_procedure(
    function: Learned[..., Any], inputs: dict[str, Any], session: Session, want: str, ticket: Ticket | None
) -> Value[Any]:
    """One call by the session's strategy, which is a procedure. `want`: ``value`` or ``distribution``."""
    strategy = session.strategy
    work: Callable[..., Any] | None = strategy.solve if want == "value" else getattr(strategy, want, None)
    if work is None:
        raise UnsupportedByBackend(
            f"`{want}` of `{function.name}` is not known under the strategy {strategy.name!r}, which asks more than "
            "once.",
            "Take `sample` for draws, or a strategy that asks once.",
        )
    journal = session.journal is not False
    store = store_in_force(session) if journal else None
    scope = scope_in_force(store)
    ticket = ticket or scope.begin(function.name)
    # The repairs of a contract have the places right below the call.
    place = scope.child(f"{ticket.path}/{strategy.name}" if hasattr(function, "contract") else ticket.path)
    frame = _Body(place, scope.frame, ticket) if isinstance(scope.frame, Frame) else None
    inner = getattr(strategy, "inner", None) or Direct()
    names = [one.name for one in function.signature.inputs]
    given = {name: value for name, value in inputs.items() if name not in names}
    declared = {name: value for name, value in inputs.items() if name in names}
    # Labels were seen to around the call, and a model that fails is made up for by the function's body, not here.
    ask = plain_copy(function, replace(session, strategy=inner, labels=None, mode="model"), given)
    output = function.signature.output
    started = time.time()

    def run() -> Any:
        found: Any = None
        packed: Any = None
        error: BaseException | None = None
        try:
            with inside(place), using(strategy=inner):  # what it asks besides `ask` is not asked by itself again
                found = work(ask, declared)
            if not isinstance(found, Solved):
                found = Solved(found)
            if want == "value":
                try:
                    packed = output.to_json(found.value)
                except DataError as problem:
                    raise DataError(
                        f"The strategy {strategy.name!r} gave {found.value!r:.80} for `{function.name}`: "
                        f"{problem.what}",
                        "Let it return a value of the declared type.",
                    ) from None
            else:
                packed = [[jsonable(one), p] for one, p in found.value.items()]
            value.details = found.details
            return found.value
        except BaseException as problem:
            error = problem
            raise
        finally:
            if frame is not None:
                frame.close()
            if store is not None:
                call = Call(
                    scope.run, ticket.path, "strategy", function.name, None, json.dumps(jsonable(inputs)),
                    strategy.name, None if error else json.dumps(jsonable(dict(found.details))),
                    None if error else json.dumps(packed), f"{type(error).__name__}: {error}" if error else None,
                    None, session.seed, started, time.time() - started,
                )  # fmt: skip
                scope.write(store, ticket, call)

    task = Task(run)
    value: Value[Any] = Value(task.future, path=ticket.path, before_wait=task.help)
    task.start(BODIES)
    return value


def plain_copy(
    function: Learned[..., Any], session: Session, given: Mapping[str, Any] | None = None
) -> Learned[..., Any]:
    """The function without a contract, under exactly these settings, whatever is assigned to it around.

    Args:
        given: inputs beyond those of its signature, which every call of it shows (the remedies of a contract).
    """
    from thalweg.program.learned import Learned

    function.__dict__.setdefault("_derived", {})  # what is derived of one copy is known to the next
    copy = object.__new__(Learned)
    copy.__dict__.update({**function.__dict__, "own": Session(), "_pinned": session})
    if given:
        copy.__dict__.update(_prompter=function._prompter, signature=_with(function.signature, given))
    return copy


def derived(
    function: Learned[..., Any],
    name: str = "",
    *,
    instruction: str | None = None,
    output: Any = None,
    more: Mapping[str, Any] | None = None,
    demonstrations: tuple[Any, ...] | None = None,
) -> Learned[..., Any]:
    """Another question of the same inputs: for procedures, which ask for reasons, verdicts or corrections.

    Args:
        name: of the question in the journal (default: the function's). instruction: default: the function's own.
        output: the answer's type (default: the function's; then its demonstrations stay too).
        more: further inputs after its own, with their types. demonstrations: instead of those that would stay.

    Raises:
        TypeNotSupported: the output has no form; an input has a name that is taken.
    """
    import inspect

    from thalweg.program.learned import Learned
    from thalweg.program.signature import Field
    from thalweg.program.strategy import Parameters
    from thalweg.program.types import plan

    more = dict(more or {})
    old = function.signature
    if taken := [one.name for one in old.inputs if one.name in more]:
        raise TypeNotSupported(f"`{old.name}` has an input {taken[0]!r} already.", "Choose another name.")
    known: dict[Any, Any] = function.__dict__.setdefault("_derived", {})  # shared by copies of the function
    inputs, again = tuple(one.name for one in old.inputs), function._prompter.again
    # Types that print alike may differ, and literals in another order are equal: both must agree.
    types = (output, *more.values())
    key: Any = (old.name, inputs, name, types, f"{types!r}", tuple(more), again)
    try:
        found = known.get(key)
    except TypeError:  # an annotation without a hash
        key = (old.name, inputs, name, f"{types!r}", tuple(more), again)
        found = known.get(key)
    if found is None:
        fields = (*old.inputs, *(Field(one, kind) for one, kind in more.items()))
        form = old.output if output is None else plan(output, name=f"{name or old.name}() ->")
        extra = [inspect.Parameter(one, inspect.Parameter.KEYWORD_ONLY) for one in more]
        own = list(old.parameters.parameters.values())
        signature = Signature(
            name or old.name, fields, form, old.instruction, old.parameters.replace(parameters=[*own, *extra])
        )
        if len(known) >= _KEPT:  # types made for one question each
            known.pop(next(iter(known)), None)
        found = known[key] = (signature, function._prompter.of(signature), object(), {})
    signature, prompter, origin, inner = found
    if isinstance(old, _Wider):
        signature = _with(signature, old.given)
    parameters = function.parameters
    if demonstrations is None:
        demonstrations = parameters.demonstrations if output is None and not more else ()
    said = parameters.instruction if instruction is None else instruction
    copy = object.__new__(Learned)
    kept = {one: value for one, value in function.__dict__.items() if one not in ("_first", "_optional")}
    copy.__dict__.update(
        kept,
        signature=signature, _prompter=prompter, origin=origin, _derived=inner,
        changed=_same(prompter, Parameters(said, tuple(demonstrations), parameters.adapter)),
    )  # fmt: skip
    return copy


def _same(prompter: Any, parameters: Any) -> Any:
    """An equal earlier object, so that templates made for it are found again."""
    known: list[Any] = prompter.__dict__.setdefault("_parameters", [])
    with contextlib.suppress(Exception):  # values without a usable equality
        for one in known:
            if one == parameters:
                return one
    known.append(parameters)
    del known[:-8]
    return parameters


@dataclass(frozen=True)
class _Wider(Signature):
    """A signature whose calls show more than they are given."""

    given: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        return {**super().bind(args, kwargs), **self.given}


def _with(signature: Signature, given: Mapping[str, Any]) -> Signature:
    return _Wider(
        signature.name, signature.inputs, signature.output, signature.instruction, signature.parameters, given
    )


class _Body(Frame):
    """The frame of a strategy at work in a compiled flow: what it asks is undone with the call that it works for."""

    def __init__(self, scope: Scope, parent: Frame, ticket: Ticket) -> None:
        super().__init__(scope, parent, ticket.position)
        self.ticket = ticket
        self.written = _Passed(self, parent)
        parent.inner.add(self)

    def _speculative(self) -> bool:
        return bool(self.open) or (self.ticket.tracked and super()._speculative())

    def _is_abandoned(self) -> bool:
        return self.ticket.abandoned or super()._is_abandoned()


class _Passed(list[Any]):
    """Passes what was journalled on to the frame around, at the place of the call."""

    def __init__(self, body: _Body, frame: Frame) -> None:
        super().__init__()
        self._body = body
        self._frame = frame

    def append(self, one: Any) -> None:
        self._frame.scope.store = self._body.scope.store
        self._frame.written.append((self._body.position, one[1]))

    def __iadd__(self, several: Any) -> _Passed:  # type: ignore[override]
        for one in several:
            self.append(one)
        return self
