"""Expressions with labels: `evaluate` gives a value and its tag, as Python would have evaluated it.

What the operands carry, the result carries; a choice between expressions (`and`, `or`, `if`, a comprehension's
condition) is a branch. Lambdas and generators run as Python's own code: their label is that of all they can see, found
when they are used. Cost: about a microsecond a node.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator
from types import CellType, FunctionType, ModuleType
from typing import Any

from thalweg.program.interpret.callables import has_own_operators
from thalweg.program.interpret.execution import Execution
from thalweg.program.interpret.reach import SIMPLE
from thalweg.program.interpret.tag import NOTHING, Tag, join
from thalweg.program.interpret.tracker import Pair
from thalweg.program.labels import Labelled

BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.LShift: operator.lshift,
    ast.RShift: operator.rshift, ast.BitOr: operator.or_, ast.BitXor: operator.xor, ast.BitAnd: operator.and_,
    ast.MatMult: operator.matmul,
}  # fmt: skip
_UNARY: dict[type, Callable[[Any], Any]] = {
    ast.UAdd: operator.pos, ast.USub: operator.neg, ast.Invert: operator.invert, ast.Not: operator.not_,
}  # fmt: skip
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
_CONVERT: dict[int, Callable[[Any], str]] = {115: str, 114: repr, 97: ascii}
_BUILTIN = (list, tuple, dict, set, frozenset)


def evaluate(run: Execution, tree: ast.expr) -> Pair:
    """The value of an expression and its tag."""
    pair = KINDS[type(tree)](run, tree)
    if pair[1].sources:
        run.note(pair[1])
    return pair


def truth(run: Execution, value: Any, tag: Tag) -> tuple[bool, Tag]:
    """Whether a value is true, and the tag of that."""
    if type(value) in SIMPLE or type(value) in _BUILTIN:
        tag = run.tracker.shallow(value, tag)
        return bool(value), tag
    return run_builtin(run, bool, [(value, tag)])


def run_builtin(run: Execution, function: Callable[..., Any], pairs: list[Pair]) -> tuple[Any, Tag]:
    """An operation of Python's on values; where they are of other classes, their own code runs."""
    from thalweg.program.interpret.calls import opaque

    tracker = run.tracker
    if all(_is_plain(one) for one, _ in pairs):
        tag = NOTHING
        if tracker.active:
            tag = join([tracker.deep(one, its) for one, its in pairs])
            run.note(tag)
        return function(*[one for one, _ in pairs]), tag
    return opaque(run, function, pairs, {}, new=False, impure=_has_own_code(pairs))


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind in SIMPLE:
        return True
    return kind in _BUILTIN and all(type(one) in SIMPLE for one in (value.values() if kind is dict else value))


def _has_own_code(pairs: list[Pair]) -> bool:
    """Whether operators of these values may be written in Python."""
    return any(has_own_operators(type(one)) for one, _ in pairs)


# -- simple expressions -----------------------------------------------------------------------------------------------


def _constant(run: Execution, tree: ast.Constant) -> Pair:
    return tree.value, NOTHING


def _name(run: Execution, tree: ast.Name) -> Pair:
    return run.load(tree.id)


def _binary(run: Execution, tree: ast.BinOp) -> Pair:
    left = evaluate(run, tree.left)
    right = evaluate(run, tree.right)
    return combined(run, BINARY[type(tree.op)], left, right)


def combined(run: Execution, function: Callable[[Any, Any], Any], left: Pair, right: Pair) -> Pair:
    """``left OP right``; concatenated lists and tuples keep a label for each element."""
    kind = type(left[0])
    tracker = run.tracker
    if function is operator.add and kind in (list, tuple) and type(right[0]) is kind:
        made = left[0] + right[0]
        if not tracker.active:
            return tracker.made(made), NOTHING
        whole = tracker.shallow(*left) | tracker.shallow(*right)
        parts = [tracker.part(value, tag, i) for value, tag in (left, right) for i in range(len(value))]
        return tracker.made(made, whole, parts), NOTHING
    value, tag = run_builtin(run, function, [left, right])
    return tracker.fresh(value, tag) if kind in _BUILTIN and type(value) in _BUILTIN else (value, tag)


def _unary(run: Execution, tree: ast.UnaryOp) -> Pair:
    value, tag = evaluate(run, tree.operand)
    if isinstance(tree.op, ast.Not):
        found, tag = truth(run, value, tag)
        return not found, tag
    return run_builtin(run, _UNARY[type(tree.op)], [(value, tag)])


def _bool(run: Execution, tree: ast.BoolOp) -> Pair:
    wanted = isinstance(tree.op, ast.And)
    pair = evaluate(run, tree.values[0])
    return _bool_rest(run, tree.values[1:], wanted, pair)


