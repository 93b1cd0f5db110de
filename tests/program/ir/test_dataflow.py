"""Dataflow against what runs: every value that reaches a call does so along an edge, and no run exceeds the bounds."""

from __future__ import annotations

import ast
import random
import textwrap
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thalweg.program.ir import read_source
from thalweg.program.ir.callees import Callee
from thalweg.program.ir.counts import Bounds, Count
from thalweg.program.ir.critical import critical_path
from thalweg.program.ir.dataflow import Dataflow, dataflow
from thalweg.program.ir.source import with_trees
from thalweg.program.ir.totals import total

LAWS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def learned(name: str) -> Callee | None:
    return Callee("learned", name) if name in ("call", "test") else None


SIMPLE = [
    "A = call(B, C)", "A = [B, call(C)]", "A.append(call(B))", "A.append(B)", "A = B", "A = [B, C]",
    "A, B = B, call(C)", "A[:] = B", "A = A + B", "A += [B]", "A = [call(x, B) for x in (B, C)]",
    "A = [x.append(B) or x for x in [C]]", "A = call(B) if test(C) else A", "A = (test(B) and call(C)) or A",
    "A = list(map(lambda x: call(x), [B]))", "A = call(*B, k=C)", "A = sorted([B, C], key=lambda x: call(x))",
    "A = [(lambda x: call(x, C))(B)]", "A = {'k': [B]}['k']", "A = [y for x in [B, C] for y in [call(x)]]",
    "if test([]):\n    continue", "if test([]):\n    break", "if test(A):\n    return B",
    "if test([]):\n    raise KeyError(A)", "del A[:]", "A.extend(B)", "A = [x := call(B), x]",
]  # fmt: skip
COMPOUND = [
    "if test(A):\n<>\nelse:\n<>", "if test(A):\n<>", "for A in [B, C]:\n<>", "for _ in range(3):\n<>\nelse:\n<>",
    "while test(A):\n<>", "for A in [[call(B)], C]:\n<>",
    "match A:\n    case [c] if test(c):\n        pass\n    case [c, *d]:\n    <>\n    case b:\n        c = call(b)",
    "try:\n<>\nexcept KeyError as c:\n<>\nfinally:\n    a = call(a)", "try:\n<>\nexcept KeyError:\n<>\nelse:\n<>",
    "for x in (A, B):\n<>",
]  # fmt: skip


def written(rng: random.Random, depth: int) -> str:
    """A block of statements at random."""
    lines = []
    for _ in range(rng.randint(1, 3)):
        one = rng.choice(SIMPLE if depth == 0 or rng.random() < 0.5 else COMPOUND)
        for name in "ABC":
            one = one.replace(name, rng.choice("abcd")) if "KeyError" not in one else one.replace(f"({name})", "(b)")
        while "<>" in one:
            at = one.index("<>")
            margin = at - one.rfind("\n", 0, at) - 1
            inner = textwrap.indent(written(rng, depth - 1), " " * (4 + margin)).lstrip(" ")
            one = f"{one[:at]}    {inner}{one[at + 2 :]}"
        lines.append(one)
    return "\n".join(lines)


def program(seed: int) -> str:
    rng = random.Random(seed)
    while True:
        body = textwrap.indent(written(rng, rng.randint(0, 3)), "    ")
        text = f"def flow(a, b):\n    c, d = [], []\n{body}\n    return call(a, b, c, d)\n"
        try:
            compile(text, "<flow>", "exec")
            return text
        except SyntaxError:  # `break` outside a loop
            continue


PROGRAMS = st.integers(0, 2**40).map(program)


