"""From `FlowIR` to Python code that overlaps: the same statements on the same lines, every call made through `__run__`.

`lazy` writes an expression whose value may be pending, `now` one that ordinary Python touches. What the eager program
would notice is kept: a variable is forced where it is touched; blocks that catch or clean up (`try`, `with`) wait for
their calls before they end; stores that others could see wait like any effect. Names captured by inner functions are
forced when they are assigned. Cost: about a millisecond for a flow of twenty lines, once.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

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

RUN = "__run__"
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp)


def compiled(function: Callable[..., Any], ir: FlowIR) -> Callable[..., Any]:
    """The function's compiled twin: it takes the frame as its first argument, shares globals, closure and defaults."""
    code = _code_of(ir, function.__code__.co_freevars, function.__qualname__)
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    made = types.FunctionType(
        code,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        tuple(cells[name] for name in code.co_freevars),
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__qualname__ = function.__qualname__
    return made


def source(ir: FlowIR) -> str:
    """What is compiled, as text for people."""
    return ast.unparse(_definition(ir))


def _code_of(ir: FlowIR, free: Sequence[str], qualname: str) -> types.CodeType:
    body = _definition(ir)
    body.name = "__body__"  # so that the flow's own name stays a name of its surroundings
    factory = ast.FunctionDef("__factory__", _arguments(free), [body], [], None)
    _place(factory, ir.line)
    module = ast.fix_missing_locations(ast.Module([factory], []))
    outer = next(one for one in compile(module, ir.file, "exec").co_consts if isinstance(one, types.CodeType))
    code = next(one for one in outer.co_consts if isinstance(one, types.CodeType) and one.co_name == "__body__")
    return _renamed(code, code.co_qualname, qualname).replace(co_name=ir.name_of_code)


def _renamed(code: types.CodeType, before: str, after: str) -> types.CodeType:
    """Code, and the functions defined in it, with the names they have in the source."""
    inner = tuple(_renamed(one, before, after) if isinstance(one, types.CodeType) else one for one in code.co_consts)
    return code.replace(co_qualname=after + code.co_qualname.removeprefix(before), co_consts=inner)


def _arguments(names: Sequence[str]) -> ast.arguments:
    return ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])


def _definition(ir: FlowIR) -> ast.FunctionDef | ast.AsyncFunctionDef:
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
    _place(made, ir.line)
    return ast.fix_missing_locations(made)


