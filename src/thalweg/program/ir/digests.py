"""A flow's digest: equal for flows that differ only in how they are written, another one for any change of meaning.

Local variables and parameters count by the order in which they appear; lines, layout, comments, the docstring, the
flow's own name and annotations of locals do not count. Everything else does. Names of the world outside count as
written unless a resolver says what they stand for: `identities(function)` lets a learned function count by its contract
and parameters, another flow by its own digest. Names that an opaque statement touches keep their spelling, so that two
flows of one digest are always equal. Cost: about half a millisecond for a flow of twenty lines.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable
from typing import Any

from thalweg.errors import FlowError
from thalweg.program.ir.callees import dotted, kind_of, resolver
from thalweg.program.ir.nodes import Case, Expression, FlowIR, Handler, Match, Node, Python, Try
from thalweg.program.ir.scoping import every, local_names, occurrences, pattern_of, statement_of, tree_of

_SKIPPED = {"ctx", "kind", "type_comment", "type_ignores"}
_PLAIN = (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)


def digest(ir: FlowIR, resolve: Callable[[str], str] | None = None) -> str:
    """Sixteen bytes as hexadecimal text.

    Args:
        resolve: what a (dotted) global name stands for; a name it gives back unchanged counts by its spelling.
    """
    writer = _Writer(ir, resolve)
    writer.flow()
    text = "\x1f".join(writer.parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def identities(function: Callable[..., Any]) -> Callable[[str], str]:
    """A resolver for `digest`: what `function`'s global names stand for, by content instead of by name.

    Learned functions count by contract, parameters and settings; flows and plain functions of the same module by
    their own digest; numbers and texts by their value; anything else by its spelling.
    """
    return _identities(function, ())


def _identities(function: Any, around: tuple[Any, ...]) -> Callable[[str], str]:
    found = resolver(function)
    known: dict[str, str] = {}

    def resolve(name: str) -> str:
        if name not in known:
            one = found(name)
            known[name] = name if one is None or one.verb else _identity(name, one.target, function, around)
        return known[name]

    return resolve


def _identity(name: str, one: Any, function: Any, around: tuple[Any, ...]) -> str:
    from thalweg.program.compile import ir_of
    from thalweg.program.state import state_of

    if one is None or type(one) in (bool, int, float, str, bytes):
        return f"value:{one!r}" if name not in ("True", "False", "None") else name
    kind = kind_of(one)
    if kind == "learned":
        said = {key: f"{value}" for key, value in vars(one.own).items() if value is not None}
        return f"learned:{one.signature.digest}:{json.dumps([state_of({'': one}), said], sort_keys=True, default=str)}"
    inner = getattr(one, "function", one) if kind == "flow" else one
    near = kind == "flow" or (kind == "function" and getattr(one, "__module__", "") == function.__module__)
    if not near or not hasattr(inner, "__code__"):
        return name
    if inner.__code__ in around:
        return f"around:{around[::-1].index(inner.__code__)}"
    try:
        return f"{kind}:{digest(ir_of(inner), _identities(inner, (*around, inner.__code__)))}"
    except FlowError:
        return f"code:{hashlib.blake2b(inner.__code__.co_code, digest_size=8).hexdigest()}:{name}"


class _Writer:
    """Writes a flow as a list of texts that no two different flows share."""

    def __init__(self, ir: FlowIR, resolve: Callable[[str], str] | None) -> None:
        self.ir = ir
        self.resolve = resolve
        self.parts: list[str] = []
        self.local = local_names(ir)
        self.numbers: dict[str, str] = {}
        self.kept: set[str] = set()
        self.keywords: set[str] = set()  # names that calls give arguments by
        for node in every(ir.body):
            if isinstance(node, Python) and not _declares(node):
                self.kept.update(_identifiers(statement_of(node)))
            for one in node.expressions() if not isinstance(node, Match | Try) else ():
                for part in ast.walk(tree_of(one)):
                    if isinstance(part, ast.Call):
                        names = {one.arg for one in part.keywords if one.arg is not None}
                        self.keywords |= names
                        if isinstance(part.func, ast.Name) and part.func.id == ir.name_of_code:
                            self.kept |= names & {one.name for one in ir.parameters}
        self.tokens: dict[int, str] = {}

    def flow(self) -> None:
        ir = self.ir
        self.parts.append("async" if ir.is_async else "def")
        for one in ir.parameters:  # defaults and annotations do not see the parameters
            self.parts.append(one.kind)
            for part in (one.annotation, one.default):
                self.expression(part, set())
        for one in ir.parameters:
            self.parts.append(self.name(one.name))
        self.expression(ir.returns, set())
        self.body(ir.body)

    def body(self, body: tuple[Node, ...]) -> None:
        kept = [one for one in body if not _declares(one)]
        self.parts.append(f"{len(kept)}[")
        for node in kept:
            self.node(node)
        self.parts.append("]")

    def node(self, node: Node) -> None:
        self.parts.append(type(node).__name__)
        if isinstance(node, Python):
            self.tree(statement_of(node))
            return
        fields = dict(node.__dict__)
        for name, value in _ordered(fields):
            if name in ("line", "annotation", "tree"):
                continue
            if isinstance(node, Case) and name == "pattern":
                pattern = pattern_of(node)
                self.register(pattern, self.local)
                self.tree(pattern)
            elif isinstance(node, Handler) and name == "name":
                self.parts.append(self.name(value) if value is not None else "-")
            elif isinstance(value, tuple):
                self.many(value)
            elif isinstance(value, Expression) or value is None:
                self.expression(value, self.local)
            else:
                self.parts.append(str(value))

    def many(self, value: tuple[Any, ...]) -> None:
        if value and isinstance(value[0], Node) and type(value[0]).__name__ not in ("Case", "Handler", "Entered"):
            self.body(value)
            return
        self.parts.append(f"{len(value)}[")
        for one in value:
            self.expression(one, self.local) if isinstance(one, Expression) else self.node(one)
        self.parts.append("]")

    def expression(self, one: Expression | None, local: set[str]) -> None:
        if one is None:
            self.parts.append("-")
            return
        tree = tree_of(one)
        self.register(tree, local)
        self.tree(tree)

    def register(self, tree: ast.AST, local: set[str]) -> None:
        """Decide what each name of an expression is written as."""
        inner: dict[tuple[int, str], int] = {}
        counts: dict[int, int] = {}

        def token(number: int, name: str) -> str:
            if (number, name) not in inner:
                inner[number, name] = counts[number] = counts.get(number, -1) + 1
            return f"i{number}.{inner[number, name]}"

        def on_name(one: ast.Name, binding: str, number: int) -> None:
            if binding == "inner":
                self.tokens[id(one)] = token(number, one.id)
            elif binding == "local":
                self.tokens[id(one)] = self.name(one.id)

        def on_lambda(number: int, names: list[str]) -> None:
            for name in names:
                token(number, name)

        occurrences(tree, local, on_name, on_lambda)

    def name(self, name: str) -> str:
        """A local name's number, in order of appearance."""
        if name in self.kept:
            return f"k:{name}"
        return self.numbers.setdefault(name, f"n{len(self.numbers)}")

    def tree(self, tree: Any, in_lambda: bool = False) -> None:
        parts = self.parts
        if isinstance(tree, ast.Name | ast.Attribute):
            known = self.outside(tree)
            if known is not None:
                parts.append(known)
                return
        if isinstance(tree, ast.Constant):
            parts.append(f"{type(tree.value).__name__}:{tree.value!r}")
            return
        if isinstance(tree, ast.arg) and in_lambda:
            # Its number is its place; a name that calls use is part of the meaning.
            parts.append(f"arg:{tree.arg}" if tree.arg in self.keywords else "arg")
            return
        parts.append(type(tree).__name__)
        if isinstance(tree, _PLAIN):
            return
        inside = in_lambda or isinstance(tree, ast.Lambda)
        for field in tree._fields:
            if field in _SKIPPED:
                continue
            value = getattr(tree, field, None)
            if isinstance(value, list):
                parts.append(f"{len(value)}[")
                for one in value:
                    self.tree(one, inside) if isinstance(one, ast.AST) else parts.append(f"'{one}")
            elif isinstance(value, ast.AST):
                self.tree(value, inside and field == "args")
            elif isinstance(tree, ast.pattern) and field in ("name", "rest") and value is not None:
                parts.append(self.name(value) if value in self.local else f"'{value}")
            else:
                parts.append("-" if value is None else f"'{value}")

    def outside(self, tree: ast.Name | ast.Attribute) -> str | None:
        """A name's text; for a dotted global name, what the resolver says of all of it, or None."""
        if isinstance(tree, ast.Name):
            known = self.tokens.get(id(tree))
            if known is not None:
                return known
            return f"k:{tree.id}" if tree.id in self.kept and tree.id in self.local else f"g:{self.meaning(tree.id)}"
        if self.resolve is None:
            return None
        root: ast.expr = tree
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name) or id(root) in self.tokens or root.id in self.local:
            return None
        name = dotted(tree)
        found = self.resolve(name) if name is not None else None
        return f"g:{found}" if found not in (None, name) else None

    def meaning(self, name: str) -> str:
        if name == self.ir.name_of_code:
            return "<self>"
        return self.resolve(name) if self.resolve is not None else name


def _ordered(fields: dict[str, Any]) -> list[tuple[str, Any]]:
    """A value before the targets that it is assigned to, for names are numbered in order of evaluation."""
    order = {"value": -2, "iterable": -2, "subject": -2}
    return sorted(fields.items(), key=lambda one: order.get(one[0], 0))


def _declares(node: Node) -> bool:
    """``x: int`` says nothing that is done."""
    if not isinstance(node, Python):
        return False
    tree = statement_of(node)
    return isinstance(tree, ast.AnnAssign) and isinstance(tree.target, ast.Name)


def _identifiers(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for one in ast.walk(tree):
        for field in ("id", "name", "arg", "asname", "rest"):
            value = getattr(one, field, None)
            if isinstance(value, str):
                found.add(value.split(".")[0])
        found.update(getattr(one, "names", ()) if isinstance(one, ast.Global | ast.Nonlocal) else ())
    return found
