"""The names of a function: its own, those it shares with functions inside it, those of others."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from thalweg.program.purity.heap import Thing
from thalweg.program.purity.source import Tree

_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_EATERS = frozenset({"sum", "any", "all", "min", "max", "list", "tuple", "set", "dict", "sorted", "frozenset", "join",
                     "update", "extend", "Counter", "fromkeys"})  # fmt: skip


class Scope:
    """The names of one function of the body. Those in `shared` are seen by functions inside it."""

    def __init__(self, tree: Tree, parent: Scope | None) -> None:
        self.tree = tree
        self.parent = parent
        self.parameters = [one.arg for one in arguments_of(tree.args)]
        self.locals: set[str] = set(self.parameters)
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()
        inner: set[str] = set()
        for node, inside in _walk(tree):
            if isinstance(node, _COMPREHENSIONS):  # what `:=` sets in one round is seen in the next
                inner.update(one.target.id for one in ast.walk(node) if isinstance(one, ast.NamedExpr))
            match node:
                case ast.Name(id=name) if inside:
                    inner.add(name)
                case ast.Nonlocal(names=names) if inside:
                    inner.update(names)
                case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                    self.locals.add(name)
                case ast.Global(names=names) if not inside:
                    self.globals.update(names)
                case ast.Nonlocal(names=names) if not inside:
                    self.nonlocals.update(names)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    (inner if inside else self.locals).add(name)
                case (
                    ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name))
                ) if not inside:
                    self.locals.add(name)
                case ast.MatchMapping(rest=str(name)) if not inside:
                    self.locals.add(name)
                case ast.alias(name=name, asname=other) if not inside:
                    self.locals.add(other or name.partition(".")[0])
        self.locals -= self.globals | self.nonlocals
        self.shared = inner
        self.results: set[Thing] = set()
        self.yields: set[Thing] = set()
        self.given: dict[str, set[Thing]] = {name: set() for name in self.parameters}  # of a function inside the body
        self.is_generator = any(
            isinstance(node, ast.Yield | ast.YieldFrom) for node, inside in _walk(tree) if not inside
        )


def arguments_of(arguments: ast.arguments) -> list[ast.arg]:
    rest = [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *rest]


def _walk(tree: Tree) -> Iterator[tuple[ast.AST, bool]]:
    """The nodes of a body, and whether they are inside a function of it or run later."""
    inner = tree.body if isinstance(tree.body, list) else [tree.body]
    todo: list[tuple[ast.AST, bool]] = [(one, False) for one in inner]
    eaten: set[ast.AST] = set()
    while todo:
        node, inside = todo.pop()
        yield node, inside
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name in _EATERS:
                eaten.update(node.args)
        deeper = inside or isinstance(node, _INNER) or (isinstance(node, ast.GeneratorExp) and node not in eaten)
        for one in ast.iter_child_nodes(node):
            if isinstance(node, _COMPREHENSIONS) and isinstance(one, ast.comprehension):
                todo += [(part, deeper) for part in (one.iter, *one.ifs)]
                # Names a comprehension binds are its own.
                continue
            todo.append((one, deeper))
