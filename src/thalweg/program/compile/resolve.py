"""What the names in a function's code stand for: globals, closure and builtins, looked up and never called."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

UNKNOWN = object()


def scope_of(function: Callable[..., Any]) -> Mapping[str, Any]:
    """The names a function sees outside itself. A closure's name that has no value yet is left out."""
    found: dict[str, Any] = {**vars(builtins), **function.__globals__}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # a function that refers to itself before it is bound
            found.pop(name, None)
    return found


def called_names(function: Callable[..., Any], names: tuple[str, ...]) -> list[Any]:
    """What the names of a function's surroundings stand for now; None for one that stands for nothing."""
    free = function.__code__.co_freevars
    found = []
    for name in names:
        if name in free:
            try:
                found.append((function.__closure__ or ())[free.index(name)].cell_contents)
            except ValueError:
                found.append(None)
        else:
            found.append(function.__globals__.get(name))
    return found


def resolve(scope: Mapping[str, Any], tree: ast.expr, local: frozenset[str] | set[str] = frozenset()) -> Any:
    """What a name or a dotted name means; `UNKNOWN` for anything that only the run can tell."""
    match tree:
        case ast.Name(id=name):
            return UNKNOWN if name in local else scope.get(name, UNKNOWN)
        case ast.Attribute(value=value, attr=name):
            owner = resolve(scope, value, local)
            if isinstance(owner, ModuleType | type) or getattr(type(owner), "__thalweg_begin__", None):
                return getattr(owner, name, UNKNOWN)
    return UNKNOWN
