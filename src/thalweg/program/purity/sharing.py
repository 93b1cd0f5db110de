"""`reads_only`: whether a function leaves an argument unchanged and lets nothing of it escape.

Then the function may work on a copy beside its caller, and nobody can tell. Names that may stand for the argument or a
part of it are followed through the body; calls are followed into flows and plain functions. Recursion is taken to be
harmless if nothing else is. Cost: as `why_impure`.
"""

from __future__ import annotations

import ast
import inspect
import threading
import types
from collections.abc import Callable
from typing import Any

from thalweg.program.purity.effects import resolve_in, why_impure
from thalweg.program.purity.sources import UNKNOWN, scope_of, tree_of

_GIVES_SCALAR = frozenset(
    "len str int float bool repr isinstance issubclass hash format abs round any all ord sum".split()
)
_READS_ELEMENTS = frozenset(
    "list tuple set frozenset dict sorted reversed enumerate zip range min max iter next".split()
)
_KEEPS_NOTHING = frozenset(
    "get keys values items index count copy join split strip lower upper format startswith endswith replace "
    "splitlines".split()
)
_known: dict[tuple[Any, str, bool], bool] = {}
_lock = threading.RLock()


def reads_only(function: Callable[..., Any], parameter: str, *, deep: bool = True) -> bool:
    """Whether `function` only reads the object it gets as `parameter`.

    Args:
        deep: parts of the object can change too; False for a container of immutable values.
    """
    key = (getattr(function, "__code__", None), parameter, deep)
    if key[0] is None:
        return False
    with _lock:
        if key in _known:
            return _known[key]
    found = _reads_only(function, parameter, deep, ())
    with _lock:
        _known[key] = found
    return found


def _reads_only(function: Any, parameter: str, deep: bool, open_: tuple[Any, ...]) -> bool:
    if not isinstance(function, types.FunctionType):
        return False
    here = (function.__code__, parameter, deep)
    if here in open_:
        return True
    tree = tree_of(function)
    if tree is None or isinstance(tree, ast.Lambda):
        return False
    return _Use(function, tree, parameter, deep, (*open_, here)).harmless()


