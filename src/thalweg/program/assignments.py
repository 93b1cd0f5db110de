"""What is assigned to choices left open: the one thing every call asks for, so that it is light and by itself.

`choices.py` has the markers, `spaces.py` makes assignments of genomes. Cost: below a microsecond where nothing is
assigned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

Place = tuple[str, int, int]  # file, last line and column of the marker's call


@dataclass(frozen=True)
class Assignment:
    """What is assigned, by everything a marker can know of itself when it runs."""

    values: Mapping[tuple[str, str], Any]  # (function or class, name) -> value
    places: Mapping[Place, Any] = field(default_factory=dict)
    kinds: Mapping[Place, Any] = field(default_factory=dict)
    parameters: Mapping[CodeType, Mapping[str, Any]] = field(default_factory=dict)
    settings: Mapping[object, Mapping[str, Any]] = field(default_factory=dict)


assigned: ContextVar[Assignment | None] = ContextVar("thalweg_assigned_choices", default=None)


@contextmanager
def in_force(assignment: Assignment | None) -> Iterator[None]:
    """An assignment for everything inside; inner ones win, and leave the rest of the outer ones alone."""
    outer = assigned.get()
    if outer is not None and assignment is not None:
        assignment = Assignment(
            {**outer.values, **assignment.values}, {**outer.places, **assignment.places},
            {**outer.kinds, **assignment.kinds}, {**outer.parameters, **assignment.parameters},
            {**outer.settings, **assignment.settings},
        )  # fmt: skip
    token = assigned.set(assignment)
    try:
        yield
    finally:
        assigned.reset(token)


def is_assigned() -> bool:
    """Whether any assignment is in force."""
    return assigned.get() is not None


def filled(function: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is assigned to parameters of `function` whose default is a marker and which the caller left out.

    Args:
        given: the arguments by name, as `inspect.Signature.bind` gives them, without defaults.
    """
    found = assigned.get()
    if found is None:
        return {}
    parameters = found.parameters.get(getattr(function, "__code__", None), {})  # type: ignore[arg-type]
    return {name: value for name, value in parameters.items() if name not in given}


def settings_of(origin: object) -> Mapping[str, Any]:
    """Settings (``temperature`` and so on) assigned to a learned function or flow; empty for most."""
    found = assigned.get()
    return found.settings.get(origin, {}) if found is not None else {}
