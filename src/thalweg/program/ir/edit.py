"""Changing a flow as data: find, replace, insert, delete. Every change is a new `FlowIR`, which has been read again.

A pattern is ``call("reason")`` (every call of that name, however deep in an expression), ``name("reason")`` (every
mention of that name that the flow does not assign), a class of nodes, a predicate over nodes, or a site as
`FlowIR.walk` gives it. Example::

    longer = replace(ir, call("reason"), call("reason_twice"))

Cost: about a millisecond for a flow of twenty lines, most of it for reading the result again.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from dataclasses import replace as copied
from typing import Any, cast

from thalweg.errors import FlowError
from thalweg.program.ir.callees import dotted
from thalweg.program.ir.nodes import Body, Case, Expression, FlowIR, Node, Pass, Python, copy_tree, rebuilt
from thalweg.program.ir.scoping import local_names, occurrences, pattern_of, statement_of, tree_of
from thalweg.program.ir.source import completed


@dataclass(frozen=True)
class CallPattern:
    """Calls of a (dotted) name; as a replacement, that name."""

    name: str


@dataclass(frozen=True)
class NamePattern:
    """Mentions of a name of the world outside."""

    name: str


@dataclass(frozen=True)
class Found:
    """A match: the statement's site, the statement, and the expression in it where the pattern is of expressions."""

    site: str
    node: Node
    expression: str | None = None

    def __str__(self) -> str:
        return f"{self.site} (line {self.node.line}): {self.expression or type(self.node).__name__}"


Pattern = CallPattern | NamePattern | type[Node] | Callable[[Node], bool] | str
Rewrite = Callable[[ast.Call], ast.expr]
Replacement = CallPattern | NamePattern | Expression | Node | Sequence[Node] | Rewrite


def call(name: str) -> CallPattern:
    """Calls of `name`, as it is written: ``call("reason")``, ``call("judge.distribution")``."""
    return CallPattern(_checked(name))


def name(name: str) -> NamePattern:
    """Every mention of `name`, called or not: also ``tw.choice(direct, reason)`` and ``reason.submit(x)``."""
    return NamePattern(_checked(name))


def find(ir: FlowIR, pattern: Pattern) -> list[Found]:
    """All matches, in program order."""
    found: list[Found] = []
    if isinstance(pattern, CallPattern | NamePattern):
        local = local_names(ir)

        def keep(site: str, node: Node) -> Callable[[ast.AST], ast.AST]:
            def look(tree: ast.AST) -> ast.AST:
                found.extend(Found(site, node, ast.unparse(one)) for one in _matches(tree, pattern, local))
                return tree

            return look

        for site, node in ir.walk():
            _in_node(node, keep(site, node))
        return found
    wanted = _statements(pattern)
    return [Found(site, node) for site, node in ir.walk() if wanted(site, node)]


def replace(ir: FlowIR, pattern: Pattern, by: Replacement) -> FlowIR:
    """`ir` with every match replaced; the same IR where nothing matches.

    Args:
        by: for calls, another ``call(name)`` (its arguments stay), an `Expression` (instead of the whole call), or a
            function from the call's syntax tree to the new one; for names, another name; for statements, a node or
            several.

    Raises:
        FlowError: the replacement does not fit the pattern, or the result is no Python.
    """
    if isinstance(pattern, CallPattern | NamePattern):
        return _replaced(ir, pattern, by)
    if isinstance(by, Node):
        by = (by,)
    if isinstance(by, str) or not isinstance(by, Sequence) or not all(isinstance(one, Node) for one in by) or not by:
        raise FlowError(f"{by!r} cannot stand for a statement.", "Give a node of `thalweg.program.ir`, or several.")
    wanted, new = _statements(pattern), tuple(by)

    def change(body: Body, prefix: str) -> Body:
        made: list[Node] = []
        for index, node in enumerate(body):
            site = f"{prefix}{index}"
            if wanted(site, node):
                made += [one if one.line else copied(one, line=node.line) for one in new]
            else:
                inner = {field: change(block, f"{site}.{field}.") for field, block in node.blocks()}
                made.append(rebuilt(node, inner) if inner else node)
        return tuple(made)

    body = change(ir.body, "")
    if body == ir.body and isinstance(pattern, str):
        ir[_known(ir, pattern)]
    return ir if body == ir.body else completed(copied(ir, body=body))