def _bool_rest(run: Execution, rest: list[ast.expr], wanted: bool, pair: Pair) -> Pair:
    if not rest:
        return pair
    found, tag = truth(run, *pair)
    if not tag:
        return _bool_rest(run, rest[1:], wanted, evaluate(run, rest[0])) if found is wanted else pair
    with run.under(tag, *rest):
        if found is wanted:
            pair = _bool_rest(run, rest[1:], wanted, evaluate(run, rest[0]))
    return pair[0], pair[1] | tag


def _conditional(run: Execution, tree: ast.IfExp) -> Pair:
    found, tag = truth(run, *evaluate(run, tree.test))
    if not tag:
        return evaluate(run, tree.body if found else tree.orelse)
    with run.under(tag, tree.body, tree.orelse):
        value, its = evaluate(run, tree.body if found else tree.orelse)
    return value, its | tag


def _compare(run: Execution, tree: ast.Compare) -> Pair:
    return _compare_rest(run, tree, 0, evaluate(run, tree.left))


def _compare_rest(run: Execution, tree: ast.Compare, index: int, left: Pair) -> Pair:
    right = evaluate(run, tree.comparators[index])
    sign = type(tree.ops[index])
    if sign in (ast.Is, ast.IsNot):
        value: Any = _COMPARE[sign](left[0], right[0])
        tag = run.tracker.shallow(*left) | run.tracker.shallow(*right)
    else:
        value, tag = run_builtin(run, _COMPARE[sign], [left, right])
    if index + 1 == len(tree.ops):
        return value, tag
    found, decided = truth(run, value, tag)
    if not decided:
        return _compare_rest(run, tree, index + 1, right) if found else (value, tag)
    rest = tree.comparators[index + 1 :]
    with run.under(decided, *rest):
        if found:
            value, its = _compare_rest(run, tree, index + 1, right)
            tag = tag | its
    return value, tag | decided


def _walrus(run: Execution, tree: ast.NamedExpr) -> Pair:
    value, tag = evaluate(run, tree.value)
    scopes, run.scopes = run.scopes, []  # it assigns outside of comprehensions
    try:
        run.store(tree.target.id, value, tag)
    finally:
        run.scopes = scopes
    return value, tag


# -- texts ------------------------------------------------------------------------------------------------------------


def _text(run: Execution, tree: ast.JoinedStr) -> Pair:
    pairs = [evaluate(run, one) for one in tree.values]
    return "".join([one for one, _ in pairs]), join([tag for _, tag in pairs])


def _formatted(run: Execution, tree: ast.FormattedValue) -> Pair:
    value, tag = evaluate(run, tree.value)
    if tree.conversion != -1:
        value, tag = run_builtin(run, _CONVERT[tree.conversion], [(value, tag)])
    spec: Pair = evaluate(run, tree.format_spec) if tree.format_spec is not None else ("", NOTHING)
    return run_builtin(run, format, [(value, tag), spec])


# -- displays ---------------------------------------------------------------------------------------------------------


def spread(run: Execution, parts: list[ast.expr]) -> tuple[list[Any], list[Tag], Tag]:
    """Elements of a display or arguments of a call, with stars taken apart: values, their tags, the tag of how many."""
    values: list[Any] = []
    tags: list[Tag] = []
    count = NOTHING
    for one in parts:
        if not isinstance(one, ast.Starred):
            value, tag = evaluate(run, one)
            values.append(value)
            tags.append(tag)
            continue
        pair = evaluate(run, one.value)
        for value, tag, how_many in elements(run, *pair):
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
            value, tag = evaluate(run, value_tree)
            if type(value) is not dict:
                made.update(value)
                whole = whole | tracker.deep(value, tag)
                continue
            whole = whole | tracker.shallow(value, tag) | tracker.deep_all(value.keys())
            for key, one in value.items():
                made[key] = one
                parts[key] = tracker.part(value, tag, key)
            continue
        key, key_tag = evaluate(run, key_tree)
        value, tag = evaluate(run, value_tree)
        whole = whole | tracker.deep(key, key_tag)
        made[key] = value
        parts[key] = tag
    return tracker.made(made, whole, parts), NOTHING


# -- comprehensions ---------------------------------------------------------------------------------------------------


def _list_comprehension(run: Execution, tree: ast.ListComp) -> Pair:
    values: list[Any] = []
    tags: list[Tag] = []

    def add() -> None:
        value, tag = evaluate(run, tree.elt)
        values.append(value)
        tags.append(tag)

    whole = _rounds(run, tree, tree.generators, add)
    return run.tracker.made(values, whole, tags), NOTHING


def _set_comprehension(run: Execution, tree: ast.SetComp) -> Pair:
    values: set[Any] = set()
    found = [NOTHING]

    def add() -> None:
        value, tag = evaluate(run, tree.elt)
        values.add(value)
        found[0] = found[0] | run.tracker.deep(value, tag)

    whole = _rounds(run, tree, tree.generators, add)
    return run.tracker.made(values, whole | found[0]), NOTHING