class _Use:
    """How one body uses a parameter."""

    def __init__(self, function: Any, tree: Any, parameter: str, deep: bool, open_: tuple[Any, ...]) -> None:
        self.scope = scope_of(function)
        self.locals = set(function.__code__.co_varnames) | set(function.__code__.co_cellvars)
        nodes = [one for part in tree.body for one in ast.walk(part)]
        self.locals.update(one.id for one in nodes if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))
        self.locals.update(one.arg for one in nodes if isinstance(one, ast.arg))
        self.deep = deep
        self.open = open_
        self.body = tree.body
        self.names = {parameter}
        before = 0
        while before != len(self.names):  # names that may stand for the argument or a part of it
            before = len(self.names)
            for part in self.body:
                for one in ast.walk(part):
                    self._spread(one)

    def _spread(self, one: ast.AST) -> None:
        match one:
            case ast.Assign(targets=targets, value=value) if self._is(value):
                for target in targets:
                    self._name(target)
            case ast.AnnAssign(target=target, value=value) if value is not None and self._is(value):
                self._name(target)
            case ast.NamedExpr(target=target, value=value) if self._is(value):
                self._name(target)
            case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                if self.deep and self._is(value, parts=True):
                    self._name(target)
            case ast.Match(subject=subject, cases=cases) if self._is(subject, parts=True):
                for case in cases:
                    for part in ast.walk(case.pattern):
                        name = getattr(part, "name", None) or getattr(part, "rest", None)
                        if isinstance(name, str):
                            self.names.add(name)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append" | "add" | "insert"), args=args):
                if any(self._is(arg) for arg in args):
                    self.names.add(name)

    def _name(self, target: ast.AST) -> None:
        self.names.update(
            one.id for one in ast.walk(target) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
        )

    def _is(self, value: ast.expr | None, parts: bool = False) -> bool:
        """Whether a value may be the argument, contain it, or (deep) be a part of it."""
        match value:
            case ast.Name(id=name):
                return name in self.names
            case ast.Subscript(value=owner, slice=key):
                return self._is(owner, parts) and (self.deep or (parts and isinstance(key, ast.Slice)))
            case ast.Attribute(value=owner):
                return self._is(owner, parts)
            case ast.IfExp(body=a, orelse=b):
                return self._is(a, parts) or self._is(b, parts)
            case ast.BoolOp(values=values):
                return any(self._is(one, parts) for one in values)
            case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
                return any(self._is(one, parts) for one in elements)
            case ast.Dict(values=values):
                return any(self._is(one, parts) for one in values)
            case ast.Starred(value=inner):
                return self.deep and self._is(inner, parts)
            case ast.BinOp(left=a, right=b):
                return (self.deep or parts) and (self._is(a, parts) or self._is(b, parts))
            case ast.ListComp(elt=part) | ast.SetComp(elt=part) | ast.GeneratorExp(elt=part):
                return self._is(part, parts)
            case ast.DictComp(value=part):
                return self._is(part, parts)
            case ast.NamedExpr(value=inner) | ast.Await(value=inner):
                return self._is(inner, parts)
            case ast.Call(func=func, args=args, keywords=keywords):
                return self._given_back(func, [*args, *[one.value for one in keywords]], parts)
        return False

    def _given_back(self, func: ast.expr, given: list[ast.expr], parts: bool) -> bool:
        found = self._resolve(func)
        name = getattr(found, "__name__", "") if getattr(found, "__module__", "") == "builtins" else ""
        if found is not UNKNOWN and _is_learned(found) or name in _GIVES_SCALAR:
            return False
        touched = any(self._is(one, parts) for one in given)
        if isinstance(func, ast.Attribute):
            touched = touched or (
                self._is(func.value, parts) and (self.deep or parts or func.attr not in _KEEPS_NOTHING)
            )
        if name in _READS_ELEMENTS:
            return touched and (self.deep or parts)
        return touched

    def harmless(self) -> bool:
        for part in self.body:
            for one in ast.walk(part):
                if not self._allowed(one):
                    return False
        return True

    def _allowed(self, one: ast.AST) -> bool:
        match one:
            case ast.Return(value=value) | ast.Yield(value=value) | ast.YieldFrom(value=value):
                return not self._is(value)
            case ast.Raise(exc=value) if value is not None:
                return not any(isinstance(part, ast.expr) and self._is(part) for part in ast.walk(value))
            case (
                ast.Attribute(value=owner, ctx=ast.Store() | ast.Del())
                | ast.Subscript(value=owner, ctx=ast.Store() | ast.Del())
            ):
                return not self._is(owner)
            case ast.Assign(targets=targets, value=value) if self._is(value):
                return all(
                    isinstance(target, ast.Name | ast.Tuple | ast.List) and self._plain(target) for target in targets
                )
            case ast.AugAssign(target=target, value=value):
                if isinstance(target, ast.Name):
                    return target.id not in self.names and not (self.deep and self._is(value))
                return not self._is(target.value) and not self._is(value)
            case ast.Lambda() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return not any(isinstance(part, ast.Name) and part.id in self.names for part in ast.walk(one))
            case ast.Global() | ast.Nonlocal():
                return not (set(one.names) & self.names)
            case ast.With(items=items):
                return not any(self._is(item.context_expr) for item in items)
            case ast.Call():
                return self._call_allowed(one)
        return True

    @staticmethod
    def _plain(target: ast.expr) -> bool:
        return all(not isinstance(one, ast.Attribute | ast.Subscript) for one in ast.walk(target))

    def _call_allowed(self, call: ast.Call) -> bool:
        func = call.func
        given = [*call.args, *[one.value for one in call.keywords]]
        if isinstance(func, ast.Attribute) and self._is(func.value) and func.attr not in _KEEPS_NOTHING:
            return False
        if not any(self._is(one) for one in given):
            return True
        found = self._resolve(func)
        if found is UNKNOWN:
            # a method of a container made here, which then counts as the argument
            return (
                isinstance(func, ast.Attribute)
                and func.attr in ("append", "add", "insert")
                and isinstance(func.value, ast.Name)
            )
        if _is_learned(found):
            return True
        if getattr(found, "__module__", "") == "builtins" and found.__name__ in _GIVES_SCALAR | _READS_ELEMENTS:
            return all(not isinstance(one.value, ast.Name | ast.Lambda) or one.arg != "key" for one in call.keywords)
        if isinstance(found, type):
            return why_impure(found) is None  # a record that holds it counts as the argument
        body = getattr(found, "function", found)
        if getattr(found, "__thalweg_effect__", "none") != "none":
            return False
        return self._passed_on(body, call)

    def _passed_on(self, body: Any, call: ast.Call) -> bool:
        if not isinstance(body, types.FunctionType) or any(isinstance(one, ast.Starred) for one in call.args):
            return False
        try:
            named = inspect.signature(body).bind(*call.args, **{one.arg: one.value for one in call.keywords if one.arg})
        except TypeError:
            return False
        if any(one.arg is None for one in call.keywords):
            return False
        for name, value in named.arguments.items():
            if isinstance(value, ast.expr) and self._is(value):
                if not _reads_only(body, name, self.deep or not isinstance(value, ast.Name), self.open):
                    return False
            elif isinstance(value, tuple | dict):
                return False
        return True

    def _resolve(self, func: ast.expr) -> Any:
        return resolve_in(self.scope, self.locals, func)


def _is_learned(found: Any) -> bool:
    owner = getattr(found, "__self__", found)
    return any(one.__name__ == "Learned" for one in type(owner).__mro__)
