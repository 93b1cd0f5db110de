"""The static call graph: every function a flow reaches, how often, in how long a chain, at what cost in tokens."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from program_with_calls import again, chat, handle, odd, posts, triage, wide

import thalweg as tw
from thalweg.program.ir.calls import CallGraph, call_graph
from thalweg.program.ir.counts import Count

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "mail"))


def sites(graph: CallGraph) -> list[tuple[str, str, int, bool, str]]:
    return [(one.path, one.kind, one.depth, one.conditional, f"{one.calls}") for one in graph.sites]


def test_branches_count_once_and_independent_calls_are_no_chain() -> None:
    found = call_graph(handle)
    assert sites(found) == [
        ("handle/summarize", "learned", 0, False, "1"),
        ("handle/urgent", "learned", 0, False, "1"),
        ("handle/reply", "learned", 0, True, "0 to 1"),
        ("handle/reply", "learned", 0, True, "0 to 1"),
    ]
    assert f"{found.total}" == "2 to 3"
    assert found.critical == Count.of(2)


def test_inner_flows_are_looked_into_and_loops_multiply() -> None:
    found = call_graph(triage)
    assert ("triage/handle", "flow", 1, False, "n") in sites(found)
    assert ("triage/handle/reply", "learned", 1, True, "0 to n") in sites(found)
    assert f"{found.total}" == "2·n to 3·n"
    assert found.critical == Count.of(2), "mails do not wait for each other"
    assert found.total.most.value({"n": 100}) == 300
    assert "elements of `mails`" in found.lengths["n"]


def test_only_the_loop_that_hands_on_a_value_is_a_chain() -> None:
    found = call_graph(chat)
    assert f"{found.total}" == "3·n"
    assert found.critical == Count.of(3)


def test_constants_of_the_module_batches_and_plain_functions_are_counted() -> None:
    found = call_graph(wide)
    calls = {(one.path, one.verb): f"{one.calls}" for one in found.sites}
    assert calls[("wide/reply", "")] == "3"
    assert calls[("wide/helped/summarize", "sample")] == "0 to 5"
    assert calls[("wide/helped/summarize", "map")] == "0 to 2"
    assert f"{found.total}" == "3 to 11"


def test_a_flow_that_calls_itself_counts_once_for_each_call_of_itself() -> None:
    found = call_graph(again)
    assert f"{found.total}" == "1 to 2 + 2·n"
    assert "from inside itself" in found.lengths["n"]


def test_writes_keep_their_order_and_so_make_a_chain() -> None:
    found = call_graph(posts)
    assert f"{found.total}" == "2·n"
    assert f"{found.critical}" == "2·n"


def test_what_cannot_be_looked_into_is_said() -> None:
    text = str(call_graph(odd))
    assert "`how` (odd, line" in text
    assert "is known only when it runs" in text


def test_the_example_flow() -> None:
    import triage as example

    found = call_graph(example.triage)
    assert [(one.path, one.verb, f"{one.calls}") for one in found.sites] == [
        ("triage/judge", "distribution", "1"), ("triage/sort", "", "0 to 1")
    ]  # fmt: skip
    assert found.critical == Count.of(2)
    assert found.tokens is None
    assert str(found).splitlines()[0].split() == ["call", "kind", "line", "depth", "calls"]


def test_with_a_model_in_force_the_fixed_tokens_of_each_prompt_are_told(model: Any) -> None:
    with tw.using(model=model):
        found = call_graph(triage)
        shown = {one.path: one.tokens for one in found.sites}
        from program_with_calls import summarize

        exact = len(model.prompt_tokens(summarize._request({"text": ""}, summarize._session(), model)))
    assert shown["triage/handle/summarize"] == exact > 10
    assert shown["triage/handle"] is None
    assert found.tokens is not None and found.tokens.value({"n": 1}) == sum(one for one in shown.values() if one) + (
        shown["triage/handle/reply"] or 0
    )
    assert "tokens" in str(found).splitlines()[0]
    assert call_graph(handle).model is None


@pytest.mark.parametrize("flow", [handle, triage, chat, wide, again, posts, odd])
def test_the_table_is_for_people(flow: Any) -> None:
    lines = str(call_graph(flow)).splitlines()
    assert any("calls, at most" in line for line in lines)
    assert all(len(line) < 130 for line in lines)
