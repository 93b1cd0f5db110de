"""`Operator`: a learned function that asks its inputs' own types first, and a model only where they do not decide.

Choose it for an operation that has an exact answer on some types and a meaning on others. It is a `Learned` in every
other way: it batches, caches, journals, and its instruction and demonstrations can be optimised. Source: Dinu et al.
2024, "SymbolicAI" (polymorphic operators). Cost: a few microseconds where the types decide.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Literal, ParamSpec, TypeVar

from thalweg.errors import DataError
from thalweg.models.request import Answer
from thalweg.program.journal import Ticket, scope_in_force
from thalweg.program.learned import Learned
from thalweg.program.mapping import map_rows
from thalweg.program.prompt import Prompter
from thalweg.program.semantic.rules import UNDECIDED
from thalweg.program.session import Session
from thalweg.program.types import TypePlan, plan, render_value
from thalweg.program.value import Failure, Value

P = ParamSpec("P")
T = TypeVar("T")
Rule = Callable[..., Any]

_AHEAD = 128  # rows under way in `map`; the model is not asked how many it takes, as it may not be needed


@dataclass(frozen=True, eq=False)
class Operator(Learned[P, T]):
    """A learned function with an exact rule.

    Args:
        exact: from the inputs to the result, or to `UNDECIDED`.
        typed: from an output type to the rule of the operator that returns it (`to`).
    """

    exact: Rule | None = None
    typed: Callable[[TypePlan[Any]], Rule] | None = None

    def map(self, rows: Iterable[Any], *more: Iterable[Any], fail_fast: bool = False) -> list[T | Failure]:
        """`Learned.map`; no model is loaded where the types decide every row."""
        names = [one.name for one in self.signature.inputs]
        session = self._session()
        return map_rows(
            self.submit, names, rows, more, fail_fast=fail_fast, session=session, title=self.name, ahead=_AHEAD
        )

    def to(self, annotation: Any) -> Operator[P, Any]:
        """The operator with another output type, and the same parameters."""
        try:
            return _typed(self, annotation, repr(annotation))
        except TypeError:  # an annotation that cannot be hashed
            return _typed.__wrapped__(self, annotation, "")

    def among(self, options: Sequence[Any]) -> Operator[P, str]:
        """The operator that returns one of the options, as text. Raises `DataError` for none or equal ones."""
        texts = tuple(map(render_value, options))
        if not texts or len(set(texts)) < len(texts):
            raise DataError(f"`{self.name}` has {len(texts)} options to choose from, or equal ones.",
                            "Give different options, at least one.")  # fmt: skip
        return self.to(Literal[texts])  # type: ignore[valid-type]

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
        decided = UNDECIDED if self.exact is None else self.exact(*inputs.values())
        if decided is UNDECIDED:
            inputs = {name: value for name, value in inputs.items() if value != "" or name in self._needed}
            return super()._submit(
                inputs, session, want=want, target=target, decode=decode, observe=observe, ticket=ticket
            )
        # The place is taken all the same: those of later calls must not depend on when this was decided.
        ticket = ticket or scope_in_force(None).begin(self.name)
        future: Future[Any] = Future()
        try:
            future.set_result(decided if decode is None else decode(self._answer(decided, want, target))[0])
        except Exception as error:
            future.set_exception(error)
        return Value(future, path=ticket.path)

    @functools.cached_property
    def _needed(self) -> set[str]:
        """Inputs without default; others are not shown where nothing is said by them."""
        parameters = self.signature.parameters.parameters.values()
        return {one.name for one in parameters if one.default is one.empty}

    def _answer(self, decided: Any, want: str, target: str) -> Answer:
        """What a model that is certain would have answered."""
        output = self.signature.output
        text = output.encode(decided)
        certain = 0.0 if want != "score" or target == text else -math.inf
        return Answer(text, certain, probabilities=tuple(float(one == text) for one in output.format.choices))


@functools.lru_cache(maxsize=512)
def _typed(operator: Operator[P, Any], annotation: Any, shown: str) -> Operator[P, Any]:
    """`shown` keeps equal annotations apart whose values come in another order, as ``Literal[1, 2]`` is ``[2, 1]``."""
    output = plan(annotation, name=f"{operator.name}() ->")
    signature = replace(operator.signature, output=output)
    exact = None if operator.typed is None else operator.typed(output)
    return operator._copy(signature=signature, _prompter=Prompter(signature), exact=exact)  # type: ignore[return-value]


def polymorphic(
    *, exact: Rule | None = None, typed: Callable[[TypePlan[Any]], Rule] | None = None
) -> Callable[[Callable[P, T]], Operator[P, T]]:
    """Make a function an operator: learned, with an exact rule on some types."""
    return lambda function: Operator(function, Session(), None, None, exact, typed)
