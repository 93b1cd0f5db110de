"""The questions the compiler asks of plain Python: is a call pure, does it read state, does it only read an argument.

Source for effects by procedure summaries: Salcianu and Rinard 2005, "Purity and side effect analysis for Java
programs". Cost: below two microseconds for what was asked before, about a millisecond for a new function.
"""

from __future__ import annotations

import ast
import functools
import inspect
import operator
import types
import weakref
from collections.abc import Iterable
from typing import Any

from thalweg.program.purity import calls, known, known_methods
from thalweg.program.purity.analysis import Analysis, Dependencies, Kept, recall, remember
from thalweg.program.purity.body import Body
from thalweg.program.purity.heap import IMMUTABLE, Summary
from thalweg.program.purity.house import (
    _promised,
    has_effect_mark,
    house_effect,
    house_function,
    is_promised,
    method_effect,
    runs,
)

_NONE: Any = object()


def why_impure(function: Any, *, receiver: Any = _NONE) -> str | None:
    """Why a call of a function might do more than give a result, or depend on more than its arguments.

    None if it is pure: it changes nothing that was there before, arguments included, and neither asks the clock, chance
    or the world. Otherwise the reason in words,
    with the line. Pure is only what is sure to be; reading a global is. What
    the arguments themselves do when they are compared, printed or called is the business of `why_impure_call`.

    Args:
        receiver: for a function of a class that is called with its object: the object.
    """
    kind = type(function)
    if kind is types.FunctionType:
        if receiver is _NONE:
            if id(function) in _promised:
                return None if is_promised(function) else _summary(function, None).why
            found = recall(function, None)
            if found is not None:
                return found.why
        return None if is_promised(function) else _summary(function, None if receiver is _NONE else type(receiver)).why
    if kind is types.BuiltinFunctionType:
        owner = type(function.__self__)
        if owner is types.ModuleType or owner is type:
            found = _fixed.get(function, _NONE)
            return _of_object(function) if found is _NONE else found
        found = _methods.get((owner, function.__name__), _NONE)
        return _of_object(function) if found is _NONE else found
    if kind is types.MethodType:
        return None if is_promised(function) else _of_method(function)
    if receiver is not _NONE and isinstance(function, types.MethodDescriptorType | types.WrapperDescriptorType):
        return why_impure(getattr(receiver, function.__name__))
    if isinstance(function, type) and id(function) not in _promised:
        found = _fixed.get(function, _NONE)
        if found is not _NONE:
            return found
        kept = recall(function, None)
        if kept is not None:
            return kept.why
    if is_promised(function):
        return None
    inner = house_function(function)
    if inner is not None:
        return house_effect(function) or (
            why_impure(inner) if type(inner) is types.FunctionType and not has_effect_mark(function) else None
        )
    if kind is types.MethodDescriptorType:
        found = _fixed.get(function, _NONE)
        if found is not _NONE:
            return found
    return _of_object(function)


