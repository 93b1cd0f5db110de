"""Expressions of a flow as code that overlaps: `lazy`, its value possibly pending, and `now`, as Python sees it.

A variable is forced where it is touched, every call goes through `__run__`, and displays that may hold pendings are
handed to it. `emit.py` writes the statements around them. Cost: one visit of each expression.
"""

from __future__ import annotations

import ast
from typing import Any

from thalweg.program.compile.names import Names

RUN = "__run__"


class Expressions:
    """Writes the expressions of one flow."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.private: set[str] | None = None  # inside guarded blocks: names that nobody reads after a failure
        self.temporaries = 0
        self.iterables = 0  # comprehension iterables around, in which nothing can be assigned

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
                return at(self.run("tuple", *[self.part(part) for part in parts]), one)
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
                return at(ast.IfExp(self.now(test), self.lazy(body), self.lazy(orelse)), one)
            case ast.BoolOp(op=op, values=values):
                return at(ast.BoolOp(op, [*[self.now(part) for part in values[:-1]], self.lazy(values[-1])]), one)
            case ast.Subscript(value=value, slice=key):
                return at(self.run("item", self.lazy(value), self.now(key)), one)
            case ast.Attribute(value=ast.Name(id=name) | ast.Call(func=ast.Name(id=name))) if name in self.names.locals:
                return at(self.run("field", self.lazy(one.value), ast.Constant(one.attr)), one)
            case ast.BinOp(left=left, op=ast.Add(), right=right) if not _is_text(left) and not _is_text(right):
                return at(self.run("plus", self.lazy(left), self.lazy(right)), one)
            case ast.Name():
                return one
        return self.now(one)

    def part(self, one: ast.expr) -> ast.expr:
        if isinstance(one, ast.Starred):
            return at(ast.Starred(self.run("iterate", self.lazy(one.value)), ast.Load()), one)
        return self.lazy(one)

    def made(self, display: ast.expr, origin: ast.expr) -> ast.expr:
        return at(self.run("held", at(display, origin)), origin)

    def now(self, one: ast.expr) -> ast.expr:
        """The expression with the value that ordinary Python sees."""
        match one:
            case ast.Lambda(args=arguments) if computes(arguments):
                return self.after([self.run("effects")], one)  # its defaults are worked out now
            case ast.Constant() | ast.Lambda():
                return one  # the names that inner code captures are never pending
            case ast.GeneratorExp():
                return at(self.run("generated", one), one)
            case ast.Name(id=name):
                if name not in self.names.locals or name in self.names.plain or name in self.names.globals:
                    return one
                return at(self.run("force", one), one)
            case ast.Call():
                return at(self.run("force", self.call(one)), one)
            case ast.Dict(keys=keys, values=values) if None in keys:
                made_keys = [self.now(key) if key is not None else None for key in keys]
                return at(ast.Dict(made_keys, [self.out(value) for value in values]), one)
            case ast.Tuple() if all(isinstance(part, ast.Constant) for part in one.elts):
                return one
            case ast.List() | ast.Tuple() | ast.Dict() | ast.ListComp() | ast.DictComp():
                return at(self.run("force", self.lazy(one)), one)
            case ast.Set(elts=parts):
                return at(self.run("set_of", ast.List([self.part(part) for part in parts], ast.Load())), one)
            case ast.SetComp(elt=part, generators=generators):
                return at(self.run("set_of", ast.ListComp(self.lazy(part), self.generators(generators))), one)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return at(ast.IfExp(self.now(test), self.now(body), self.now(orelse)), one)
            case ast.BoolOp(op=op, values=values):
                return at(ast.BoolOp(op, [self.now(part) for part in values]), one)
            case ast.BinOp(op=ast.Add()) if not _is_text(one.left) and not _is_text(one.right):
                return at(self.run("force", self.lazy(one)), one)
            case ast.BinOp(left=left, op=op, right=right):
                first, (left, right) = self.together([left, right])
                return self.after(first, at(ast.BinOp(self.out(left), op, self.out(right)), one))
            case ast.UnaryOp(op=op, operand=operand):
                return at(ast.UnaryOp(op, self.now(operand)), one)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                first, (left, right) = self.together([left, right])
                return self.after(first, at(ast.Compare(self.now(left), [op], [self.now(right)]), one))
            case ast.Compare(left=left, ops=ops, comparators=others):
                return at(ast.Compare(self.now(left), ops, [self.now(other) for other in others]), one)
            case ast.Subscript():
                return at(self.run("force", self.lazy(one)), one)
            case ast.Attribute(value=ast.Name(id=name)) if name in self.names.locals - self.names.plain:
                return at(self.run("force", self.lazy(one)), one)
            case ast.Attribute(value=value, attr=name):
                return at(ast.Attribute(self.now(value), name, ast.Load()), one)
            case ast.NamedExpr(target=target, value=value):
                made = self.run("settled", self.lazy(value)) if self.seen(target.id) else self.out(value)
                if target.id in self.names.globals:
                    made = self.run("global_value", made)
                return at(ast.NamedExpr(target, made), one)
            case ast.JoinedStr(values=values):  # one part is written before the next is worked out
                return at(ast.JoinedStr([self.now(part) for part in values]), one)
            case ast.FormattedValue(value=value, conversion=conversion, format_spec=spec):
                made = ast.FormattedValue(self.now(value), conversion, self.now(spec) if spec else None)
                return at(made, one)
            case ast.Starred(value=value):
                return at(ast.Starred(self.out(value), ast.Load()), one)
            case ast.Slice(lower=lower, upper=upper, step=step):
                parts = [self.now(part) if part is not None else ast.Constant(None) for part in (lower, upper, step)]
                return at(ast.Call(ast.Attribute(load(RUN), "slice", ast.Load()), parts, []), one)
            case ast.Await(value=value):
                return at(ast.Await(self.now(value)), one)
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
                first.append(at(ast.NamedExpr(ast.Name(kept, ast.Store()), self.call(one)), one))
                touched.append(at(load(kept), one))
            else:
                touched.append(one)
        return first, touched

    def after(self, first: list[ast.expr], value: ast.expr) -> ast.expr:
        """`value`, worked out after `first`."""
        if not first:
            return value
        both = at(ast.Tuple([*first, value], ast.Load()), value)
        return at(ast.Subscript(both, ast.Constant(-1), ast.Load()), value)

    def out(self, one: ast.expr) -> ast.expr:
        """`now`, where the containers in the value may be kept by what happens to it."""
        if isinstance(one, ast.Name):
            if one.id not in self.names.locals or one.id in self.names.plain or one.id in self.names.globals:
                return one
            return at(self.run("escape", one), one)
        if isinstance(one, ast.Constant | ast.BinOp | ast.Compare | ast.JoinedStr | ast.Lambda | ast.UnaryOp):
            return self.now(one)
        return at(self.run("escape", self.lazy(one)), one)

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
            return at(
                ast.Call(function, [self.now(part) for part in one.args],
                         [ast.keyword(part.arg, self.now(part.value)) for part in one.keywords]), one)  # fmt: skip
        own = isinstance(function, ast.Attribute) and self.is_own(function.value)
        args = [
            at(ast.Starred(self.run("iterate", self.lazy(part.value)), ast.Load()), part)
            if isinstance(part, ast.Starred)
            else self.lazy(part)
            for part in one.args
        ]
        keywords = [
            ast.keyword(part.arg, self.lazy(part.value) if part.arg else self.now(part.value)) for part in one.keywords
        ]
        return at(self.run("call_own" if own else "call", self.now(function), *args, keywords=keywords), one)

    def iterated(self, target: ast.expr, iterable: ast.expr) -> ast.expr:
        """What a loop runs over; its elements stay pending where the names of the target may hold pending values."""
        if self.seen(*[one.id for one in names_in(target) if isinstance(one.ctx, ast.Store)]) and not self.iterables:
            return at(self.run("iterate_settled", self.lazy(iterable)), iterable)
        acting = any(isinstance(one, ast.Attribute | ast.Subscript) for one in ast.walk(target))
        if acting or any(one.id in self.names.globals for one in names_in(target)):
            return at(self.run("iterate_acting", self.lazy(iterable)), iterable)
        lazy = self.names.locals - self.names.forced
        parts = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
        if not all(isinstance(one, ast.Name) and one.id in lazy for one in parts):
            return at(self.run("iterate_forced", self.lazy(iterable)), iterable)
        verb = "iterate" if parts == [target] else "iterate_unpacked"
        match iterable:
            case ast.Call(func=ast.Name(id="zip" | "enumerate" as name), args=args, keywords=keywords):
                if name not in self.names.locals and not any(isinstance(one, ast.Starred) for one in args):
                    said = [ast.keyword(one.arg, self.now(one.value)) for one in keywords]
                    made = self.run("pairs", iterable.func, *[self.lazy(one) for one in args], keywords=said)
                    return at(self.run(verb, at(made, iterable)), iterable)
        return at(self.run(verb, self.lazy(iterable)), iterable)

    # -- parts ----------------------------------------------------------------------------------------------------

    def run(self, verb: str, *args: ast.expr, keywords: list[ast.keyword] | None = None) -> ast.Call:
        return ast.Call(ast.Attribute(load(RUN), verb, ast.Load()), list(args), keywords or [])

    def temporary(self) -> str:
        self.temporaries += 1
        return f"__kept_{self.temporaries}__"

    def is_own(self, one: ast.expr) -> bool:
        return isinstance(one, ast.Name) and one.id in self.names.own and not self.seen(one.id)

    def seen(self, *names: str) -> bool:
        """Whether somebody can read these names after a failure here: setting them commits in order then."""
        return self.private is not None and any(one in self.names.locals and one not in self.private for one in names)


def computes(arguments: ast.arguments) -> bool:
    """Whether defaults are more than constants and names."""
    defaults = [*arguments.defaults, *[one for one in arguments.kw_defaults if one is not None]]
    return any(not isinstance(one, ast.Constant | ast.Name) for one in defaults)


def _is_text(one: ast.expr) -> bool:
    return isinstance(one, ast.JoinedStr | ast.Constant)


def names_in(tree: ast.AST) -> list[ast.Name]:
    return [one for one in ast.walk(tree) if isinstance(one, ast.Name)]


def load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def at(made: Any, origin: ast.expr) -> Any:
    """`made` at the place of `origin`, with the parts that have no place yet."""
    return ast.copy_location(made, origin)
