"""Which names of a flow are its own: parameters, assigned names, and the names of comprehensions and lambdas inside it.

`local_names` gives the flow's own names, `occurrences` every name of an expression with what it is bound to: the flow
("local"), a comprehension or lambda around it ("inner"), or the world outside ("global"). Python's rules: a
comprehension's first iterable belongs to the scope around it, `:=` inside one assigns outside of it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any, Literal

from thalweg.program.ir.nodes import Body, Case, Expression, FlowIR, Handler, Match, Node, Python

Binding = Literal["local", "inner", "global"]
OnName = Callable[[ast.Name, Binding, int], None]
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def tree_of(one: Expression) -> ast.expr:
    """An expression's syntax tree, to be read and not changed."""
    return one.tree if one.tree is not None else one.parsed()


def pattern_of(one: Case) -> ast.pattern:
    """A case's pattern, to be read and not changed."""
    return one.tree if one.tree is not None else one.parsed()


def statement_of(one: Python) -> ast.stmt:
    """An opaque statement's tree, to be read and not changed."""
    return one.tree if one.tree is not None else one.parsed()


def trees_of(node: Node) -> Iterator[ast.AST]:
    """The syntax trees of this statement itself (of one case, of one handler), in order, blocks left out."""
    if isinstance(node, Python):
        yield statement_of(node)
        return
    if isinstance(node, Case):
        yield pattern_of(node)
    for _, one in expressions(node):
        yield tree_of(one)


def every(body: Body) -> Iterator[Node]:
    """All statements, in program order, with the handlers of `try` among them."""
    for node in body:
        yield node
        if isinstance(node, Match):
            yield from node.cases
        yield from getattr(node, "handlers", ())
        for _, inner in node.blocks():
            yield from every(inner)


def expressions(node: Node) -> Iterator[tuple[str, Expression]]:
    """The expressions of this statement alone, with the field they stand in, in the order of evaluation where the
    fields have one (a value before its targets)."""
    fields: dict[str, Any] = dict(node.__dict__)
    if "targets" in fields:
        fields = {"value": fields["value"], "targets": fields["targets"], "annotation": fields["annotation"]}
    elif "iterable" in fields:
        fields = {"iterable": fields["iterable"], "target": fields["target"]}
    for name, value in fields.items():
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Expression):
                yield name, part
            elif isinstance(part, Node) and type(part).__name__ == "Entered":
                yield from ((f"entered.{inner}", one) for inner, one in expressions(part))


def local_names(ir: FlowIR) -> set[str]:
    """Parameters and every name the flow itself assigns, imports or captures; without names declared `global`."""
    found = {one.name for one in ir.parameters}
    outside: set[str] = set()
    for node in every(ir.body):
        for _, one in expressions(node):
            found.update(_stored(tree_of(one)))
        match node:
            case Handler(name=str() as name):
                found.add(name)
            case Case():
                found.update(captured(pattern_of(node)))
            case Python():
                tree = statement_of(node)
                found.update(node.writes)
                if isinstance(tree, ast.AnnAssign) and isinstance(tree.target, ast.Name):
                    found.add(tree.target.id)
                for part in _own(tree):
                    if isinstance(part, ast.Global):
                        outside.update(part.names)
                    elif isinstance(part, ast.ExceptHandler) and part.name:
                        found.add(part.name)
                    elif isinstance(part, ast.pattern):
                        found.update(captured(part))
    return found - outside


def captured(pattern: ast.pattern) -> Iterator[str]:
    """Names that a pattern binds, in order."""
    for part in ast.walk(pattern):
        name = getattr(part, "name", None) or getattr(part, "rest", None)
        if isinstance(part, ast.pattern) and isinstance(name, str):
            yield name


def is_irrefutable(pattern: Any) -> bool:
    """Whether a pattern takes anything."""
    match pattern:
        case ast.MatchAs(pattern=None):
            return True
        case ast.MatchAs(pattern=inner):
            return is_irrefutable(inner)
        case ast.MatchOr(patterns=parts):
            return any(map(is_irrefutable, parts))
    return False


