"""What making an instance of a class runs, and what its operators and properties may do unseen.

Constructors that Python generates (data classes, named tuples, enums, pydantic models without validators) do nothing
but set fields; those the program writes are looked into.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
import functools
import inspect
import sys
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.program.purity import known
from thalweg.program.purity.heap import Summary
from thalweg.program.purity.house import is_promised

if TYPE_CHECKING:
    from thalweg.program.purity.analysis import Analysis

# What operators, conditions, loops, formatting and comparisons call.
_UNSEEN = (
    "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__bool__", "__len__", "__iter__",
    "__contains__",
    "__getitem__", "__missing__", "__getattr__", "__getattribute__", "__str__", "__repr__", "__format__", "__int__",
    "__float__", "__index__", "__reversed__", "__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__",
    "__truediv__", "__rtruediv__", "__floordiv__", "__mod__", "__pow__", "__or__", "__ror__", "__and__", "__xor__",
    "__neg__", "__pos__", "__abs__", "__invert__", "__round__", "__matmul__", "__lshift__", "__rshift__",
    "__length_hint__",
)  # fmt: skip
_GENERATED = frozenset({"<string>", dataclasses.__file__})
_MODEL_METHODS = frozenset({
    "model_dump", "model_dump_json", "model_copy", "model_validate", "model_validate_json", "model_construct",
    "model_json_schema", "copy", "dict", "json",
})  # fmt: skip


@dataclass
class Construction:
    """What making an instance does: why it is not known to be harmless, or the functions it runs."""

    effect: str | None = None
    makes_atom: bool = False
    initialiser: Any = None
    maker: Any = None
    after: Any = None
    factories: tuple[Any, ...] = ()

    @property
    def functions(self) -> list[Any]:
        return [one for one in (self.maker, self.initialiser, self.after, *self.factories) if one is not None]


def construction(analysis: Analysis, kind: type) -> Construction:
    """What `kind(...)` runs."""
    made = Construction()
    if isinstance(kind, enum.EnumType):
        missing = inspect.getattr_static(kind, "_missing_", None)
        if not known.is_from_stdlib(getattr(missing, "__func__", missing)):
            made.effect = f"looks up a `{kind.__name__}`, which has a `_missing_` of its own"
        made.makes_atom = True
        return made
    is_model = "__pydantic_core_schema__" in vars(kind)
    meta = type(kind)
    if meta not in (type, abc.ABCMeta) and not is_model and _python_call(meta):
        made.effect = f"makes a `{kind.__name__}`, whose metaclass is not known"
        return made
    if is_model:
        made.effect = _model(analysis, kind)
        return made
    own = kind.__module__.partition(".")[0] not in sys.stdlib_module_names
    if not own and not issubclass(kind, BaseException):
        made.effect = f"makes a `{kind.__module__}.{kind.__name__}`, which is not known"
        return made
    if (quiet := analysis.quiet(kind).effect) is not None:
        made.effect = f"makes a `{kind.__name__}`: {quiet}"
        return made
    _maker(kind, made)
    _initialiser(kind, made)
    return made


def _python_call(meta: type) -> bool:
    found = inspect.getattr_static(meta, "__call__", None)
    return isinstance(found, types.FunctionType) and not known.is_from_stdlib(found)


def _maker(kind: type, made: Construction) -> None:
    found = inspect.getattr_static(kind, "__new__", None)
    found = getattr(found, "__func__", found)
    if isinstance(found, types.FunctionType):
        generated = issubclass(kind, tuple) and hasattr(kind, "_fields") and found.__code__.co_filename[:1] in "<n"
        if not generated and not known.is_from_stdlib(found):
            made.maker = found
    elif getattr(found, "__self__", object) not in (object, *known.CONTAINERS, str, int, float, bytes) and not (
        isinstance(found.__self__, type) and issubclass(found.__self__, BaseException)  # type: ignore[union-attr]
    ):
        made.effect = f"makes a `{kind.__name__}`, which is not known"


def _initialiser(kind: type, made: Construction) -> None:
    found = inspect.getattr_static(kind, "__init__", None)
    if not isinstance(found, types.FunctionType):
        if not known.is_plain_init(found):
            made.effect = made.effect or f"makes a `{kind.__name__}`, which is not known"
        return
    if found.__code__.co_filename == "<string>" and dataclasses.is_dataclass(kind):
        factories = [one.default_factory for one in dataclasses.fields(kind)]
        made.factories = tuple(one for one in factories if one is not dataclasses.MISSING)
        after = inspect.getattr_static(kind, "__post_init__", None)
        made.after = after if isinstance(after, types.FunctionType) else None
        if after is not None and made.after is None:
            made.effect = f"makes a `{kind.__name__}`, whose `__post_init__` is not known"
        setter = kind.__setattr__
        if isinstance(setter, types.FunctionType) and setter.__code__.co_filename != "<string>":
            made.effect = f"makes a `{kind.__name__}`, which has a `__setattr__` of its own"
    elif not (known.is_from_stdlib(found) and found.__module__ in ("typing", "abc")):
        made.initialiser = found


def quiet(analysis: Analysis, kind: type) -> Summary:
    """Whether nothing that is called without being written changes anything."""
    if inspect.getattr_static(kind, "__del__", None) is not None:
        return Summary(f"`{kind.__name__}` has a `__del__`")
    for name in _UNSEEN:
        found = inspect.getattr_static(kind, name, None)
        if isinstance(found, types.FunctionType) and (why := _why(analysis, kind, found)) is not None:
            return Summary(f"`{kind.__name__}.{name}` {why}")
    after = inspect.getattr_static(kind, "__post_init__", None)  # `dataclasses.replace` calls it
    if isinstance(after, types.FunctionType):
        summary = analysis.summary(after, kind)
        itself = after.__code__.co_varnames[:1]
        others = [why for name, why in summary.changes.items() if name.removesuffix("[]") not in itself]
        if why := summary.effect or next(iter(others), None):
            return Summary(f"`{kind.__name__}.__post_init__` {why}")
    for base in kind.__mro__:
        for name, one in vars(base).items():
            getter = (
                one.fget
                if isinstance(one, property)
                else one.func
                if isinstance(one, functools.cached_property)
                else None
            )
            if isinstance(getter, types.FunctionType) and (why := _why(analysis, kind, getter)) is not None:
                return Summary(f"the property `{kind.__name__}.{name}` {why}")
    return Summary()


def _why(analysis: Analysis, kind: type, function: types.FunctionType) -> str | None:
    if known.is_from_stdlib(function) or function.__code__.co_filename in _GENERATED or is_promised(function):
        return None
    if function.__module__.partition(".")[0] in ("pydantic", "enum"):
        return None
    return analysis.summary(function, kind).why


def _model(analysis: Analysis, kind: type) -> str | None:
    """Why making a pydantic model may run code of its author."""
    schema = vars(kind)["__pydantic_core_schema__"]
    init = inspect.getattr_static(kind, "__init__")
    after = inspect.getattr_static(kind, "model_post_init", None)
    for found, name in (
        (init, "__init__"),
        (after, "model_post_init"),
        (inspect.getattr_static(kind, "__new__"), "__new__"),
    ):
        if isinstance(found, types.FunctionType) and found.__module__.partition(".")[0] != "pydantic":
            return f"makes a `{kind.__name__}`, which has a `{name}` of its own"
    todo: list[Any] = [schema]
    seen: set[int] = set()
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, dict):
            if str(one.get("type",
            "")).startswith("function") or "default_factory" in one and one["default_factory"] not in (
                list, dict, set, tuple,
            ):  # fmt: skip
                return f"makes a `{kind.__name__}`, which has a validator or a factory"
            if "post_init" in one or one.get("custom_init"):
                return f"makes a `{kind.__name__}`, which has an initialiser of its own"
            todo += [value for key, value in one.items() if key not in ("metadata", "cls", "serialization")]
        elif isinstance(one, list | tuple):
            todo += one
    return analysis.quiet(kind).effect


def model_method(analysis: Analysis, kind: type, name: str) -> str | None:
    """Of pydantic's own methods: "" if they are harmless, else why not. None for other classes and methods."""
    if name not in _MODEL_METHODS or "__pydantic_core_schema__" not in vars(kind):
        return None
    found = getattr(kind, name, None)
    if getattr(found, "__module__", "").partition(".")[0] != "pydantic":
        return None
    return _model(analysis, kind) or ""
