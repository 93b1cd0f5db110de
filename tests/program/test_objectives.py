"""Call sites of a flow: depth and task groups are those of the graph that its calls make."""

from __future__ import annotations

from typing import Any

import pytest

import thalweg as tw
from thalweg.models import Hint, ScriptedModel
from thalweg.program.compile import Frame
from thalweg.program.ir import resolver
from thalweg.program.objectives import SiteObjective, objectives


@tw.learned
def summarise(text: str) -> str:
    """Summarise."""
    ...


@tw.learned
def combine(texts: list[str]) -> str:
    """Put together."""
    ...


@tw.learned
def title(text: str, about: str) -> str:
    """Give a title."""
    ...


@tw.flow
def map_reduce(texts: list[str]) -> str:
    parts = [summarise(text) for text in texts]
    return combine(parts)


@tw.flow
def chain(texts: list[str]) -> str:
    so_far = ""
    for text in texts:
        so_far = title(so_far, text)
    return summarise(so_far)


@tw.flow
def branches(text: str) -> str:
    first = summarise(text)
    left = title(first, "left")
    right = title(first, "right")
    return combine(
        [
            left,
            right,
        ]
    )


def by_name(flow: Any) -> dict[str, list[SiteObjective]]:
    found: dict[str, list[SiteObjective]] = {}
    for (_, name), one in objectives(flow.ir, resolver(flow.function)).items():
        found.setdefault(name, []).append(one)
    return found


def test_calls_of_a_loop_that_do_not_wait_for_each_other_are_one_group() -> None:
    found = by_name(map_reduce)
    assert found["combine"] == [SiteObjective(0)]
    assert found["summarise"] == [SiteObjective(1, "map_reduce@1")]


def test_calls_of_a_loop_that_wait_for_each_other_are_no_group() -> None:
    found = by_name(chain)
    assert found["summarise"] == [SiteObjective(0)]
    assert found["title"] == [SiteObjective(1)]


def test_sites_of_equal_depth_are_one_group_and_the_others_are_alone() -> None:
    found = by_name(branches)
    assert found["combine"] == [SiteObjective(0)]
    assert found["title"] == [SiteObjective(1, "branches@1")] * 2
    assert found["summarise"] == [SiteObjective(2)]


def test_a_running_flow_finds_its_sites_by_line_and_name(monkeypatch: pytest.MonkeyPatch) -> None:
    issued: set[tuple[int, str]] = set()
    issue = Frame.issue

    def noted(self: Frame, name: str, submit: Any, args: Any, kwargs: Any, line: int) -> Any:
        issued.add((line, name))
        return issue(self, name, submit, args, kwargs, line)

    monkeypatch.setattr(Frame, "issue", noted)
    with ScriptedModel(lambda request: "text", identity="text") as model, tw.using(model=model, cache=False):
        runs: list[tuple[Any, Any]] = [(map_reduce, ["a", "b"]), (chain, ["a", "b"]), (branches, "a")]
        for flow, given in runs:
            issued.clear()
            flow(given)
            assert issued == objectives(flow.ir, resolver(flow.function)).keys()


def test_a_member_of_a_group_runs_for_throughput_and_keeps_what_is_in_force() -> None:
    waited = Hint(partition="tenant", objective="latency", depth=2)
    alone, member = SiteObjective(0).within(waited, "run"), SiteObjective(1, "f@1").within(waited, "run")
    assert alone == Hint("run", "tenant", "latency", 2)
    assert member == Hint("run", "tenant", "throughput", 3, "run/f@1")