def occurrences(
    tree: ast.AST, local: set[str], on_name: OnName, on_lambda: Callable[[int, list[str]], None] | None = None
) -> None:
    """Call `on_name(name, binding, number)` for every name of an expression or pattern, in the order of the source.

    `number` tells inner scopes apart: equal for names of one comprehension or lambda, 0 for all others. `on_lambda`
    is told the number and the parameters of each lambda before its names.
    """
    _Scopes(local, on_name, on_lambda).visit(tree, ())


class _Scopes:
    def __init__(
        self, local: set[str], on_name: OnName, on_lambda: Callable[[int, list[str]], None] | None = None
    ) -> None:
        self.local = local
        self.on_name = on_name
        self.on_lambda = on_lambda
        self.number = 0

    def visit(self, tree: ast.AST, scope: tuple[dict[str, int], ...]) -> None:
        kind = type(tree)
        if kind is ast.Name:
            self.name(tree, scope)  # type: ignore[arg-type]
        elif kind is ast.Constant:
            return
        elif kind in _COMPREHENSIONS:
            self.comprehension(tree, scope)
        elif kind is ast.Lambda:
            assert isinstance(tree, ast.Lambda)
            for one in (*tree.args.defaults, *tree.args.kw_defaults):
                if one is not None:
                    self.visit(one, scope)
            self.number += 1
            mine = dict.fromkeys(parameter_names(tree.args), self.number)
            if self.on_lambda is not None:
                self.on_lambda(self.number, list(mine))
            for part in ast.walk(tree.body):
                if isinstance(part, ast.NamedExpr) and isinstance(part.target, ast.Name):
                    mine[part.target.id] = self.number
            self.visit(tree.body, (*scope, mine))
        else:
            for one in ast.iter_child_nodes(tree):
                self.visit(one, scope)

    def name(self, one: ast.Name, scope: tuple[dict[str, int], ...]) -> None:
        for names in reversed(scope):
            if one.id in names:
                self.on_name(one, "inner", names[one.id])
                return
        self.on_name(one, "local" if one.id in self.local else "global", 0)

    def comprehension(self, tree: Any, scope: tuple[dict[str, int], ...]) -> None:
        self.number += 1
        number = self.number
        mine: dict[str, int] = {}
        for one in tree.generators:
            mine.update(dict.fromkeys(_targets(one.target), number))
        inside = (*scope, mine)
        for index, one in enumerate(tree.generators):
            self.visit(one.iter, inside if index else scope)
            self.visit(one.target, inside)
            for test in one.ifs:
                self.visit(test, inside)
        for part in (tree.key, tree.value) if isinstance(tree, ast.DictComp) else (tree.elt,):
            self.visit(part, inside)


def parameter_names(arguments: ast.arguments) -> list[str]:
    """Names of a lambda's parameters, in order."""
    plain = [*arguments.posonlyargs, *arguments.args]
    more = [one for one in (arguments.vararg, *arguments.kwonlyargs, arguments.kwarg) if one is not None]
    return [one.arg for one in (*plain, *more)]


def _stored(tree: ast.AST) -> Iterator[str]:
    """Names an expression or a target assigns in the flow; comprehensions and lambdas are scopes of their own."""
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        one, inside = waiting.pop()
        if isinstance(one, ast.Name):
            if isinstance(one.ctx, ast.Store) and not inside:
                yield one.id
        elif isinstance(one, ast.NamedExpr):
            if isinstance(one.target, ast.Name):
                yield one.target.id
            waiting.append((one.value, inside))
        elif isinstance(one, ast.Lambda):
            waiting += [(part, inside) for part in (*one.args.defaults, *one.args.kw_defaults) if part is not None]
        elif isinstance(one, _COMPREHENSIONS):
            waiting += [(part, True) for part in ast.iter_child_nodes(one)]
        else:
            waiting += [(part, inside) for part in ast.iter_child_nodes(one)]


def _targets(tree: ast.AST) -> Iterator[str]:
    for one in ast.walk(tree):
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
            yield one.id


def _own(tree: ast.AST) -> Iterator[ast.AST]:
    yield tree
    if not isinstance(tree, (*_FUNCTIONS, ast.Lambda)):
        for one in ast.iter_child_nodes(tree):
            yield from _own(one)
