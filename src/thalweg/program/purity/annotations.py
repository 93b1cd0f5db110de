"""What a parameter's annotation says of its values.

Annotations of immutable types are believed,
also inside containers: a `list[str]` holds nothing that can change. A class
of the program is believed as far as all its subclasses agree.
"""

from __future__ import annotations

import ast
import builtins
import collections
import collections.abc
import enum
import inspect
import types
import typing
from typing import TYPE_CHECKING, Any

from thalweg.program.purity.heap import NOTHING, Thing, Things, atom, is_immutable_type

if TYPE_CHECKING:
    from thalweg.program.purity.body import Body

_CONTAINERS = (list, dict, set, frozenset, tuple, collections.deque, collections.Counter, collections.OrderedDict,
               collections.defaultdict)  # fmt: skip
_ABSTRACT = (
    collections.abc.Sequence, collections.abc.Iterable, collections.abc.Mapping, collections.abc.Set,
    collections.abc.Collection, collections.abc.MutableSequence, collections.abc.MutableMapping,
)  # fmt: skip
_UNKNOWN = object()


def given_by(body: Body, one: ast.arg) -> Things:
    """What the argument of a parameter may be."""
    atoms, others = _read(body, one.annotation, 0)
    if not others:
        return atoms
    kind, inside = others[0] if len(others) == 1 else (None, None)
    if kind is _UNKNOWN:
        kind, inside = None, None
    return atoms | {body.parameter(one.arg, kind, inside)}


def _read(body: Body, tree: ast.expr | None, depth: int) -> tuple[Things, list[tuple[Any, Things | None]]]:
    """Immutable alternatives, and (class, content) of the others."""
    unknown: tuple[Things, list[tuple[Any, Things | None]]] = NOTHING, [(_UNKNOWN, None)]
    if tree is None or depth > 6:
        return unknown
    match tree:
        case ast.Constant(value=None):
            return atom(type(None)), []
        case ast.Constant(value=str(text)):
            try:
                return _read(body, ast.parse(text.strip(), mode="eval").body, depth + 1)
            except SyntaxError:
                return unknown
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union(body, [left, right], depth)
        case ast.Name() | ast.Attribute():
            return _plain(_value(body, tree), NOTHING)
        case ast.Subscript(value=head, slice=key):
            value = _value(body, head)
            keys = key.elts if isinstance(key, ast.Tuple) else [key]
            if value is typing.Literal:
                return atom(), []
            if value is typing.Annotated:
                return _read(body, keys[0], depth + 1)
            if value is typing.Union:
                return _union(body, keys, depth)
            if value is typing.Optional:
                return _union(body, [*keys, ast.Constant(None)], depth)
            value = typing.get_origin(value) or value
            atoms, others = _union(body, [one for one in keys if not _dots(one)], depth)
            if not others:
                return _plain(value, atoms)
            return _plain(value, NOTHING)
    return unknown


def _dots(tree: ast.expr) -> bool:
    return isinstance(tree, ast.Constant) and tree.value is ...


def _union(body: Body, trees: list[ast.expr], depth: int) -> tuple[Things, list[tuple[Any, Things | None]]]:
    atoms: Things = NOTHING
    others: list[tuple[Any, Things | None]] = []
    for one in trees:
        more, rest = _read(body, one, depth + 1)
        atoms |= more
        others += rest
    return atoms, others


def _plain(value: Any, inside: Things) -> tuple[Things, list[tuple[Any, Things | None]]]:
    value = typing.get_origin(value) or value
    if value is None:
        return atom(type(None)), []
    if not isinstance(value, type):
        return NOTHING, [(_UNKNOWN, None)]
    if value in _CONTAINERS:
        return NOTHING, [(value, inside or None)]
    if value in _ABSTRACT:
        return NOTHING, [(None, inside or None)]
    if is_immutable_type(value) and (value.__module__ != "enum" or value is not enum.Enum):
        return atom(value), []
    if (
        value.__module__ in ("builtins", "typing", "collections.abc", "numbers")
        or inspect.isabstract(value)
        or getattr(value, "_is_protocol", False)
        or value is types.FunctionType
    ):
        return NOTHING, [(_UNKNOWN, None)]
    return NOTHING, [(value, None)]


def _value(body: Body, tree: ast.expr) -> Any:
    match tree:
        case ast.Name(id=name):
            scope = body.function.__globals__
            found = scope.get(name, getattr(builtins, name, _UNKNOWN))
            if name in scope and isinstance(found, type):
                body.dependencies.name(name, found)
            if found is _UNKNOWN and name in body.function.__code__.co_freevars:
                return _UNKNOWN
            return found
        case ast.Attribute(value=owner, attr=name):
            held = _value(body, owner)
            if isinstance(held, types.ModuleType | type):
                return inspect.getattr_static(held, name, _UNKNOWN)
    return _UNKNOWN


__all__ = ["Thing", "given_by"]
