"""Choices left open in a program: `choice`, `subset`, `permutation`, `real`, `integer`, `text`, anywhere.

Without an assignment a marker is its default: the first option, the first k, the order as written, the middle of a
range (the geometric one where `log`), the initial text. Within ``with assigning({"answer/how": "reason"}):`` it is what
was assigned. `space.py` finds the markers of a program, `choice_kinds.py` says what fits each.
Source: define-by-run search spaces, as in Optuna (Akiba et al., 2019). Cost: a microsecond where nothing is assigned.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from itertools import islice
from types import CodeType, FrameType
from typing import Any, TypeVar

from thalweg.errors import SpaceError
from thalweg.program.assignments import Place, assigned
from thalweg.program.choice_kinds import (
    Choice,
    Integer,
    Permutation,
    Real,
    Subset,
    Text,
    check_range,
    check_subset,
    labels_of,
    same_label,
)
from thalweg.program.purity import pure

T = TypeVar("T")


# -- markers --------------------------------------------------------------------------------------------------------


@pure
def choice(*options: T, name: str | None = None) -> T:
    """One of `options`; the first unless something else is assigned.

    Args:
        options: constants, functions, flows, or anything else; written out, so that the program's text shows them.
        name: of the choice in the program's space. Without one it is called after the keyword, variable or parameter
            that it is given to, else after its statement.
    """
    kind = Choice(labels_of(options))
    return _settled(kind, name, lambda value, known: options[known.index(value)])


@pure
def subset(k: int, xs: Sequence[T], *, name: str | None = None) -> list[T]:
    """`k` of `xs`, in their order; the first k unless something else is assigned."""
    kind = Subset(k, labels_of(xs))
    check_subset(kind)
    return _settled(kind, name, lambda value, known: [one for one, label in zip(xs, known.options, strict=True)
                                                      if any(same_label(label, part) for part in value)])  # fmt: skip


@pure
def permutation(xs: Sequence[T], *, name: str | None = None) -> list[T]:
    """`xs` in some order; as they are unless something else is assigned."""
    return _settled(
        Permutation(labels_of(xs)), name,
        lambda value, known: [
            xs[next(index for index, label in enumerate(known.options) if same_label(label, part))] for part in value
        ],
    )  # fmt: skip


@pure
def real(low: float, high: float, *, log: bool = False, name: str | None = None) -> float:
    """A number from `low` to `high`; the middle (the geometric one where `log`) unless something else is assigned."""
    kind = Real(float(low), float(high), log)
    check_range(kind)
    return _settled(kind, name, lambda value, known: float(value))


@pure
def integer(low: int, high: int, *, name: str | None = None) -> int:
    """A whole number from `low` to `high`, both included; the middle (rounded down) unless something is assigned."""
    kind = Integer(low, high)
    check_range(kind)
    return _settled(kind, name, lambda value, known: value)


@pure
def text(initial: str, *, name: str | None = None) -> str:
    """A text that an optimizer may rewrite; `initial` unless something else is assigned."""
    return _settled(Text(initial), name, lambda value, known: value)


MARKERS: dict[Any, str] = {
    choice: "choice", subset: "subset", permutation: "permutation", real: "real", integer: "integer", text: "text",
}  # fmt: skip
for _marker, _name in MARKERS.items():
    _marker.__thalweg_marker__ = _name  # known to `program/ir` without an import


# -- fields and places ------------------------------------------------------------------------------------------------

_known: dict[Place, tuple[str, str]] = {}  # markers that a space has found, and what they are called


def know(place: Place, function: str, name: str) -> None:
    """Remember what the marker at a place is called, for assignments that name it."""
    _known[place] = (function, name)


class Field:
    """The default of a dataclass field that is a marker: worked out anew for every instance."""

    def __init__(self, kind: Any, name: str | None, value: Callable[[Any, Any], Any], fallback: Any) -> None:
        self.kind = kind
        self.name = name
        self._value = value
        self._fallback = fallback

    def __call__(self) -> Any:
        found = assigned.get()
        if found is None:
            return self._fallback()
        owner = sys._getframe(1).f_locals.get("self")
        key = self.key_in(type(owner)) if owner is not None else None
        if key is None or key not in found.values:
            return self._fallback()
        return self._value(_fitting(self.kind, found.values[key], key), self.kind)

    def key_in(self, owner: type) -> tuple[str, str] | None:
        """What the field is called: its class and its name."""
        for kind in owner.__mro__:
            if is_dataclass(kind):
                for one in fields(kind):
                    if one.default_factory is self:
                        return owner.__name__, self.name or one.name
        return None


def _settled(kind: Any, name: str | None, value: Callable[[Any, Any], Any]) -> Any:
    """The marker's value here and now."""
    frame = sys._getframe(2)
    if not frame.f_code.co_flags & 1 and "__qualname__" in frame.f_locals:  # a class body: the default of a field
        from dataclasses import field

        return field(default_factory=Field(kind, name, value, lambda: value(kind.default, kind)))
    found = assigned.get()
    if found is None:
        return value(kind.default, kind)
    user = _user_frame(frame)
    if user is None:
        return value(kind.default, kind)
    place = _place(user)
    if place in found.places:
        known = found.kinds[place]
        return value(_fitting(known, found.places[place], ("", name or "")), known)
    key = _known.get(place) or (_function_of(user), name or "")
    if key not in found.values:
        return value(kind.default, kind)
    return value(_fitting(kind, found.values[key], key), kind)


def _fitting(kind: Any, value: Any, key: tuple[str, str]) -> Any:
    if not kind.fits(value):
        raise SpaceError(f"{value!r} is assigned to {'/'.join(key)}, which takes {kind.expected}.", "Assign what fits.")
    return value


def _user_frame(frame: FrameType | None) -> FrameType | None:
    """The frame the marker stands in: the first that is no part of this library."""
    while frame is not None and (frame.f_globals.get("__name__") or "").startswith("thalweg.program."):
        if frame.f_code.co_filename != frame.f_globals.get("__file__"):  # compiled from a flow that has such globals
            break
        frame = frame.f_back
    return frame


_places: dict[tuple[CodeType, int], Place] = {}


def _place(frame: FrameType) -> Place:
    key = (frame.f_code, frame.f_lasti)
    found = _places.get(key)
    if found is None:
        position = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), (None,) * 4)
        found = _places[key] = (frame.f_code.co_filename, position[1] or frame.f_lineno, position[3] or 0)
    return found


def _function_of(frame: FrameType) -> str:
    """The function a frame belongs to; comprehensions and lambdas belong to the one around them."""
    parts = [one for one in frame.f_code.co_qualname.split(".") if not one.startswith("<")]
    return parts[-1] if parts else ""
