"""Statements with labels: `execute` runs a list of them as Python would, and keeps what control has depended on.

A branch whose condition carries a label raises what any of its arms may set or change, taken or not; after a `return`
or `break` under a label, the rest of the function or loop carries it; a `try` carries what was read inside. Source:
Denning 1976; Russo and Sabelfeld 2010, "Dynamic vs. static flow-sensitive security analysis", for why arms that were
not taken are looked at. Cost: see the package.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from thalweg.errors import FlowError
from thalweg.program.interpret import targets
from thalweg.program.interpret.calls import stretch
from thalweg.program.interpret.execution import Execution
from thalweg.program.interpret.expressions import evaluate, truth
from thalweg.program.interpret.opaque import NOTHING_RETURNED
from thalweg.program.interpret.parts import elements
from thalweg.program.interpret.tag import NOTHING, Tag, join
from thalweg.program.interpret.tracker import Pair
from thalweg.program.ir import (
    Assert,
    Assign,
    Body,
    Break,
    Case,
    Continue,
    Do,
    Expression,
    For,
    If,
    Match,
    Node,
    Pass,
    Python,
    Raise,
    Return,
    Update,
    While,
)

BREAK, CONTINUE, RETURN = "break", "continue", "return"
Signal = str | None


def execute(run: Execution, body: Body) -> Signal:
    """Run statements. Returns how they were left: None at their end, else `BREAK`, `CONTINUE` or `RETURN`."""
    node: Node | None = None
    try:
        for node in body:
            run.line = node.line
            signal = KINDS[type(node)](run, node)
            if signal is not None:
                return signal
    except Exception as error:
        if node is not None and not getattr(error, "_thalweg_noted", False):
            error._thalweg_noted = True  # type: ignore[attr-defined]
            error.add_note(f"{run.plan.ir.file}, line {node.line}, in {run.plan.ir.name}")
        raise
    return None


def tree_of(run: Execution, one: Expression, line: int) -> ast.expr:
    return one.tree if one.tree is not None else run.plan.tree(one, line)


def value_of(run: Execution, one: Expression, node: Node) -> Pair:
    return evaluate(run, tree_of(run, one, node.line))


# -- simple statements ------------------------------------------------------------------------------------------------


def _assign(run: Execution, node: Assign) -> Signal:
    value, tag = value_of(run, node.value, node)
    for one in node.targets:
        targets.assign(run, tree_of(run, one, node.line), value, tag)
    return None


def _update(run: Execution, node: Update) -> Signal:
    targets.update(run, tree_of(run, node.target, node.line), node.operator, tree_of(run, node.value, node.line))
    return None


def _do(run: Execution, node: Do) -> Signal:
    value_of(run, node.value, node)
    return None


def _return(run: Execution, node: Return) -> Signal:
    value, tag = value_of(run, node.value, node) if node.value is not None else (None, NOTHING)
    run.returned = value, tag | run.here
    return RETURN


def _raise(run: Execution, node: Raise) -> Signal:
    if node.error is None:
        raise
    error, _ = value_of(run, node.error, node)
    if node.cause is None:
        raise error
    cause, _ = value_of(run, node.cause, node)
    raise error from cause


def _assert(run: Execution, node: Assert) -> Signal:
    found, tag = truth(run, *value_of(run, node.test, node))
    run.note(tag)
    if found:
        return None
    if node.message is None:
        raise AssertionError
    with run.under(tag, tree_of(run, node.message, node.line)):
        message, _ = value_of(run, node.message, node)
    raise AssertionError(message)


# -- branches ---------------------------------------------------------------------------------------------------------


def _if(run: Execution, node: If) -> Signal:
    found, tag = truth(run, *value_of(run, node.test, node))
    run.note(tag)
    if not tag:
        return execute(run, node.body if found else node.orelse)
    with run.under(tag, node.body, node.orelse):
        return execute(run, node.body if found else node.orelse)


def _match(run: Execution, node: Match) -> Signal:
    value, tag = value_of(run, node.subject, node)
    tag = run.tracker.deep(value, tag)
    run.note(tag)
    with run.under(tag, *node.cases):
        return _cases(run, node.cases, value, tag)


def _cases(run: Execution, cases: tuple[Case, ...], value: Any, tag: Tag) -> Signal:
    for index, case in enumerate(cases):
        pattern = case.tree if case.tree is not None else run.plan.pattern(case)
        run.line = case.line
        match_it = run.plan.pieces.pattern(pattern, run.visible(), run.globals)
        found, tag = stretch(run, lambda: match_it(value), tag, [value], impure=False)  # noqa: B023  (runs at once)
        if found is None:
            continue
        for name, one in found.items():
            run.store(name, one, tag)
        if case.guard is None:
            return execute(run, case.body)
        passed, decided = truth(run, *value_of(run, case.guard, case))
        run.note(decided)
        with run.under(decided, *cases[index:]):
            return execute(run, case.body) if passed else _cases(run, cases[index + 1 :], value, tag)
    return None


# -- loops ------------------------------------------------------------------------------------------------------------


class _Loop:
    """What decides how often a loop runs, and that its body is control-dependent on it."""

    def __init__(self, run: Execution, *parts: Any) -> None:
        self.run = run
        self.arms = run.plan.arms(*parts)
        self.before = run.pc
        self.tag = NOTHING
        run.loops.append(NOTHING)

    def decided(self, tag: Tag) -> None:
        run = self.run
        if tag.sources and not tag.sources <= self.tag.sources:
            self.tag = self.tag | tag
            run.note(tag)
            run.may_change(self.arms, self.tag)
            run.pc = self.before | self.tag

    def end(self) -> Tag:
        """Leave the loop. Returns what decided when and how."""
        run = self.run
        run.pc = self.before
        left = run.loops.pop()
        if left:
            run.may_change(self.arms, left)
        tag = self.tag | left
        if tag and self.arms.breaks:  # those of this loop are its own
            outer = self.arms
            run.merge(type(outer)(outer.assigned, outer.loaded, (), (), outer.returns, False), tag)
        else:
            run.merge(self.arms, tag)
        return tag


def _for(run: Execution, node: For) -> Signal:
    target = tree_of(run, node.target, node.line)
    value, tag = value_of(run, node.iterable, node)
    loop = _Loop(run, target, node.body)
    signal: Signal = None
    try:
        for one, its, how_many in elements(run, value, tag, loop.decided):
            loop.decided(how_many)
            run.line = node.line
            targets.assign(run, target, one, its)
            signal = execute(run, node.body)
            if signal is BREAK or signal is RETURN:
                break
            signal = None
    finally:
        tag = loop.end()
    return _after_loop(run, node, signal, tag)


def _while(run: Execution, node: While) -> Signal:
    test = tree_of(run, node.test, node.line)
    loop = _Loop(run, test, node.body)
    signal: Signal = None
    try:
        while True:
            run.line = node.line
            found, tag = truth(run, *evaluate(run, test))
            loop.decided(tag)
            if not found:
                break
            signal = execute(run, node.body)
            if signal is BREAK or signal is RETURN:
                break
            signal = None
    finally:
        tag = loop.end()
    return _after_loop(run, node, signal, tag)


def _after_loop(run: Execution, node: For | While, signal: Signal, tag: Tag) -> Signal:
    if signal is RETURN:
        return signal
    if not node.orelse:
        return None
    with run.under(tag, node.orelse):
        return execute(run, node.orelse) if signal is None else None


# -- statements that run as they stand --------------------------------------------------------------------------------


def _python(run: Execution, node: Python) -> Signal:
    tree = node.tree if node.tree is not None else run.plan.statement(node)
    if isinstance(tree, ast.Global):
        return None
    if not run.trusted:
        if isinstance(tree, ast.AnnAssign) and isinstance(tree.target, ast.Name) and tree.value is None:
            return None
        raise FlowError(
            f"The flow `{run.plan.ir.name}` has a statement that is run as it stands (line {node.line}): "
            f"{node.source.splitlines()[0][:60]!r}.",
            "Write it with the statements of docs/flows.md, or read the flow as trusted.",
        )
    for one in tree.targets if isinstance(tree, ast.Delete) else ():
        if isinstance(one, ast.Name):
            run.load(one.id)
    assigned = run.plan.arms(tree).assigned
    written = sorted(name for name in assigned if name in run.cells)
    run_it = run.plan.pieces.statement(tree, run.visible(), run.globals, written, _is_async(tree))
    code: Callable[[], Any] = (lambda: run.loop.run_until_complete(run_it())) if _is_async(tree) else run_it
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef) and not tree.decorator_list:
        run_it()
        defaults = [*tree.args.defaults, *(one for one in tree.args.kw_defaults if one is not None)]
        tag = join([run.tag_by(one) for one in defaults])
        value: Any = NOTHING_RETURNED
    elif isinstance(tree, ast.Import | ast.ImportFrom | ast.AnnAssign):
        value, tag = code(), NOTHING
    else:
        value, tag = stretch(run, code, run.tag_by(tree), run.read_by(tree), impure=True)
    defined = isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    for name in [tree.name] if defined else assigned:
        cell = run.cell(name)
        if cell is not None:
            before = NOTHING if defined else run.tracker.variable(cell)
            run.tracker.set_variable(cell, before | tag | run.here)
        elif tag or run.here:
            run.tracker.globals[id(run.globals), name] = tag | run.here
            run.tracker.raise_world(tag | run.here)
    if isinstance(tree, ast.ClassDef) and isinstance(made := run.peek(tree.name), type):
        run.tracker.types[id(made)] = made
    if value is NOTHING_RETURNED:
        return None
    run.returned = value, tag | run.here
    return RETURN


def _is_async(tree: ast.stmt) -> bool:
    waiting: list[ast.AST] = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, ast.Await | ast.AsyncFor | ast.AsyncWith) or (
            isinstance(one, ast.comprehension) and one.is_async
        ):
            return True
        if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting += list(ast.iter_child_nodes(one))
    return False


KINDS: dict[type[Node], Callable[[Execution, Any], Signal]] = {  # exceptions.py adds its own
    Assign: _assign, Update: _update, Do: _do, Return: _return, If: _if, Match: _match, For: _for, While: _while,
    Raise: _raise, Assert: _assert, Python: _python,
    Break: lambda run, node: BREAK, Continue: lambda run, node: CONTINUE, Pass: lambda run, node: None,
}  # fmt: skip
