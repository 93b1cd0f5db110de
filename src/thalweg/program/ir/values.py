"""The values of a flow's expressions as sets of steps: which calls each may come from, while statements are run.

A variable holds the steps that its value may come from. A method may change its owner and all that may be the same
(`aliases.py`), a function what it is given, unless it is known not to.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from thalweg.program.ir.aliases import Aliases
from thalweg.program.ir.callees import STEPS, Callee, Resolver, callees
from thalweg.program.ir.effects import READING, SHALLOW, has_effect, may_change
from thalweg.program.ir.nodes import Assign, Case, FlowIR
from thalweg.program.ir.scoping import captured, every, expressions, local_names, parameter_names, pattern_of, tree_of
from thalweg.program.ir.trips import Loop, length

StepKind = Literal["input", "call", "branch", "loop", "return", "opaque"]
Steps = frozenset[int]
NONE: Steps = frozenset()
MARK = 1 << 20  # added to the steps of the round before; more than a flow has steps
_HEAP = "in class "  # beside the variables too: what changes have put into the values of a class
_WRITE, _SINCE = "last write", "since the last write"  # kept beside the variables, for they branch and join alike


@dataclass(frozen=True)
class Step:
    """A place where something happens.

    Args:
        number: in program order. site, line: of its statement. text: its source, shortened.
        callees: what a call may call. loops: the loops around, outermost first.
        conditional: it may be skipped although the flow runs to its end.
    """

    number: int
    kind: StepKind
    site: str
    line: int
    text: str
    callees: tuple[Callee, ...] = ()
    loops: tuple[Loop, ...] = ()
    conditional: bool = False
    tree: ast.AST | None = field(default=None, compare=False, repr=False)


@dataclass
class Around:
    """Where the tracer stands."""

    site: str = ""
    line: int = 0
    frontier: Steps = NONE  # the decisions that this place waits for
    loops: tuple[Loop, ...] = ()
    conditional: bool = False


class Values:
    """Environment, steps and edges, and the evaluation of expressions."""

    def __init__(self, ir: FlowIR, resolve: Resolver | None) -> None:
        self.ir = ir
        self.resolve = resolve
        self.local = local_names(ir)
        self.aliases = Aliases(ir, self.local, resolve)
        self.steps: dict[Any, Step] = {}
        self.data: set[tuple[int, int]] = set()
        self.control: set[tuple[int, int]] = set()
        self.order: set[tuple[int, int]] = set()
        self.env: dict[str, Steps] = {}
        self.inner: list[dict[str, Steps]] = []
        self.around = Around()
        self.seen: list[dict[str, Steps]] = []  # in each `try` around: everything its variables have held
        self.leaves: list[tuple[str, Steps]] = []  # ("break" | "return", decisions it stands under)
        self.made_in: list[set[int]] = []
        self.jumps: list[list[dict[str, Steps]]] = []  # in each loop around: variables where a round is left early
        self.called_any_time: list[set[int]] = []  # steps inside of such lambdas
        self.loops: dict[int, Loop] = {}
        self.carried: set[tuple[int, int, int]] = set()
        self.functions = _named_functions(ir, self.local)

    def step(
        self, kind: StepKind, key: Any, text: str, called: Sequence[Callee] = (), tree: ast.AST | None = None
    ) -> int:
        here = self.around
        found = self.steps.get(key)
        if found is None:
            number = len(self.steps)
            shown = " ".join(text.split())
            shown = shown if len(shown) <= 60 else shown[:57] + "..."
            found = self.steps[key] = Step(
                number, kind, here.site, here.line, shown, tuple(called), here.loops, here.conditional, tree
            )
        self.control |= {(one, found.number) for one in here.frontier}
        for made in self.made_in:
            made.add(found.number)
        return found.number

    def use(self, to: int, values: Iterable[int]) -> None:
        self.edges(self.data, values, to)

    def edges(self, kind: set[tuple[int, int]], values: Iterable[int], to: int) -> None:
        for one in values:
            if one >= MARK:  # a value of the round before
                number, one = divmod(one, MARK)
                self.carried.add((one, to, number - 1))
            kind.add((one, to))

    @contextmanager
    def under(self, **said: Any) -> Iterator[None]:
        before = self.around
        self.around = replace(before, **said)
        try:
            yield
        finally:
            self.around = before

    # -- variables --------------------------------------------------------------------------------------------------

    def assign(self, name: str, steps: Steps) -> None:
        self.env[name] = steps
        for one in self.seen:
            one[name] = one.get(name, NONE) | steps

    def held(self, name: str, inner: bool = False) -> Steps:
        """What changes may have put into what a variable holds."""
        if name in self.aliases.immutable and not inner:
            return NONE
        inside = self.aliases.inside(self.aliases.variable(name, inner))
        return NONE.union(*(self.env.get(_HEAP + str(one), NONE) for one in inside))

    def change(self, tree: ast.AST, steps: Steps, deep: bool = False) -> None:
        """What an expression gives may have been changed with these values, all that is in it too where `deep`."""
        classes = self.aliases.inside(self.aliases.of(tree))
        for one in classes if deep else classes[:1]:
            key = _HEAP + str(one)
            self.assign(key, self.env.get(key, NONE) | steps)

    def bind(self, target: Any, steps: Steps, new: bool = False) -> None:
        """Give a target a value; `new`: one that nobody else has."""
        match target:
            case ast.Name(id=name):
                self.assign(name, steps)
                if new and self.aliases.is_alone(name):
                    self.env[_HEAP + str(self.aliases.variable(name))] = NONE
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for one in parts:
                    self.bind(one, steps)
            case ast.Starred(value=value):
                self.bind(value, steps)
            case ast.Attribute(value=value) | ast.Subscript(value=value):
                steps |= self.value(target.slice) if isinstance(target, ast.Subscript) else NONE
                self.value(value)
                self.change(value, steps)

    # -- expressions ------------------------------------------------------------------------------------------------

    def value(self, tree: ast.AST | None) -> Steps:
        """The steps that an expression's value may come from; its calls become steps."""
        match tree:
            case None | ast.Constant():
                return NONE
            case ast.Name(id=name):
                for names in reversed(self.inner):
                    if name in names:
                        return names[name] | self.held(name, True)
                return self.env.get(name, NONE) | self.held(name) if name in self.local else NONE
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                steps = self.value(value)
                self.assign(name, steps | (self.env.get(name, NONE) if self.inner else NONE))
                return steps
            case ast.Call():
                return self.call(tree)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                steps = self.value(test)
                if not (calls_in(body) or calls_in(orelse)):
                    return steps | self.value(body) | self.value(orelse)
                with self.decided(tree, f"... if {ast.unparse(test)} else ...", steps):
                    before = dict(self.env)
                    steps |= self.value(body)
                    after, self.env = self.env, before
                    steps |= self.value(orelse)
                    self.env = joined([after, self.env])
                return steps
            case ast.BoolOp(values=[first, *rest], op=op):
                steps = self.value(first)
                sign = "and" if isinstance(op, ast.And) else "or"
                for one in rest:
                    if calls_in(one):
                        with self.decided(one, f"{ast.unparse(first)} {sign} ...", steps):
                            before = dict(self.env)
                            steps |= self.value(one)
                            self.env = joined([before, self.env])
                    else:
                        steps |= self.value(one)
                return steps
            case ast.Compare(left=left, comparators=[first, *rest]) if any(map(calls_in, rest)):
                steps = self.value(left) | self.value(first)
                with self.decided(tree, ast.unparse(tree), steps):
                    return steps.union(*map(self.value, rest))
            case ast.Lambda():
                return self.function(tree, None)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return self.comprehension(tree)
        return frozenset().union(*map(self.value, ast.iter_child_nodes(tree)))

    def function(self, tree: ast.Lambda, given: Steps | None) -> Steps:
        """A lambda; `given` are the values it is called with, None if anybody may call it at any time."""
        arguments = tree.args
        steps = frozenset().union(*map(self.value, [*arguments.defaults, *arguments.kw_defaults]))
        made: set[int] = set()
        self.made_in.append(made)
        if given is None:
            self.called_any_time.append(made)
        loop = self.loop_of(tree, "calls of a lambda", None)
        with self.under(loops=(*self.around.loops, loop), conditional=True):
            for _ in range(2):  # what it gives may be what it is given next
                passed = frozenset().union(*self.env.values()) if given is None else given
                self.inner.append(dict.fromkeys(parameter_names(arguments), passed | steps))
                steps |= self.value(tree.body)
                self.inner.pop()
        self.made_in.pop()
        return steps

    @contextmanager
    def decided(self, tree: ast.AST, text: str, steps: Steps) -> Iterator[None]:
        branch = self.step("branch", ("inside", id(tree)), text)
        self.use(branch, steps)
        with self.under(frontier=frozenset({branch}), conditional=True):
            yield

    def comprehension(self, tree: Any) -> Steps:
        depth = len(self.inner)
        around = self.around
        found = NONE
        for index, one in enumerate(tree.generators):
            over = self.value(one.iter)
            found |= over
            rounds = length(one.iter, self.local, self.resolve) if not one.ifs else None
            loop = self.loop_of(one, ast.unparse(one.iter), rounds)
            lazy = isinstance(tree, ast.GeneratorExp) or bool(one.ifs) or self.around.conditional
            self.around = replace(self.around, loops=(*self.around.loops, loop), conditional=lazy)
            names = {part.id for part in ast.walk(one.target) if isinstance(part, ast.Name)}
            self.inner.append(dict.fromkeys(names, over))
            for number, test in enumerate(one.ifs):
                steps = self.value(test)
                found |= steps
                if calls_in(test):
                    branch = self.step("branch", ("if", id(tree), index, number), f"... if {ast.unparse(test)}")
                    self.use(branch, steps)
                    self.around = replace(self.around, frontier=frozenset({branch}))
        for one in (tree.key, tree.value) if isinstance(tree, ast.DictComp) else (tree.elt,):
            found |= self.value(one)
        del self.inner[depth:]
        self.around = around
        return found

    def loop_of(self, tree: Any, text: str, rounds: int | None, **said: bool) -> Loop:
        if id(tree) not in self.loops:
            site, line = self.around.site, self.around.line
            self.loops[id(tree)] = Loop(site, line, text, rounds, len(self.loops), **said)
        return self.loops[id(tree)]

    def called(self, function: ast.expr) -> list[Callee]:
        """What a call may call; a variable that holds a function is looked up where it was assigned once."""
        bound = {name for names in self.inner for name in names}
        if isinstance(function, ast.Name) and function.id not in bound and function.id in self.functions:
            function = self.functions[function.id]
        found = callees(function, self.local | bound, self.resolve)
        if not found and isinstance(function, ast.Name | ast.IfExp | ast.Call):
            return [Callee("unknown", ast.unparse(function)[:40])]
        return found

    def call(self, tree: ast.Call) -> Steps:
        called = self.called(tree.func)
        given = [*tree.args, *(one.value for one in tree.keywords)]
        at_once = all(one.kind in ("builtin", "class") for one in called)  # lambdas are called with what stands beside
        functions = [one for one in given if isinstance(one, ast.Lambda) and at_once]
        inside = frozenset().union(self.value(tree.func), *(self.value(one) for one in given if one not in functions))
        for one in functions:
            inside |= self.function(one, inside)
        if not any(one.kind in STEPS for one in called):
            if isinstance(tree.func, ast.Attribute) and not called and tree.func.attr not in READING:
                deep = tree.func.attr not in SHALLOW
                self.change(tree.func.value, inside, deep)
                for one in given if deep else ():
                    self.change(one, inside, True)
            return inside
        step = self.step("call", id(tree), ast.unparse(tree), called, tree)
        self.use(step, inside)
        self.effect(step, any(has_effect(one) for one in called))
        result = frozenset({step})
        if any(may_change(one) for one in called):
            for one in given:
                if not (isinstance(one, ast.Name) and one.id in self.aliases.immutable):
                    self.change(one, result, True)
            result |= inside  # it may give back (a part of) what it was given
        return result

    def effect(self, step: int, writes: bool) -> None:
        """Effects keep their order among each other, and wait for everything above them."""
        since = self.env.get(_SINCE, NONE)
        self.edges(self.order, self.env.get(_WRITE, NONE), step)
        if writes:
            self.edges(self.order, since, step)
        self.env |= {_WRITE: frozenset({step}), _SINCE: NONE} if writes else {_SINCE: since | {step}}


