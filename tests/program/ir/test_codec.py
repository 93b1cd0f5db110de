"""A flow as JSON: what is written is read back equal, and what cannot be read is refused at its place."""

from __future__ import annotations

import ast
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written_flows import SEEDS, SOURCES, expression, real_flows

from thalweg.errors import FlowError
from thalweg.program.ir import FlowIR, read_source
from thalweg.program.ir.codec import from_json, to_json
from thalweg.program.ir.source import completed, to_source

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "mail"))

LAWS = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def again(ir: FlowIR) -> FlowIR:
    return from_json(json.loads(json.dumps(to_json(ir))))


def lines(ir: FlowIR) -> list[tuple[str, int]]:
    return [(site, node.line) for site, node in ir.walk()]


@given(SOURCES)
@LAWS
def test_json_and_source_give_the_same_flow_back(source: str) -> None:
    ir = read_source(source)
    assert again(ir) == ir
    assert lines(again(ir)) == lines(ir)
    assert read_source(to_source(ir)) == ir
    assert completed(ir) == ir


def test_functions_of_the_standard_library_survive_both() -> None:
    flows = real_flows()
    assert len(flows) > 200
    for ir in flows:
        assert again(ir) == ir
        assert read_source(to_source(ir)) == ir


def test_the_example_flow_reads_as_a_person_would_write_it() -> None:
    import triage

    ir = triage.triage.ir
    data = to_json(ir)
    assert data["flow"] == "triage" and data["version"] == 1
    assert data["parameters"] == [{"name": "mail", "annotation": "str"}]
    first = data["body"][0]
    assert first == {
        "do": "assign", "line": first["line"], "to": ["spam"], "value": "judge.distribution(mail)['advertisement']"
    }  # fmt: skip
    assert data["body"][2]["cases"][0]["pattern"] == "Question(topic=topic)"
    assert again(ir) == ir
    assert not any(value in (None, [], "") for one in data["body"] for value in one.values())


def test_a_person_may_leave_out_lines_and_write_expressions_in_any_layout() -> None:
    data = {
        "flow": "label",
        "parameters": [{"name": "text", "annotation": "str"}, {"name": "k", "kind": "keyword_only", "default": "3"}],
        "body": [
            {"do": "assign", "to": "found", "value": "[ ]"},
            {"do": "for", "each": "one", "in": "range( k )", "body": [
                {"do": "if", "test": "one>1", "body": [{"do": "evaluate", "value": "found.append(one)"}],
                 "else": [{"do": "continue"}]}]},
            {"do": "try", "body": [{"do": "update", "to": "k", "operator": "+", "value": "1"}],
             "handlers": [{"kind": "ValueError", "name": "error", "body": [{"do": "raise"}]}],
             "finally": [{"do": "pass"}]},
            {"do": "with", "entered": [{"context": "open(text)", "as": "file"}], "body": [{"do": "pass"}]},
            {"do": "python", "source": "import os"},
            {"do": "return", "value": "(found,text)"},
        ],
    }  # fmt: skip
    expected = """
def label(text: str, *, k=3):
    found = []
    for one in range(k):
        if one > 1:
            found.append(one)
        else:
            continue
    try:
        k += 1
    except ValueError as error:
        raise
    finally:
        pass
    with open(text) as file:
        pass
    import os
    return found, text
"""
    assert from_json(data) == read_source(expected)


def test_trees_of_read_targets_are_stores_so_that_the_flow_compiles() -> None:
    ir = again(read_source("def f(x):\n    a, b[0] = x\n    for c, d in x: a.e += c\n    return a"))
    for _, node in ir.walk():
        for one in (*getattr(node, "targets", ()), getattr(node, "target", None)):
            if one is not None:
                assert isinstance(one.tree.ctx, ast.Store)


