"""Lists, tuples, sets and dicts as they are written, and comprehensions: a label for each element, one for how many."""

from __future__ import annotations

import ast
from collections.abc import Callable
from types import CellType
from typing import Any

from thalweg.program.interpret import expressions
from thalweg.program.interpret import parts as parts_of
from thalweg.program.interpret.execution import Execution
from thalweg.program.interpret.tag import NOTHING, Tag, join
from thalweg.program.interpret.tracker import Pair


def spread(run: Execution, parts: list[ast.expr]) -> tuple[list[Any], list[Tag], Tag]:
    """Elements of a display or arguments of a call, with stars taken apart: values, their tags, the tag of how many."""
    values: list[Any] = []
    tags: list[Tag] = []
    count = NOTHING
    for one in parts:
        if not isinstance(one, ast.Starred):
            value, tag = expressions.evaluate(run, one)
            values.append(value)
            tags.append(tag)
            continue
        pair = expressions.evaluate(run, one.value)
        for value, tag, how_many in parts_of.elements(run, *pair):
            values.append(value)
            tags.append(tag)
            count = count | how_many
        count = count | run.tracker.shallow(*pair)
    return values, tags, count


def _list(run: Execution, tree: ast.List) -> Pair:
    values, tags, count = spread(run, tree.elts)
    return run.tracker.made(values, count, tags), NOTHING


def _tuple(run: Execution, tree: ast.Tuple) -> Pair:
    values, tags, count = spread(run, tree.elts)
    return run.tracker.made(tuple(values), count, tags), count if not values else NOTHING


def _set(run: Execution, tree: ast.Set) -> Pair:
    values, tags, count = spread(run, tree.elts)
    tag = count | join([run.tracker.deep(one, its) for one, its in zip(values, tags, strict=True)])
    return run.tracker.made(set(values), tag), NOTHING


def _dict(run: Execution, tree: ast.Dict) -> Pair:
    made: dict[Any, Any] = {}
    parts: dict[Any, Tag] = {}
    whole = NOTHING
    tracker = run.tracker
    for key_tree, value_tree in zip(tree.keys, tree.values, strict=True):
        if key_tree is None:
            value, tag = expressions.evaluate(run, value_tree)
            if type(value) is not dict:
                made.update(value)
                whole = whole | tracker.deep(value, tag)
                continue
            whole = whole | tracker.shallow(value, tag) | tracker.deep_all(value.keys())
            for key, one in value.items():
                made[key] = one
                parts[key] = tracker.part(value, tag, key)
            continue
        key, key_tag = expressions.evaluate(run, key_tree)
        value, tag = expressions.evaluate(run, value_tree)
        whole = whole | tracker.deep(key, key_tag)
        made[key] = value
        parts[key] = tag
    return tracker.made(made, whole, parts), NOTHING


# -- comprehensions ---------------------------------------------------------------------------------------------------


def _list_comprehension(run: Execution, tree: ast.ListComp) -> Pair:
    values: list[Any] = []
    tags: list[Tag] = []

    def add() -> None:
        value, tag = expressions.evaluate(run, tree.elt)
        values.append(value)
        tags.append(tag)

    whole = _rounds(run, tree, tree.generators, add)
    return run.tracker.made(values, whole, tags), NOTHING


def _set_comprehension(run: Execution, tree: ast.SetComp) -> Pair:
    values: set[Any] = set()
    found = [NOTHING]

    def add() -> None:
        value, tag = expressions.evaluate(run, tree.elt)
        values.add(value)
        found[0] = found[0] | run.tracker.deep(value, tag)

    whole = _rounds(run, tree, tree.generators, add)
    return run.tracker.made(values, whole | found[0]), NOTHING


def _dict_comprehension(run: Execution, tree: ast.DictComp) -> Pair:
    values: dict[Any, Any] = {}
    tags: dict[Any, Tag] = {}
    found = [NOTHING]

    def add() -> None:
        key, key_tag = expressions.evaluate(run, tree.key)
        value, tag = expressions.evaluate(run, tree.value)
        found[0] = found[0] | run.tracker.deep(key, key_tag)
        values[key] = value
        tags[key] = tag

    whole = _rounds(run, tree, tree.generators, add)
    return run.tracker.made(values, whole | found[0], tags), NOTHING


def _rounds(run: Execution, tree: ast.expr, generators: list[ast.comprehension], add: Callable[[], None]) -> Tag:
    """Run the rounds of a comprehension. Returns the tag of how many elements there are."""
    from thalweg.program.interpret.targets import assign

    names = {one.id for part in generators for one in ast.walk(part.target)
             if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}  # fmt: skip
    first = expressions.evaluate(run, generators[0].iter)
    run.scopes.append({name: CellType() for name in names})
    before, count = run.pc, NOTHING
    arms = run.plan.arms(tree)

    def decided(tag: Tag) -> None:
        nonlocal count
        if tag and not tag.sources <= count.sources:
            count = count | tag
            run.may_change(arms, tag)
        run.pc = before | count

    def rounds(index: int, source: Pair) -> None:
        for value, tag, how_many in parts_of.elements(run, *source, decided):
            decided(how_many)
            assign(run, generators[index].target, value, tag)
            if _passes(run, generators[index].ifs, decided):
                if index + 1 == len(generators):
                    add()
                else:
                    rounds(index + 1, expressions.evaluate(run, generators[index + 1].iter))

    try:
        rounds(0, first)
    finally:
        run.scopes.pop()
        run.pc = before
        run.merge(arms, count)
    return count


def _passes(run: Execution, tests: list[ast.expr], decided: Callable[[Tag], None]) -> bool:
    for one in tests:
        found, tag = expressions.truth(run, *expressions.evaluate(run, one))
        decided(tag)
        if not found:
            return False
    return True


expressions.KINDS.update(
    {
        ast.List: _list, ast.Tuple: _tuple, ast.Set: _set, ast.Dict: _dict, ast.ListComp: _list_comprehension,
        ast.SetComp: _set_comprehension, ast.DictComp: _dict_comprehension,
    }
)  # fmt: skip