def joined(environments: Sequence[dict[str, Steps]]) -> dict[str, Steps]:
    made: dict[str, Steps] = {}
    for one in environments:
        widen(made, one)
    return made


def widen(wider: dict[str, Steps], by: dict[str, Steps]) -> None:
    for name, steps in by.items():
        wider[name] = wider.get(name, NONE) | steps


def _named_functions(ir: FlowIR, local: set[str]) -> dict[str, ast.expr]:
    """Variables assigned once, with what they stand for where that may be a function."""
    values: dict[str, list[Any]] = {one.name: [None] for one in ir.parameters}
    for node in every(ir.body):
        for name, one in expressions(node):
            stored = [part.id for part in ast.walk(tree_of(one))
                      if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]  # fmt: skip
            simple = isinstance(node, Assign) and name == "targets" and isinstance(one.tree, ast.Name)
            for part in stored:
                values.setdefault(part, []).append(node.value.tree if simple else None)  # type: ignore[attr-defined]
        for part in (*getattr(node, "writes", ()), *(captured(pattern_of(node)) if isinstance(node, Case) else ())):
            values.setdefault(part, []).append(None)
    kinds = ast.Name | ast.Attribute | ast.IfExp | ast.Call
    return {name: made[0] for name, made in values.items() if len(made) == 1 and isinstance(made[0], kinds)
            and not locals_in(made[0], local)}  # fmt: skip


def locals_in(tree: ast.AST, local: set[str]) -> set[str]:
    return {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)} & local


def calls_in(tree: ast.AST) -> bool:
    return any(isinstance(one, ast.Call) for one in ast.walk(tree))
