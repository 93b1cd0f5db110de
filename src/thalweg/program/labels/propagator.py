"""`Propagator`: which label the value of a learned call gets. `Conservative`, the plain one: the join of all it read.

A propagator makes the value as well as the label, because a label below the join is true only of a value that was made
without what lies above it. Source of `Conservative`: Denning 1976. Cost: one call.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from thalweg.errors import UnsupportedByBackend
from thalweg.models.request import Answer
from thalweg.program.hints import hinted
from thalweg.program.journal import inside, scope_in_force
from thalweg.program.labels.context import Context
from thalweg.program.labels.label import BOTTOM, Label
from thalweg.program.labels.labelled import Labels
from thalweg.program.labels.lattice import Lattice
from thalweg.program.session import Session, store_in_force
from thalweg.program.strategy import is_procedure

if TYPE_CHECKING:
    from thalweg.program.learned import Learned


@dataclass(frozen=True)
class Evidence:
    """Why a label was chosen.

    **Evidence is information too**: it was worked out of everything in `reads`, whatever the label of the value.

    Args:
        method: the propagator's name.
        reads: the label that this evidence carries.
        influence: for each source, the loss in nats when it is left out (a text: nats per drawn token): how much less
            likely the unrestricted answer becomes. Below 0: it becomes likelier.
        divergence: for each source, KL divergence in nats from the whole distribution to that without it; finite types.
        losses: for each label tried, the loss when everything above it is left out.
        threshold: the largest loss that was accepted; nan where none applies.
        withheld: what the value was made without: inputs, elements (``docs[2]``), values of dicts.
        agrees: whether the value equals the unrestricted one; None if that was not made.
        calls: calls made for value, scores and regeneration. waves: how many times calls were waited for.
    """

    method: str
    reads: Label = BOTTOM
    influence: Mapping[str, float] = field(default_factory=dict)
    divergence: Mapping[str, float] = field(default_factory=dict)
    losses: Mapping[Label, float] = field(default_factory=dict)
    threshold: float = math.nan
    withheld: tuple[str, ...] = ()
    agrees: bool | None = None
    calls: int = 1
    waves: int = 1


@dataclass(frozen=True)
class Propagated:
    """A value, its label and the evidence for it."""

    value: Any
    label: Label
    evidence: Evidence


class Propagator(Protocol):
    """Makes the value of one learned call and the label that it carries."""

    def propagate(
        self,
        learned: Learned[..., Any],
        inputs: Mapping[str, Any],
        labels: Mapping[str, Labels],
        session: Session | None = None,
    ) -> Propagated:
        """Call `learned` on bare `inputs`, by name.

        Args:
            labels: of inputs, elements of lists or values of dicts; inputs without a label have bottom.
            session: settings in force; default: those of `learned` here.

        Raises:
            LabelError: labels that do not fit the inputs or the lattice.
            ModelError, DataError: what the call itself raises.
        """
        ...


@dataclass(frozen=True)
class Conservative:
    """The value of the plain call with the join of all labels: always right, often higher than need be.

    Args:
        lattice: what the labels belong to; default: sets of sources.
    """

    lattice: Lattice | None = None

    def propagate(
        self,
        learned: Learned[..., Any],
        inputs: Mapping[str, Any],
        labels: Mapping[str, Labels],
        session: Session | None = None,
    ) -> Propagated:
        """One call with everything. See `Propagator.propagate`."""
        session = session or learned._session()
        whole = Context.of(inputs, labels, self.lattice).whole
        with hinted(partition=partition_of(whole)):
            value = learned._ask(dict(inputs), session).result()
        return Propagated(value, whole, Evidence("conservative", whole, agrees=True))


def partition_of(label: Label) -> str:
    """The partition of engines' prefix caches for calls that read `label`: what one label has cached shortens no other
    label's call, or its time would tell."""
    return "\x1f".join(label.to_json())


def check_asks_once(learned: Learned[..., Any], session: Session) -> None:
    """Raises `UnsupportedByBackend` for a strategy of several questions, whose answer has no probability to look at."""
    if is_procedure(session.strategy):
        raise UnsupportedByBackend(
            f"The propagator in force scores answers of `{learned.name}`, and its strategy {session.strategy.name!r} "
            "asks more than once.",
            "Take a strategy that asks once, or labels=Conservative().",
        )


def kept(learned: Learned[..., Any], inputs: Mapping[str, Any], session: Session, value: Any) -> Any:
    """A value made of `inputs`, or where the function's contract refuses it, what its repairs make of the same."""
    if not learned._refused(inputs, value):
        return value
    return learned._ask(dict(inputs), session, given=False).result()


@contextmanager
def calls_apart(learned: Learned[..., Any], session: Session) -> Iterator[list[Answer]]:
    """Give the calls of one propagation a place of their own in the run, below the one call they stand for.

    What is appended to the list yielded is the answer that counts for the confidence of the place around; the others
    count with their tokens alone.
    """
    scope = scope_in_force(store_in_force(session) if session.journal is not False else None)
    inner = scope.child(scope.begin(learned.name).path)
    inner.answers = []
    made: list[Answer] = []
    with inside(inner):
        yield made
    for request, answer in inner.answers:
        counts = any(answer is one for one in made)
        scope.answers.append((request, answer if counts else replace(answer, probabilities=(), logprob=math.nan)))