def _dict_comprehension(run: Execution, tree: ast.DictComp) -> Pair:
    values: dict[Any, Any] = {}
    tags: dict[Any, Tag] = {}
    found = [NOTHING]

    def add() -> None:
        key, key_tag = evaluate(run, tree.key)
        value, tag = evaluate(run, tree.value)
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
    first = evaluate(run, generators[0].iter)
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
        for value, tag, how_many in elements(run, *source, decided):
            decided(how_many)
            assign(run, generators[index].target, value, tag)
            if _passes(run, generators[index].ifs, decided):
                if index + 1 == len(generators):
                    add()
                else:
                    rounds(index + 1, evaluate(run, generators[index + 1].iter))

    try:
        rounds(0, first)
    finally:
        run.scopes.pop()
        run.pc = before
        run.merge(arms, count)
    return count


def _passes(run: Execution, tests: list[ast.expr], decided: Callable[[Tag], None]) -> bool:
    for one in tests:
        found, tag = truth(run, *evaluate(run, one))
        decided(tag)
        if not found:
            return False
    return True


# -- elements ---------------------------------------------------------------------------------------------------------


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

    iterator, its = opaque(run, iter, [(value, tag)], {}, new=True, impure=_may_run(value))
    its = its | tag
    while True:
        try:
            one, found = opaque(run, next, [(iterator, its)], {}, new=False, impure=_may_run(iterator))
        except StopIteration:
            return
        yield one, found, found


def _may_run(value: Any) -> bool:
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
    owner = evaluate(run, tree.value)
    return item(run, owner, evaluate(run, tree.slice))


def item(run: Execution, owner: Pair, key: Pair) -> Pair:
    """``owner[key]``."""
    (value, tag), (at, at_tag) = owner, key
    tracker = run.tracker
    kind = type(value)
    if isinstance(value, type):  # a generic alias
        return operator.getitem(value, at), tag | tracker.deep(at, at_tag)  # type: ignore[arg-type]
    if kind not in SIMPLE and kind not in _BUILTIN:
        return run_builtin(run, operator.getitem, [owner, key])
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
    parts = [evaluate(run, one) if one is not None else (None, NOTHING) for one in (tree.lower, tree.upper, tree.step)]
    return slice(*[one for one, _ in parts]), join([tag for _, tag in parts])


def _attribute(run: Execution, tree: ast.Attribute) -> Pair:
    return attribute(run, evaluate(run, tree.value), tree.attr)


def attribute(run: Execution, owner: Pair, name: str) -> Pair:
    """``owner.name``: data as its own part, anything else is code that may read the whole object."""
    from thalweg.program.interpret.calls import opaque

    value, tag = owner
    tracker = run.tracker
    kind = type(value)
    if not tracker.active or kind in SIMPLE or kind in _BUILTIN:
        found = getattr(value, name)
        return (found, tag) if callable(found) and kind in _BUILTIN else opened(run, found, tracker.flat(value, tag))
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


# -- pieces that run as they stand ------------------------------------------------------------------------------------


def _inner_function(run: Execution, tree: ast.Lambda) -> Pair:
    made = run.plan.pieces.expression(tree, run.visible(), run.globals, False)()
    defaults = [*tree.args.defaults, *(one for one in tree.args.kw_defaults if one is not None)]
    return made, join([run.tag_by(one) for one in defaults])


def _generator(run: Execution, tree: ast.GeneratorExp) -> Pair:
    first, tag = evaluate(run, tree.generators[0].iter)
    return run.plan.pieces.generator(tree, run.visible(), run.globals)(first), tag


def _await(run: Execution, tree: ast.Await) -> Pair:
    from thalweg.program.interpret.calls import stretch

    made = run.plan.pieces.expression(tree, run.visible(), run.globals, True)
    return stretch(run, lambda: run.loop.run_until_complete(made()), run.tag_by(tree), run.read_by(tree), impure=True)


def _starred(run: Execution, tree: ast.Starred) -> Pair:
    raise SyntaxError("can't use starred expression here")


KINDS: dict[type, Callable[[Execution, Any], Pair]] = {  # and `ast.Call`, see calls.py
    ast.Constant: _constant, ast.Name: _name, ast.BinOp: _binary, ast.UnaryOp: _unary, ast.BoolOp: _bool,
    ast.IfExp: _conditional, ast.Compare: _compare, ast.NamedExpr: _walrus, ast.JoinedStr: _text,
    ast.FormattedValue: _formatted, ast.List: _list, ast.Tuple: _tuple, ast.Set: _set, ast.Dict: _dict,
    ast.ListComp: _list_comprehension, ast.SetComp: _set_comprehension, ast.DictComp: _dict_comprehension,
    ast.Subscript: _subscript, ast.Slice: _slice, ast.Attribute: _attribute, ast.Lambda: _inner_function,
    ast.GeneratorExp: _generator, ast.Await: _await, ast.Starred: _starred,
}  # fmt: skip
