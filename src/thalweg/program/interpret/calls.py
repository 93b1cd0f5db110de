"""Calls with labels: steps of the program precisely, Python's containers part by part, plain code as a whole.

A call of plain code is one step: everything it can see flows into everything it can change and into its result; if it
may keep things, into the world outside as well. While it runs, the tools it calls are checked against what it may know.
Cost: a few microseconds and a walk through the arguments where labels are in play.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from thalweg.program.compile.lazy import is_plain_dataclass
from thalweg.program.interpret import displays, expressions, parts
from thalweg.program.interpret.callables import (
    CONTAINERS,
    OVER_KEYS,
    PURE_BUILTINS,
    SHALLOW,
    calls_back,
    is_impure,
    makes_new,
    reads_outside,
)
from thalweg.program.interpret.containers import call_method
from thalweg.program.interpret.execution import Execution
from thalweg.program.interpret.reach import SIMPLE, walk
from thalweg.program.interpret.tag import NOTHING, Tag, join
from thalweg.program.interpret.tracker import Pair
from thalweg.program.interpret.watch import Watch, watching
from thalweg.program.labels import Labelled, labelled
from thalweg.program.value import Value, gather


def call(run: Execution, tree: ast.Call) -> Pair:
    """A call in a flow's code."""
    owner: Pair | None = None
    if isinstance(tree.func, ast.Attribute):
        owner = expressions.evaluate(run, tree.func.value)
        function, tag = parts.attribute(run, owner, tree.func.attr)
    else:
        function, tag = expressions.evaluate(run, tree.func)
    values, tags, count = displays.spread(run, tree.args)
    args = list(zip(values, tags, strict=True))
    kwargs: dict[str, Pair] = {}
    for one in tree.keywords:
        value, its = expressions.evaluate(run, one.value)
        if one.arg is not None:
            kwargs[one.arg] = value, its
            continue
        count = count | run.tracker.shallow(value, its)
        for key in value:
            if not isinstance(key, str):
                raise TypeError("keywords must be strings")
            if key in kwargs:
                raise TypeError(f"{function!r} got multiple values for keyword argument '{key}'")
            kwargs[key] = value[key], run.tracker.part(value, its, key)
    if not count:
        return apply(run, function, tag, owner, args, kwargs, tree.lineno)
    before, run.pc = run.pc, run.pc | count  # what is called with how many arguments depends on it
    try:
        value, its = apply(run, function, tag, owner, args, kwargs, tree.lineno)
    finally:
        run.pc = before
    return value, its | count


def apply(
    run: Execution, function: Any, tag: Tag, owner: Pair | None, args: list[Pair], kwargs: dict[str, Pair], line: int
) -> Pair:
    """Call `function` (which one it is carries `tag`)."""
    from thalweg.program.interpret.steps import step, verb

    tracker = run.tracker
    kind = type(function)
    if kind is BuiltinFunctionType and owner is not None and function.__self__ is owner[0]:
        if type(owner[0]) in CONTAINERS:
            return call_method(run, function, owner, args, kwargs)
        if type(owner[0]) in SIMPLE:
            return _pure(run, function, [owner, *args], args, kwargs)
    if tag and (extra := tag.minus(run.here)):
        if owner is None or kind is not MethodType or is_impure(function):
            tracker.raise_heap(extra)  # another function may have been called in its place
        before, run.pc = run.pc, run.pc | tag
        try:
            value, its = apply(run, function, NOTHING, owner, args, kwargs, line)
        finally:
            run.pc = before
        return value, its | tag
    if hasattr(kind, "__thalweg_begin__"):
        return step(run, function, args, kwargs, line)
    if kind is MethodType and hasattr(type(function.__self__), "__thalweg_begin__"):
        return verb(run, function, args, kwargs, line)
    if function is labelled or function is Labelled:
        return _labelled(run, args, kwargs, line)
    if function is gather and not kwargs:
        return _gathered(run, args)
    if id(function) in PURE_BUILTINS:
        if id(function) in SHALLOW and args and not calls_back(args[0][0]):
            value = function(*[one for one, _ in args])
            return value, join([tracker.shallow(*args[0]), *[tracker.deep(one, its) for one, its in args[1:]]])
        if function in (list, tuple) and len(args) == 1 and type(args[0][0]) in (list, tuple) and not kwargs:
            found, its = args[0]
            parts = [tracker.part(found, its, i) for i in range(len(found))] if tracker.active else None
            made = function(found)
            return (made, its) if made is found else (tracker.made(made, tracker.shallow(found, its), parts), NOTHING)
        return _pure(run, function, args, args, kwargs)
    if kind is type and is_plain_dataclass(function):
        return _record(run, function, args, kwargs)
    return opaque(run, function, args, kwargs, new=makes_new(function), impure=is_impure(function))


