"""Digests: equal for one meaning however it is written, another one for every other meaning."""

from __future__ import annotations

import ast
import copy
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from written_flows import ALL_LOCAL, SOURCES, real_flows

import thalweg as tw
from thalweg.program.ir import Python, read, read_source
from thalweg.program.ir.codec import from_json, to_json
from thalweg.program.ir.digests import digest, identities
from thalweg.program.ir.scoping import local_names

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "mail"))

LAWS = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


class Renamed(ast.NodeTransformer):
    """Other names for the locals of a flow; an independent way to do what the digest undoes."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for field in ("id", "arg", "name", "rest"):
            value = getattr(node, field, None)
            if isinstance(value, str) and not isinstance(node, ast.keyword | ast.FunctionDef | ast.AsyncFunctionDef):
                setattr(node, field, self.names.get(value, value))
        return super().generic_visit(node)


def opaque(source: str) -> bool:
    return any(isinstance(node, Python) for _, node in read_source(source).walk())


@given(SOURCES, st.permutations(["one", "two", "three", "four"]))
@LAWS
def test_names_of_locals_do_not_count(source: str, names: list[str]) -> None:
    assume(not opaque(source))
    ir = read_source(source)
    renamed = dict(zip(sorted(local_names(ir)), names, strict=False))
    other = read_source(ast.unparse(Renamed(renamed).visit(ast.parse(source))))
    assert digest(other) == digest(ir)


@given(SOURCES)
@LAWS
def test_layout_lines_docstring_name_and_the_way_through_json_do_not_count(source: str) -> None:
    ir = read_source(source)
    tree: Any = ast.parse("\n\n# a comment\n" + source).body[0]
    tree.name = "another"
    if ast.get_docstring(tree) is not None and len(tree.body) > 1:
        del tree.body[0]
    assert digest(read_source(ast.unparse(tree))) == digest(ir)
    assert digest(from_json(to_json(ir))) == digest(ir)


def meaning(source: str) -> str:
    """What must count, by other means: the tree without annotations of locals and bare declarations."""
    tree: Any = ast.parse(source).body[0]
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, ast.Constant):
            one.kind = None
        inner = one is not tree and isinstance(one, ast.FunctionDef)  # opaque: everything in it counts
        for name, value in ast.iter_fields(one):
            if isinstance(value, list) and not inner:
                made = [
                    ast.Assign([part.target], part.value) if isinstance(part, ast.AnnAssign) and part.value else part
                    for part in value
                    if not (isinstance(part, ast.AnnAssign) and part.value is None)
                ]
                setattr(one, name, made)
        waiting += [] if inner else ast.iter_child_nodes(one)
    return ast.dump(tree)


def mutated(source: str, rng: random.Random) -> str:
    """The flow with one small change somewhere."""
    tree = copy.deepcopy(ast.parse(source))
    spots: list[Any] = []
    for one in ast.walk(tree):
        if isinstance(one, ast.BinOp | ast.Compare | ast.Constant | ast.Name | ast.Call | ast.BoolOp | ast.If):
            spots.append(one)
        if isinstance(getattr(one, "body", None), list) and len(one.body) > 1:  # type: ignore[attr-defined]
            spots.append(one)
    if not spots:
        return source
    one = rng.choice(spots)
    match one:
        case ast.Name(ctx=ast.Load()):
            one.id = rng.choice(["mail", "rows", "left", "best", "judge", "sort", "THRESHOLD"])
        case ast.Constant(value=value):
            one.value = (
                rng.choice([1, 1.0, True, "1", None, b"1", 2, ...]) if not isinstance(value, str) else value + "x"
            )
        case ast.BinOp():
            one.left, one.right = one.right, one.left
        case ast.Compare():
            one.left, one.comparators[0] = one.comparators[0], one.left
        case ast.BoolOp():
            one.op = ast.And() if isinstance(one.op, ast.Or) else ast.Or()
        case ast.Call():
            rng.choice([lambda: one.args.reverse(), lambda: one.args.pop() if one.args else None,
                        lambda: one.keywords.clear()])()  # fmt: skip
        case ast.If() if one.orelse:
            one.body, one.orelse = one.orelse, one.body
        case _ if isinstance(getattr(one, "body", None), list):
            at = rng.randrange(len(one.body))
            if rng.random() < 0.5 and len(one.body) > 1:
                del one.body[at]
            else:
                rng.shuffle(one.body)
    try:
        text = ast.unparse(ast.fix_missing_locations(tree))
        compile(text, "<flow>", "exec")
        read_source(text)
    except Exception:
        return source
    return text


@given(ALL_LOCAL, st.randoms(use_true_random=False))
@LAWS
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_every_change_of_meaning_changes_the_digest_and_nothing_else_does(source: str, rng: random.Random) -> None:
    known = digest(read_source(source))
    for _ in range(6):
        other = mutated(source, rng)
        if ast.get_docstring(ast.parse(other).body[0]):  # type: ignore[arg-type]
            continue
        assert (digest(read_source(other)) == known) == (meaning(other) == meaning(source))


def test_different_functions_have_different_digests() -> None:
    seen: dict[str, str] = {}
    for ir in real_flows():
        body = f"{[one.kind for one in ir.parameters]}" + "".join(f"{node}" for _, node in ir.walk())
        key = digest(ir)
        if key in seen and len(body) > 400:
            assert local_names(ir), (ir.name, seen[key])
        seen[key] = body
    assert len(seen) > 0.8 * len(real_flows())


PAIRS = [
    ("def f(a, b): return a - b", "def g(x, y): return x - y", True),
    ("def f(a, b): return a - b", "def f(a, b): return b - a", False),
    ("def f(a, b): return g(a)", "def f(b, a): return g(b)", True),
    ("def f(a, b): return g(a)", "def f(b, a): return g(a)", False),
    ("def f(a): return [x for x in a]", "def f(a): return [y for y in a]", True),
    ("def f(a): return [x for y in a]", "def f(a): return [y for y in a]", False),
    ("def f(a): return [x for x in x]", "def f(a): return [y for y in x]", True),
    ("def f(a): return [x for x in x]", "def f(a): return [x for x in y]", False),
    ("def f(): return lambda p, q: p - q", "def f(): return lambda q, p: q - p", True),
    ("def f(): return lambda p, q: p - q", "def f(): return lambda p, q: q - p", False),
    ("def f(): return (lambda p: p)(p=1)", "def f(): return (lambda q: q)(p=1)", False),
    ("def f(a): return f(a=1)", "def f(b): return f(a=1)", False),
    ("def f(a): return f(a)", "def g(b): return g(b)", True),
    ("def f(a): return f(a)", "def f(b): return g(b)", False),
    ("def f(a):\n try: g()\n except E as e: return e", "def f(a):\n try: g()\n except E as x: return x", True),
    ("def f(a):\n try: g()\n except E as e: return e", "def f(a):\n try: g()\n except E as e: return a", False),
    ("def f(a):\n match a:\n  case T(k=x): return x", "def f(b):\n match b:\n  case T(k=y): return y", True),
    ("def f(a):\n match a:\n  case T(k=x): return x", "def f(a):\n match a:\n  case T(j=x): return x", False),
    ("def f(a):\n match a:\n  case T.x: return 1", "def f(a):\n match a:\n  case T.y: return 1", False),
    ("def f(a):\n match a:\n  case {1: 1, **r}: return r", "def f(a):\n match a:\n  case {1: 1, **s}: return s", True),
    ("def f(a):\n x: int = g(a)\n return x", "def f(a):\n x: str = g(a)\n return x", True),
    ("def f(a: int): return a", "def f(a: str): return a", False),
    ("def f(a=1): return a", "def f(a=True): return a", False),
    ("def f(a=0.0): return a", "def f(a=-0.0): return a", False),
    ("def f(a): return g(x=a)", "def f(a): return g(y=a)", False),
    ("def f(a): return a.x", "def f(a): return a.y", False),
    ("async def f(a): return a", "def f(a): return a", False),
    ("def f(a, /): return a", "def f(a): return a", False),
    ("def f(a):\n def i(x): return x\n return i(a)", "def f(b):\n def i(x): return x\n return i(b)", True),
    ("def f(a):\n def i(x): return a\n return i", "def f(a):\n def i(x): return x\n return i", False),
    ("def f(a):\n global n\n n = a", "def f(a):\n global m\n m = a", False),
    ("def f(a):\n import os as p\n return p", "def f(a):\n import re as p\n return p", False),
    ("def f(a):\n b = g(a)\n return h(b)", "def f(x):\n y = g(x)\n return h(x)", False),
    ("def f(a):\n if a: return 1\n else: return 2", "def f(a):\n if a: return 1\n return 2", False),
    ("def f(a): return f'{a}'", "def f(a): return f'{a!r}'", False),
    ("def f(a): return (b := a) + b", "def f(a): return (c := a) + c", True),
    ("def f(a): return [(z := y) for y in a]", "def f(a): return [(x := y) for y in a]", True),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "equal"), PAIRS)
def test_scopes_are_pythons(one: str, other: str, equal: bool) -> None:
    assert (digest(read_source(one)) == digest(read_source(other))) is equal


LIMIT = MOST = 3


@tw.learned
def short(text: str) -> str:
    """Make it short."""


@tw.learned
def brief(text: str) -> str:
    """Make it short."""


@tw.learned
def title(text: str) -> str:
    """Give it a title."""


def first(text: str) -> str:
    return short(text)[:LIMIT]


def second(words: str) -> str:
    return brief(words)[:MOST]


def third(text: str) -> str:
    return title(text)[:LIMIT]


@tw.flow
def outer(text: str) -> str:
    return first(text) if text else outer(text[1:])


@tw.flow
def outer_too(mail: str) -> str:
    return second(mail) if mail else outer_too(mail[1:])


@tw.flow
def outer_other(text: str) -> str:
    return third(text) if text else outer_other(text[1:])


def test_a_learned_function_counts_by_contract_and_parameters_not_by_name() -> None:
    def known(function: Any) -> str:
        return digest(read(function), identities(function))

    assert known(first) == known(second)
    assert known(first) != known(third)
    assert digest(read(first)) != digest(read(second))
    assert known(outer.function) == known(outer_too.function) != known(outer_other.function)


def test_a_resolver_decides_what_a_dotted_name_stands_for() -> None:
    one, other = read_source("def f(x): return tools.a(x)"), read_source("def f(x): return helpers.b(x)")

    def same(name: str) -> str:
        return {"tools.a": "it", "helpers.b": "it"}.get(name, name)

    assert digest(one, same) == digest(other, same)
    assert digest(one) != digest(other)


def test_reading_and_digest_of_a_typical_flow_take_less_than_5_ms() -> None:
    import triage

    def once() -> float:
        began = time.perf_counter()
        digest(read(triage.triage.function))
        return time.perf_counter() - began

    assert min(once() for _ in range(5)) < 0.005
