"""The semantic operators: equality, truth, containment, order, logic, and texts from texts - by meaning.

Each is one learned function (`Operator`), whose docstring is its first instruction. A body is what the operator is in
plain Python (``mode="python"``). Choose `same`, `holds`, `contains` and `less` for conditions: they return bool and
have a `distribution`, which is their confidence. Cost: one call where the types do not decide.
"""

from __future__ import annotations

import operator as python
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from thalweg.errors import StateMismatch
from thalweg.program import state as states
from thalweg.program.semantic import rules
from thalweg.program.semantic.operator import Operator, polymorphic


@polymorphic(exact=rules.same)
def same(a: object, b: object) -> bool:
    """Do `a` and `b` mean the same? Where `b` only describes `a`, is the description right?"""
    return a == b


@polymorphic()
def holds(statement: str, text: object) -> bool:
    """Is the statement true of the text?"""
    ...


@polymorphic(exact=rules.contains)
def contains(whole: Any, part: object) -> bool:
    """Does the whole say, mention or include what the part says?"""
    return part in whole


@polymorphic(exact=rules.less)
def less(a: Any, b: Any, by: str = "") -> bool:
    """Is `a` less than `b`: smaller, earlier, weaker or worse? Where `by` says what to compare, only that counts."""
    return a < b


@polymorphic(exact=partial(rules.combined, python.and_))
def conjunction(a: object, b: object) -> str:
    """Say in one sentence that both `a` and `b` are the case."""
    ...


@polymorphic(exact=partial(rules.combined, python.or_))
def disjunction(a: object, b: object) -> str:
    """Say in one sentence that `a` or `b`, or both, are the case."""
    ...


@polymorphic(exact=partial(rules.combined, python.xor))
def exclusive(a: object, b: object) -> str:
    """Say in one sentence that either `a` or `b` is the case, but not both."""
    ...


@polymorphic(exact=rules.negated)
def negation(a: object) -> str:
    """Say in one sentence the opposite of `a`: that it is not the case."""
    ...


@polymorphic(exact=partial(rules.combined, python.sub))
def without(text: object, part: object) -> str:
    """Give the text again, leaving out what the part says."""
    ...


@polymorphic()
def modify(text: object, instruction: str) -> str:
    """Change the text as the instruction says. Give only the changed text."""
    ...


@polymorphic()
def query(text: object, question: str) -> str:
    """Answer the question from the text."""
    ...


@polymorphic()
def extract(text: object, what: str) -> list[str]:
    """List what is asked for, as it is written in the text."""
    ...


@polymorphic()
def summarise(text: object) -> str:
    """Summarise the text in one sentence."""
    ...


@polymorphic(typed=rules.converted)
def conversion(value: object, hint: str = "") -> str:
    """Give the value that the text stands for, in the form asked for."""
    ...


@polymorphic(typed=rules.chosen)
def choice(value: object, question: str = "") -> str:
    """Which option fits the value best? Where there is a question, which option answers it?"""
    ...


def learned() -> dict[str, Operator[..., Any]]:
    """All operators by state path (``semantic.same``)."""
    found = (same, holds, contains, less, conjunction, disjunction, exclusive, negation, without, modify, query,
             extract, summarise, conversion, choice)  # fmt: skip
    return {f"semantic.{one.name}": one for one in found}


def state() -> dict[str, Any]:
    """The parameters of all operators in force, as a flat dict of JSON values (``semantic.same/instruction``)."""
    return states.state_of(learned())


@contextmanager
def bound(state: Mapping[str, Any]) -> Iterator[None]:
    """Use other parameters for the operators inside a ``with`` block, those called through `Sem` too.

    Raises:
        StateMismatch: a key that is no parameter of an operator.
    """
    known = learned()
    parts: dict[str, dict[str, Any]] = {}
    for key, value in state.items():
        path = key.rpartition("/")[0]
        if path not in known:
            raise StateMismatch(f"{key!r} is no parameter of a semantic operator.", f"There are: {', '.join(known)}.")
        parts.setdefault(path, {})[key] = value
    changed = {
        known[path].origin: states.parameters_from(path, known[path].signature, known[path].parameters, part)
        for path, part in parts.items()
    }
    with states.binding(changed):
        yield
