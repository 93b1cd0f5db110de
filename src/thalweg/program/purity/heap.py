"""Abstract objects: what the values of a function may be, and what they may hold.

A value is a set of `Thing`s. The analysis asks of a changed value only whether all of its things were made in the body
that changes it. Contents are collapsed: one set stands for all elements, keys and attributes of a thing.
Source: points-to sets by allocation site, Andersen 1994, "Program analysis and specialization for the C language".
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import pathlib
import re
import statistics
import string
import types
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["outside", "parameter", "made", "atom", "known", "closure"]


@dataclass(eq=False)
class Thing:
    """One abstract object.

    `outside` is everything that was there before the call, `parameter` an argument and all that is reached from it,
    `made` what one place of the body makes, `atom` an immutable value, `known` a Python object that was looked up,
    `closure` a function defined in the body. `type` is its class where it is sure. What is inside the parameter `xs`
    is the parameter `xs[]`. Of a dict that is made, `keys` are kept apart from the values in `content`.
    """

    kind: Kind
    type: type | None = None
    name: str = ""
    value: Any = None
    content: set[Thing] = field(default_factory=set)
    keys: set[Thing] = field(default_factory=set)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name or getattr(self.type, '__name__', '')}>"

    @property
    def argument(self) -> str:
        """Of a parameter: its name."""
        return self.name.removesuffix("[]")


Things = frozenset[Thing]
Env = dict[str, Things]
NOTHING: Things = frozenset()
OUTSIDE = Thing("outside")
OUTSIDE.content.add(OUTSIDE)
OUT: Things = frozenset({OUTSIDE})

IMMUTABLE: tuple[type, ...] = (
    str, int, float, bool, complex, bytes, type(None), type(...), type(NotImplemented), range, slice,
    datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo, decimal.Decimal, fractions.Fraction,
    uuid.UUID, pathlib.PurePath, re.Pattern, re.Match, enum.Enum, string.Template, statistics.NormalDist,
)  # fmt: skip
NAMESPACES: tuple[type, ...] = (types.ModuleType,)

_atoms: dict[type | None, Thing] = {}


def atom(kind: type | None = None) -> Things:
    """Some immutable value, of a type where it is known."""
    found = _atoms.get(kind)
    if found is None:
        found = _atoms[kind] = Thing("atom", kind)
        found.content.add(atom_of_items(kind))
    return frozenset({found})


def atom_of_items(kind: type | None) -> Thing:
    if kind is None or not (kind is str or kind in (bytes, range)):
        inner: type | None = None
    else:
        inner = str if kind is str else int
    if inner == kind:
        return _atoms[kind]
    (found,) = atom(inner)
    return found


def is_immutable_type(kind: type | None) -> bool:
    """Whether instances are immutable, being of a builtin type or a subclass that adds no methods."""
    return kind is not None and (kind in IMMUTABLE or issubclass(kind, IMMUTABLE))


def content(things: Things) -> Things:
    """What the elements and attributes of a value may be."""
    found: set[Thing] = set()
    for one in things:
        if one.kind == "known":
            found.add(OUTSIDE)
        else:
            found |= one.content
            found |= one.keys
    return frozenset(found)


def values(things: Things) -> Things:
    """What ``value[key]`` may be."""
    found: set[Thing] = set()
    for one in things:
        found |= one.content
    return frozenset(found)


def join(*envs: Env | None) -> Env | None:
    """What names may stand for where several ways meet; None where no way leads.

    A name that is not there has no value yet; an attribute (``self.total``) that is not there may have any.
    """
    there = [one for one in envs if one is not None]
    if not there:
        return None
    found = dict(there[0])
    for one in there[1:]:
        for name, value in one.items():
            found[name] = found.get(name, NOTHING) | value
    for name in [name for name in found if "." in name and any(name not in one for one in there)]:
        del found[name]
    return found


@dataclass(frozen=True)
class Shape:
    """What a result may be, in terms of a function's parameters.

    Args:
        types: classes of objects made by the call (None: not known); `inner` things made that are inside them.
        atoms: classes of immutable results. parameters, outside: what it may be or be a part of.
        holds_atoms, holds, holds_outside: the same for what is inside a made object.
    """

    types: frozenset[type | None] = frozenset()
    atoms: frozenset[type | None] = frozenset()
    parameters: frozenset[str] = frozenset()
    outside: bool = False
    inner: bool = False
    holds_atoms: frozenset[type | None] = frozenset()
    holds: frozenset[str] = frozenset()
    holds_outside: bool = False

    @classmethod
    def of(cls, things: Things, reached: Callable[[Things], Things]) -> Shape:
        """The shape of a result; `reached` gives all that can be reached from things, through closures too."""
        made = frozenset(one for one in things if one.kind in ("made", "closure"))
        inside = reached(content(made)) | (reached(made) - made)
        return cls(
            types=frozenset(one.type for one in made if one.kind == "made"),
            atoms=frozenset(one.type for one in things if one.kind == "atom"),
            parameters=frozenset(one.name for one in things if one.kind == "parameter"),
            outside=any(one.kind in ("outside", "known", "closure") for one in things),
            inner=any(one.kind == "made" for one in inside),
            holds_atoms=frozenset(one.type for one in inside if one.kind == "atom"),
            holds=frozenset(one.name for one in inside if one.kind == "parameter"),
            holds_outside=any(one.kind in ("outside", "known", "closure") for one in inside),
        )


@dataclass(frozen=True)
class Summary:
    """What calling a function does, as far as a caller can tell.

    Args:
        effect: the first thing it does to the world, or depends on, whatever its arguments are; None for nothing.
        changes: parameters it may change, with the reason. calls: parameters it calls, with the reason.
        keeps: parameters that may be reached from somewhere else after the call, other than through its result.
        raises: parameters that an exception may hold. hands: those
            given to a parameter that is called. spills: whether it may put things from outside into parameters.
        reads: the first mutable state outside that it reads.
        assumes: methods it calls by name on values of unknown type, taken for those of the builtin types.
        unknown: whether the body was not looked at.
    """

    effect: str | None = None
    changes: dict[str, str] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)
    keeps: frozenset[str] = frozenset()
    raises: frozenset[str] = frozenset()
    hands: frozenset[str] = frozenset()
    spills: bool = False
    result: Shape = Shape()
    reads: str | None = None
    assumes: frozenset[str] = frozenset()
    unknown: bool = False

    def says(self) -> tuple[Any, ...]:
        """All but the words."""
        words = self.effect is None, frozenset(self.changes), frozenset(self.calls), self.reads is None
        return *words, self.keeps, self.raises, self.hands, self.spills, self.result, self.assumes, self.unknown

    @property
    def why(self) -> str | None:
        """Why it is not pure."""
        if self.effect is not None:
            return self.effect
        return next(iter(self.calls.values()), None) or next(iter(self.changes.values()), None)


UNKNOWN_RESULT = Shape(outside=True)
