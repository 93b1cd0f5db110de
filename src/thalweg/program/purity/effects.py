"""Which plain Python callables have no effect: what may run ahead of calls that could still fail.

`why_impure` gives the reason why a callable may change something or depend on what may change, or None for one that
surely does neither. It errs on the impure side: a wrong "impure" costs overlap, a wrong "pure" would change meaning.
Function bodies are read as syntax trees: changing what was made in the body is no effect, changing anything else is;
calls are followed. Attribute loads and operators are taken as pure (properties with effects are not seen), and globals
are taken not to change while pure code reads them. `@pure` promises what cannot be seen. Source: own; escape and side
effect analysis after Salcianu and Rinard 2005. Cost: about a millisecond for a function, once; a lookup after that.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import importlib
import inspect
import sys
import threading
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from thalweg.program.purity.known import (
    BUILTINS,
    C_FUNCTIONS,
    CONTEXTS,
    EXCEPT,
    FRESH_CALLS,
    IMMUTABLE,
    IMMUTABLE_MODULES,
    MODULES,
    MUTATES,
    NUMPY_EFFECTS,
    READS,
    SCALAR_CALLS,
    TAKES_FUNCTIONS,
    TEXT,
)
from thalweg.program.purity.sources import UNKNOWN, scope_of, tree_of

F = TypeVar("F", bound=Callable[..., Any])

_promised: set[int] = set()
_kept: list[Any] = []  # promised objects stay, so that their identity does
_known: dict[Any, str | None] = {}
_lock = threading.RLock()


def pure(function: F) -> F:
    """Promise that calling a function has no effect and depends on its arguments alone. Returns it as it is."""
    with _lock:
        _promised.add(id(function))
        _kept.append(function)
        if (code := getattr(function, "__code__", None)) is not None:
            _promised.add(id(code))
        _known.clear()
    return function


def why_impure(function: Any) -> str | None:
    """Why calling `function` may have an effect, in words with the line; None if it surely has none."""
    key = getattr(function, "__code__", None)
    if key is None or getattr(function, "__closure__", None):
        return _why(function, ())
    found = _known.get(key, UNKNOWN)
    if found is UNKNOWN:
        found = _why(function, ())
        with _lock:
            _known[key] = found  # type: ignore[assignment]
    return found  # type: ignore[return-value]


def _why(function: Any, open_: tuple[Any, ...], fresh: frozenset[str] = frozenset()) -> str | None:
    if id(function) in _promised or getattr(function, "__thalweg_pure__", False) is True:
        return None
    kind = type(function)
    if hasattr(kind, "__thalweg_begin__") or hasattr(kind, "__thalweg_effect__"):
        return _why_ours(function, open_)
    if kind is types.FunctionType:
        return _why_function(function, open_, fresh)
    if kind is types.MethodType:
        return _why_method(function, open_)
    if kind.__name__ in C_FUNCTIONS:
        return _why_builtin(function)
    if isinstance(function, type):
        return _why_class(function, open_)
    if isinstance(function, functools.partial):
        return _why(function.func, open_)
    if kind.__name__ == "_lru_cache_wrapper":
        return _why(function.__wrapped__, open_)
    if kind.__module__.partition(".")[0] == "numpy" and kind.__name__ in ("ufunc", "_ArrayFunctionDispatcher"):
        return _why_numpy(getattr(function, "__module__", "numpy") or "numpy", function.__name__)
    if kind.__module__ in ("operator", "_operator", "typing", "re"):
        return None
    call = inspect.getattr_static(kind, "__call__", None)
    if isinstance(call, types.FunctionType):
        return _why(call, open_)
    return f"what `{_name(function)}` does is not known"


def _why_ours(function: Any, open_: tuple[Any, ...]) -> str | None:
    effect = getattr(function, "__thalweg_effect__", None)
    if effect is not None:
        return None if effect == "none" else f"`{_name(function)}` {effect}s"
    body = getattr(function, "function", None)
    if type(function).__name__ == "Flow" and body is not None:
        return _why(body, open_)
    if any(one.__name__ == "Learned" for one in type(function).__mro__):
        return None
    return f"`{_name(function)}` keeps a state"


def _why_method(function: types.MethodType, open_: tuple[Any, ...]) -> str | None:
    owner = function.__self__
    if hasattr(type(owner), "__thalweg_begin__"):
        if function.__name__ in ("explain", "learned", "state", "using", "bind", "render"):
            return None
        return _why_ours(owner, open_)
    module = getattr(function.__func__, "__module__", "") or ""
    if isinstance(owner, type) and module in MODULES:
        return _by_module(module, function.__name__)
    return _why(function.__func__, open_)


def _why_builtin(function: Any) -> str | None:
    owner = getattr(function, "__self__", None)
    name = function.__name__
    if isinstance(owner, types.ModuleType) or owner is None:
        module = getattr(function, "__module__", None) or getattr(
            getattr(function, "__objclass__", None), "__module__", ""
        )
        if owner is None and (of := getattr(function, "__objclass__", None)) is not None:
            if issubclass(of, IMMUTABLE) or name in READS | TEXT:
                return None
            return f"`{of.__name__}.{name}` may change what it is given"
        return _by_module(module or "", name)
    if isinstance(owner, type):
        return _by_module(owner.__module__, name)
    if isinstance(owner, IMMUTABLE) or type(owner).__module__ in IMMUTABLE_MODULES:
        return None
    if (
        name in READS
        and type(owner) in (list, dict, set, bytearray)
        or type(owner).__name__ in ("dict_keys", "dict_items")
    ):
        return None
    return f"`{type(owner).__name__}.{name}` may change the {type(owner).__name__}"


def _by_module(module: str, name: str) -> str | None:
    if module in MODULES and name not in EXCEPT.get(module, ()):
        return None
    if module.partition(".")[0] == "numpy":
        return _why_numpy(module, name)
    return f"calls `{module + '.' if module not in ('', 'builtins') else ''}{name}`"


def _why_numpy(module: str, name: str) -> str | None:
    bad = ("random", "lib.npyio", "lib._npyio", "testing", "ctypeslib")
    if any(part in module for part in bad) or name in NUMPY_EFFECTS:
        return f"calls `numpy.{name}`"
    return None


def _why_class(cls: type, open_: tuple[Any, ...]) -> str | None:
    if cls.__module__ == "builtins":
        if issubclass(cls, BaseException) or cls.__name__ in BUILTINS:
            return None
        return f"calls `{cls.__name__}`"
    if issubclass(cls, enum.Enum) or cls.__module__ in MODULES:
        return None if cls.__module__ not in MODULES else _by_module(cls.__module__, cls.__name__)
    if type(cls) is not type and type(cls).__name__ != "ABCMeta":
        if hasattr(cls, "model_fields"):
            custom = any(getattr(cls.__pydantic_decorators__, kind, None) for kind in
                         ("validators", "field_validators", "root_validators", "model_validators"))  # fmt: skip
            return "its validators are not known" if custom or "model_post_init" in cls.__dict__ else None
        return f"the metaclass of `{cls.__name__}` is not known"
    for name in ("__new__", "__init__", "__post_init__"):
        made = inspect.getattr_static(cls, name, None)
        if isinstance(made, staticmethod):
            made = made.__func__
        if isinstance(made, types.FunctionType):
            if made.__code__.co_filename == "<string>" and (dataclasses.is_dataclass(cls) or hasattr(cls, "_fields")):
                continue  # generated
            first = next(iter(made.__code__.co_varnames), "self")
            if (reason := _why(made, open_, frozenset({first}))) is not None:
                return reason
    return None


def _why_function(function: types.FunctionType, open_: tuple[Any, ...], fresh: frozenset[str]) -> str | None:
    code = function.__code__
    if id(code) in _promised:
        return None
    if code in open_:
        return None  # a cycle is pure if nothing else in it is impure
    module = function.__module__ or ""
    if module in MODULES:
        return _by_module(module, function.__name__)
    if module.partition(".")[0] == "numpy":
        return _why_numpy(module, function.__name__)
    if module == "thalweg.program.value" and function.__name__ == "gather":
        return None
    tree = tree_of(function)
    if tree is None:
        return f"the source of `{function.__name__}` is not known"
    if isinstance(tree, ast.AsyncFunctionDef):
        return f"`{function.__name__}` is async"
    return _Body(function, tree, (*open_, code), fresh).reason()


class _Body:
    """One function's body under analysis."""

    def __init__(self, function: types.FunctionType, tree: Any, open_: tuple[Any, ...], fresh: frozenset[str]) -> None:
        self.function = function
        self.tree = tree
        self.open = open_
        self.scope = scope_of(function)
        self.modules: dict[str, Any] = {}
        self.locals = set(function.__code__.co_varnames) | set(function.__code__.co_cellvars)
        self.defined: set[str] = set()
        self.kinds: dict[str, set[str]] = {}
        body = tree.body if isinstance(tree.body, list) else [tree.body]
        self.nodes = [one for part in body for one in ast.walk(part)]
        for name in fresh:
            self.kinds.setdefault(name, set()).add("fresh")
        arguments = tree.args
        for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
            if one is not None and one.arg not in fresh:
                self.kinds.setdefault(one.arg, set()).add("known" if _is_builtin_type(one.annotation) else "other")
        self.locals.update(one.id for one in self.nodes if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))
        for one in self.nodes:
            self._learn(one)

    def _learn(self, one: ast.AST) -> None:
        match one:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    if isinstance(target, ast.Name):
                        self._add(target.id, self._kind(value))
                    else:
                        self._others(target)
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                self._add(name, self._kind(value))
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                self._add(name, self._kind(value))
            case ast.For(target=target) | ast.comprehension(target=target):
                self._others(target)
            case ast.With(items=items):
                for item in items:
                    if item.optional_vars is not None:
                        self._others(item.optional_vars)
            case ast.ExceptHandler(name=str() as name):
                self._add(name, "other")
            case ast.MatchAs(name=str() as name) | ast.MatchStar(name=str() as name):
                self._add(name, "other")
            case ast.FunctionDef(name=name, args=arguments):
                self.defined.add(name)
                self.locals.add(name)
                self._parameters(arguments)
            case ast.Lambda(args=arguments):
                self._parameters(arguments)
            case ast.Import(names=names):
                for alias in names:
                    self.modules[alias.asname or alias.name.partition(".")[0]] = _module(
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
            case ast.ImportFrom(module=str() as module, names=names, level=0):
                for alias in names:
                    self.modules[alias.asname or alias.name] = getattr(_module(module), alias.name, UNKNOWN)

    def _parameters(self, arguments: ast.arguments) -> None:
        for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
            if one is not None:
                self._add(one.arg, "other")
                self.locals.add(one.arg)

    def _others(self, target: ast.AST) -> None:
        for one in ast.walk(target):
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
                self._add(one.id, "other")
                self.locals.add(one.id)

    def _add(self, name: str, kind: str) -> None:
        self.kinds.setdefault(name, set()).add(kind)

    def _kind(self, value: ast.expr) -> str:
        match value:
            case ast.List() | ast.Dict() | ast.Set() | ast.ListComp() | ast.SetComp() | ast.DictComp():
                return "fresh"
            case ast.Call(func=ast.Name(id=name)) if name in FRESH_CALLS and name not in self.locals:
                return "fresh"
            case ast.Call(func=ast.Name(id=name)) if name in SCALAR_CALLS and name not in self.locals:
                return "scalar" if name != "sum" else "other"
            case ast.Constant() | ast.JoinedStr() | ast.Compare():
                return "scalar"
            case ast.Call(func=ast.Attribute(attr=attr)) if attr in TEXT:
                return "known"
            case ast.BinOp(left=left, right=right):
                return "scalar" if self._kind(left) == self._kind(right) == "scalar" else "other"
            case ast.UnaryOp(operand=operand):
                return self._kind(operand)
            case ast.Name(id=name) if self.kinds.get(name) == {"scalar"}:
                return "scalar"
            case ast.Call(func=func):
                made = self._resolve(func)
                if isinstance(made, type) and made.__module__ != "builtins":
                    return "fresh"
                if made is not UNKNOWN and getattr(made, "__module__", "") in ("re", "builtins"):
                    return "known"
                if type(getattr(made, "__self__", None)).__module__ == "re":
                    return "known"
        return "other"

    def _is(self, name: str, *kinds: str) -> bool:
        found = self.kinds.get(name)
        return bool(found) and found <= set(kinds)

    # -- what is wrong with it ----------------------------------------------------------------------------------------

    def reason(self) -> str | None:
        for one in self.nodes:
            if (found := self._node(one)) is not None:
                line = getattr(one, "lineno", self.function.__code__.co_firstlineno)
                return f"{found}, {Path(self.function.__code__.co_filename).name}, line {line}"
        return None

    def _node(self, one: ast.AST) -> str | None:
        match one:
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                return f"changes `{names[0]}` outside itself"
            case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
                return self._store(one)
            case ast.AugAssign(target=ast.Name(id=name)) if not self._is(name, "fresh", "scalar"):
                return f"may change `{name}` in place"
            case ast.AugAssign(target=ast.Attribute() | ast.Subscript() as target):
                return self._store(target)
            case ast.Call():
                return self._call(one)
            case ast.Await() | ast.AsyncFor() | ast.AsyncWith() | ast.AsyncFunctionDef():
                return "is async"
            case ast.ClassDef():
                return "defines a class"
            case ast.FunctionDef(decorator_list=[_, *_]):
                return "decorates a function"
            case ast.With(items=items):
                for item in items:
                    call = item.context_expr
                    name = getattr(getattr(call, "func", None), "attr", getattr(getattr(call, "func", None), "id", ""))
                    if name not in CONTEXTS:
                        return f"enters `{ast.unparse(call)[:40]}`"
            case ast.Import(names=names):
                bad = next((alias.name for alias in names if alias.name.partition(".")[0] not in _importable()), None)
                return f"imports `{bad}`" if bad else None
            case ast.ImportFrom(module=module):
                return None if (module or "").partition(".")[0] in _importable() else f"imports `{module}`"
        return None

    def _store(self, one: ast.Attribute | ast.Subscript) -> str | None:
        root = one.value
        if isinstance(root, ast.Name) and self._is(root.id, "fresh"):
            return None
        return f"changes `{ast.unparse(root)[:40]}`"

    def _resolve(self, func: ast.expr) -> Any:
        if isinstance(func, ast.Name) and func.id in self.modules:
            return self.modules[func.id]
        if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id in self.modules:
            return getattr(self.modules[func.value.id], func.attr, UNKNOWN)
        return resolve_in(self.scope, self.locals, func)

    def _call(self, call: ast.Call) -> str | None:
        if any(keyword.arg == "out" for keyword in call.keywords):
            return "writes into an argument (`out=`)"
        func = call.func
        found = self._resolve(func)
        if found is not UNKNOWN:
            reason = _why(found, self.open)
            if reason is not None:
                said = ast.unparse(func)[:40]
                return reason if f"`{said}`" in reason else f"calls `{said}`: {reason}"
            if getattr(found, "__name__", "") in TAKES_FUNCTIONS and getattr(found, "__module__", "") == "builtins":
                return self._functions_in(call, found.__name__)
            return None
        match func:
            case ast.Name(id=name):
                if name in self.defined and name not in self.kinds:
                    return None  # its body is looked at here
                return f"calls `{name}`, which is known only at run time"
            case ast.Attribute(value=value, attr=name):
                owner = resolve_in(self.scope, self.locals, value)
                if name in MUTATES:
                    fresh = isinstance(value, ast.Name) and self._is(value.id, "fresh")
                    return None if fresh or self._kind(value) == "fresh" else f"changes `{ast.unparse(value)[:40]}`"
                if owner is not UNKNOWN:
                    return self._method(owner, name, ast.unparse(func)[:40])
                if name in TEXT or (name in READS and self._is_builtin(value)):
                    return None
                return f"calls `{ast.unparse(func)[:40]}`, which is known only at run time"
            case ast.Lambda():
                return None
        return f"calls `{ast.unparse(func)[:40]}`, which is known only at run time"

    def _method(self, owner: Any, name: str, said: str) -> str | None:
        """A method of an object that the function sees outside itself."""
        if type(owner) in (list, dict, set):
            return None if name in READS | TEXT else f"changes `{said.rpartition('.')[0]}`"
        found = inspect.getattr_static(type(owner), name, None)
        if isinstance(found, types.FunctionType):
            return _why(found, self.open)
        return f"calls `{said}`, whose effects are not known"

    def _is_builtin(self, value: ast.expr) -> bool:
        """Whether a value surely is of a built-in type (or a match of a regular expression)."""
        match value:
            case ast.Constant() | ast.JoinedStr() | ast.List() | ast.Dict() | ast.Set() | ast.Compare():
                return True
            case ast.ListComp() | ast.DictComp() | ast.SetComp():
                return True
            case ast.Name(id=name):
                return self._is(name, "fresh", "scalar", "known")
            case ast.Call(func=ast.Attribute(attr=attr)) if attr in TEXT:
                return True
            case ast.Call(func=func):
                found = self._resolve(func)
                module = getattr(found, "__module__", None) or type(getattr(found, "__self__", None)).__module__
                return found is not UNKNOWN and module in ("builtins", "re", "json", "math", "datetime", "copy")
        return False

    def _functions_in(self, call: ast.Call, name: str) -> str | None:
        given = [keyword.value for keyword in call.keywords if keyword.arg == "key"]
        if name in ("map", "filter") and call.args:
            given.append(call.args[0])
        for one in given:
            if isinstance(one, ast.Lambda) or (isinstance(one, ast.Constant) and one.value is None):
                continue
            if isinstance(one, ast.Name) and one.id in self.defined and one.id not in self.kinds:
                continue
            found = self._resolve(one)
            if isinstance(one, ast.Attribute) and one.attr in READS | TEXT and self._is_builtin(one.value):
                continue
            if found is UNKNOWN:
                return f"calls `{ast.unparse(one)[:40]}`, which is known only at run time"
            if (reason := _why(found, self.open)) is not None:
                return reason
        return None


def resolve_in(scope: Mapping[str, Any], local: set[str], func: ast.expr) -> Any:
    """What a name or a dotted name means in a scope; `UNKNOWN` where only the run can tell."""
    match func:
        case ast.Name(id=name):
            return UNKNOWN if name in local else scope.get(name, UNKNOWN)
        case ast.Attribute(value=value, attr=name):
            owner = resolve_in(scope, local, value)
            if owner is UNKNOWN:
                return UNKNOWN
            fixed = isinstance(owner, types.ModuleType | type) or hasattr(type(owner), "__thalweg_begin__")
            if fixed or isinstance(owner, IMMUTABLE) or type(owner).__module__ in IMMUTABLE_MODULES:
                return getattr(owner, name, UNKNOWN)
        case ast.Constant(value=str()):
            return UNKNOWN
    return UNKNOWN


def _is_builtin_type(annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except SyntaxError:
            return False
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    return isinstance(annotation, ast.Name) and annotation.id in (
        "str", "int", "float", "bool", "bytes", "list", "dict", "set", "tuple", "frozenset"
    )  # fmt: skip


@functools.cache
def _importable() -> frozenset[str]:
    return frozenset(name.partition(".")[0] for name in MODULES if name[0] != "_") | {"thalweg", "numpy", "contextlib"}


def _module(name: str) -> Any:
    if name in sys.modules:
        return sys.modules[name]
    if name.partition(".")[0] in _importable():
        try:
            return importlib.import_module(name)
        except ImportError:
            return UNKNOWN
    return UNKNOWN


def _name(function: Any) -> str:
    return getattr(function, "__name__", None) or getattr(function, "name", None) or type(function).__name__
