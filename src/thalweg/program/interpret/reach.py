"""What can be reached from a value: elements, attributes, what functions, generators and iterators hold.

Modules, classes (but those a flow defines), the library's own objects and the globals of plain functions are not
entered: what is kept there is the world outside. Cost: one visit an object.
"""

from __future__ import annotations

import enum
import gc
from collections.abc import Iterable, Iterator, Mapping
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FrameType,
    FunctionType,
    MethodType,
    ModuleType,
    TracebackType,
)
from typing import Any

from thalweg.program.compile.lazy import SCALARS

SIMPLE: frozenset[type] = SCALARS
_STOPS = (ModuleType, CodeType, FrameType, TracebackType, enum.Enum)


def walk(values: Iterable[Any], types: Mapping[int, type] = {}) -> Iterator[Any]:  # noqa: B006
    """Every object that can be reached, each once, those without parts left out.

    Args:
        types: classes to enter, by identity.
    """
    seen: set[int] = set()
    waiting = [one for one in values if type(one) not in SIMPLE]
    waiting.reverse()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, _STOPS) or hasattr(type(one), "__thalweg_begin__"):
            continue
        if isinstance(one, type):
            if id(one) not in types:
                continue
            yield one
            waiting += [part for part in vars(one).values() if type(part) not in SIMPLE]
            continue
        yield one
        waiting += [part for part in _parts(one) if type(part) not in SIMPLE]
        waiting.append(type(one)) if id(type(one)) in types else None


def _parts(one: Any) -> Iterable[Any]:
    kind = type(one)
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        return one
    if kind is dict:
        return [*one.keys(), *one.values()]
    if kind is FunctionType:
        return [*(one.__closure__ or ()), *(one.__defaults__ or ()), *(one.__kwdefaults__ or {}).values(),
                *one.__dict__.values()]  # fmt: skip
    if kind is MethodType:
        return [one.__self__, one.__func__]
    if kind is BuiltinFunctionType:
        return [one.__self__]
    if kind is CellType:
        try:
            return [one.cell_contents]
        except ValueError:
            return ()
    if isinstance(one, BaseException):
        return [*one.args, *vars(one).values(), one.__cause__, one.__context__]
    return gc.get_referents(one)


def can_change(one: Any) -> bool:
    """Whether an object may be another one later: false for tuples, functions, frozen data classes and the like."""
    kind = type(one)
    if kind in (list, dict, set):
        return True
    if kind in (tuple, frozenset, FunctionType, MethodType, BuiltinFunctionType, CellType):
        return False
    parameters = getattr(kind, "__dataclass_params__", None)
    return not (parameters is not None and parameters.frozen)


def has_objects(one: Any) -> bool:
    """Whether something with parts of its own is inside, so that a change of `one` changes what can be reached."""
    still = (type, ModuleType, enum.Enum, CodeType)
    return any(type(part) not in SIMPLE and not isinstance(part, still) for part in _parts(one))
