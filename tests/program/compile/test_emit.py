"""Code is written in one walk over a flow, however deep its statements stand inside each other."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from thalweg.program.compile import emit
from thalweg.program.ir import read_source


def visits(depth: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Places given while a nest of that depth is compiled."""
    lines = ["def nest(x):"] + ["    " * i + f"if x > {i}:" for i in range(1, depth + 1)]
    ir = read_source("\n".join([*lines, "    " * (depth + 1) + "return x"]))
    count = 0
    place = emit.place

    def counted(part: Any, line: int) -> None:
        nonlocal count
        count += 1
        place(part, line)

    with monkeypatch.context() as patch:
        patch.setattr(emit, "place", counted)
        text = emit.source(ir)
    assert ast.dump(ast.parse(text)) and text.count("if ") == depth
    return count


def test_twice_as_deep_is_twice_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    shallow, deep = visits(30, monkeypatch), visits(60, monkeypatch)
    assert shallow > 60
    assert deep < 2.2 * shallow


def test_every_statement_of_a_nest_stands_on_its_own_line() -> None:
    source = "def nest(x):\n    if x:\n        for y in x:\n            if y:\n                return y\n    return x\n"
    made = emit.definition(read_source(source))
    lines = {type(one): one.lineno for one in ast.walk(made) if isinstance(one, ast.If | ast.For | ast.Return)}
    assert lines[ast.For] == 3
    assert {one.lineno for one in ast.walk(made) if isinstance(one, ast.Return)} == {5, 6}