def insert(ir: FlowIR, site: str, node: Node | Sequence[Node], before: bool = False) -> FlowIR:
    """`ir` with statements after (or before) the one at `site`."""
    new = (node,) if isinstance(node, Node) else tuple(node)

    def change(body: Body, index: int) -> Body:
        placed = [one if one.line else copied(one, line=body[index].line) for one in new]
        at = index if before else index + 1
        return (*body[:at], *placed, *body[at:])

    return completed(copied(ir, body=_at(ir, site, change)))


def delete(ir: FlowIR, site: str) -> FlowIR:
    """`ir` without the statement at `site`. A block that must not be empty keeps a `pass`."""
    optional = site.rpartition(".")[0].rpartition(".")[2] in ("orelse", "final")

    def change(body: Body, index: int) -> Body:
        rest = (*body[:index], *body[index + 1 :])
        return rest or (() if optional else (Pass(line=body[index].line),))

    return completed(copied(ir, body=_at(ir, site, change)))


def _at(ir: FlowIR, site: str, change: Callable[[Body, int], Body]) -> Body:
    """The body with one of its statement lists changed."""
    _known(ir, site)

    def go(body: Body, prefix: str) -> Body:
        made: list[Node] = []
        for index, node in enumerate(body):
            here = f"{prefix}{index}"
            if here == site:
                return change(body, index)
            inner = {
                field: go(block, f"{here}.{field}.")
                for field, block in node.blocks()
                if site.startswith(f"{here}.{field}.")
            }
            made.append(rebuilt(node, inner) if inner else node)
        return tuple(made)

    return go(ir.body, "")


def _known(ir: FlowIR, site: str) -> str:
    sites = [one for one, _ in ir.walk()]
    if site not in sites:
        shown = ", ".join(sites[:12]) + (", ..." if len(sites) > 12 else "")
        raise FlowError(f"`{ir.name}` has no statement {site!r}.", f"There are: {shown}.")
    return site


def _statements(pattern: Any) -> Callable[[str, Node], bool]:
    if isinstance(pattern, str):
        return lambda site, node: site == pattern
    if isinstance(pattern, type) and issubclass(pattern, Node):
        return lambda site, node: isinstance(node, pattern)
    if callable(pattern):
        return lambda site, node: bool(pattern(node))
    raise FlowError(
        f"{pattern!r} is no pattern.", 'Give call("name"), name("name"), a class of nodes, a predicate or a site.'
    )


# -- inside expressions ---------------------------------------------------------------------------------------------


def _replaced(ir: FlowIR, pattern: CallPattern | NamePattern, by: Any) -> FlowIR:
    make = _maker(pattern, by)
    local = local_names(ir)
    changed = False

    def rewrite(tree: ast.AST) -> ast.AST:
        nonlocal changed
        wanted = {id(one) for one in _matches(tree, pattern, local)}
        if not wanted:
            return tree
        changed = True
        return _Rewriter(wanted, make).visit(tree)

    def change(body: Body) -> Body:
        made = []
        for node in body:
            one = _in_node(node, rewrite)
            inner = {field: change(block) for field, block in one.blocks()}
            made.append(rebuilt(one, inner) if inner else one)
        return tuple(made)

    parameters = tuple(
        copied(one, default=_in_expression(one.default, rewrite)) if one.default is not None else one
        for one in ir.parameters
    )
    body = change(ir.body)
    return completed(copied(ir, body=body, parameters=parameters)) if changed else ir


