"""What the compiler knows of a flow's names before it writes code.

`plain` names never hold a pending result; `forced` ones are seen by inner functions (or opaque statements), so their
values are complete when assigned; `own` ones always hold a container that this flow made, whose changes nobody else
sees. All three err on the safe side.
"""

from __future__ import annotations

import ast
import builtins
import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from thalweg.program.ir import Assign, Body, FlowIR, For, Handler, Match, Node, Python, Update, With

_INNER = (ast.Lambda, ast.GeneratorExp, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_MAKERS = ("list", "dict")


class Names:
    """Sets of local names of one flow."""

    def __init__(self, ir: FlowIR) -> None:
        self._body = ir.body
        self.globals: set[str] = set()
        self.forced: set[str] = set()
        self._kinds: dict[str, set[str]] = {one.name: {"parameter"} for one in ir.parameters}
        captured: set[str] = set()
        for node in _all(ir.body):
            self._statement(node)
            for one in node.expressions():
                tree = one.tree if one.tree is not None else one.parsed()
                captured.update(_captured(tree))
                self._inside(tree)
            if isinstance(node, Python):
                captured.update(node.reads)
                captured.update(node.writes)
                self._inside(node.tree if node.tree is not None else node.parsed())
        self.locals = set(self._kinds) - self.globals
        self.forced = captured & self.locals
        self.plain = {
            name for name, kinds in self._kinds.items() if kinds <= {"parameter", "plain"} or name in self.forced
        }  # fmt: skip
        shadowed = self.locals | self.globals
        makes = {"display"} | ({"maker"} if not shadowed & set(_MAKERS) and hasattr(builtins, "list") else set())
        self.own = {
            name
            for name, kinds in self._kinds.items()
            if kinds <= makes and name not in self.forced and name not in self.globals
        }

    def private(self, regions: Iterable[Body], in_loop: bool) -> set[str]:
        """Names that only these statements read: what a failure among them leaves in such a name, nobody sees.

        In a loop the next round could read what the last one left, unless the name is set first.
        """
        body = [node for one in regions for node in one]
        inside: Counter[str] = Counter()
        for node in body:
            inside += _loads(node)
        found = {name for name in self.locals if inside[name] == self._reads[name]} - self.forced
        if not in_loop:
            return found
        return {name for name in found if _is_set_first(name, body)}

    @functools.cached_property
    def _reads(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for node in self._body:
            total += _loads(node)
        return total

    def _add(self, name: str, kind: str) -> None:
        self._kinds.setdefault(name, set()).add(kind)

    def _statement(self, node: Node) -> None:
        match node:
            case Assign(targets=targets, value=value):
                tree = value.tree if value.tree is not None else value.parsed()
                for one in targets:
                    target = one.tree if one.tree is not None else one.parsed()
                    if isinstance(target, ast.Name):
                        self._add(target.id, _kind(tree) if len(targets) == 1 else "other")
                    else:
                        self._targets(target)
            case Update(target=target):
                tree = target.tree if target.tree is not None else target.parsed()
                if isinstance(tree, ast.Name) and tree.id not in self._kinds:
                    self._add(tree.id, "other")
            case For(target=target, iterable=iterable):
                tree = target.tree if target.tree is not None else target.parsed()
                over = iterable.tree if iterable.tree is not None else iterable.parsed()
                if isinstance(tree, ast.Name) and _is_range(over):
                    self._add(tree.id, "plain")
                else:
                    self._targets(tree)
            case With(entered=entered):
                for one in entered:
                    if one.target is not None:
                        self._targets(one.target.tree if one.target.tree is not None else one.target.parsed(), "plain")
            case Handler(name=str() as name):
                self._add(name, "plain")
            case Match(cases=cases):
                for one in cases:
                    for part in ast.walk(one.tree if one.tree is not None else one.parsed()):
                        name = getattr(part, "name", None) or getattr(part, "rest", None)
                        if isinstance(part, ast.pattern) and isinstance(name, str):
                            self._add(name, "other")
            case Python():
                tree = node.tree if node.tree is not None else node.parsed()
                if isinstance(tree, ast.Global):
                    self.globals.update(tree.names)
                for name in node.writes:
                    self._add(name, "other")

    def _targets(self, tree: ast.AST, kind: str = "other") -> None:
        for one in ast.walk(tree):
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
                self._add(one.id, kind)

    def _inside(self, tree: ast.AST) -> None:
        for one in ast.walk(tree):
            if isinstance(one, ast.NamedExpr | ast.comprehension):
                self._targets(one.target)


def _loads(node: Node) -> Counter[str]:
    """How often each name is read in a statement, those inside it included."""
    found: Counter[str] = Counter()
    for one in _all((node,)):
        for expression in one.expressions():
            tree = expression.tree if expression.tree is not None else expression.parsed()
            found.update(
                part.id for part in ast.walk(tree) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)
            )
        if isinstance(one, Match):
            for case in one.cases:
                pattern = case.tree if case.tree is not None else case.parsed()
                found.update(part.id for part in ast.walk(pattern) if isinstance(part, ast.Name))
        elif isinstance(one, Update):
            target = one.target.tree if one.target.tree is not None else one.target.parsed()
            if isinstance(target, ast.Name):
                found[target.id] += 1
        elif isinstance(one, Python):
            found.update(one.reads)
    return found


def _is_set_first(name: str, body: Sequence[Node]) -> bool:
    for node in body:
        if isinstance(node, Assign):
            value = node.value.tree if node.value.tree is not None else node.value.parsed()
            read = any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(value))
            if not read and any(one.text == name for one in node.targets):
                return True
        if _loads(node)[name]:
            return False
    return True


def _all(body: Body) -> Iterator[Node]:
    for node in body:
        yield node
        for _, inner in node.blocks():
            yield from _all(inner)
        yield from getattr(node, "handlers", ())


def _kind(value: ast.expr) -> str:
    match value:
        case ast.Constant() | ast.JoinedStr() | ast.UnaryOp(op=ast.Not()):
            return "plain"
        case ast.Compare():
            return "plain"
        case ast.List() | ast.ListComp() | ast.DictComp():
            return "display"
        case ast.Dict(keys=keys) if None not in keys:
            return "display"
        case ast.Call(func=ast.Name(id=name), args=[], keywords=[]) if name in _MAKERS:
            return "maker"
    return "other"


def _is_range(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "range"


def _captured(tree: ast.AST) -> set[str]:
    """Names that functions, lambdas and generators inside an expression can see."""
    found: set[str] = set()
    for one in ast.walk(tree):
        if isinstance(one, _INNER):
            found.update(part.id for part in ast.walk(one) if isinstance(part, ast.Name))
    return found
