"""Which learned functions are part of a flow's state: all that its calls can reach by name."""

from __future__ import annotations

from typing import Any

import thalweg as tw
from thalweg.models.scripted import ScriptedModel
from thalweg.program import semantic
from thalweg.program.contract import contracted
from thalweg.program.proposers import SamplingProposer
from thalweg.program.semantic import Sem, same


@tw.learned
def draft(task: str) -> str:
    """Draft it."""


@tw.learned
def judge(text: str) -> bool:
    """Is it good?"""


@tw.learned
def summary(text: str) -> str:
    """Summarise it."""


def is_good(text: str) -> bool:
    return judge(text)


FIX: Any = tw.Repair(SamplingProposer(draft), check=is_good, accept="tested", rounds=1, k=1)
SURE = contracted(summary, ensure=is_good)


def reached(function: Any) -> list[str]:
    return [path.partition(".")[2] for path in tw.flow(function).learned()]


def test_the_proposer_and_the_check_of_a_search_are_reached() -> None:
    def outside(task: str) -> Any:
        return FIX(task).best

    def inside(task: str) -> Any:
        return tw.Repair(SamplingProposer(draft), check=is_good, accept="tested")(task)

    assert reached(outside) == reached(inside) == ["draft", "judge"]


def test_parameters_bound_to_a_flow_hold_inside_its_search() -> None:
    told: list[str] = []

    def script(request: Any) -> str:
        told.append(request.messages[0].content)
        return "true" if request.format.choices else "a draft"

    @tw.flow
    def search(task: str) -> str:
        return FIX(task).value

    with tw.using(model=ScriptedModel(script, identity="search"), cache=False):
        assert search.bind({"search.draft/instruction": "DRAFT WELL"})("x") == "a draft"
    assert any("DRAFT WELL" in text for text in told)


def test_what_a_contract_asks_is_reached_with_its_function() -> None:
    def kept(text: str) -> str:
        return SURE(text)

    assert reached(kept) == ["summary", "judge"]


def test_operators_by_meaning_are_reached_by_every_way_of_naming_them() -> None:
    def by_name(a: str, b: str) -> bool:
        return same(a, b)

    def by_module(a: str, b: str) -> bool:
        return semantic.same(a, b)

    def by_package(a: str, b: str) -> bool:
        return tw.semantic.same(a, b)

    assert reached(by_name) == reached(by_module) == reached(by_package) == ["same"]


def test_functions_over_collections_reach_the_operators_they_are_made_of() -> None:
    def chosen(items: list[str]) -> list[str]:
        return semantic.select(items, "it is nice")

    def clean(items: list[str]) -> list[str]:
        return semantic.unique(items)

    assert reached(chosen) == ["holds"]
    assert reached(clean) == ["same"]


def test_of_sem_those_operators_are_reached_whose_symbols_are_written() -> None:
    def equal(a: str, b: str) -> bool:
        return Sem(a) != b

    def several(a: str, b: str) -> Any:
        return "x" in Sem(a), Sem(a) & b, (semantic.Sem(a) - b).summarise()

    def sorted_in(a: list[str]) -> Any:
        return [one for one in Sem(a).rank("size") if Sem(one) < "a house"]

    assert reached(equal) == ["same"]
    assert {"contains", "conjunction", "without", "summarise"} <= set(reached(several))
    assert not {"negation", "less", "disjunction", "rank"} & set(reached(several))
    assert "less" in reached(sorted_in)


def test_an_attribute_that_is_called_like_a_learned_function_is_none() -> None:
    class Box:
        judge = "no"

    def attribute(box: Any) -> str:
        return box.judge

    assert reached(attribute) == []