def why_impure_call(function: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> str | None:
    """`why_impure`, of a call with these arguments: those that are called, gone through, compared or printed on the way
    must be harmless too. Looks at the arguments and their elements, not further.
    """
    reason = why_impure(function)
    every = (*args, *kwargs.values()) if kwargs else args
    if reason is not None:
        summary = _summary_of(function)
        if summary is None or summary.effect is not None or summary.changes:
            return reason
        for one in every:  # all it does is to call what it is given
            if isinstance(one, type) and (why := why_impure(one)) is not None:
                return why
    assumed: frozenset[str] | None = None
    for one in every:
        if type(one) not in _PLAIN:
            if assumed is None:
                summary = _summary_of(function)
                assumed = summary.assumes if summary is not None else frozenset()
            if (why := _argument(one, assumed)) is not None:
                return why
    return None


def reads_only(function: Any, parameter: str, *, deep: bool = True) -> bool:
    """Whether a function surely neither changes the object a parameter is given, or anything in it, nor keeps it.

    A result, an exception or a container that may hold a part of it that can change counts as keeping it. Parts that
    annotations say are immutable do not count.

    Args:
        deep: what is inside can change too; False for a container of immutable values.
    """
    inner = house_function(function)
    function = inner if isinstance(inner, types.FunctionType) else function
    if not isinstance(function, types.FunctionType):
        return False
    summary = _summary(function, None)
    if summary.unknown or summary.effect is not None and "too entangled" in summary.effect:
        return False
    names = {parameter, f"{parameter}[]"} if deep else {parameter}
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    if parameter not in code.co_varnames[:count]:
        return False
    held = {*summary.changes, *summary.calls, *summary.keeps, *summary.raises, *summary.hands}
    return not names & (held | summary.result.parameters | summary.result.holds)


def reads_state(function: Any) -> str | None:
    """What a function reads that a call with effects may change meanwhile, a global or a variable of the function
    around it; None if nothing. A pure function that reads state must not run beside calls with effects before it."""
    summary = _summary_of(function)
    return summary.reads if summary is not None else None


# -- by kind of callable ----------------------------------------------------------------------------------------------


def _summary(function: types.FunctionType, kind: type | None) -> Summary:
    found = recall(function, kind)
    if found is not None:
        return found.summary
    if known.is_from_stdlib(function) or known.is_numpy(function):
        spec = known.spec_of(function)
        if spec is not None:
            changes = {"xs": f"changes the argument of `{function.__name__}`"} if spec.changes else {}
            effect = spec.effect if not spec.effect or "`" in spec.effect else f"calls `{function.__name__}`"
            found = Summary(effect, changes)
            remember(function, None, Kept(found, Dependencies(), []))
            return found
    analysis = Analysis()
    try:
        answer = analysis.solve(lambda: analysis.summary(function, kind))
    except RecursionError:
        answer = None
    if answer is None:
        return Summary("is too entangled to follow", unknown=True)
    analysis.keep()
    return answer


def _summary_of(function: Any) -> Summary | None:
    """The summary behind a callable; None where there is none."""
    match function:
        case types.FunctionType():
            return _summary(function, None)
        case types.MethodType(__func__=types.FunctionType() as inner):
            return _summary(inner, None if isinstance(function.__self__, type) else type(function.__self__))
        case functools.partial(func=inner):
            return _summary_of(inner)
        case functools._lru_cache_wrapper():
            return _summary_of(function.__wrapped__)
    inner = house_function(function)
    if isinstance(inner, types.FunctionType):
        return _summary(inner, None)
    caller = inspect.getattr_static(type(function), "__call__", None)
    if isinstance(caller, types.FunctionType) and inner is None and not isinstance(function, type):
        return _summary(caller, type(function))
    return None


def _of_method(function: types.MethodType) -> str | None:
    owner = function.__self__
    name = function.__name__
    inner = house_function(owner)
    if inner is not None:
        effect = method_effect(owner, name)
        if effect is None and isinstance(inner, types.FunctionType) and runs(name):
            effect = why_impure(owner)
        return effect
    called = function.__func__
    if type(called) is not types.FunctionType:
        return _asked(function)
    if isinstance(owner, type):  # a class method: what it does depends on the class
        found = recall(called, owner)
        return found.why if found is not None else _asked(function)
    found = recall(called, type(owner))
    return found.why if found is not None else _summary(called, type(owner)).why


def _of_object(function: Any) -> str | None:
    if isinstance(function, types.BuiltinFunctionType | types.MethodWrapperType) and not isinstance(
        function.__self__, type | types.ModuleType | type(None)
    ):
        return _of_builtin_method(type(function.__self__), function.__name__, function)
    spec = known.spec_of(function)
    if spec is not None:
        reason = spec.effect
        if reason is not None and "`" not in reason:
            reason = f"calls `{function.__name__}`"
        if reason is None and spec.changes:
            reason = f"changes the argument of `{function.__name__}`"
        if isinstance(function, types.BuiltinFunctionType | type):
            _fixed[function] = reason
        return reason
    if isinstance(function, functools._lru_cache_wrapper):
        return why_impure(function.__wrapped__)
    if isinstance(function, functools.partial):
        reason = why_impure(function.func)
        given = (*function.args, *function.keywords.values())
        if reason is not None and (summary := _summary_of(function)) is not None and not summary.effect:
            return _asked(function)
        return reason or next((why for one in given if callable(one) and (why := why_impure(one)) is not None), None)
    if isinstance(function, type):
        return _asked(function)
    if isinstance(function, operator.itemgetter | operator.attrgetter):
        return None
    caller = inspect.getattr_static(type(function), "__call__", None)
    if isinstance(caller, types.FunctionType):
        return None if is_promised(caller) else _summary(caller, type(function)).why
    if isinstance(function, types.MethodDescriptorType):
        _fixed[function] = _of_descriptor(function)
        return _fixed[function]
    return _asked(function)


def _of_descriptor(function: types.MethodDescriptorType) -> str | None:
    kind, name = function.__objclass__, function.__name__
    method = (
        known_methods.immutable_method(kind, name)
        if issubclass(kind, IMMUTABLE)
        else known_methods.method_of(kind, name)
    )
    if method is None:
        return known.why_unknown(function)
    return f"changes its `{kind.__name__}`: `{name}`" if method.changes else None


def _of_builtin_method(kind: type, name: str, function: Any) -> str | None:
    try:
        return _methods[kind, name]
    except KeyError:
        pass
    reason = _asked(function)
    if reason is not None and "changes the global" in reason:
        reason = f"changes its `{kind.__name__}`: `{name}`"
    _methods[kind, name] = reason
    return reason


def _asked(function: Any) -> str | None:
    """Ask by calling it, in thought, with anything."""
    analysis = Analysis()

    def ask() -> Summary:
        key = (_probe, None)
        analysis.dependencies[key] = Dependencies()
        analysis.needs[key] = set()
        analysis.stack.append(key)
        body = Body(analysis, _probe, _PROBE, None)
        body.env = {}
        given = calls.Arguments([], {}, frozenset({body.parameter("arguments")}), True)
        try:
            calls.call_known(
                body, ast.copy_location(ast.Name(getattr(function, "__name__", "it")), _PROBE), function, given
            )
        finally:
            analysis.stack.pop()
        reason = body.effect or next(iter(body.changes.values()), None)
        return Summary(reason.replace(", line 1 of verdict.py", "") if reason else None)

    try:
        found = analysis.solve(ask)
    except RecursionError:
        found = None
    if found is None:
        return "is too entangled to follow"
    if isinstance(function, type):
        remember(function, None, analysis.kept((_probe, None), found))
    elif isinstance(function, types.MethodType) and isinstance(function.__self__, type):
        remember(function.__func__, function.__self__, analysis.kept((_probe, None), found))
    return found.effect


def _probe() -> None: ...


_PROBE: Any = ast.parse("lambda: None", mode="eval").body
_fixed: dict[Any, str | None] = {}
_methods: dict[tuple[type, str], str | None] = {}

# -- arguments --------------------------------------------------------------------------------------------------------

_PLAIN: frozenset[type] = frozenset({str, int, float, bool, bytes, type(None), complex, range, slice})


def _argument(one: Any, assumed: Iterable[str]) -> str | None:
    if isinstance(one, list | tuple | set | frozenset):
        for kind in {type(each) for each in one} - _PLAIN:
            if (why := _instances(kind, assumed)) is not None:
                return why
        return _callables(one)
    if isinstance(one, dict):
        for kind in {type(each) for each in one.values()} - _PLAIN:
            if (why := _instances(kind, assumed)) is not None:
                return why
        return _callables(one.values())
    if callable(one) and not isinstance(one, type) and (why := why_impure(one)) is not None:
        return f"is given `{getattr(one, '__name__', type(one).__name__)}`, which {why}"
    return _instances(type(one), assumed)


def _callables(some: Iterable[Any]) -> str | None:
    for one in some:
        if isinstance(one, types.FunctionType | types.MethodType) and (why := why_impure(one)) is not None:
            return f"is given `{one.__name__}`, which {why}"
    return None


def _instances(kind: type, assumed: Iterable[str]) -> str | None:
    """Why objects of a class, as arguments, may do something when they are looked at."""
    if kind in known.CONTAINERS or issubclass(kind, IMMUTABLE):
        return None
    if hasattr(kind, "__next__"):
        return f"goes through a `{kind.__name__}`, which moves on"
    key = (kind, tuple(assumed))
    found = _seen.get(kind)
    if found is None or key not in found:
        analysis = Analysis()
        reason = analysis.solve(lambda: analysis.quiet(kind)) or Summary("is too entangled to follow")
        why = reason.effect
        for name in assumed:
            method = inspect.getattr_static(kind, name, None)
            if why is None and isinstance(method, types.FunctionType) and not known.is_from_stdlib(method):
                why = _summary(method, kind).why
                why = why and f"calls `{kind.__name__}.{name}`: {why}"
        found = _seen.setdefault(kind, {})
        found[key] = why
    return found[key]


_seen: weakref.WeakKeyDictionary[type, dict[Any, str | None]] = weakref.WeakKeyDictionary()
