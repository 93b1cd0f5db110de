"""What the library's own callables promise, and what authors promise with `pure`.

Told by marks and names, so that nothing of the library is imported here: `__thalweg_pure__` on an object or its class,
`__thalweg_effect__` on tools. A mark that `functools.wraps` has copied to a wrapper counts for nothing.
"""

from __future__ import annotations

import functools
import types
import weakref
from typing import Any, TypeVar

F = TypeVar("F")

_LEARNED = ("thalweg.program.learned", "Learned")
_FLOW = ("thalweg.program.flow", "Flow")
_PURE_FUNCTIONS = frozenset({("thalweg.program.value", "gather")})
_FILES = frozenset({"save", "load"})
_ASYNC = frozenset({"acall", "astream"})
_RUNS = frozenset({"submit", "map", "eager", "sample", "stream", "acall", "astream", "__call__"})
_promised: dict[int, Any] = {}


def pure(function: F) -> F:
    """Promise that calling a function changes nothing and depends on nothing but its arguments: then it need not wait.

    Works on functions, methods, built-in functions, classes (their construction) and other callables, and returns them
    as they are. The promise is not checked.

    Example:
        >>> @pure
        ... def price(item: dict) -> float:
        ...     return CATALOGUE.lookup(item["sku"])
    """
    one: Any = function.__func__ if isinstance(function, staticmethod | classmethod) else function
    if isinstance(one, types.MethodType):
        one = one.__func__
    key = id(one)
    try:
        _promised[key] = weakref.ref(one, lambda _: _promised.pop(key, None))
    except TypeError:
        _promised[key] = lambda: one
    return function


def is_promised(value: Any) -> bool:
    """Whether somebody has promised that calling this is pure."""
    if isinstance(value, types.MethodType):
        return is_promised(value.__func__)
    found = _promised.get(id(value))
    if found is not None and found() is value:
        return True
    if isinstance(value, types.FunctionType):
        return (
            vars(value).get("__thalweg_pure__") is True
            and "__wrapped__" not in vars(value)
            or ((value.__module__, value.__name__) in _PURE_FUNCTIONS)
        )
    if isinstance(value, types.BuiltinFunctionType | types.ModuleType):
        return False
    return getattr(value, "__thalweg_pure__", False) is True


@functools.lru_cache(256)
def _sort_of(kind: type) -> str:
    """What a class is to this library: "learned", "flow", "marked" (tools), "marking" (its objects may be) or ""."""
    bases = {(base.__module__, base.__name__) for base in kind.__mro__}
    if _LEARNED in bases:
        return "learned"
    if hasattr(kind, "__thalweg_effect__"):
        return "marked"
    if _FLOW in bases:
        return "flow"
    plain = issubclass(kind, (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type)) or not hasattr(
        kind, "__dict__"
    )
    return "" if plain or kind.__dictoffset__ == 0 else "marking"


def has_effect_mark(value: Any) -> bool:
    sort = _sort_of(type(value))
    return sort == "marked" or (sort == "marking" and getattr(value, "__thalweg_effect__", None) is not None)


def house_function(value: Any) -> types.FunctionType | str | None:
    """Of a flow or a tool: its function. Of a learned function: "learned". None for what is not the library's."""
    sort = _sort_of(type(value))
    if sort == "" or sort == "learned":
        return sort or None
    if sort == "marking":
        return "marked" if has_effect_mark(value) else None
    inner = getattr(value, "function", None)
    return inner if isinstance(inner, types.FunctionType) else "flow" if sort == "flow" else "marked"


def house_effect(value: Any) -> str | None:
    """Why a call of it is not pure, apart from what its function does."""
    sort = _sort_of(type(value))
    if sort == "" or sort == "learned":
        return None
    if sort == "flow":
        return (
            None
            if isinstance(getattr(value, "function", None), types.FunctionType)
            else "calls a flow that is not known"
        )
    effect = getattr(value, "__thalweg_effect__", None)
    if effect is None or effect == "none":
        return None
    name = getattr(value, "name", None) or getattr(value, "__name__", "?")
    return f"calls the tool `{name}`, which {effect}s" if effect in ("read", "write") else f"calls the tool `{name}`"


def method_effect(value: Any, name: str) -> str | None:
    """The same for one of its methods."""
    if name in _FILES:
        return f"reads or writes a file: `{getattr(value, 'name', '?')}.{name}`"
    if name in _ASYNC:
        return f"is async: `{getattr(value, 'name', '?')}.{name}`"
    return house_effect(value) if name in _RUNS else None


def runs(name: str) -> bool:
    """Whether a method of a flow or tool runs its function."""
    return name in _RUNS
