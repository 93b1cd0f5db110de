"""Assigning with labels: names, elements, attributes, and taking values apart."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from thalweg.program.interpret import expressions
from thalweg.program.interpret import parts as parts_of
from thalweg.program.interpret.execution import Execution
from thalweg.program.interpret.reach import SIMPLE
from thalweg.program.interpret.tag import NOTHING, Tag, join
from thalweg.program.interpret.tracker import Pair

_IN_PLACE: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.iadd, "-": operator.isub, "*": operator.imul, "/": operator.itruediv, "//": operator.ifloordiv,
    "%": operator.imod, "**": operator.ipow, "<<": operator.ilshift, ">>": operator.irshift, "|": operator.ior,
    "^": operator.ixor, "&": operator.iand, "@": operator.imatmul,
}  # fmt: skip


def assign(run: Execution, target: ast.expr, value: Any, tag: Tag) -> None:
    """``target = value``."""
    match target:
        case ast.Name(id=name):
            run.store(name, value, tag)
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            _unpack(run, parts, value, tag)
        case ast.Subscript(value=owner, slice=key):
            pair = expressions.evaluate(run, owner)
            store_item(run, pair, expressions.evaluate(run, key), (value, tag))
        case ast.Attribute(value=owner, attr=name):
            store_attribute(run, expressions.evaluate(run, owner), name, (value, tag))
        case ast.Starred(value=inner):
            assign(run, inner, value, tag)
        case _:
            raise SyntaxError(f"cannot assign to {type(target).__name__}")


def _unpack(run: Execution, parts: list[ast.expr], value: Any, tag: Tag) -> None:
    star = next((i for i, one in enumerate(parts) if isinstance(one, ast.Starred)), None)
    found: list[Any] = []
    tags: list[Tag] = []
    count = run.tracker.shallow(value, tag)
    run.note(count)
    _check_iterable(value)
    for one, its, how_many in parts_of.elements(run, value, tag):
        found.append(one)
        tags.append(its)
        count = count | how_many
        if star is None and len(found) > len(parts):
            raise ValueError(f"too many values to unpack (expected {len(parts)})")
    if star is None:
        if len(found) < len(parts):
            raise ValueError(f"not enough values to unpack (expected {len(parts)}, got {len(found)})")
    elif len(found) < len(parts) - 1:
        raise ValueError(f"not enough values to unpack (expected at least {len(parts) - 1}, got {len(found)})")
    else:
        end = len(found) - (len(parts) - 1 - star)
        middle = run.tracker.made(found[star:end], count, tags[star:end])
        found[star:end], tags[star:end] = [middle], [NOTHING]
    for part, one, its in zip(parts, found, tags, strict=True):
        assign(run, part, one, its)


def _check_iterable(value: Any) -> None:
    if not hasattr(type(value), "__iter__") and not hasattr(type(value), "__getitem__"):
        raise TypeError(f"cannot unpack non-iterable {type(value).__name__} object")


def store_item(run: Execution, owner: Pair, key: Pair, pair: Pair) -> None:
    """``owner[key] = value``."""
    container, reference = owner
    tracker = run.tracker
    if type(container) not in (list, dict) or type(key[0]) is slice:
        changed_by(run, operator.setitem, [owner, key, pair])
        return
    container[key[0]] = pair[0]
    here = run.here
    key_tag = tracker.deep(*key)
    if not (tracker.active or reference or key_tag or pair[1] or here):
        return
    how = reference | key_tag | here
    mark = tracker.write(container, how | tracker.deep(*pair), reference, here)
    mark.whole = mark.whole | how
    _set_part(mark, container, key[0], pair[1])


def store_attribute(run: Execution, owner: Pair, name: str, pair: Pair) -> None:
    """``owner.name = value``."""
    value, reference = owner
    tracker = run.tracker
    kind = type(value)
    setter = getattr(kind, name, None)
    plain = kind.__setattr__ is object.__setattr__ and not (
        hasattr(type(setter), "__set__") and type(setter).__name__ != "member_descriptor"
    )
    if not plain and not isinstance(value, type):
        changed_by(run, setattr, [owner, (name, NOTHING), pair])
        return
    setattr(value, name, pair[0])
    here = run.here
    if not (tracker.active or reference or pair[1] or here):
        return
    mark = tracker.write(value, reference | here | tracker.deep(*pair), reference, here)
    mark.whole = mark.whole | reference | here
    _set_part(mark, value, name, pair[1])


def _set_part(mark: Any, container: Any, key: Any, tag: Tag) -> None:
    parts = mark.parts
    if type(container) is list:
        if parts is None and tag:
            parts = mark.parts = [NOTHING] * len(container)
        if parts is None:
            return
        if len(parts) == len(container) and isinstance(key, int):
            parts[key] = tag
        else:
            mark.whole = mark.joined() | tag
        return
    if parts is None:
        parts = mark.parts = {}
    parts[key] = tag


def changed_by(run: Execution, function: Callable[..., Any], pairs: list[Pair]) -> Any:
    """An operation that changes its first operand in a way that is not followed part by part."""
    from thalweg.program.interpret.calls import opaque

    tracker = run.tracker
    value, tag = opaque(run, function, pairs, {}, new=False, impure=expressions.has_own_code(pairs))
    if tracker.active:
        tag = tag | join([tracker.deep(one, its) for one, its in pairs]) | run.here
        if tag:
            tracker.write(pairs[0][0], tag, pairs[0][1], run.here)
            tracker.raise_objects([pairs[0][0]], tag, run.here)
    return value, tag


def update(run: Execution, target: ast.expr, sign: str, value_tree: ast.expr) -> None:
    """``target OP= value``."""
    function = _IN_PLACE[sign]
    match target:
        case ast.Name(id=name):
            old = run.load(name)
            value, tag = _updated(run, function, old, expressions.evaluate(run, value_tree))
            run.store(name, value, tag)
        case ast.Subscript(value=owner_tree, slice=key_tree):
            owner = expressions.evaluate(run, owner_tree)
            key = expressions.evaluate(run, key_tree)
            old = parts_of.item(run, owner, key)
            store_item(run, owner, key, _updated(run, function, old, expressions.evaluate(run, value_tree)))
        case ast.Attribute(value=owner_tree, attr=name):
            owner = expressions.evaluate(run, owner_tree)
            old = parts_of.attribute(run, owner, name)
            store_attribute(run, owner, name, _updated(run, function, old, expressions.evaluate(run, value_tree)))
        case _:
            raise SyntaxError(f"cannot assign to {type(target).__name__}")


def _updated(run: Execution, function: Callable[[Any, Any], Any], old: Pair, new: Pair) -> Pair:
    tracker = run.tracker
    if type(old[0]) in SIMPLE or type(old[0]) is tuple:
        if function is operator.iadd and type(old[0]) is tuple:
            return expressions.combined(run, operator.add, old, new)
        return expressions.run_builtin(run, function, [old, new])
    if function is operator.iadd and type(old[0]) is list and type(new[0]) in (list, tuple):
        extend(run, old, new)
        return old[0], old[1]
    value, tag = changed_by(run, function, [old, new])
    return (value, old[1]) if value is old[0] else (value, tag | tracker.shallow(*old))


def extend(run: Execution, old: Pair, new: Pair) -> None:
    """Append the elements of a list or tuple to a list."""
    tracker = run.tracker
    before = len(old[0])
    added = [tracker.part(new[0], new[1], i) for i in range(len(new[0]))] if tracker.active else []
    how_many = tracker.shallow(*new)
    old[0].extend(new[0])
    if not tracker.active:
        return
    here = run.here
    how = how_many | old[1] | here
    mark = tracker.write(old[0], how | tracker.deep_all(new[0], join(added)), old[1], here)
    mark.whole = mark.whole | how
    add_parts(mark, before, added)


def add_parts(mark: Any, before: int, added: list[Tag]) -> None:
    """Tags of elements added at the end of a list that had `before` elements."""
    if mark.parts is None:
        if not any(added):
            return
        mark.parts = [NOTHING] * before
    if len(mark.parts) != before:
        mark.whole = mark.joined()
        mark.parts = [NOTHING] * before
    mark.parts += added
