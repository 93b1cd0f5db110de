"""What is inside of values: elements as iterated, items, slices and attributes, each with its own label where known."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from thalweg.program.interpret import expressions
from thalweg.program.interpret.execution import Execution
from thalweg.program.interpret.reach import SIMPLE
from thalweg.program.interpret.tag import NOTHING, Tag, join
from thalweg.program.interpret.tracker import Pair
from thalweg.program.labels import Labelled


def elements(
    run: Execution, value: Any, tag: Tag, decided: Callable[[Tag], None] | None = None
) -> Iterator[tuple[Any, Tag, Tag]]:
    """What iterating gives: each element, its tag, and the tag of there being one. `decided` is told the tag of the
    end as well."""
    tracker = run.tracker
    kind = type(value)
    if kind in (list, tuple):
        index = 0
        for index, one in enumerate(value):  # noqa: B007
            its = tracker.part(value, tag, index) if tracker.active else NOTHING
            run.note(its)
            yield (*opened(run, one, its), tracker.shallow(value, tag))
    elif kind is dict:
        for one in value:
            its = tracker.deep(one, tracker.shallow(value, tag))
            yield one, its, its
    elif kind is type({}.items()) and (mapping := _dict_of(value)) is not None:
        for pair in value:
            key = tracker.deep(pair[0], tracker.shallow(mapping, tracker.shallow(value, tag)))
            if tracker.active:
                tracker.made(pair, NOTHING, [key, tracker.part(mapping, tag, pair[0])])
            yield pair, NOTHING if tracker.active else key, key
    elif kind in SIMPLE or kind in (set, frozenset):
        its = tracker.flat(value, tag)
        for one in value:
            yield one, its, its
    else:
        yield from _iterated(run, value, tag)
    if decided is not None:
        decided(tracker.shallow(value, tag) if kind in (list, tuple) else tracker.deep(value, tag) if tracker.active
                else NOTHING)  # fmt: skip


def _dict_of(view: Any) -> dict[Any, Any] | None:
    import gc

    found = [one for one in gc.get_referents(view) if type(one) is dict]
    return found[0] if len(found) == 1 else None


def _iterated(run: Execution, value: Any, tag: Tag) -> Iterator[tuple[Any, Tag, Tag]]:
    """Through an iterator, which may run any code for each element."""
    from thalweg.program.interpret.calls import opaque

    iterator, its = opaque(run, iter, [(value, tag)], {}, new=True, impure=may_run(value))
    its = its | tag
    while True:
        try:
            one, found = opaque(run, next, [(iterator, its)], {}, new=False, impure=may_run(iterator))
        except StopIteration:
            return
        yield one, found, found


def may_run(value: Any) -> bool:
    """Whether iterating a value runs code that could keep or hand out something: not for views and the like."""
    return type(value).__module__ not in ("builtins", "itertools", "collections") or type(value).__name__ in (
        "generator", "map", "filter", "async_generator",
    )  # fmt: skip


def opened(run: Execution, value: Any, tag: Tag) -> Pair:
    """A value met inside another one, which may have been labelled by plain code."""
    if type(value) is Labelled:
        value, its = run.tracker.opened(value, "a value labelled in plain code")
        return value, tag | its
    return value, tag


# -- parts ------------------------------------------------------------------------------------------------------------


def _subscript(run: Execution, tree: ast.Subscript) -> Pair:
    owner = expressions.evaluate(run, tree.value)
    return item(run, owner, expressions.evaluate(run, tree.slice))


def item(run: Execution, owner: Pair, key: Pair) -> Pair:
    """``owner[key]``."""
    (value, tag), (at, at_tag) = owner, key
    tracker = run.tracker
    kind = type(value)
    if isinstance(value, type):  # a generic alias
        return operator.getitem(value, at), tag | tracker.deep(at, at_tag)  # type: ignore[arg-type]
    if kind not in SIMPLE and kind not in expressions.BUILTIN:
        return expressions.run_builtin(run, operator.getitem, [owner, key])
    at_tag = tracker.deep(at, at_tag)
    run.note(at_tag | tracker.shallow(value, tag))
    found = value[at]
    if kind in (list, tuple) and type(at) is slice:
        parts = [tracker.part(value, tag, i) for i in range(len(value))[at]] if tracker.active else []
        return tracker.made(found, tracker.shallow(value, tag) | at_tag, parts), NOTHING
    if not tracker.active:
        return opened(run, found, NOTHING)
    if at_tag:  # which element it is tells of the others
        return opened(run, found, tracker.flat(value, tag) | at_tag)
    return opened(run, found, tracker.part(value, tag, at) if kind in (list, tuple, dict) else tag)


def _slice(run: Execution, tree: ast.Slice) -> Pair:
    parts = [
        expressions.evaluate(run, one) if one is not None else (None, NOTHING)
        for one in (tree.lower, tree.upper, tree.step)
    ]
    return slice(*[one for one, _ in parts]), join([tag for _, tag in parts])


def _attribute(run: Execution, tree: ast.Attribute) -> Pair:
    return attribute(run, expressions.evaluate(run, tree.value), tree.attr)


def attribute(run: Execution, owner: Pair, name: str) -> Pair:
    """``owner.name``: data as its own part, anything else is code that may read the whole object."""
    from thalweg.program.interpret.calls import opaque

    value, tag = owner
    tracker = run.tracker
    kind = type(value)
    if not tracker.active or kind in SIMPLE or kind in expressions.BUILTIN:
        found = getattr(value, name)
        return (
            (found, tag)
            if callable(found) and kind in expressions.BUILTIN
            else opened(run, found, tracker.flat(value, tag))
        )
    if isinstance(value, ModuleType | type):
        found = getattr(value, name)
        its = tracker.part(value, tag, name)
        if isinstance(value, type):
            its = its | join([tracker.part(one, NOTHING, name) for one in value.__mro__])
        keeps = not callable(found) and not isinstance(found, ModuleType | type(None))
        return found, its | (tracker.world if keeps and not _is_member(value, found) else NOTHING)
    if hasattr(kind, "__thalweg_begin__"):
        return getattr(value, name), tag
    run.note(tracker.shallow(value, tag))
    if is_data(value, name):
        outside = tracker.world if kind is FunctionType else NOTHING
        return opened(run, getattr(value, name), tracker.part(value, tag, name) | outside)
    found = getattr(kind, name, None)
    if callable(found) and not hasattr(type(found), "__set__") and kind.__getattribute__ is object.__getattribute__:
        return getattr(value, name), tag  # a method; calling it reads the object
    value, its = opaque(run, getattr, [owner, (name, NOTHING)], {}, new=False,
                        impure=kind.__module__ != "builtins")  # fmt: skip
    return value, its | join([tracker.part(one, NOTHING, name) for one in kind.__mro__])


def is_data(value: Any, name: str) -> bool:
    """Whether an attribute is a plain one of the object itself."""
    kind = type(value)
    if kind.__getattribute__ is not object.__getattribute__ and not isinstance(value, BaseException):
        return False
    found = getattr(kind, name, None)
    if type(found).__name__ in ("member_descriptor", "getset_descriptor"):
        return True
    if found is not None and hasattr(type(found), "__set__"):
        return False
    return name in getattr(value, "__dict__", ())


def _is_member(kind: Any, value: Any) -> bool:
    import enum

    return isinstance(kind, type) and isinstance(value, enum.Enum)


expressions.KINDS.update({ast.Subscript: _subscript, ast.Slice: _slice, ast.Attribute: _attribute})
