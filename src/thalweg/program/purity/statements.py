"""What each kind of statement does to the abstract state of a body."""

from __future__ import annotations

import ast
import contextlib
import decimal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from thalweg.program.purity import calls, expressions
from thalweg.program.purity.heap import NOTHING, OUT, Things, atom, content, join
from thalweg.program.purity.source import said

if TYPE_CHECKING:
    from thalweg.program.purity.body import Body

_CONTEXTS: list[Any] = [contextlib.suppress, contextlib.nullcontext, decimal.localcontext]
_MODULES = frozenset({
    "math", "cmath", "statistics", "re", "json", "string", "textwrap", "unicodedata", "difflib", "html", "base64",
    "binascii",
    "hashlib", "zlib", "struct", "itertools", "functools", "operator", "collections", "collections.abc", "copy",
    "dataclasses", "enum", "fractions", "decimal", "datetime", "calendar", "urllib.parse", "fnmatch", "bisect", "heapq",
    "typing", "abc", "ast", "numbers", "pprint", "shlex", "csv", "io", "contextlib", "uuid", "os.path", "pathlib",
    "time",
    "random", "os", "sys", "numpy", "types", "__future__", "hmac", "zoneinfo",
})  # fmt: skip


def _expression(body: Body, node: ast.Expr) -> None:
    body.evaluate(node.value)


def _assign(body: Body, node: ast.Assign) -> None:
    value = body.evaluate(node.value)
    for target in node.targets:
        body.assign(target, value, node.value)


def _annotated(body: Body, node: ast.AnnAssign) -> None:
    if node.value is not None:
        body.assign(node.target, body.evaluate(node.value), node.value)


def _update(body: Body, node: ast.AugAssign) -> None:
    more = body.evaluate(node.value)
    match node.target:
        case ast.Name(id=name):
            before = body.lookup(name, node)
            body.bind(name, expressions.update(body, node, before, more, name))
        case ast.Attribute(value=owner):
            held = body.evaluate(owner)
            before = expressions.load_attribute(body, node.target, held)
            after = expressions.update(body, node, before, more, said(node.target))
            expressions.store_attribute(body, node.target, held, after)
        case ast.Subscript(value=owner, slice=key):
            held = body.evaluate(owner)
            at = body.evaluate(key)
            expressions.check_store(body, held, node)
            before = expressions.load_item(body, node.target, held)
            after = expressions.update(body, node, before, more, said(node.target))
            body.store_item(held, at, after, node, said(owner))


def _delete(body: Body, node: ast.Delete) -> None:
    for target in node.targets:
        match target:
            case ast.Name(id=name):
                if name in body.scope.globals | body.scope.nonlocals:
                    body.impure(f"deletes the variable `{name}`", node)
            case ast.Attribute(value=owner):
                body.mutate(body.evaluate(owner), node, said(owner))
            case ast.Subscript(value=owner, slice=key):
                held = body.evaluate(owner)
                expressions.check_store(body, held, node)
                body.evaluate(key)
                body.mutate(held, node, said(owner))
            case _:
                body.impure("deletes something that is not known", node)


def _return(body: Body, node: ast.Return) -> None:
    value = body.evaluate(node.value) if node.value is not None else atom(type(None))
    body.grow(body.scope.results, value)
    body.env = None


def _raise(body: Body, node: ast.Raise) -> None:
    for one in (node.exc, node.cause):
        found = body.evaluate(one)
        for kind in found:  # `raise ValueError` makes one
            if kind.kind == "known" and isinstance(kind.value, type):
                found |= calls.construct(body, node, kind.value, calls.Arguments())
        body.raised |= {
            each.name for each in body.reach(found) if each.kind == "parameter"
        }  # whoever catches it has it
    body.env = None


def _assert(body: Body, node: ast.Assert) -> None:
    body.evaluate(node.test)
    body.evaluate(node.msg)


def _if(body: Body, node: ast.If) -> None:
    body.evaluate(node.test)
    body.branch(lambda: body.block(node.body), lambda: body.block(node.orelse))


def _for(body: Body, node: ast.For) -> None:
    source = body.evaluate(node.iter)
    body.loop(lambda: body.assign(node.target, body.iterated(source, node)), node.body, node.orelse)


def _while(body: Body, node: ast.While) -> None:
    def head() -> None:
        body.evaluate(node.test)

    body.loop(head, node.body, node.orelse)


def _break(body: Body, node: ast.Break) -> None:
    if body.env is not None:
        body.breaks[-1].append(body.env)
    body.env = None


def _continue(body: Body, node: ast.Continue) -> None:
    if body.env is not None:
        body.continues[-1].append(body.env)
    body.env = None