def _maker(pattern: CallPattern | NamePattern, by: Any) -> Callable[[Any], ast.expr]:
    if isinstance(pattern, NamePattern) and isinstance(by, CallPattern | NamePattern):
        return lambda one: _named(by.name, one)
    if isinstance(pattern, CallPattern) and isinstance(by, CallPattern):
        return lambda one: ast.copy_location(ast.Call(_named(by.name, one.func), one.args, one.keywords), one)
    if isinstance(by, Expression):
        return lambda one: ast.copy_location(by.parsed(), one)
    if isinstance(pattern, CallPattern) and callable(by) and not isinstance(by, type):
        return lambda one: ast.copy_location(cast(Any, by)(one), one)
    raise FlowError(
        f"{by!r} cannot stand for {pattern!r}.", 'Give call("name"), an Expression, or a function of the call.'
    )


class _Rewriter(ast.NodeTransformer):
    """Replaces the wanted nodes, inner ones first."""

    def __init__(self, wanted: set[int], make: Callable[[Any], ast.expr]) -> None:
        self.wanted = wanted
        self.make = make

    def visit(self, node: ast.AST) -> Any:
        found = id(node) in self.wanted
        node = self.generic_visit(node)
        return self.make(node) if found else node


def _matches(tree: ast.AST, pattern: CallPattern | NamePattern, local: set[str]) -> list[ast.expr]:
    if isinstance(pattern, CallPattern):
        return [one for one in ast.walk(tree) if isinstance(one, ast.Call) and dotted(one.func) == pattern.name]
    outside: list[ast.Name] = []

    def on_name(one: ast.Name, binding: str, number: int) -> None:
        if binding == "global" and isinstance(one.ctx, ast.Load):
            outside.append(one)

    occurrences(tree, local, on_name)
    roots = {id(one) for one in outside}
    return [
        one
        for one in ast.walk(tree)
        if isinstance(one, ast.Name | ast.Attribute) and dotted(one) == pattern.name and id(_first(one)) in roots
    ]


def _first(tree: ast.expr) -> ast.expr:
    while isinstance(tree, ast.Attribute):
        tree = tree.value
    return tree


def _in_node(node: Node, change: Callable[[ast.AST], ast.AST]) -> Node:
    """The node with its own expressions changed, those of its cases and handlers too; the same one where none was."""
    made: dict[str, Any] = {}
    for one in fields(node):
        value = getattr(node, one.name)
        new = _in_value(value, change)
        if new is not value:
            made[one.name] = new
    if isinstance(node, Case):
        pattern = pattern_of(node)
        copy = copy_tree(pattern)
        if (new := change(copy)) is not copy or ast.unparse(new) != node.pattern:
            made |= {"pattern": ast.unparse(new), "tree": None}
    if isinstance(node, Python):
        copy = copy_tree(statement_of(node))
        new = change(copy)
        if (text := ast.unparse(new)) != node.source:
            made |= {"source": text, "tree": None}
    return copied(node, **made) if made else node


def _in_value(value: Any, change: Callable[[ast.AST], ast.AST]) -> Any:
    if isinstance(value, Expression):
        return _in_expression(value, change)
    if isinstance(value, tuple) and value and (not isinstance(value[0], Node) or type(value[0]).__name__ in _PARTS):
        new = tuple(_in_node(one, change) if isinstance(one, Node) else _in_value(one, change) for one in value)
        return value if all(a is b for a, b in zip(new, value, strict=True)) else new
    return value


_PARTS = ("Case", "Handler", "Entered")


def _in_expression(one: Expression, change: Callable[[ast.AST], ast.AST]) -> Expression:
    copy = copy_tree(tree_of(one))
    new = change(copy)
    text = ast.unparse(new)
    return one if text == one.text else Expression(text)


def _named(name: str, like: ast.AST) -> ast.expr:
    made = ast.parse(name, mode="eval").body
    for one in ast.walk(made):
        ast.copy_location(one, like)
    return made


def _checked(name: str) -> str:
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise FlowError(f"{name!r} is no name.", 'Give a name as it is written, such as "judge.distribution".')
    return name
