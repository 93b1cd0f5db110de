"""What a stretch of code may do, whether it runs or not: names it assigns, objects it may change, ways it may leave.

A branch that was not taken tells something by what it did *not* do; this is how that is known. All of it errs on the
side of "may". Cost: once for each statement.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from thalweg.program.interpret.opaque import captured
from thalweg.program.ir import Body, Break, Case, Continue, For, Handler, Match, Node, Python, Return, Update, While

_SCOPES = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Arms:
    """
    Args:
        assigned: names it may set. loaded: names it reads, in inner functions too.
        calls: what it calls. stores: what it changes elements or attributes of, or in place.
        returns, breaks: it may leave the function, the loop around it.
    """

    assigned: frozenset[str] = frozenset()
    loaded: frozenset[str] = frozenset()
    calls: tuple[ast.Call, ...] = ()
    stores: tuple[ast.AST, ...] = ()
    returns: bool = False
    breaks: bool = False

    def __or__(self, other: Arms) -> Arms:
        return Arms(
            self.assigned | other.assigned,
            self.loaded | other.loaded,
            self.calls + other.calls,
            self.stores + other.stores,
            self.returns or other.returns,
            self.breaks or other.breaks,
        )


def arms_of(parts: Iterable[ast.AST | Node | Body | None]) -> Arms:
    """Of expressions, statements and statement lists together."""
    found = Arms()
    for one in parts:
        if one is None:
            continue
        if isinstance(one, tuple):
            found |= arms_of(one)
        elif isinstance(one, Node):
            found |= _statement(one)
        else:
            found |= _tree(one)
    return found


def _statement(node: Node) -> Arms:
    if isinstance(node, Python):
        tree = node.tree if node.tree is not None else node.parsed()
        return _tree(tree)
    found = Arms()
    for one in node.expressions():
        found |= _tree(one.tree if one.tree is not None else one.parsed())
    for inner in _inner(node):
        part = arms_of([inner])
        if isinstance(node, For | While) and inner is node.body and part.breaks:
            part = Arms(part.assigned, part.loaded, part.calls, part.stores, part.returns, False)
        found |= part
    match node:
        case Update():
            target = node.target.tree if node.target.tree is not None else node.target.parsed()
            names = frozenset([target.id]) if isinstance(target, ast.Name) else frozenset()
            found |= Arms(loaded=names, stores=(target,))
        case Return():
            found |= Arms(returns=True)
        case Break() | Continue():
            found |= Arms(breaks=True)
        case Match():
            for case in node.cases:
                found |= _pattern(case)
        case Case():
            found |= _pattern(node)
    for handler in getattr(node, "handlers", ()):
        found |= _statement(handler)
        if handler.name is not None:
            found |= Arms(frozenset([handler.name]))
    return found


def _pattern(case: Case) -> Arms:
    pattern = case.tree if case.tree is not None else case.parsed()
    return Arms(frozenset(captured(pattern))) | _tree(pattern)


def _inner(node: Node) -> Iterator[Body]:
    if isinstance(node, Handler | Case):
        yield node.body
        return
    for name, body in node.blocks():
        if not name.startswith("handlers."):
            yield body


def _tree(tree: ast.AST) -> Arms:
    assigned: set[str] = set()
    loaded: set[str] = set()
    calls: list[ast.Call] = []
    stores: list[ast.AST] = []
    returns = False
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        one, inside = waiting.pop()
        match one:
            case ast.Name(id=name, ctx=ast.Load()):
                loaded.add(name)
            case ast.Name(id=name):
                if not inside:
                    assigned.add(name)
            case ast.NamedExpr(target=ast.Name(id=name)):
                assigned.add(name)
            case ast.Call():
                calls.append(one)
            case ast.Subscript(ctx=ast.Store() | ast.Del()) | ast.Attribute(ctx=ast.Store() | ast.Del()):
                stores.append(one.value)
            case ast.AugAssign():
                stores.append(one.target)
                if isinstance(one.target, ast.Name):
                    loaded.add(one.target.id)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                if not inside:
                    assigned.add(name)
            case ast.alias(name=name, asname=other):
                assigned.add((other or name).split(".")[0])
            case ast.ExceptHandler(name=str() as name):
                assigned.add(name)
            case ast.Nonlocal(names=names) | ast.Global(names=names):
                assigned.update(names)
            case (
                ast.MatchAs(name=str() as name)
                | ast.MatchStar(name=str() as name)
                | ast.MatchMapping(rest=str() as name)
            ):
                assigned.add(name)
            case ast.Return() if not inside:
                returns = True
            case ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                stores.append(one)
        deeper = inside or isinstance(one, (*_SCOPES, *_FUNCTIONS))
        waiting += [(part, deeper) for part in ast.iter_child_nodes(one)]
    return Arms(frozenset(assigned), frozenset(loaded), tuple(calls), tuple(stores), returns)