class Run:
    """Runs a flow whose calls give new lists, and notes which call's result reached which call."""

    def __init__(self, source: str, seed: int) -> None:
        self.rng = random.Random(seed)
        self.made: dict[int, tuple[int, int]] = {}  # of a result: (place, chain of calls before it)
        self.kept: list[Any] = []
        self.edges: set[tuple[int, int]] = set()
        self.calls = 0
        self.longest = 0
        self.rounds = 0
        tree = ast.parse(source)
        for one in ast.walk(tree):
            if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id in ("call", "test"):
                one.args.insert(0, ast.Constant(place(one)))
        scope: dict[str, Any] = {"call": self.call, "test": self.test}
        exec(compile(ast.fix_missing_locations(tree), "<flow>", "exec"), scope)
        self.ended = False
        try:
            scope["flow"]([], [])
            self.ended = True
        except (LookupError, _TooLong, TypeError, ValueError, RecursionError, NameError, AttributeError):
            pass

    def call(self, where: int, *args: Any, **more: Any) -> list[Any]:
        self.calls += 1
        if self.calls > 60:
            raise _TooLong
        reached = self.reach([*args, *more.values()])
        chain = 1
        for source, length in reached:
            self.edges.add((source, where))
            chain = max(chain, length + 1)
        self.longest = max(self.longest, chain)
        result = [len(self.kept)]
        self.kept.append(result)
        self.made[id(result)] = (where, chain)
        return result

    def test(self, where: int, *args: Any) -> bool:
        self.call(where, *args)
        return self.rng.random() < 0.5

    def reach(self, values: list[Any]) -> set[tuple[int, int]]:
        found: set[tuple[int, int]] = set()
        seen: set[int] = set()
        waiting = list(values)
        while waiting:
            one = waiting.pop()
            if id(one) in seen:
                continue
            seen.add(id(one))
            if id(one) in self.made:
                found.add(self.made[id(one)])
            if isinstance(one, list | tuple):
                waiting.extend(one)
            elif isinstance(one, BaseException):
                waiting.extend(one.args)
        return found


class _TooLong(Exception):
    pass


def place(one: Any) -> int:
    return one.lineno * 1000 + one.col_offset


def steps_by_place(found: Dataflow) -> dict[int, int]:
    return {place(step.tree): step.number for step in found.steps if step.kind == "call"}


@given(PROGRAMS, st.integers(0, 1000))
@LAWS
def test_every_value_reaches_a_call_along_an_edge(source: str, seed: int) -> None:
    found = dataflow(read_source(source), learned)
    at = steps_by_place(found)
    for one, to in Run(source, seed).edges:
        assert (at[one], at[to]) in found.data, f"{source}\n{one} -> {to}"


HARD = [
    "a = list(map(lambda x: call(x), [a]))\na = list(map(lambda x: call(x), [a]))",
    "for d in [c, d]:\n    c = [a, call(b)]\n    b = [call(x, d) for x in (d, d)]\n    b = [x := call(d), x]\nd += d",
    "b.extend(c)\nfor c in [c, d]:\n    a = {'k': [c]}['k']\n    c = [x := call(c), x]\n    d[:] = c",
    "for a in [b, d]:\n    c = [call(x) for x in [d, c]]\n    if test([]):\n        break\n    c = [b, a]",
    "for _ in range(3):\n    d = call(b)\n    if test(d):\n        break\nelse:\n    d = [c]",
    "for _ in range(3):\n    try:\n        if test(a):\n            break\n    finally:\n        a = call(a)",
    "f = lambda x: call(x)\nd = f(call(a))",
    "b.append(d)\na = b[0]\na.append(call(c))\nc = call(d)",
    "try:\n    raise KeyError(call(a))\nexcept KeyError as e:\n    b = call(e)",
    "match [call(a), [b]]:\n    case [c, [d]]:\n        d.append(c)",
]  # fmt: skip


@pytest.mark.parametrize("body", HARD)
def test_values_that_take_a_hidden_way_are_followed(body: str) -> None:
    source = f"def flow(a, b):\n    c, d = [], []\n{textwrap.indent(body, '    ')}\n    return call(a, b, c, d)\n"
    found = dataflow(read_source(source), learned)
    at = steps_by_place(found)
    for seed in range(8):
        for one, to in Run(source, seed).edges:
            assert (at[one], at[to]) in found.data, f"{one} -> {to}"


