"""How many calls a flow makes in all: of two branches one counts, what follows a possible end may not happen."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from thalweg.program.ir.counts import Bounds
from thalweg.program.ir.dataflow import Dataflow
from thalweg.program.ir.nodes import (
    Assert,
    Body,
    Break,
    Continue,
    FlowIR,
    For,
    If,
    Match,
    Node,
    Python,
    Raise,
    Return,
    Try,
    While,
)
from thalweg.program.ir.scoping import tree_of, trees_of
from thalweg.program.ir.trips import Loop

_NOTHING = Bounds()


def total(ir: FlowIR, found: Dataflow, rounds: Mapping[Loop, Bounds], weights: Mapping[int, Bounds]) -> Bounds:
    """Bounds on the sum of `weights` (by the `id` of a call's tree) over one run, if no call raises."""
    return _Totals(found, rounds, weights).block(ir.body)[0]


class _Totals:
    def __init__(self, found: Dataflow, rounds: Mapping[Loop, Bounds], weights: Mapping[int, Bounds]) -> None:
        self.loops = found.loops
        self.rounds = rounds
        self.weights = weights

    def block(self, body: Body) -> tuple[Bounds, bool]:
        """Bounds, and whether the statements may be left before their end."""
        made, left = _NOTHING, False
        for node in body:
            bounds, leaves = self.statement(node)
            made += bounds.perhaps() if left else bounds
            left = left or leaves
        return made, left

    def statement(self, node: Node) -> tuple[Bounds, bool]:
        match node:
            case If(test=test, body=body, orelse=orelse):
                one, other = self.block(body), self.block(orelse)
                return self.value(tree_of(test)) + one[0].either(other[0]), one[1] or other[1]
            case Match(subject=subject, cases=cases):
                return self.match(subject, cases)
            case For(iterable=iterable, body=body, orelse=orelse):
                inner, after = self.block(body), self.block(orelse)
                made = self.value(tree_of(iterable)) + inner[0] * self.rounds[self.loops[id(node)]]
                return made + (after[0].perhaps() if inner[1] else after[0]), inner[1] or after[1]
            case While(test=test, body=body, orelse=orelse):
                inner, after = self.block(body), self.block(orelse)
                test_ = self.value(tree_of(test))
                often = self.rounds[self.loops[id(node)]].most
                most = (test_.most + inner[0].most) * often
                return Bounds(test_.least, most) + after[0].perhaps(), inner[1] or after[1]
            case Try(body=body, handlers=handlers, orelse=orelse, final=final):
                tried, after, end = self.block(body), self.block(orelse), self.block(final)
                made, left = tried[0] + (after[0].perhaps() if tried[1] else after[0]), tried[1] or after[1]
                for one in handlers:
                    caught = self.block(one.body)
                    made += caught[0].perhaps()
                    left = left or caught[1]
                return made + end[0], left or end[1]
            case Python():
                return _NOTHING, True
        made = _NOTHING
        trees: list[Any] = list(trees_of(node))
        if isinstance(node, Assert):
            made = self.value(trees[0]) + (self.value(trees[1]).perhaps() if len(trees) > 1 else _NOTHING)
            return made, True
        for tree in trees:
            made += self.value(tree)
        for _, inner in node.blocks():  # `with`
            bounds, left = self.block(inner)
            return made + bounds, left
        return made, isinstance(node, Return | Raise | Break | Continue)

    def match(self, subject: Any, cases: Any) -> tuple[Bounds, bool]:
        made, left, chosen = self.value(tree_of(subject)), False, None
        for one in cases:
            if one.guard is not None:
                guard = self.value(tree_of(one.guard))
                made += guard.perhaps()
            bounds, leaves = self.block(one.body)
            chosen = bounds if chosen is None else chosen.either(bounds)
            left = left or leaves
        last = cases[-1]
        if chosen is not None and (last.guard is not None or last.pattern != "_"):
            chosen = chosen.either(_NOTHING)
        return made + (chosen or _NOTHING), left

    def value(self, tree: ast.AST | None) -> Bounds:
        """Calls of an expression."""
        if tree is None or isinstance(tree, ast.Name | ast.Constant):
            return _NOTHING
        made = self.weights.get(id(tree), _NOTHING)
        match tree:
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(test) + self.value(body).either(self.value(orelse))
            case ast.BoolOp(values=[first, *rest]):
                made += self.value(first)
                for one in rest:
                    made += self.value(one).perhaps()
                return made
            case ast.Lambda(body=body):
                for one in (*tree.args.defaults, *tree.args.kw_defaults):
                    made += self.value(one)
                return made + (self.value(body) * self.rounds[self.loops[id(tree)]]).perhaps()
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return made + self.comprehension(tree)
            case ast.Compare(left=left, comparators=[first, *rest]):
                made += self.value(left) + self.value(first)
                for one in rest:
                    made += self.value(one).perhaps()
                return made
        for one in ast.iter_child_nodes(tree):
            made += self.value(one)
        return made

    def comprehension(self, tree: Any) -> Bounds:
        made, often, certain = _NOTHING, Bounds.of(1), not isinstance(tree, ast.GeneratorExp)
        for index, one in enumerate(tree.generators):
            over = self.value(one.iter) * often
            made += over if certain or not index else over.perhaps()
            often = often * self.rounds[self.loops[id(one)]]
            for test in one.ifs:
                tested = self.value(test) * often
                made += tested if certain else tested.perhaps()
                certain = False
        for one in (tree.key, tree.value) if isinstance(tree, ast.DictComp) else (tree.elt,):
            inner = self.value(one) * often
            made += inner if certain else inner.perhaps()
        return made