def _try(body: Body, node: ast.Try) -> None:
    def all_of_it() -> None:
        seen = body.guarded(lambda: body.block(node.body))
        ends = []
        if body.env is not None:
            body.block(node.orelse)
            ends.append(body.env)
        for handler in node.handlers:
            body.env = dict(seen)
            kinds = body.evaluate(handler.type)
            if handler.name:
                body.bind(handler.name, expressions.caught(body, handler, kinds))
            body.block(handler.body)
            ends.append(body.env)
        body.env = join(*ends)

    if not node.finalbody:
        all_of_it()
        return
    leaving = [one[-1] for one in (body.breaks, body.continues) if one]
    before = [len(one) for one in leaving]
    anywhere = body.guarded(all_of_it)
    end = body.env
    body.env = join(anywhere, end)
    body.block(node.finalbody)
    for one, count in zip(leaving, before, strict=True):
        if len(one) > count and body.env is not None:  # they go through it
            one[count:] = [dict(body.env)]
    if end is None:
        body.env = None


def _with(body: Body, node: ast.With) -> None:
    for item in node.items:
        found = body.evaluate(item.context_expr)
        made_by = body.evaluate(getattr(item.context_expr, "func", None))
        if not made_by or not all(one.kind == "known" and one.value in _CONTEXTS for one in made_by):
            body.impure(f"enters `{said(item.context_expr).strip('`')}`", node)
            body.give_away(found, node)
        if item.optional_vars is not None:
            body.assign(item.optional_vars, content(found) | found)
    seen = body.guarded(lambda: body.block(node.body))
    body.env = join(seen, body.env)


def _match(body: Body, node: ast.Match) -> None:
    subject = body.evaluate(node.subject)
    parts = body.reach(subject)

    def case(one: ast.match_case) -> Callable[[], None]:
        def run() -> None:
            for pattern in ast.walk(one.pattern):
                if isinstance(pattern, ast.Attribute | ast.Constant | ast.Name):
                    body.evaluate(pattern)
                name = getattr(pattern, "name", None) or getattr(pattern, "rest", None)
                if isinstance(name, str):
                    whole = isinstance(pattern, ast.MatchAs)
                    made = (
                        NOTHING
                        if whole
                        else body.new(pattern, list if isinstance(pattern, ast.MatchStar) else dict, parts)
                    )
                    body.bind(name, (parts if whole else NOTHING) | made)
            body.evaluate(one.guard)
            body.block(one.body)

        return run

    body.branch(*[case(one) for one in node.cases], lambda: None)


def _function(body: Body, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    found: Things = body.closure(node)
    for decorator in reversed(node.decorator_list):
        found = calls.call(body, decorator, body.evaluate(decorator), calls.Arguments([found]))
    body.bind(node.name, found)
    if node.name in body.scope.shared:
        body.run_inner(body.scopes[node])  # it may call itself


def _global(body: Body, node: ast.Global | ast.Nonlocal | ast.Pass) -> None:
    pass


def _import(body: Body, node: ast.Import | ast.ImportFrom) -> None:
    if isinstance(node, ast.ImportFrom):
        if node.level or node.module not in _MODULES or sys.modules.get(node.module or "") is None:
            body.impure(f"imports `{node.module}`", node)
            for one in node.names:
                body.bind(one.asname or one.name, OUT)
            return
        for one in node.names:
            value: Any = getattr(sys.modules[node.module or ""], one.name, None)
            if value is None:
                body.impure(f"imports `{node.module}.{one.name}`", node)
            body.bind(one.asname or one.name, body.known(value, one.name))
        return
    for one in node.names:
        top = one.name.partition(".")[0]
        if one.name not in _MODULES or one.name not in sys.modules:
            body.impure(f"imports `{one.name}`", node)
            body.bind(one.asname or top, OUT)
        else:
            body.bind(one.asname or top, body.known(sys.modules[one.name if one.asname else top], one.asname or top))


STATEMENTS: dict[type, Callable[[Any, Any], None]] = {
    ast.Expr: _expression, ast.Assign: _assign, ast.AnnAssign: _annotated, ast.AugAssign: _update, ast.Delete: _delete,
    ast.Return: _return, ast.Raise: _raise, ast.Assert: _assert, ast.If: _if, ast.For: _for, ast.While: _while,
    ast.Break: _break, ast.Continue: _continue, ast.Try: _try, ast.With: _with, ast.Match: _match,
    ast.FunctionDef: _function, ast.AsyncFunctionDef: _function, ast.Global: _global, ast.Nonlocal: _global,
    ast.Pass: _global, ast.Import: _import, ast.ImportFrom: _import,
}  # fmt: skip
if hasattr(ast, "TryStar"):
    STATEMENTS[ast.TryStar] = _try
