"""From `FlowIR` to Python code that overlaps: the same statements on the same lines, every call made through `__run__`.

Here are the statements; `expressions.py` writes what stands in them. What the eager program would notice is kept: a
variable is forced where it is touched; blocks that catch or clean up (`try`, `with`) wait for their calls before they
end; stores that others could see wait like any effect. Names captured by inner functions are forced when they are
assigned. Cost: about a millisecond for a flow of twenty lines, once.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from thalweg.program.compile.expressions import RUN, Expressions, at, computes, load, names_in
from thalweg.program.compile.names import Names
from thalweg.program.ir import (
    Assert,
    Assign,
    Body,
    Break,
    Continue,
    Do,
    Expression,
    FlowIR,
    For,
    If,
    Match,
    Node,
    Pass,
    Python,
    Raise,
    Return,
    Try,
    Update,
    While,
    With,
)
from thalweg.program.ir.reader import OPERATORS


def source(ir: FlowIR) -> str:
    """What is compiled, as text for people."""
    return ast.unparse(definition(ir))


def definition(ir: FlowIR) -> ast.FunctionDef | ast.AsyncFunctionDef:
    arguments = ast.arguments([], [], None, [], [], None, [])
    plain = [one for one in ir.parameters if one.kind in ("POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD")]
    arguments.posonlyargs = [ast.arg(RUN)] + [ast.arg(one.name) for one in plain if one.kind == "POSITIONAL_ONLY"]
    arguments.args = [ast.arg(one.name) for one in plain if one.kind != "POSITIONAL_ONLY"]
    arguments.defaults = [ast.Constant(None) for one in plain if one.default is not None]
    for one in ir.parameters:
        if one.kind == "VAR_POSITIONAL":
            arguments.vararg = ast.arg(one.name)
        elif one.kind == "VAR_KEYWORD":
            arguments.kwarg = ast.arg(one.name)
        elif one.kind == "KEYWORD_ONLY":
            arguments.kwonlyargs.append(ast.arg(one.name))
            arguments.kw_defaults.append(ast.Constant(None) if one.default is not None else None)
    body = Emitter(Names(ir)).body(ir.body)
    kind = ast.AsyncFunctionDef if ir.is_async else ast.FunctionDef
    made = kind(ir.name_of_code, arguments, body, [], None)
    place(made, ir.line)
    return ast.fix_missing_locations(made)


class Emitter:
    """Writes the statements of one flow."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.write = Expressions(names)
        self.guarded = 0  # blocks around, inside the flow, that must wait before they are left
        self.loops = [0]  # how many of them were there when each loop around began
        self.placed: dict[int, ast.stmt] = {}  # statements that have their places, with all inside them

    # -- statements -----------------------------------------------------------------------------------------------

    def body(self, body: Body) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for node in body:
            made = self.statement(node)
            for one in made:
                self._place_all(one, node.line)
            found += made
        return found or [ast.Pass()]

    def _place_all(self, statement: ast.stmt, line: int) -> None:
        """Give a statement and its parts the places they lack; statements inside it have theirs already."""
        todo: list[ast.AST] = [statement]
        while todo:
            part = todo.pop()
            if id(part) in self.placed:
                continue
            if isinstance(part, ast.stmt | ast.expr | ast.ExceptHandler):
                place(part, line)
            todo += ast.iter_child_nodes(part)
        self.placed[id(statement)] = statement

    def statement(self, node: Node) -> list[ast.stmt]:
        match node:
            case Assign(targets=targets, value=value):
                return self.assign([one.parsed(node.line) for one in targets], value.parsed(node.line))
            case Update():
                return self.update(node)
            case Do(value=value):
                return self.do(value.parsed(node.line))
            case Return(value=value):
                made = self.write.lazy(value.parsed(node.line)) if value else None
                if not self.guarded:
                    return [ast.Return(made)]
                kept = self.write.temporary()
                first: list[ast.stmt] = [_assign(kept, made)] if made is not None else []
                return [*first, _do(self.write.run("settle")), ast.Return(load(kept) if made is not None else None)]
            case If(test=test, body=body, orelse=orelse):
                return [
                    ast.If(self.write.now(test.parsed(node.line)), self.body(body), self.body(orelse) if orelse else [])
                ]
            case While(test=test, body=body, orelse=orelse):
                with_else = self.body(orelse) if orelse else []
                return [ast.While(self.write.now(test.parsed(node.line)), self.loop(body), with_else)]
            case For():
                return self.for_loop(node)
            case Match(subject=subject, cases=cases):
                made_cases = [
                    ast.match_case(
                        one.parsed(),
                        self.write.now(one.guard.parsed(one.line)) if one.guard else None,
                        self.body(one.body),
                    )
                    for one in cases
                ]
                made_match = ast.Match(self.write.now(subject.parsed(node.line)), made_cases)
                bound = [part.name for one in cases for part in ast.walk(one.parsed())
                         if isinstance(part, ast.MatchAs | ast.MatchStar) and part.name]  # fmt: skip
                if any(name in self.names.globals for name in bound):
                    return [_do(self.write.run("effects")), made_match]
                return [_do(self.write.run("settle")), made_match] if self.write.seen(*bound) else [made_match]
            case Try():
                return self.try_block(node)
            case With():
                return self.with_block(node)
            case Raise(error=error, cause=cause):
                return [ast.Raise(self._maybe_now(error, node.line), self._maybe_now(cause, node.line))]
            case Assert(test=test, message=message):
                return [ast.Assert(self.write.now(test.parsed(node.line)), self._maybe_now(message, node.line))]
            case Break():
                return [*self._leaving(), ast.Break()]
            case Continue():
                return [*self._leaving(), ast.Continue()]
            case Pass():
                return [ast.Pass()]
            case Python():
                return self.opaque(node)
        raise TypeError(f"no code for {node!r}")

    def loop(self, body: Body) -> list[ast.stmt]:
        self.loops.append(self.guarded)
        made = self.body(body)
        self.loops.pop()
        return made

    def _leaving(self) -> list[ast.stmt]:
        return [_do(self.write.run("settle"))] if self.guarded > self.loops[-1] else []

    def _maybe_now(self, value: Expression | None, line: int) -> ast.expr | None:
        return self.write.now(value.parsed(line)) if value is not None else None

    def assign(self, targets: list[ast.expr], value: ast.expr) -> list[ast.stmt]:
        if self.write.seen(*[part.id for one in targets for part in names_in(one) if isinstance(part.ctx, ast.Store)]):
            kept = self.write.temporary()
            into = [self.target(one) for one in targets]
            return [_assign(kept, self.write.out(value)), _do(self.write.run("effects")), ast.Assign(into, load(kept))]
        if len(targets) == 1:
            target = targets[0]
            if isinstance(target, ast.Name):
                return [ast.Assign([target], self.stored(target.id, value))]
            if (
                isinstance(target, ast.Subscript)
                and self.write.is_own(target.value)
                and not isinstance(target.slice, ast.Slice)
            ):
                return [
                    _do(self.write.run("store", self.write.lazy(value), target.value, self.write.now(target.slice)))
                ]
            if _same_shape(target, value):
                assert isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List)
                parts = [
                    self.stored(one.id, part) if isinstance(one, ast.Name) else self.write.lazy(part)
                    for one, part in zip(target.elts, value.elts, strict=True)
                ]
                return [ast.Assign([target], ast.Tuple(parts, ast.Load()))]
        if all(isinstance(one, ast.Name) for one in targets):
            if any(one.id in self.names.forced for one in targets):  # type: ignore[attr-defined]
                return [ast.Assign(targets, self.write.out(value))]
            return [ast.Assign(targets, self.write.lazy(value))]
        kept = self.write.temporary()
        stores = any(isinstance(part, ast.Subscript | ast.Attribute) for one in targets for part in ast.walk(one))
        stores = stores or any(part.id in self.names.globals for one in targets for part in names_in(one))
        apart = any(isinstance(one, ast.Tuple | ast.List) for one in targets)
        taken = self.write.run("unpacked", self.write.lazy(value)) if apart else self.write.out(value)
        if stores:
            taken = self.write.run("keep", taken)
        made: list[ast.stmt] = [_assign(kept, taken)]
        if stores:
            made.append(_do(self.write.run("effects")))
        made.append(ast.Assign([self.target(one) for one in targets], load(kept)))
        return made

    def stored(self, name: str, value: ast.expr) -> ast.expr:
        """The value for a plain name: pending unless inner functions can see the name."""
        if name in self.names.globals:
            return self.write.run("global_value", self.write.out(value))
        return self.write.out(value) if name in self.names.forced else self.write.lazy(value)

    def target(self, target: ast.expr) -> Any:
        match target:
            case ast.Name():
                return target
            case ast.Subscript(value=value, slice=key):
                return at(ast.Subscript(self.write.now(value), self.write.now(key), ast.Store()), target)
            case ast.Attribute(value=value, attr=name):
                return at(ast.Attribute(self.write.now(value), name, ast.Store()), target)
            case ast.Starred(value=value):
                return at(ast.Starred(self.target(value), ast.Store()), target)
            case ast.Tuple(elts=parts):
                return at(ast.Tuple([self.target(one) for one in parts], ast.Store()), target)
            case ast.List(elts=parts):
                return at(ast.List([self.target(one) for one in parts], ast.Store()), target)
        return target

    def update(self, node: Update) -> list[ast.stmt]:
        """``target op= value``: the old value is read, the new one worked out, and only then anything changed."""
        target: Any = node.target.parsed(node.line)
        value = node.value.parsed(node.line)
        operator = OPERATORS[node.operator]()
        old, new = self.write.temporary(), self.write.temporary()
        first: list[ast.stmt] = []
        before: ast.Call | None = self.write.run("effects")
        into: Any = target
        if isinstance(target, ast.Name):
            name = target.id
            read: ast.expr = load(name) if name in self.names.plain else self.write.run("force", load(name))
            if self.write.seen(name):
                before = self.write.run("settle")
            elif name not in self.names.globals:
                before = self.write.run("before_own" if name in self.names.own else "before_update", load(old))
        else:
            owner, part = self.write.temporary(), self.write.temporary()
            first.append(_assign(owner, self.write.now(target.value)))
            if isinstance(target, ast.Subscript):
                first.append(_assign(part, self.write.now(target.slice)))
                read = ast.Subscript(load(owner), load(part), ast.Load())
                into = ast.Subscript(load(owner), load(part), ast.Store())
                if self.write.is_own(target.value):
                    first.append(_do(self.write.run("before_own", load(owner))))
                    before = self.write.run("before_update", load(old))
            else:
                read = ast.Attribute(load(owner), target.attr, ast.Load())
                into = ast.Attribute(load(owner), target.attr, ast.Store())
        change = ast.AugAssign(ast.Name(old, ast.Store()), operator, load(new))
        waits: list[ast.stmt] = [_do(before)] if before is not None else []
        return [
            *first,
            _assign(old, read),
            _assign(new, self.write.out(value)),
            *waits,
            change,
            ast.Assign([into], load(old)),
        ]

    def do(self, value: ast.expr) -> list[ast.stmt]:
        match value:
            case ast.Call(func=ast.Attribute(value=owner, attr="append"), args=[part], keywords=[]):
                if self.write.is_own(owner) and not isinstance(part, ast.Starred):
                    return [_do(at(self.write.run("append", owner, self.write.lazy(part)), value))]
        return [_do(self.write.lazy(value))]

    def for_loop(self, node: For) -> list[ast.stmt]:
        target, iterable = node.target.parsed(node.line), node.iterable.parsed(node.line)
        orelse = self.body(node.orelse) if node.orelse else []
        return [ast.For(self.target(target), self.write.iterated(target, iterable), self.loop(node.body), orelse)]

    def try_block(self, node: Try) -> list[ast.stmt]:
        made = self._try(node) if node.handlers or node.orelse else self.guard(node.body)
        if node.final:
            if node.handlers or node.orelse:
                with self.region(node.body, *[one.body for one in node.handlers], node.orelse):
                    made = self._guarded(self._try(node))
            made = [ast.Try(made, [], [], self.body(node.final))]
        return [_do(self.write.run("effects")), *made]

    def _try(self, node: Try) -> list[ast.stmt]:
        handlers = [
            ast.ExceptHandler(
                self.write.now(one.kind.parsed(one.line)) if one.kind else None, one.name, self.body(one.body)
            )
            for one in node.handlers
        ]  # fmt: skip
        for made, one in zip(handlers, node.handlers, strict=True):
            place(made, one.line)
        if handlers:  # unwinding is not for the flow to catch
            unwinding = ast.Attribute(load(RUN), "Abandoned", ast.Load())
            handlers.insert(0, ast.ExceptHandler(unwinding, None, [ast.Raise()]))
        orelse = self.body(node.orelse) if node.orelse else []
        return [ast.Try(self.guard(node.body), handlers, orelse, [])]

    def guard(self, body: Body) -> list[ast.stmt]:
        """Statements whose errors belong here: every call of them is waited for before they are left."""
        with self.region(body):
            made = self.body(body)
        return self._guarded(made)

    @contextmanager
    def region(self, *bodies: Body) -> Iterator[None]:
        before = self.write.private
        self.guarded += 1
        self.write.private = self.names.private(bodies, len(self.loops) > 1)
        try:
            yield
        finally:
            self.write.private = before
            self.guarded -= 1

    def _guarded(self, made: list[ast.stmt]) -> list[ast.stmt]:
        handler = ast.ExceptHandler(None, None, [_do(self.write.run("failed_now")), ast.Raise()])
        return [ast.Try([*made, _do(self.write.run("settle"))], [handler], [], [])]

    def with_block(self, node: With) -> list[ast.stmt]:
        items = []
        for one in node.entered:
            target = self.target(one.target.parsed(one.line)) if one.target else None
            items.append(ast.withitem(self.write.now(one.context.parsed(one.line)), target))
        return [_do(self.write.run("effects")), ast.With(items, self.guard(node.body))]

    def opaque(self, node: Python) -> list[ast.stmt]:
        tree = node.parsed()
        if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef) and (tree.decorator_list or computes(tree.args)):
            return [_do(self.write.run("effects")), tree]
        if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef | ast.Global | ast.AnnAssign):
            return [_do(self.write.run("settle")), tree] if self.write.seen(*node.writes) else [tree]
        return [_do(self.write.run("effects")), tree]


def place(part: Any, line: int) -> None:
    """Give a node the place it lacks."""
    if getattr(part, "lineno", None) is None:
        part.lineno, part.col_offset = line, 0
    if getattr(part, "end_lineno", None) is None:
        part.end_lineno, part.end_col_offset = part.lineno, part.col_offset


def _same_shape(target: ast.expr, value: ast.expr) -> bool:
    return (
        isinstance(target, ast.Tuple | ast.List)
        and isinstance(value, ast.Tuple | ast.List)
        and len(target.elts) == len(value.elts)
        and all(isinstance(one, ast.Name) for one in target.elts)
        and not any(isinstance(one, ast.Starred) for one in value.elts)
    )


def _assign(name: str, value: ast.expr | None) -> ast.Assign:
    return ast.Assign([ast.Name(name, ast.Store())], value or ast.Constant(None))


def _do(value: ast.expr) -> ast.Expr:
    return ast.Expr(value)