def _pure(
    run: Execution, function: Callable[..., Any], pairs: list[Pair], args: list[Pair], kwargs: dict[str, Pair]
) -> Pair:
    """A function of Python's own that keeps nothing: its result is new, and carries what it was given."""
    given = [*pairs, *kwargs.values()]
    if any(calls_back(one) for one, _ in given):
        impure = any(_calls_impure(one) for one, _ in given)
        return opaque(run, function, args, kwargs, new=True, impure=impure, more=pairs)
    tracker = run.tracker
    tag = NOTHING
    if tracker.active:
        over_keys = id(function) in OVER_KEYS
        tag = join(
            [
                tracker.deep_all(one.keys(), tracker.shallow(one, its))
                if over_keys and type(one) is dict
                else tracker.deep(one, its)
                for one, its in given
            ]
        )
        run.note(tag)
    value = function(*[one for one, _ in args], **{name: one for name, (one, _) in kwargs.items()})
    return tracker.fresh(value, tag) if type(value) not in SIMPLE else (value, tag)


def _calls_impure(value: Any) -> bool:
    if not calls_back(value):
        return False
    if callable(value):
        return is_impure(value)
    return parts.may_run(value) and not hasattr(type(value), "__dataclass_fields__")


def _record(run: Execution, kind: type, args: list[Pair], kwargs: dict[str, Pair]) -> Pair:
    """A data class: each field has its own label."""
    tracker = run.tracker
    made = kind(*[one for one, _ in args], **{name: one for name, (one, _) in kwargs.items()})
    if not tracker.active:
        return tracker.made(made), NOTHING
    import inspect

    bound = inspect.signature(kind).bind(*[tag for _, tag in args], **{name: tag for name, (_, tag) in kwargs.items()})
    return tracker.made(made, NOTHING, dict(bound.arguments)), NOTHING


def _labelled(run: Execution, args: list[Pair], kwargs: dict[str, Pair], line: int) -> Pair:
    made = labelled(*[one for one, _ in args], **{name: one for name, (one, _) in kwargs.items()})
    value, tag = args[0] if args else kwargs["value"]
    more = Tag.of(made.label, f"line {line}", line)
    if more:
        run.tracker.active = True
    if type(value) in SIMPLE:
        return value, tag | more
    bare, its = run.tracker.opened(made, f"line {line}")
    return bare, tag | its


def _gathered(run: Execution, args: list[Pair]) -> Pair:
    values: list[Any] = []
    tags: list[Tag] = []
    for value, tag in args:
        its = run.tracker.deep(value, tag)
        run.note(its)
        if isinstance(value, Value):
            value, tag = value.result(), its
        values.append(value)
        tags.append(tag)
    return run.tracker.made(values, NOTHING, tags), NOTHING


# -- plain code -------------------------------------------------------------------------------------------------------


def opaque(
    run: Execution, function: Any, args: list[Pair], kwargs: Mapping[str, Pair], *, new: bool, impure: bool,
    more: list[Pair] | None = None,
) -> Pair:  # fmt: skip
    """Plain code, as one step.

    Args:
        new: its result is a new object. impure: it may keep, change or hand out things. more: what else it sees.
    """
    tracker = run.tracker
    values = tuple(one for one, _ in args)
    named = {name: one for name, (one, _) in kwargs.items()}
    pairs = [*args, *kwargs.values(), *(more or ())]
    seen = [one for one, _ in pairs]
    if (
        isinstance(function, FunctionType | MethodType | type)
        or not isinstance(function, BuiltinFunctionType)
        or getattr(function, "__self__", None) is not None
    ):
        seen.append(function)
    tag = join(its for _, its in pairs) if tracker.active else NOTHING
    if tracker.world and not impure and reads_outside([function, *walk(seen)], run.own_cells()):
        tag = tag | tracker.world
    references = join(its for one, its in pairs if type(one) not in SIMPLE) if tracker.active else NOTHING
    value, tag = stretch(run, lambda: function(*values, **named), tag, seen, impure=impure, references=references)
    if new and type(value) not in SIMPLE:
        return tracker.fresh(value, tag)
    return value, tag


def stretch(
    run: Execution, code: Callable[[], Any], tag: Tag, seen: list[Any], *, impure: bool, references: Tag = NOTHING,
    direct: Any = None,
) -> Pair:  # fmt: skip
    """Run a stretch of plain code that can see objects and knows what carries `tag`."""
    tracker = run.tracker
    tag = tracker.deep_all(seen, tag)
    if impure:
        tag = tag | tracker.world
        tracker.escape(seen)
    run.note(tag)
    watch = Watch(tracker, tag | run.here, direct)
    try:
        with watching(watch):
            value = code()
    finally:
        tag = tag | watch.gathered
        if tracker.active:
            tag = tracker.deep_all(seen, tag)  # what it met on its way: elements of a generator
            run.note(tag)
            changed = tag | run.here
            if impure and changed:
                tracker.raise_objects(seen, changed, run.here)
                tracker.raise_world(changed)
                if extra := references.minus(run.here):
                    tracker.raise_heap(extra)
                tracker.raise_shared(changed)
            elif changed:
                tracker.raise_shared(changed, seen)
    if type(value) not in SIMPLE:
        value, its = tracker.opened(value, f"line {run.line}")
        tag = tag | its
    return value, tag


expressions.KINDS[ast.Call] = call


def done(value: Any = None, error: BaseException | None = None) -> Future[Any]:
    """A future that is over."""
    future: Future[Any] = Future()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)
    return future
