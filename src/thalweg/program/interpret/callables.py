"""What is known of functions before they are called: which keep nothing and hand nothing out, which make new objects.

Names here are those of Python's own library; of everything else `why_impure` decides. All of it errs on the safe side.
"""

from __future__ import annotations

import builtins
import enum
import sys
from collections.abc import Container, Iterable
from types import BuiltinFunctionType, CodeType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any

from thalweg.program.compile.lazy import SCALARS, is_plain_dataclass
from thalweg.program.interpret.names import rebound
from thalweg.program.interpret.reach import can_change, walk
from thalweg.program.purity import why_impure

_PURE = (
    "abs all any ascii bin bool bytes callable chr complex dict divmod enumerate filter float format frozenset hash "
    "hex int isinstance issubclass len list map max min oct ord pow range repr reversed round set slice sorted str sum "
    "tuple zip print object"
).split()
PURE_BUILTINS: frozenset[int] = frozenset(id(getattr(builtins, name)) for name in _PURE)
TAKE_FUNCTIONS: frozenset[int] = frozenset(map(id, (map, filter, sorted, min, max)))
OVER_KEYS: frozenset[int] = frozenset(map(id, (list, tuple, set, frozenset, sorted, reversed, min, max, enumerate)))
SHALLOW: frozenset[int] = frozenset(map(id, (len, isinstance, bool, callable, type, id)))
_MODULES = frozenset(
    "math json re string statistics textwrap operator difflib html itertools functools collections datetime decimal "
    "fractions unicodedata copy dataclasses heapq bisect base64 hashlib urllib.parse _json _operator _functools "
    "_collections _heapq _bisect _statistics binascii json.encoder json.decoder".split()
)
_NOT_PURE = frozenset({"now", "today", "utcnow", "heappush", "heappop", "heapify", "insort", "insort_left",
                       "insort_right", "setattr", "shuffle", "reduce", "partial", "lru_cache", "cache"})  # fmt: skip
READS: frozenset[str] = frozenset(
    "get items keys values index count copy union intersection difference symmetric_difference issubset issuperset "
    "isdisjoint".split()
)
TEXT_METHODS: frozenset[str] = frozenset(name for name in dir(str) if not name.startswith("_")) - READS
CONTAINERS = (list, dict, set)


def is_impure(function: Any) -> bool:
    """Whether a call may keep what it is given, change it, or hand out what was kept."""
    if id(function) in PURE_BUILTINS or getattr(function, "__thalweg_pure__", False) is True:
        return False
    if isinstance(function, type) and issubclass(function, BaseException) and function.__module__ == "builtins":
        return False
    if is_library(function):
        return False
    owner = getattr(function, "__self__", None)
    if isinstance(function, BuiltinFunctionType) and type(owner) in SCALARS:
        return False
    try:
        return why_impure(function) is not None
    except Exception:  # an analysis that stumbles over an odd callable knows nothing about it
        return True


def is_library(function: Any) -> bool:
    """A function or class of Python's library that computes and nothing else."""
    if isinstance(function, MethodType):
        return False
    module = getattr(function, "__module__", None)
    owner = getattr(function, "__self__", None)
    if module is None and isinstance(owner, ModuleType):
        module = owner.__name__
    if module not in _MODULES or (owner is not None and not isinstance(owner, ModuleType | type)):
        return False
    return getattr(function, "__name__", "now") not in _NOT_PURE and (
        isinstance(function, BuiltinFunctionType | FunctionType | type)
    )


def reads_outside(values: Iterable[Any], own: Container[int]) -> bool:
    """Whether code without effects, in functions and generators among these, reads what other code may change: a global
    that is assigned or can change, a variable of a function around that is not one of `own` (cells by identity)."""
    seen: set[int] = set()
    waiting = list(values)
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, MethodType):
            one = one.__func__
        if isinstance(one, GeneratorType):
            if one.gi_frame is None:
                continue
            code, globals = one.gi_code, one.gi_frame.f_globals
        elif isinstance(one, FunctionType):
            code, globals = one.__code__, one.__globals__
            for cell in one.__closure__ or ():
                if id(cell) in own:
                    continue
                try:
                    value = cell.cell_contents
                except ValueError:
                    return True
                if not is_fixed(value):
                    return True
                waiting.append(value)
        else:
            if isinstance(one, type) and not (is_plain_dataclass(one) or issubclass(one, BaseException | enum.Enum)):
                waiting += [part for part in vars(one).values() if isinstance(part, FunctionType)]
                if one.__module__ != "builtins" and any(can_change(part) for part in vars(one).values()):
                    return True
            continue
        if getattr(one, "__thalweg_pure__", False) is True:
            continue
        for name in _names(code):
            value = globals.get(name, one)
            if value is one:
                continue
            if isinstance(value, ModuleType):
                if value.__name__.partition(".")[0] not in sys.stdlib_module_names:
                    return True
            elif is_fixed(value) or type(value) in SCALARS:
                if name in rebound(globals):
                    return True
                waiting.append(value)
            elif can_change(value) or any(can_change(part) for part in walk([value])):
                return True
    return False


def _names(code: CodeType) -> list[str]:
    found = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found += _names(constant)
    return found


def is_fixed(value: Any) -> bool:
    """A function, class, module or step: not data that code puts in the place of other data."""
    return isinstance(value, type | ModuleType | BuiltinFunctionType | FunctionType) or hasattr(
        type(value), "__thalweg_begin__"
    )


def has_own_operators(kind: type) -> bool:
    """Whether operators, `str`, `format` and the like of a class may be written in Python."""
    if kind.__module__ == "builtins" or issubclass(kind, enum.Enum):
        return False
    if not hasattr(kind, "__dataclass_fields__"):
        return kind.__module__.partition(".")[0] not in sys.stdlib_module_names
    return any(
        isinstance(one, FunctionType) and name.startswith("__") and name not in ("__init__", "__post_init__")
        and not one.__code__.co_filename.endswith(("<string>", "dataclasses.py"))
        for base in kind.__mro__ for name, one in vars(base).items()
    )  # fmt: skip


def makes_new(function: Any) -> bool:
    """Whether what a call gives is an object that nobody else has, though not what is inside it."""
    return id(function) in PURE_BUILTINS or is_library(function)


def calls_back(value: Any) -> bool:
    """Whether a library function that is given this may run other code: a function, an iterator, an object."""
    kind = type(value)
    if kind in SCALARS or kind in (list, dict, set, tuple, frozenset):
        return False
    return not (isinstance(value, type) and (kind is type) and value.__module__ == "builtins")