PASS = [{"do": "pass"}]
BAD: list[tuple[Any, str]] = [
    ([], "At the flow: expected an object"),
    ({}, 'At the flow: expected a key "flow"'),
    ({"flow": "f"}, "At body: expected a list, found nothing"),
    ({"flow": "f", "body": []}, "At body: expected at least one statement"),
    ({"flow": "f", "body": PASS, "version": 2}, "At version: expected 1"),
    ({"flow": "f", "body": PASS, "colour": 1}, "At the flow: unknown key 'colour'"),
    ({"flow": "f", "body": ["pass"]}, r"At body\[0\]: expected an object, found 'pass'"),
    ({"flow": "f", "body": [{}]}, r"At body\[0\].do: expected one of assign, update, evaluate"),
    ({"flow": "f", "body": [{"do": "jump"}]}, r"At body\[0\].do: expected one of"),
    ({"flow": "f", "body": [{"do": "assign", "to": "x"}]}, r"At body\[0\]: expected a key 'value'"),
    ({"flow": "f", "body": [{"do": "assign", "to": "f()", "value": "1"}]}, r"At body\[0\].to: expected a target"),
    ({"flow": "f", "body": [{"do": "assign", "to": ["x", 1], "value": "1"}]}, r"At body\[0\].to\[1\]: expected a text"),
    ({"flow": "f", "body": [{"do": "assign", "to": [], "value": "1"}]}, r"At body\[0\].to: expected at least one"),
    ({"flow": "f", "body": [{"do": "return", "value": "1 +"}]}, r"At body\[0\].value: expected a Python expression"),
    ({"flow": "f", "body": [{"do": "return", "value": "x = 1"}]}, r"At body\[0\].value: expected a Python expression"),
    ({"flow": "f", "body": [{"do": "return", "value": "1) or (2"}]}, r"At body\[0\].value: expected a Python expr"),
    ({"flow": "f", "body": [{"do": "return", "value": None}]}, r"At body\[0\].value: expected a text"),
    ({"flow": "f", "body": [{"do": "return", "line": -1}]}, r"At body\[0\].line: expected a line number"),
    ({"flow": "f", "body": [{"do": "return", "lines": 1}]}, r"At body\[0\]: unknown key 'lines'"),
    ({"flow": "f", "body": [{"do": "if", "test": "x", "body": []}]}, r"At body\[0\].body: expected at least one"),
    ({"flow": "f", "body": [{"do": "try", "body": PASS}]}, r'At body\[0\]: expected "handlers" or "finally"'),
    ({"flow": "f", "body": [{"do": "update", "to": "x", "operator": "=", "value": "1"}]}, r"At body\[0\].operator"),
    ({"flow": "f", "body": [{"do": "match", "subject": "x", "cases": []}]}, r"At body\[0\].cases: expected at least"),
    ({"flow": "f", "body": [{"do": "match", "subject": "x", "cases": [{"pattern": "1 +", "body": PASS}]}]},
     r"At body\[0\].cases\[0\].pattern: expected a pattern"),
    ({"flow": "f", "body": [{"do": "match", "subject": "x", "cases": [{"pattern": "_ if y", "body": PASS}]}]},
     r"At body\[0\].cases\[0\].pattern: expected a pattern"),
    ({"flow": "f", "body": [{"do": "match", "subject": "x", "cases": [{"pattern": "_", "guard": ")", "body": PASS}]}]},
     r"At body\[0\].cases\[0\].guard: expected a Python expression"),
    ({"flow": "f", "body": [{"do": "python", "source": "a = 1; b = 2"}]}, r"At body\[0\].source: expected one stat"),
    ({"flow": "f", "body": [{"do": "python", "source": "if"}]}, r"At body\[0\].source: expected a Python statement"),
    ({"flow": "f", "body": [{"do": "break"}]}, "statement 0: 'break' outside loop"),
    ({"flow": "f", "body": [{"do": "while", "test": "1", "body": [{"do": "evaluate", "value": "await x"}]}]}, "await"),
    ({"flow": "f(", "body": PASS}, "is no name"),
    ({"flow": "f", "parameters": [{"name": "x, y"}], "body": PASS}, "parameter 0.*is no name"),
    ({"flow": "f", "parameters": [{"name": "x"}, {"name": "x"}], "body": PASS}, "duplicate argument"),
    ({"flow": "f", "parameters": [{"name": "x", "default": "1"}, {"name": "y"}], "body": PASS}, "not in an order"),
    ({"flow": "f", "parameters": [{"name": "x", "kind": "best"}], "body": PASS}, r"At parameters\[0\].kind"),
    ({"flow": "f", "parameters": [{}], "body": PASS}, r"At parameters\[0\].name: expected a text, found nothing"),
    ({"flow": "f", "body": [{"do": "try", "body": PASS, "handlers": [
        {"kind": "E", "name": "e: import os #", "body": PASS}]}]}, "statement 0.handlers.0.*is no name"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "said"), BAD)
def test_what_cannot_be_read_is_refused_at_its_place(data: Any, said: str) -> None:
    with pytest.raises(FlowError, match=said) as caught:
        from_json(data)
    assert caught.value.remedy.endswith(".")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["do", "flow", "body", "value", "to", "test", "cases", "name", "kind"]), inner
        )
    ),
    max_leaves=12,
)


@given(JSON, SEEDS)
@LAWS
def test_any_json_is_a_flow_or_a_flow_error(data: Any, seed: int) -> None:
    texts = [{"do": "return", "value": expression(random.Random(seed), 3)}]
    for one in (data, {"flow": "f", "body": data}, {"flow": "f", "body": texts}):
        try:
            assert isinstance(from_json(one), FlowIR)
        except FlowError:
            continue


def test_deep_nesting_is_refused_and_crashes_nothing() -> None:
    data: Any = {"do": "pass"}
    for _ in range(300):
        data = {"do": "if", "test": "x", "body": [data]}
    with pytest.raises(FlowError, match="nested"):
        from_json({"flow": "f", "body": [data]})
    with pytest.raises(FlowError):
        from_json({"flow": "f", "body": [{"do": "return", "value": "(" * 5000 + ")" * 5000}]})