def bounds(source: str) -> tuple[Bounds, Count, dict[str, int]]:
    ir = with_trees(read_source(source))
    found = dataflow(ir, learned)
    rounds: dict[Any, Bounds] = {}
    lengths: dict[str, int] = {}
    for loop in found.loops.values():
        if loop.rounds is None:
            letter = f"n{loop.number}"
            lengths[letter] = 60
            made = Bounds(Count(), Count.symbol(letter))
        else:
            made = Bounds.of(loop.rounds)
        rounds[loop] = made.perhaps() if loop.may_end else made
    weights = {id(one.tree): Bounds.of(1) for one in found.steps if one.kind == "call"}
    chains = {one.number: Count.of(1) for one in found.steps if one.kind == "call"}
    longest = critical_path(found, chains, {loop: one.most for loop, one in rounds.items()})
    return total(ir, found, rounds, weights), longest, lengths


@given(PROGRAMS, st.integers(0, 1000))
@LAWS
def test_no_run_makes_more_or_fewer_calls_or_a_longer_chain_than_the_bounds_say(source: str, seed: int) -> None:
    calls, longest, lengths = bounds(source)
    run = Run(source, seed)
    assert run.calls <= calls.most.value(lengths), source
    assert run.longest <= longest.value(lengths), source
    if run.ended and "raise" not in source:  # the least is for runs in which nothing is raised
        assert run.calls >= calls.least.value(lengths), source


def edges(source: str) -> set[tuple[str, str]]:
    found = dataflow(read_source(source), learned)
    names = {step.number: step.text for step in found.steps}
    return {(names[one], names[to]) for one, to in found.data}


def test_a_variable_assigned_anew_forgets_what_it_held() -> None:
    found = edges("def f(x):\n    y = call(x, 1)\n    y = call(x, 2)\n    return call(y)")
    assert ("call(x, 2)", "call(y)") in found
    assert ("call(x, 1)", "call(y)") not in found


def test_calls_that_share_nothing_but_inputs_are_independent() -> None:
    source = "def f(x):\n    a = call(x, 1)\n    b = call(x, 2)\n    c = [a]\n    c.append(1)\n    return call(a, b)"
    assert ("call(x, 1)", "call(x, 2)") not in edges(source)
    assert bounds(source)[1] == Count.of(2)


@pytest.mark.parametrize(
    ("body", "calls", "chain"),
    [
        ("return [call(x) for x in (1, 2, 3)]", "3", "1"),
        ("return [call(call(x)) for x in xs]", "2·n0", "2"),
        ("for x in range(4): xs = call(xs)\n    return xs", "4", "4"),
        ("for x in xs:\n        y = call(x)\n        z = call(y)\n    return z", "2·n0", "2"),
        ("for x in xs:\n        y = ''\n        for i in range(3): y = call(y, x)\n    return y", "3·n0", "3"),
        ("y = ''\n    for x in xs:\n        for i in range(3): y = call(y, x)\n    return y", "3·n0", "3·n0"),
        ("for x in xs:\n        if call(x): break\n    return 1", "n0", "n0"),
        ("for x in xs:\n        if call(x): continue\n    return 1", "n0", "1"),
        ("if xs: return call(1)\n    else: return call(call(2))", "2", "2"),
        ("return call(1) if xs else call(2)", "1", "1"),
        ("while call(xs): xs = call(xs)\n    return xs", "2·n0", "2·n0"),
        ("return [call(x, y) for x in xs for y in (1, 2)]", "2·n0", "1"),
        ("out = []\n    for x in xs: out.append(call(x))\n    return call(out)", "1 + n0", "2"),
    ],
)
def test_bounds_of_loops(body: str, calls: str, chain: str) -> None:
    found = bounds(f"def f(xs):\n    {body}")
    assert (f"{found[0].most}", f"{found[1]}") == (calls, chain)
