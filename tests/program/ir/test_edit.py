"""Changing flows as data: every match is found, nothing else changes, and what comes out is a flow again."""

from __future__ import annotations

import ast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written_flows import SOURCES

from thalweg.errors import FlowError
from thalweg.program.ir import Do, Expression, For, If, Pass, Python, Return, read_source
from thalweg.program.ir.edit import call, delete, find, insert, name, replace
from thalweg.program.ir.source import to_source

LAWS = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

SOURCE = '''
def answer(question, k=reason(1)):
    """Answers."""
    docs = [reason(one) for one in search(question) if reason(one)]
    draft = reason(question, reason(docs)[0], k=(lambda x: reason(x))(1))
    match reason(draft):
        case str() if reason(1):
            return reason
        case _:
            def inner():
                return reason(2)
    try:
        reason.submit(draft)
    except reason(3) as reason_2:
        raise other.reason(4)
    return f"{reason(5)}"
'''


def test_every_call_of_a_name_is_found_with_its_site() -> None:
    found = find(read_source(SOURCE), call("reason"))
    assert [(one.site, one.expression) for one in found] == [
        ("0", "reason(one)"), ("0", "reason(one)"),
        ("1", "reason(question, reason(docs)[0], k=(lambda x: reason(x))(1))"), ("1", "reason(docs)"),
        ("1", "reason(x)"), ("2", "reason(draft)"), ("2", "reason(1)"), ("2.cases.1.0", "reason(2)"),
        ("3", "reason(3)"), ("4", "reason(5)"),
    ]  # fmt: skip
    assert len(find(read_source(SOURCE), call("other.reason"))) == 1
    assert len(find(read_source(SOURCE), call("reason.submit"))) == 1


def test_a_calls_callee_is_replaced_everywhere_and_nothing_else_is() -> None:
    ir = read_source(SOURCE)
    made = replace(ir, call("reason"), call("twice"))
    assert not find(made, call("reason"))
    assert to_source(made).count("twice(") == 11  # the default of `k` too
    for kept in ("return reason\n", "reason.submit(draft)", "other.reason(4)", "as reason_2"):
        assert kept in to_source(made)
    assert replace(made, call("twice"), call("reason")) == ir
    assert [site for site, _ in made.walk()] == [site for site, _ in ir.walk()]
    assert [node.line for _, node in made.walk()] == [node.line for _, node in ir.walk()]
    assert ir == read_source(SOURCE)


def test_mentions_of_a_name_are_replaced_where_it_is_not_the_flows_own() -> None:
    ir = read_source("def f(x):\n    how = tw.choice(direct, reason)\n    return how(x) + [reason for reason in x][0]")
    made = replace(ir, name("reason"), name("tools.think"))
    assert "tw.choice(direct, tools.think)" in to_source(made)
    assert "[reason for reason in x]" in to_source(made)
    local = read_source("def f(reason):\n    return reason(1)")
    assert replace(local, name("reason"), name("other")) is local


def test_a_whole_call_is_replaced_by_an_expression_or_by_what_a_function_makes_of_it() -> None:
    ir = read_source("def f(x):\n    return reason(reason(x))")
    assert to_source(replace(ir, call("reason"), Expression("x"))).endswith("return x\n")

    def checked(one: ast.Call) -> ast.expr:
        return ast.Call(ast.Name("verify", ast.Load()), [one], [])

    assert to_source(replace(ir, call("reason"), checked)).endswith("return verify(reason(verify(reason(x))))\n")


def test_statements_are_replaced_by_kind_site_or_predicate() -> None:
    ir = read_source("def f(x):\n    if x:\n        return 1\n    for y in x:\n        g(y)\n    return 2")
    zero = Return(Expression("0"))
    assert to_source(replace(ir, Return, zero)).count("return 0") == 2
    assert to_source(replace(ir, "1.body.0", (Do(Expression("h( y )")), Pass()))).count("h(y)\n        pass") == 1
    assert to_source(replace(ir, lambda node: isinstance(node, For), Pass())).count("pass") == 1
    assert [one.site for one in find(ir, Return)] == ["0.body.0", "2"]
    assert replace(ir, Return, zero)["0.body.0"].line == 3
    assert replace(ir, Python, zero) is ir


def test_statements_are_put_before_and_after_a_site_and_taken_away() -> None:
    ir = read_source("def f(x):\n    if x:\n        return 1\n    else:\n        g(x)\n    return 2")
    new = Do(Expression("log(x)"))
    assert to_source(insert(ir, "0.body.0", new, before=True)).index("log(x)") < to_source(ir).index("return 1") + 5
    assert insert(ir, "0.body.0", new, before=True)["0.body.0"] == new
    assert insert(ir, "0.orelse.0", (new, new))["0.orelse.2"] == new
    assert insert(ir, "1", new)["2"].line == 6
    assert delete(insert(ir, "0", new), "1") == ir
    without = delete(ir, "0.orelse.0")
    assert isinstance(without["0"], If) and without["0"].orelse == ()
    assert delete(ir, "0.body.0")["0.body.0"] == Pass()
    assert delete(delete(ir, "1"), "0") == read_source("def f(x): pass")


def test_changes_that_make_no_flow_are_refused() -> None:
    ir = read_source("def f(x):\n    if x:\n        return 1\n    return reason(x)")
    for problem in (
        lambda: insert(ir, "0", Do(Expression("1 +"))),
        lambda: insert(ir, "0", read_source("def g():\n    while 1: break")["0.body.0"]),
        lambda: replace(ir, "0.body.0", Python("a = 1; b = 2")),
        lambda: insert(ir, "7", Pass()),
        lambda: delete(ir, "0.orelse.0"),
        lambda: replace(ir, "9", Pass()),
        lambda: replace(ir, Return, call("x")),
        lambda: replace(ir, call("reason"), Pass()),
        lambda: call("a b"),
        lambda: find(ir, 3),  # type: ignore[arg-type]
    ):
        with pytest.raises(FlowError) as caught:
            problem()
        assert caught.value.remedy.endswith(".")


@given(SOURCES, st.data())
@LAWS
def test_insert_and_delete_undo_each_other_at_every_site(source: str, data: st.DataObject) -> None:
    ir = read_source(source)
    site = data.draw(st.sampled_from([site for site, _ in ir.walk()]))
    for before in (True, False):
        made = insert(ir, site, Do(Expression("inserted(mail)")), before=before)
        assert len(find(made, call("inserted"))) == 1
        assert delete(made, find(made, call("inserted"))[0].site) == ir


@given(SOURCES)
@LAWS
def test_renaming_a_callee_and_back_changes_nothing(source: str) -> None:
    ir = read_source(source)
    made = replace(ir, call("judge"), call("never.seen"))
    assert len(find(made, call("never.seen"))) == len(find(ir, call("judge")))
    assert replace(made, call("never.seen"), call("judge")) == ir
