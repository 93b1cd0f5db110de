"""Contracts of learned functions: what must hold of inputs (`require`) and of outputs (`ensure`), and `repair` tries.

Choose it where a wrong answer can be told from a right one by code: sums, ranges, references, a schema of your own, a
solver. A refused output is asked for again with a remedy - the refused answer and what is wrong with it, as one more
input, so that the prompt's shared prefix stays; then the function's own Python body answers, if it has one; then
`ContractViolation`. What comes back always satisfies the contract. Sources: Meyer 1992, "Applying design by contract";
Dinu et al. 2024, "SymbolicAI". Cost: a task in a thread a call (about 50 microseconds), and one call a repair.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, ParamSpec, TypeVar

from thalweg.errors import ContractViolation, DataError, ModelError, UnsatisfiableConstraint
from thalweg.models.request import Answer
from thalweg.program.compile.tasks import Pool, Task
from thalweg.program.condition import Condition
from thalweg.program.events import Done, Event, Finished, Started
from thalweg.program.journal import Scope, Ticket, inside, scope_in_force
from thalweg.program.learned import Learned
from thalweg.program.session import Session, settings, store_in_force
from thalweg.program.signature import has_body
from thalweg.program.types import render_value
from thalweg.program.value import Value

P = ParamSpec("P")
T = TypeVar("T")
Conditions = Callable[..., Any] | type | Sequence[Callable[..., Any] | type]

REFUSED, BECAUSE = "refused answer", "what is wrong with it"  # the inputs that a remedy adds
_STIR = 0.7  # temperature once a greedy answer comes back that was refused before
_CHECKS = Pool("thalweg contract", 64)  # conditions may be slow or call learned functions: never on an engine's thread


@dataclass(frozen=True)
class Statistics:
    """What came of the calls of a contract, from the start of the process.

    Args:
        calls: made. refused: inputs that broke `require`. violations: answers that broke `ensure`.
        repaired: calls kept after a violation. fell_back: answered by the Python body. failed: ended in an error.
    """

    calls: int = 0
    refused: int = 0
    violations: int = 0
    repaired: int = 0
    fell_back: int = 0
    failed: int = 0


@dataclass(frozen=True, eq=False)
class Contract:
    """Conditions and the number of remedy tries; counts what comes of its calls."""

    require: tuple[Condition, ...] = ()
    ensure: tuple[Condition, ...] = ()
    repair: int = 0
    _counts: Counter[str] = field(default_factory=Counter, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    @property
    def statistics(self) -> Statistics:
        with self._lock:
            return Statistics(**self._counts)

    def count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    def broken(self, inputs: Mapping[str, Any], output: Any) -> list[tuple[str, str]]:
        """(condition, what is wrong) for everything the output breaks."""
        found = ((one.name, one.problem(inputs, output)) for one in self.ensure)
        return [(name, problem) for name, problem in found if problem]


@dataclass(frozen=True, eq=False)
class Contracted(Learned[P, T]):
    """A learned function under a contract. Made by ``@learned(require=..., ensure=..., repair=n)`` or `contracted`.

    Every verb that gives values keeps the contract; `distribution`, `score` and `render` look at the first try. A
    repair is an ordinary call of the function, journalled inside the place of the first try ("read#0/read#0").
    """

    contract: Contract = field(default_factory=Contract)

    def _ask(
        self, inputs: dict[str, Any], session: Session, ticket: Ticket | None = None, *, given: bool = True
    ) -> Value[T]:
        """`Learned._ask`, kept; `given` false: what it requires of its inputs was seen to already."""
        scope = scope_in_force(store_in_force(session) if session.journal is not False else None)
        ticket = ticket or scope.begin(self.name)
        self.contract.count("calls")
        if given:
            self._require(inputs, ticket.path)
        attempt = _Attempt(self, inputs, session, ticket, ticket.path, scope.child(ticket.path))
        first = attempt.first()
        task = Task(lambda: attempt.keep(first.result()), (first._future,))
        task.start(_CHECKS)
        return Value(task.future, path=ticket.path, before_wait=task.help)

    def _require(self, inputs: Mapping[str, Any], path: str = "") -> None:
        for condition in self.contract.require:
            if problem := condition.problem(inputs):
                self.contract.count("refused")
                where = f" at {path}" if path else ""
                raise ContractViolation(
                    f"`{self.name}` was called{where} with inputs that break its contract: {problem}.",
                    "Check the inputs before the call.", condition=condition.name, kind="require", path=path,
                )  # fmt: skip

    def _refused(self, inputs: Mapping[str, Any], value: Any) -> str:
        return "; ".join(problem for _, problem in self.contract.broken(inputs, value))

    def stream(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[Event]:
        """`Started`, then `Finished` and `Done`: text that may be refused is not shown."""
        yield Started(self.name)
        value = self(*args, **kwargs)
        yield Finished(self.name, value)
        yield Done(value)

    def sample(self, *args: Any, n: int = 1, temperature: float = 1.0, seed: int = 0, **kwargs: Any) -> list[T]:
        """`n` independent draws, each under the contract. Equal seeds give equal draws."""
        drawn = [
            self.using(temperature=temperature, seed=seed * 1_000_003 + i).submit(*args, **kwargs) for i in range(n)
        ]
        return [value.result() for value in drawn]


def contracted(
    function: Learned[P, T] | Callable[P, T],
    *,
    require: Conditions = (),
    ensure: Conditions = (),
    repair: int = 0,
    own: Session | None = None,
) -> Contracted[P, T]:
    """Put a function under a contract.

    Args:
        function: learned, or a plain function that becomes so. require, ensure: conditions (see `Condition`), one or
            several. repair: tries after the first. own: settings of a plain function.

    Raises:
        TypeError: a condition that cannot be called with what it would get. ValueError: repair < 0.
    """
    if not isinstance(repair, int) or isinstance(repair, bool) or repair < 0:
        raise ValueError(f"repair={repair!r}; give the number of tries after the first, 0 or more")
    base = function if isinstance(function, Learned) else Learned(function, own or Session())
    inputs = [one.name for one in base.signature.inputs]
    contract = Contract(_conditions("require", require, inputs), _conditions("ensure", ensure, inputs), repair)
    return Contracted(base.function, base.own, base.changed, base.origin, contract)


@dataclass(frozen=True)
class _Answered:
    """What a try gave: the text, and its value or why there is none."""

    text: str
    value: Any
    problem: str = ""


@dataclass
class _Attempt:
    """One call until it is kept or given up. Conditions work in the place `checks` of the run."""

    function: Contracted[Any, Any]
    inputs: dict[str, Any]
    session: Session
    ticket: Ticket
    path: str
    checks: Scope

    def first(self) -> Value[Any]:
        mode = self.session.mode
        if mode == "python":
            return self.function._run_body(self.inputs)
        try:
            value = self._ask(self.inputs, self.session)
        except ModelError:
            if mode != "fallback":
                raise
            return self.function._run_body(self.inputs)
        return self.function._or_body(value, self.inputs) if mode == "fallback" else value

    def keep(self, found: Any) -> Any:
        contract, function = self.function.contract, self.function
        tries = contract.repair if self.session.mode != "python" else 0
        seen: set[str] = set()
        temperature = self.session.temperature or 0.0
        number = 0
        while True:
            answered = found if isinstance(found, _Answered) else _Answered("", found)
            broken = self._broken(answered)
            if not broken:
                if number:
                    contract.count("repaired")
                return answered.value
            contract.count("violations")
            if number == tries or self.ticket.abandoned:
                return self._fall_back(answered, broken, number + 1)
            text = answered.text or render_value(answered.value)
            if text in seen:
                temperature = max(temperature, _STIR)
            seen.add(text)
            # The same ticket at another place, so that abandoning the call abandons its repairs.
            self.ticket.path = self.checks.next(function.name)
            number += 1
            again = settings(seed=(self.session.seed or 0) + 7919 * number, temperature=temperature)
            remedy = {REFUSED: text, BECAUSE: "; ".join(problem for _, problem in broken)}
            try:
                found = self._ask({**self.inputs, **remedy}, again.over(self.session)).result()
            except ModelError:
                if self.session.mode != "fallback":
                    raise
                return self._fall_back(answered, broken, number)

    def _fall_back(self, answered: _Answered, broken: list[tuple[str, str]], tries: int) -> Any:
        contract, function = self.function.contract, self.function
        if self.session.mode != "python" and has_body(function.function):
            with inside(self.checks):
                value = function._run_body(self.inputs).result()
            answered, tries = _Answered("", value), tries + 1
            broken = self._broken(answered)
            if not broken:
                contract.count("fell_back")
                return value
        contract.count("failed")
        shown = answered.text or render_value(answered.value)
        problems = "; ".join(problem for _, problem in broken)
        raise ContractViolation(
            f"`{function.name}` broke its contract at {self.path}, last of {tries} answer{'s' * (tries > 1)}: "
            f"{problems}. The answer: {shown[:200]}.",
            "Allow more `repair` tries, loosen the condition, or write a Python body that the call falls back to.",
            condition=broken[0][0], path=self.path, value=answered.value, tries=tries,
        )  # fmt: skip

    def _broken(self, answered: _Answered) -> list[tuple[str, str]]:
        if answered.problem:
            return [("the declared type", answered.problem)]
        with inside(self.checks):
            return self.function.contract.broken(self.inputs, answered.value)

    def _ask(self, inputs: dict[str, Any], session: Session) -> Value[Any]:
        def decode(answer: Answer) -> tuple[_Answered, Any]:
            try:
                value, packed = self.function._decode(answer)
            except (DataError, UnsatisfiableConstraint) as error:  # a validator of a pydantic model
                return _Answered(answer.text, None, error.what), {"refused": answer.text, "because": error.what}
            return _Answered(answer.text, value), packed

        return self.function._submit(inputs, session, decode=decode, ticket=self.ticket)


def _conditions(kind: Literal["require", "ensure"], given: Any, inputs: Sequence[str]) -> tuple[Condition, ...]:
    several = given if isinstance(given, list | tuple) else (given,)
    return tuple(Condition.of(kind, one, inputs, number) for number, one in enumerate(several, 1))