class Emitter:
    """Writes the statements of one flow."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.guarded = 0  # blocks around, inside the flow, that must wait before they are left
        self.private: set[str] | None = None  # inside such blocks: names that nobody reads after a failure
        self.loops = [0]  # how many of them were there when each loop around began
        self.temporaries = 0
        self.iterables = 0  # comprehension iterables around, in which nothing can be assigned

    # -- statements -----------------------------------------------------------------------------------------------

    def body(self, body: Body) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for node in body:
            made = self.statement(node)
            for one in made:
                for part in ast.walk(one):
                    if isinstance(part, ast.stmt | ast.expr | ast.ExceptHandler):
                        _place(part, node.line)
            found += made
        return found or [ast.Pass()]

    def statement(self, node: Node) -> list[ast.stmt]:
        match node:
            case Assign(targets=targets, value=value):
                return self.assign([one.parsed(node.line) for one in targets], value.parsed(node.line))
            case Update():
                return self.update(node)
            case Do(value=value):
                return self.do(value.parsed(node.line))
            case Return(value=value):
                made = self.lazy(value.parsed(node.line)) if value else None
                if not self.guarded:
                    return [ast.Return(made)]
                kept = self.temporary()
                first: list[ast.stmt] = [_assign(kept, made)] if made is not None else []
                return [*first, _do(self.run("settle")), ast.Return(_load(kept) if made is not None else None)]
            case If(test=test, body=body, orelse=orelse):
                return [ast.If(self.now(test.parsed(node.line)), self.body(body), self.body(orelse) if orelse else [])]
            case While(test=test, body=body, orelse=orelse):
                with_else = self.body(orelse) if orelse else []
                return [ast.While(self.now(test.parsed(node.line)), self.loop(body), with_else)]
            case For():
                return self.for_loop(node)
            case Match(subject=subject, cases=cases):
                made_cases = [
                    ast.match_case(
                        one.parsed(), self.now(one.guard.parsed(one.line)) if one.guard else None, self.body(one.body)
                    )
                    for one in cases
                ]
                made_match = ast.Match(self.now(subject.parsed(node.line)), made_cases)
                bound = [part.name for one in cases for part in ast.walk(one.parsed())
                         if isinstance(part, ast.MatchAs | ast.MatchStar) and part.name]  # fmt: skip
                if any(name in self.names.globals for name in bound):
                    return [_do(self.run("effects")), made_match]
                return [_do(self.run("settle")), made_match] if self.seen(*bound) else [made_match]
            case Try():
                return self.try_block(node)
            case With():
                return self.with_block(node)
            case Raise(error=error, cause=cause):
                return [ast.Raise(self._maybe_now(error, node.line), self._maybe_now(cause, node.line))]
            case Assert(test=test, message=message):
                return [ast.Assert(self.now(test.parsed(node.line)), self._maybe_now(message, node.line))]
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
        return [_do(self.run("settle"))] if self.guarded > self.loops[-1] else []

    def _maybe_now(self, value: Expression | None, line: int) -> ast.expr | None:
        return self.now(value.parsed(line)) if value is not None else None

    def assign(self, targets: list[ast.expr], value: ast.expr) -> list[ast.stmt]:
        if self.seen(*[part.id for one in targets for part in _names(one) if isinstance(part.ctx, ast.Store)]):
            kept = self.temporary()
            into = [self.target(one) for one in targets]
            return [_assign(kept, self.out(value)), _do(self.run("effects")), ast.Assign(into, _load(kept))]
        if len(targets) == 1:
            target = targets[0]
            if isinstance(target, ast.Name):
                return [ast.Assign([target], self.stored(target.id, value))]
            if (
                isinstance(target, ast.Subscript)
                and self._is_own(target.value)
                and not isinstance(target.slice, ast.Slice)
            ):
                return [_do(self.run("store", self.lazy(value), target.value, self.now(target.slice)))]
            if _same_shape(target, value):
                assert isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List)
                parts = [
                    self.stored(one.id, part) if isinstance(one, ast.Name) else self.lazy(part)
                    for one, part in zip(target.elts, value.elts, strict=True)
                ]
                return [ast.Assign([target], ast.Tuple(parts, ast.Load()))]
        if all(isinstance(one, ast.Name) for one in targets):
            if any(one.id in self.names.forced for one in targets):  # type: ignore[attr-defined]
                return [ast.Assign(targets, self.out(value))]
            return [ast.Assign(targets, self.lazy(value))]
        kept = self.temporary()
        stores = any(isinstance(part, ast.Subscript | ast.Attribute) for one in targets for part in ast.walk(one))
        stores = stores or any(part.id in self.names.globals for one in targets for part in _names(one))
        apart = any(isinstance(one, ast.Tuple | ast.List) for one in targets)
        taken = self.run("unpacked", self.lazy(value)) if apart else self.out(value)
        if stores:
            taken = self.run("keep", taken)
        made: list[ast.stmt] = [_assign(kept, taken)]
        if stores:
            made.append(_do(self.run("effects")))
        made.append(ast.Assign([self.target(one) for one in targets], _load(kept)))
        return made

    def stored(self, name: str, value: ast.expr) -> ast.expr:
        """The value for a plain name: pending unless inner functions can see the name."""
        if name in self.names.globals:
            return self.run("global_value", self.out(value))
        return self.out(value) if name in self.names.forced else self.lazy(value)

    def target(self, target: ast.expr) -> Any:
        match target:
            case ast.Name():
                return target
            case ast.Subscript(value=value, slice=key):
                return _at(ast.Subscript(self.now(value), self.now(key), ast.Store()), target)
            case ast.Attribute(value=value, attr=name):
                return _at(ast.Attribute(self.now(value), name, ast.Store()), target)
            case ast.Starred(value=value):
                return _at(ast.Starred(self.target(value), ast.Store()), target)
            case ast.Tuple(elts=parts):
                return _at(ast.Tuple([self.target(one) for one in parts], ast.Store()), target)
            case ast.List(elts=parts):
                return _at(ast.List([self.target(one) for one in parts], ast.Store()), target)
        return target

    def update(self, node: Update) -> list[ast.stmt]:
        """``target op= value``: the old value is read, the new one worked out, and only then anything changed."""
        target: Any = node.target.parsed(node.line)
        value = node.value.parsed(node.line)
        operator = OPERATORS[node.operator]()
        old, new = self.temporary(), self.temporary()
        first: list[ast.stmt] = []
        before: ast.Call | None = self.run("effects")
        into: Any = target
        if isinstance(target, ast.Name):
            name = target.id
            read: ast.expr = _load(name) if name in self.names.plain else self.run("force", _load(name))
            if self.seen(name):
                before = self.run("settle")
            elif name not in self.names.globals:
                before = self.run("before_own" if name in self.names.own else "before_update", _load(old))
        else:
            owner, part = self.temporary(), self.temporary()
            first.append(_assign(owner, self.now(target.value)))
            if isinstance(target, ast.Subscript):
                first.append(_assign(part, self.now(target.slice)))
                read = ast.Subscript(_load(owner), _load(part), ast.Load())
                into = ast.Subscript(_load(owner), _load(part), ast.Store())
                if self._is_own(target.value):
                    first.append(_do(self.run("before_own", _load(owner))))
                    before = self.run("before_update", _load(old))
            else:
                read = ast.Attribute(_load(owner), target.attr, ast.Load())
                into = ast.Attribute(_load(owner), target.attr, ast.Store())
        change = ast.AugAssign(ast.Name(old, ast.Store()), operator, _load(new))
        waits: list[ast.stmt] = [_do(before)] if before is not None else []
        return [
            *first,
            _assign(old, read),
            _assign(new, self.out(value)),
            *waits,
            change,
            ast.Assign([into], _load(old)),
        ]

    def do(self, value: ast.expr) -> list[ast.stmt]:
        match value:
            case ast.Call(func=ast.Attribute(value=owner, attr="append"), args=[part], keywords=[]):
                if self._is_own(owner) and not isinstance(part, ast.Starred):
                    return [_do(_at(self.run("append", owner, self.lazy(part)), value))]
        return [_do(self.lazy(value))]

    def for_loop(self, node: For) -> list[ast.stmt]:
        target, iterable = node.target.parsed(node.line), node.iterable.parsed(node.line)
        orelse = self.body(node.orelse) if node.orelse else []
        return [ast.For(self.target(target), self.iterated(target, iterable), self.loop(node.body), orelse)]

    def iterated(self, target: ast.expr, iterable: ast.expr) -> ast.expr:
        """What a loop runs over; its elements stay pending where the names of the target may hold pending values."""
        if self.seen(*[one.id for one in _names(target) if isinstance(one.ctx, ast.Store)]) and not self.iterables:
            return _at(self.run("iterate_settled", self.lazy(iterable)), iterable)
        acting = any(isinstance(one, ast.Attribute | ast.Subscript) for one in ast.walk(target))
        if acting or any(one.id in self.names.globals for one in _names(target)):
            return _at(self.run("iterate_acting", self.lazy(iterable)), iterable)
        lazy = self.names.locals - self.names.forced
        parts = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
        if not all(isinstance(one, ast.Name) and one.id in lazy for one in parts):
            return _at(self.run("iterate_forced", self.lazy(iterable)), iterable)
        verb = "iterate" if parts == [target] else "iterate_unpacked"
        match iterable:
            case ast.Call(func=ast.Name(id="zip" | "enumerate" as name), args=args, keywords=keywords):
                if name not in self.names.locals and not any(isinstance(one, ast.Starred) for one in args):
                    said = [ast.keyword(one.arg, self.now(one.value)) for one in keywords]
                    made = self.run("pairs", iterable.func, *[self.lazy(one) for one in args], keywords=said)
                    return _at(self.run(verb, _at(made, iterable)), iterable)
        return _at(self.run(verb, self.lazy(iterable)), iterable)

    def try_block(self, node: Try) -> list[ast.stmt]:
        made = self._try(node) if node.handlers or node.orelse else self.guard(node.body)
        if node.final:
            if node.handlers or node.orelse:
                with self.region(node.body, *[one.body for one in node.handlers], node.orelse):
                    made = self._guarded(self._try(node))
            made = [ast.Try(made, [], [], self.body(node.final))]
        return [_do(self.run("effects")), *made]

    def _try(self, node: Try) -> list[ast.stmt]:
        handlers = [
            ast.ExceptHandler(
                self.now(one.kind.parsed(one.line)) if one.kind else None, one.name, self.body(one.body)
            )
            for one in node.handlers
        ]  # fmt: skip
        for made, one in zip(handlers, node.handlers, strict=True):
            _place(made, one.line)
        if handlers:  # unwinding is not for the flow to catch
            unwinding = ast.Attribute(_load(RUN), "Abandoned", ast.Load())
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
        before = self.private
        self.guarded += 1
        self.private = self.names.private(bodies, len(self.loops) > 1)
        try:
            yield
        finally:
            self.private = before
            self.guarded -= 1

    def seen(self, *names: str) -> bool:
        """Whether somebody can read these names after a failure here: setting them commits in order then."""
        return self.private is not None and any(one in self.names.locals and one not in self.private for one in names)

    def _guarded(self, made: list[ast.stmt]) -> list[ast.stmt]:
        handler = ast.ExceptHandler(None, None, [_do(self.run("failed_now")), ast.Raise()])
        return [ast.Try([*made, _do(self.run("settle"))], [handler], [], [])]

    def with_block(self, node: With) -> list[ast.stmt]:
        items = []
        for one in node.entered:
            target = self.target(one.target.parsed(one.line)) if one.target else None
            items.append(ast.withitem(self.now(one.context.parsed(one.line)), target))
        return [_do(self.run("effects")), ast.With(items, self.guard(node.body))]

    def opaque(self, node: Python) -> list[ast.stmt]:
        tree = node.parsed()
        if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef) and (tree.decorator_list or _computes(tree.args)):
            return [_do(self.run("effects")), tree]
        if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef | ast.Global | ast.AnnAssign):
            return [_do(self.run("settle")), tree] if self.seen(*node.writes) else [tree]
        return [_do(self.run("effects")), tree]

    # -- expressions ----------------------------------------------------------------------------------------------

    def lazy(self, one: ast.expr) -> ast.expr:
        """The expression, its value possibly pending."""
        match one:
            case ast.Call():
                return self.call(one)
            case ast.List(elts=parts):
                made = ast.List([self.part(part) for part in parts], ast.Load())
                return self.made(made, one) if any(not isinstance(part, ast.Constant) for part in parts) else made
            case ast.Tuple(elts=parts):
                if all(isinstance(part, ast.Constant) for part in parts):
                    return one
                return _at(self.run("tuple", *[self.part(part) for part in parts]), one)
            case ast.Dict(keys=keys, values=values):
                if any(key is None for key in keys):
                    return self.now(one)
                parts = [self.lazy(value) for value in values]
                made = ast.Dict([self.now(key) for key in keys if key is not None], parts)
                return self.made(made, one) if values else made
            case ast.ListComp(elt=part, generators=generators):
                made = ast.ListComp(self.lazy(part), self.generators(generators))
                return self.made(made, one)
            case ast.DictComp(key=key, value=value, generators=generators):
                made = ast.DictComp(self.now(key), self.lazy(value), self.generators(generators))
                return self.made(made, one)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return _at(ast.IfExp(self.now(test), self.lazy(body), self.lazy(orelse)), one)
            case ast.BoolOp(op=op, values=values):
                return _at(ast.BoolOp(op, [*[self.now(part) for part in values[:-1]], self.lazy(values[-1])]), one)
            case ast.Subscript(value=value, slice=key):
                return _at(self.run("item", self.lazy(value), self.now(key)), one)
            case ast.Attribute(value=ast.Name(id=name) | ast.Call(func=ast.Name(id=name))) if name in self.names.locals:
                return _at(self.run("field", self.lazy(one.value), ast.Constant(one.attr)), one)
            case ast.BinOp(left=left, op=ast.Add(), right=right) if not _is_text(left) and not _is_text(right):
                return _at(self.run("plus", self.lazy(left), self.lazy(right)), one)
            case ast.Name():
                return one
        return self.now(one)

    def part(self, one: ast.expr) -> ast.expr:
        if isinstance(one, ast.Starred):
            return _at(ast.Starred(self.run("iterate", self.lazy(one.value)), ast.Load()), one)
        return self.lazy(one)

    def made(self, display: ast.expr, origin: ast.expr) -> ast.expr:
        return _at(self.run("held", _at(display, origin)), origin)

    def now(self, one: ast.expr) -> ast.expr:
        """The expression with the value that ordinary Python sees."""
        match one:
            case ast.Lambda(args=arguments) if _computes(arguments):
                return self.after([self.run("effects")], one)  # its defaults are worked out now
            case ast.Constant() | ast.Lambda():
                return one  # the names that inner code captures are never pending
            case ast.GeneratorExp():
                return _at(self.run("generated", one), one)
            case ast.Name(id=name):
                if name not in self.names.locals or name in self.names.plain or name in self.names.globals:
                    return one
                return _at(self.run("force", one), one)
            case ast.Call():
                return _at(self.run("force", self.call(one)), one)
            case ast.Dict(keys=keys, values=values) if None in keys:
                made_keys = [self.now(key) if key is not None else None for key in keys]
                return _at(ast.Dict(made_keys, [self.out(value) for value in values]), one)
            case ast.Tuple() if all(isinstance(part, ast.Constant) for part in one.elts):
                return one
            case ast.List() | ast.Tuple() | ast.Dict() | ast.ListComp() | ast.DictComp():
                return _at(self.run("force", self.lazy(one)), one)
            case ast.Set(elts=parts):
                return _at(self.run("set_of", ast.List([self.part(part) for part in parts], ast.Load())), one)
            case ast.SetComp(elt=part, generators=generators):
                return _at(self.run("set_of", ast.ListComp(self.lazy(part), self.generators(generators))), one)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return _at(ast.IfExp(self.now(test), self.now(body), self.now(orelse)), one)
            case ast.BoolOp(op=op, values=values):
                return _at(ast.BoolOp(op, [self.now(part) for part in values]), one)
            case ast.BinOp(op=ast.Add()) if not _is_text(one.left) and not _is_text(one.right):
                return _at(self.run("force", self.lazy(one)), one)
            case ast.BinOp(left=left, op=op, right=right):
                first, (left, right) = self.together([left, right])
                return self.after(first, _at(ast.BinOp(self.out(left), op, self.out(right)), one))
            case ast.UnaryOp(op=op, operand=operand):
                return _at(ast.UnaryOp(op, self.now(operand)), one)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                first, (left, right) = self.together([left, right])
                return self.after(first, _at(ast.Compare(self.now(left), [op], [self.now(right)]), one))
            case ast.Compare(left=left, ops=ops, comparators=others):
                return _at(ast.Compare(self.now(left), ops, [self.now(other) for other in others]), one)
            case ast.Subscript():
                return _at(self.run("force", self.lazy(one)), one)
            case ast.Attribute(value=ast.Name(id=name)) if name in self.names.locals - self.names.plain:
                return _at(self.run("force", self.lazy(one)), one)
            case ast.Attribute(value=value, attr=name):
                return _at(ast.Attribute(self.now(value), name, ast.Load()), one)
            case ast.NamedExpr(target=target, value=value):
                made = self.run("settled", self.lazy(value)) if self.seen(target.id) else self.out(value)
                if target.id in self.names.globals:
                    made = self.run("global_value", made)
                return _at(ast.NamedExpr(target, made), one)
            case ast.JoinedStr(values=values):  # one part is written before the next is worked out
                return _at(ast.JoinedStr([self.now(part) for part in values]), one)
            case ast.FormattedValue(value=value, conversion=conversion, format_spec=spec):
                made = ast.FormattedValue(self.now(value), conversion, self.now(spec) if spec else None)
                return _at(made, one)
            case ast.Starred(value=value):
                return _at(ast.Starred(self.out(value), ast.Load()), one)
            case ast.Slice(lower=lower, upper=upper, step=step):
                parts = [self.now(part) if part is not None else ast.Constant(None) for part in (lower, upper, step)]
                return _at(ast.Call(ast.Attribute(_load(RUN), "slice", ast.Load()), parts, []), one)
            case ast.Await(value=value):
                return _at(ast.Await(self.now(value)), one)
        return one

    def together(self, operands: list[ast.expr]) -> tuple[list[ast.expr], list[ast.expr]]:
        """Operands with the calls among them issued before any of them is touched: (assignments, what to touch)."""
        calls = [one for one in operands if isinstance(one, ast.Call)]
        others = [one for one in operands if not isinstance(one, ast.Call | ast.Constant | ast.Name)]
        if len(calls) < 2 or others or self.iterables:  # anything else must be worked out between them, in its turn
            return [], operands
        first: list[ast.expr] = []
        touched: list[ast.expr] = []
        for one in operands:
            if isinstance(one, ast.Call):
                kept = self.temporary()
                self.names.locals.add(kept)
                first.append(_at(ast.NamedExpr(ast.Name(kept, ast.Store()), self.call(one)), one))
                touched.append(_at(_load(kept), one))
            else:
                touched.append(one)
        return first, touched

    def after(self, first: list[ast.expr], value: ast.expr) -> ast.expr:
        """`value`, worked out after `first`."""
        if not first:
            return value
        both = _at(ast.Tuple([*first, value], ast.Load()), value)
        return _at(ast.Subscript(both, ast.Constant(-1), ast.Load()), value)

    def out(self, one: ast.expr) -> ast.expr:
        """`now`, where the containers in the value may be kept by what happens to it."""
        if isinstance(one, ast.Name):
            if one.id not in self.names.locals or one.id in self.names.plain or one.id in self.names.globals:
                return one
            return _at(self.run("escape", one), one)
        if isinstance(one, ast.Constant | ast.BinOp | ast.Compare | ast.JoinedStr | ast.Lambda | ast.UnaryOp):
            return self.now(one)
        return _at(self.run("escape", self.lazy(one)), one)

    def generators(self, generators: list[ast.comprehension]) -> list[ast.comprehension]:
        made = []
        for one in generators:
            self.iterables += 1
            run = self.iterated(one.target, one.iter)
            self.iterables -= 1
            made.append(ast.comprehension(one.target, run, [self.now(test) for test in one.ifs], one.is_async))
        return made

    def call(self, one: ast.Call) -> ast.expr:
        function = one.func
        if isinstance(function, ast.Name) and function.id in ("super", "locals", "vars", "globals", "dir", "eval"):
            return _at(
                ast.Call(function, [self.now(part) for part in one.args],
                         [ast.keyword(part.arg, self.now(part.value)) for part in one.keywords]), one)  # fmt: skip
        own = isinstance(function, ast.Attribute) and self._is_own(function.value)
        args = [
            _at(ast.Starred(self.run("iterate", self.lazy(part.value)), ast.Load()), part)
            if isinstance(part, ast.Starred)
            else self.lazy(part)
            for part in one.args
        ]
        keywords = [
            ast.keyword(part.arg, self.lazy(part.value) if part.arg else self.now(part.value)) for part in one.keywords
        ]
        return _at(self.run("call_own" if own else "call", self.now(function), *args, keywords=keywords), one)

    # -- parts ----------------------------------------------------------------------------------------------------

    def run(self, verb: str, *args: ast.expr, keywords: list[ast.keyword] | None = None) -> ast.Call:
        return ast.Call(ast.Attribute(_load(RUN), verb, ast.Load()), list(args), keywords or [])

    def temporary(self) -> str:
        self.temporaries += 1
        return f"__kept_{self.temporaries}__"

    def _is_own(self, one: ast.expr) -> bool:
        return isinstance(one, ast.Name) and one.id in self.names.own and not self.seen(one.id)


def _place(part: Any, line: int) -> None:
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


def _computes(arguments: ast.arguments) -> bool:
    """Whether defaults are more than constants and names."""
    defaults = [*arguments.defaults, *[one for one in arguments.kw_defaults if one is not None]]
    return any(not isinstance(one, ast.Constant | ast.Name) for one in defaults)


def _is_text(one: ast.expr) -> bool:
    return isinstance(one, ast.JoinedStr | ast.Constant)


def _names(tree: ast.AST) -> list[ast.Name]:
    return [one for one in ast.walk(tree) if isinstance(one, ast.Name)]


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _assign(name: str, value: ast.expr | None) -> ast.Assign:
    return ast.Assign([ast.Name(name, ast.Store())], value or ast.Constant(None))


def _do(value: ast.expr) -> ast.Expr:
    return ast.Expr(value)


def _at(made: Any, origin: ast.expr) -> Any:
    """`made` at the place of `origin`, with the parts that have no place yet."""
    return ast.copy_location(made, origin)
