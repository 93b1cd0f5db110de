"""Semantic operations on several values: choose, select, rank, sets by meaning, foreach, compose.

Choose these over loops of operators: the calls of one operation go to the model as one batch. All are plain functions
over the operators of `operators.py`, whose parameters are theirs. Cost: `select` n calls; `union`, `intersection`,
`difference` at most n * m; `unique` n (n - 1) / 2; `rank` n (n - 1) - none where types or equal texts decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from thalweg.program.semantic import rules
from thalweg.program.semantic.operators import choice, conversion, holds, less, modify, same

T = TypeVar("T")
Step = str | Callable[[Any], Any]  # an instruction for `modify`, or anything that is called with one value


def cast(value: Any, annotation: Any, hint: str = "") -> Any:
    """The value as a type: exactly where it is written so, by meaning otherwise.

    Args:
        annotation: any output type of a learned function. hint: what to look for.
    """
    return conversion.to(annotation)(value, hint)


def choose(value: Any, options: Sequence[T], question: str = "") -> T:
    """The option that fits best. ``choice.among(options).distribution(value)`` tells how sure that is."""
    typed = choice.among(options)
    texts = list(typed.signature.output.format.choices)
    return options[texts.index(typed(value, question))]


def select(items: Iterable[T], statement: str) -> list[T]:
    """The items of which the statement is true, in order."""
    items = list(items)
    kept = holds.map([(statement, one) for one in items], fail_fast=True)
    return [one for one, true in zip(items, kept, strict=True) if true]


def rank(items: Iterable[T], by: str = "") -> list[T]:
    """The items in ascending order, by a criterion or by what they are; equal ones keep their order.

    Exact values without a criterion are sorted as Python does. Others are compared each with each in both orders, as
    a model may prefer what comes first, and ranked by how often they won (Copeland 1951).
    """
    items = list(items)
    if not by and all(map(rules.is_exact, items)):
        return sorted(items)  # type: ignore[type-var]
    pairs = [(i, j) for i in range(len(items)) for j in range(len(items)) if i != j]
    verdicts = less.map([(items[i], items[j], by) for i, j in pairs], fail_fast=True)
    wins = [0] * len(items)
    for (i, j), is_less in zip(pairs, verdicts, strict=True):
        wins[j if is_less else i] += 1
    return [items[i] for i in sorted(range(len(items)), key=wins.__getitem__)]


def unique(items: Iterable[T]) -> list[T]:
    """The items without those that mean the same as an earlier one that is kept."""
    items = _once(items)
    pairs = [(i, j) for j in range(len(items)) for i in range(j)]
    found = same.map([(items[i], items[j]) for i, j in pairs], fail_fast=True)
    equal = {pair for pair, yes in zip(pairs, found, strict=True) if yes}
    kept: list[int] = []
    for j in range(len(items)):
        if all((i, j) not in equal for i in kept):
            kept.append(j)
    return [items[i] for i in kept]


def union(a: Iterable[T], b: Iterable[T]) -> list[T]:
    """All of `a`, and what of `b` means something else than anything in `a`."""
    a, b = _once(a), _once(b)
    return a + [one for one, there in zip(b, _among(b, a), strict=True) if not there]


def intersection(a: Iterable[T], b: Iterable[T]) -> list[T]:
    """What of `a` means the same as something in `b`."""
    a, b = _once(a), _once(b)
    return [one for one, there in zip(a, _among(a, b), strict=True) if there]


def difference(a: Iterable[T], b: Iterable[T]) -> list[T]:
    """What of `a` means something else than anything in `b`."""
    a, b = _once(a), _once(b)
    return [one for one, there in zip(a, _among(a, b), strict=True) if not there]


def foreach(items: Iterable[Any], step: Step) -> list[Any]:
    """A step applied to every item: an instruction, a learned function, a flow (as one batch), or any function."""
    if isinstance(step, str):
        return modify.map([(one, step) for one in items], fail_fast=True)
    if hasattr(step, "map") and hasattr(step, "submit"):
        several: Any = step
        return several.map([(one,) for one in items] if _several(step) else items, fail_fast=True)
    return [step(one) for one in items]


@dataclass(frozen=True)
class Pipe:
    """Steps one after the other. Made by `compose`."""

    steps: tuple[Step, ...]

    def __call__(self, value: Any) -> Any:
        for step in self.steps:
            value = modify(value, step) if isinstance(step, str) else step(value)
        return value

    def map(self, items: Iterable[Any]) -> list[Any]:
        """The pipe applied to every item; each step is one batch."""
        found = list(items)
        for step in self.steps:
            found = foreach(found, step)
        return found


def compose(*steps: Step) -> Pipe:
    """A pipe: the first step first. A step is an instruction or anything that is called with one value."""
    return Pipe(steps)


def _several(step: Any) -> bool:
    """Whether a row of `step.map` must say that it is the first of several inputs."""
    signature = step.signature
    return len(getattr(signature, "inputs", None) or signature.parameters) != 1


def _once(items: Iterable[T]) -> list[T]:
    """The items without those that are equal as given."""
    kept: list[T] = []
    for one in items:
        if not any(rules.same(one, other) is True for other in kept):
            kept.append(one)
    return kept


def _among(items: Sequence[Any], others: Sequence[Any]) -> list[bool]:
    """For each item whether any of the others means the same; asked in one batch, and not where one is equal."""
    found = [any(rules.same(one, other) is True for other in others) for one in items]
    pairs = [(i, other) for i, there in enumerate(found) if not there for other in others]
    answers = same.map([(items[i], other) for i, other in pairs], fail_fast=True)
    for (i, _), yes in zip(pairs, answers, strict=True):
        found[i] = found[i] or bool(yes)
    return found
