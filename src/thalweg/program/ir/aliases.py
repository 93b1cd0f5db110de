"""Which values of a flow may be the same container, or inside one another, worked out before its statements are run.

Every variable and expression has a class; a class has one class of contents. ``a = b`` makes two classes one,
``a = [b]`` makes b's class that of a's contents, what nobody knows (an unknown function, an opaque statement) makes
everything it touches one class that contains itself. Source: Steensgaard, Points-to Analysis in Almost Linear Time
(1996). Methods are known by name, as containers and texts have them. Cost: linear in the size of the flow.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from thalweg.program.ir.callees import Resolver, callees
from thalweg.program.ir.effects import ALL_INTO, COPY, INTO, NEW, NOTHING, OUT, PAIRS, PLAIN
from thalweg.program.ir.nodes import Assign, Case, FlowIR, For, Handler, Match, Python, Raise, Update, With
from thalweg.program.ir.scoping import every, parameter_names, pattern_of, statement_of, tree_of, trees_of

_IMMUTABLE = {"str", "int", "float", "bool", "bytes", "complex", "None"}


class Aliases:
    """Classes of values. `of(tree)` is that of an expression, `variable(name)` that of a variable."""

    def __init__(self, ir: FlowIR, local: set[str], resolve: Resolver | None) -> None:
        self._local = local
        self._resolve = resolve
        self._parent: list[int] = []
        self._contents: dict[int, int] = {}
        self._variables: dict[tuple[str, str], int] = {}
        self._trees: dict[int, int] = {}
        self._inner: list[set[str]] = []
        self._raised = self._new()
        self.immutable = {
            one.name
            for one in ir.parameters
            if one.annotation is not None and one.kind != "VAR_POSITIONAL" and _is_immutable(one.annotation.text)
        }
        for node in every(ir.body):
            self._statement(node)
        self._single = self._count()

    # -- what was found out -----------------------------------------------------------------------------------------

    def of(self, tree: ast.AST) -> int:
        """The class of an expression of the flow."""
        return self.find(self._trees[id(tree)]) if id(tree) in self._trees else self._shape(tree)

    def variable(self, name: str, inner: bool = False) -> int:
        return self.find(self._variable(name, inner))

    def inside(self, one: int) -> list[int]:
        """A class and those of everything in it."""
        found = []
        at: int | None = self.find(one)
        while at is not None and at not in found:
            found.append(at)
            at = self.find(self._contents[at]) if at in self._contents else None
        return found

    def is_alone(self, name: str) -> bool:
        """Whether nothing but this variable may hold what it holds."""
        return self._single.get(self.variable(name)) == [("local", name)]

    def find(self, one: int) -> int:
        while self._parent[one] != one:
            self._parent[one] = one = self._parent[self._parent[one]]
        return one

    def _count(self) -> dict[int, list[tuple[str, str]]]:
        found: dict[int, list[tuple[str, str]]] = {}
        for key, node in self._variables.items():
            found.setdefault(self.find(node), []).append(key)
        for node in list(self._contents.values()):
            found.pop(self.find(node), None)
        return found

    # -- classes ----------------------------------------------------------------------------------------------------

    def _new(self) -> int:
        self._parent.append(len(self._parent))
        return self._parent[-1]

    def _variable(self, name: str, inner: bool = False) -> int:
        key = ("inner" if inner else "local", name)
        if key not in self._variables:
            self._variables[key] = self._new()
        return self._variables[key]

    def _in(self, one: int) -> int:
        one = self.find(one)
        if one not in self._contents:
            self._contents[one] = self._new()
        return self.find(self._contents[one])

    def _join(self, *many: int) -> int:
        first, *rest = many
        for other in rest:
            waiting = [(first, other)]
            while waiting:
                a, b = (self.find(one) for one in waiting.pop())
                if a == b:
                    continue
                self._parent[b] = a
                in_a, in_b = self._contents.pop(a, None), self._contents.pop(b, None)
                if in_a is not None and in_b is not None:
                    waiting.append((in_a, in_b))
                if in_a is not None or in_b is not None:
                    self._contents[a] = in_a if in_a is not None else in_b  # type: ignore[assignment]
        return self.find(first)

    def _mix(self, many: Iterable[int]) -> int:
        """Anything may be the same as, or in, anything."""
        made = self._join(self._new(), *many)
        while True:
            inside = self._in(made)
            if inside == self.find(made):
                return self.find(made)
            made = self._join(made, inside)
            if self.find(made) not in self._contents:
                self._contents[self.find(made)] = self.find(made)

    # -- statements -------------------------------------------------------------------------------------------------

    def _statement(self, node: Any) -> None:
        match node:
            case Assign(targets=targets, value=value):
                made = self._shape(tree_of(value))
                for one in targets:
                    self._bind(tree_of(one), made, tree_of(value))
            case Update(target=target, value=value):
                old, new = self._shape(tree_of(target)), self._shape(tree_of(value))
                self._join(self._in(old), self._in(new))
            case For(target=target, iterable=iterable):
                self._bind(tree_of(target), self._in(self._shape(tree_of(iterable))))
            case With(entered=entered):
                for one in entered:
                    made = self._mix([self._shape(tree_of(one.context))])
                    if one.target is not None:
                        self._bind(tree_of(one.target), made)
            case Match(subject=subject, cases=cases):
                made = self._shape(tree_of(subject))
                for one in cases:
                    self._pattern(pattern_of(one), made)
            case Case(guard=guard):
                if guard is not None:
                    self._shape(tree_of(guard))
            case Raise(error=error):
                if error is not None:
                    self._join(self._raised, self._shape(tree_of(error)))
            case Handler(name=name):
                if name is not None:
                    self._mix([self._raised, self._variable(name)])
            case Python():
                names = {one.id for one in ast.walk(statement_of(node)) if isinstance(one, ast.Name)}
                names.update(node.writes)
                self._mix([self._raised, *(self._variable(one) for one in names & self._local)])
            case _:
                for tree in trees_of(node):
                    self._shape(tree)

    def _bind(self, target: Any, made: int, value: Any = None) -> None:
        match target:
            case ast.Name(id=name):
                inner = any(name in names for names in self._inner)
                self._join(self._variable(name, inner), made)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                pairs = matched(parts, value)
                for one, part in pairs or [(one, None) for one in parts]:
                    if isinstance(one, ast.Starred):
                        rest = self._new()
                        self._join(self._in(rest), self._in(made))
                        self._bind(one.value, rest)
                    else:
                        self._bind(one, self.of(part) if part is not None else self._in(made), part)
            case ast.Attribute(value=owner) | ast.Subscript(value=owner):
                self._shape(target)
                self._join(self._in(self._shape(owner)), made)

    def _pattern(self, pattern: Any, made: int) -> None:
        match pattern:
            case ast.MatchAs(pattern=inner, name=name):
                if name is not None:
                    self._join(self._variable(name), made)
                if inner is not None:
                    self._pattern(inner, made)
            case ast.MatchStar(name=name):
                if name is not None:
                    self._join(self._in(self._variable(name)), made)
            case ast.MatchOr(patterns=parts):
                for one in parts:
                    self._pattern(one, made)
            case ast.MatchSequence(patterns=parts):
                for one in parts:
                    self._pattern(one, self._in(made))
            case ast.MatchMapping(patterns=parts, rest=rest):
                for one in parts:
                    self._pattern(one, self._in(made))
                if rest is not None:
                    self._join(self._in(self._variable(rest)), self._in(made))
            case ast.MatchClass(patterns=parts, kwd_patterns=more):
                for one in parts:
                    self._pattern(
                        one, self._join(made, self._in(made)) if isinstance(one, ast.MatchAs) else self._in(made)
                    )
                for one in more:
                    self._pattern(one, self._in(made))

    # -- expressions ------------------------------------------------------------------------------------------------

    def _shape(self, tree: Any) -> int:
        made = self._trees[id(tree)] = self._shape_of(tree)
        return made

    def _shape_of(self, tree: Any) -> int:
        match tree:
            case ast.Name(id=name):
                if any(name in names for names in self._inner):
                    return self._variable(name, True)
                return self._variable(name) if name in self._local and name not in self.immutable else self._new()
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                return self._holding(self._new(), parts)
            case ast.Dict(keys=keys, values=values):
                made = self._holding(self._new(), [one for one in keys if one is not None])
                for key, value in zip(keys, values, strict=True):
                    inside = self._shape(value)
                    self._join(self._in(made), inside if key is not None else self._in(inside))
                return made
            case ast.Subscript(value=value, slice=index):
                owner = self._shape(value)
                self._shape(index)
                if isinstance(index, ast.Slice):
                    made = self._new()
                    self._join(self._in(made), self._in(owner))
                    return made
                return self._in(owner)
            case ast.Attribute(value=value):
                return self._in(self._shape(value))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self._shape(test)
                return self._join(self._shape(body), self._shape(orelse))
            case ast.BoolOp(values=values):
                return self._join(*map(self._shape, values))
            case ast.NamedExpr(target=target, value=value):
                made = self._shape(value)
                return self._join(self._variable(target.id), made)
            case ast.BinOp(left=left, right=right):
                made, one, other = self._new(), self._shape(left), self._shape(right)
                self._join(self._in(made), self._in(one), self._in(other))
                return made
            case ast.Starred(value=value) | ast.Await(value=value):
                return self._shape(value)
            case ast.Lambda():
                return self._mix(
                    [self._lambda(tree), *(self._variable(name, True) for name in parameter_names(tree.args))]
                )
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(tree)
            case ast.Call():
                return self._call(tree)
        for one in ast.iter_child_nodes(tree):
            if not isinstance(one, ast.expr_context):
                self._shape(one)
        return self._new()

    def _holding(self, made: int, parts: list[Any]) -> int:
        for one in parts:
            inside = self._shape(one)
            self._join(self._in(made), self._in(inside) if isinstance(one, ast.Starred) else inside)
        return made

    def _lambda(self, tree: ast.Lambda) -> int:
        """The class of what the lambda gives."""
        names = parameter_names(tree.args)
        for one in (*tree.args.defaults, *tree.args.kw_defaults):
            if one is not None:
                self._join(self._shape(one), *(self._variable(name, True) for name in names))
        self._inner.append(set(names))
        made = self._shape(tree.body)
        self._inner.pop()
        return made

    def _comprehension(self, tree: Any) -> int:
        depth = len(self._inner)
        for one in tree.generators:
            over = self._shape(one.iter)
            self._inner.append({part.id for part in ast.walk(one.target) if isinstance(part, ast.Name)})
            self._bind(one.target, self._in(over))
            for test in one.ifs:
                self._shape(test)
        made = self._new()
        parts = (tree.key, tree.value) if isinstance(tree, ast.DictComp) else (tree.elt,)
        self._holding(made, list(parts))
        del self._inner[depth:]
        return made

    def _call(self, tree: ast.Call) -> int:
        given = [*tree.args, *(one.value for one in tree.keywords)]
        lambdas = [one for one in given if isinstance(one, ast.Lambda)]
        shapes = [self._shape(one) for one in given if not isinstance(one, ast.Lambda)]
        bound = {name for names in self._inner for name in names}
        called = callees(tree.func, self._local | bound, self._resolve)
        made = self._new()
        if isinstance(tree.func, ast.Attribute) and not called:
            return self._method(tree.func, shapes, lambdas, made)
        self._shape(tree.func)
        if called and all(one.kind == "learned" for one in called):
            return made
        name = called[0].name if len(called) == 1 else ""
        if called and all(one.kind == "class" for one in called):
            self._join(self._in(made), *shapes)
            return made
        if called and all(one.kind == "builtin" for one in called):
            if name in PLAIN:
                return made
            bodies = [self._passed(one, [self._in(part) for part in shapes]) for one in lambdas]
            if name in NEW or name in PAIRS:
                inside = [self._in(one) for one in shapes]
                self._join(self._in(made) if name in NEW else self._in(self._in(made)), *inside)
                return made
            if name in ("max", "min", "next", "sum"):
                return self._join(made, *(map(self._in, shapes) if len(shapes) == 1 else shapes))
            if name == "map" and bodies:
                self._join(self._in(made), *bodies)
                return made
            return self._mix([made, *shapes, *bodies])
        return self._mix([made, self._raised, *shapes, *(self._shape(one) for one in lambdas)])

    def _method(self, function: ast.Attribute, shapes: list[int], lambdas: list[ast.Lambda], made: int) -> int:
        owner, name = self._shape(function.value), function.attr
        bodies = [self._passed(one, [self._in(owner)]) for one in lambdas]
        if name in NOTHING:
            return made
        if name in INTO:
            self._join(self._in(owner), *shapes)
            return made
        if name in ALL_INTO:
            self._join(self._in(owner), *map(self._in, shapes))
            return made
        if name in OUT:
            return self._join(self._in(owner), made, *shapes)
        if name in COPY:
            self._join(self._in(made), self._in(owner), *map(self._in, shapes))
            return made
        if name == "items":
            self._join(self._in(self._in(made)), self._in(owner))
            return made
        return self._mix([owner, made, self._raised, *shapes, *bodies])

    def _passed(self, tree: ast.Lambda, values: list[int]) -> int:
        """A lambda that is called with these at once."""
        for name in parameter_names(tree.args):
            self._join(self._variable(name, True), *values)
        made = self._lambda(tree)
        self._trees[id(tree)] = made
        return made


def matched(targets: list[Any], value: Any) -> list[tuple[Any, Any]] | None:
    """Targets with the values that they get one by one, where both are written out."""
    if not isinstance(value, ast.Tuple | ast.List) or len(value.elts) != len(targets):
        return None
    if any(isinstance(one, ast.Starred) for one in (*targets, *value.elts)):
        return None
    return list(zip(targets, value.elts, strict=True))


def _is_immutable(text: str) -> bool:
    return all(part.strip() in _IMMUTABLE for part in text.strip("'\"").split("|"))
