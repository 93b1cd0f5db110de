"""Expressions with labels: `evaluate` gives a value and its tag, as Python would have evaluated it.

What the operands carry, the result carries; a choice between expressions (`and`, `or`, `if`, a comprehension's
condition) is a branch. Lambdas and generators run as Python's own code: their label is that of all they can see, found
when they are used. Cost: about a microsecond a node.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from thalweg.program.interpret.callables import has_own_operators
from thalweg.program.interpret.execution import Execution
from thalweg.program.interpret.reach import SIMPLE
from thalweg.program.interpret.tag import NOTHING, Tag, join
from thalweg.program.interpret.tracker import Pair

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
BUILTIN = (list, tuple, dict, set, frozenset)


def evaluate(run: Execution, tree: ast.expr) -> Pair:
    """The value of an expression and its tag."""
    pair = KINDS[type(tree)](run, tree)
    if pair[1].sources:
        run.note(pair[1])
    return pair


def truth(run: Execution, value: Any, tag: Tag) -> tuple[bool, Tag]:
    """Whether a value is true, and the tag of that."""
    if type(value) in SIMPLE or type(value) in BUILTIN:
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
    return opaque(run, function, pairs, {}, new=False, impure=has_own_code(pairs))


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind in SIMPLE:
        return True
    return kind in BUILTIN and all(type(one) in SIMPLE for one in (value.values() if kind is dict else value))


def has_own_code(pairs: list[Pair]) -> bool:
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
    return tracker.fresh(value, tag) if kind in BUILTIN and type(value) in BUILTIN else (value, tag)


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


KINDS: dict[type, Callable[[Execution, Any], Pair]] = {  # displays.py, parts.py and calls.py add theirs
    ast.Constant: _constant, ast.Name: _name, ast.BinOp: _binary, ast.UnaryOp: _unary, ast.BoolOp: _bool,
    ast.IfExp: _conditional, ast.Compare: _compare, ast.NamedExpr: _walrus, ast.JoinedStr: _text,
    ast.FormattedValue: _formatted,
    ast.Lambda: _inner_function,
    ast.GeneratorExp: _generator, ast.Await: _await, ast.Starred: _starred,
}  # fmt: skip
