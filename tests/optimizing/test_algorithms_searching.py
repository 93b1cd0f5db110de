"""`Searching`: every algorithm over every program in every flow of search, bounded, the same again, parts of dev."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest

import thalweg as tw
from thalweg.errors import SearchError
from thalweg.models import ScriptedModel
from thalweg.optimizing import Study, optimize
from thalweg.optimizing.algorithms import TPE, Grid, HillClimbing, RandomSearch, RegularizedEvolution, SuccessiveHalving
from thalweg.optimizing.optimizers.searching import Factorized, Searching
from thalweg.program.choice_kinds import Choice, Real
from thalweg.program.spaces import Space, space
from thalweg.program.strategy import Direct


@dataclass(frozen=True)
class Loud:
    said: str = "LOUD"
    name: str = "loud"

    def messages(self, signature: Any, parameters: Any, inputs: Any) -> Any:
        return Direct().messages(signature, replace(parameters, instruction=self.said), inputs)


@tw.learned
def sort(x: int) -> Literal["a", "b"]:
    """Which?"""
    ...


@tw.flow
def numbers(x: int) -> int:
    total = tw.integer(0, 9, name="base")
    if tw.choice("plain", "more", name="how") == "more":
        total += tw.choice(0, 5, 50, name="extra") + sum(tw.subset(2, [1, 2, 3, 4], name="parts"))
    return total


@dataclass
class Config:
    size: int = tw.integer(1, 5)
    kind: str = tw.choice("x", "y", "z")


@tw.flow
def configured(x: int) -> str:
    config = Config()
    return config.kind * config.size + tw.choice("?", "!", name="end")


def script(request: Any) -> str:
    first = request.messages[0].content.splitlines()[0]
    return "b" if first == "LOUD" and request.sampling.temperature > 0.5 else "a"


def opened() -> Space:
    found = space(sort).opened("sort/strategy", Choice((Direct(), Loud())))
    return found.opened("sort/temperature", Real(0.0, 1.0))


def judge_text(got: str) -> float:
    return sum(a == b for a, b in zip(got, "yyy!", strict=False)) - abs(len(got) - 4)


# The definitions: programs (with their space, what is wanted, and the paths of an outer part), algorithms, flows
# of search. None knows of the others.
PROGRAMS: dict[str, Any] = {
    "learned": (sort, opened, lambda got: float(got == "b"), ("sort/strategy",)),
    "conditional": (numbers, lambda: space(numbers), lambda got: -abs(got - 20) / 20, ("numbers/how",)),
    "dataclass": (configured, lambda: space(configured), judge_text, ("configured.Config/*",)),
}
ALGORITHMS = (RandomSearch(), RegularizedEvolution(5, 3), HillClimbing(), TPE(startup=4, candidates=6))
FLOWS: dict[str, Any] = {
    "joint": lambda algorithm, outer, inner: Searching(algorithm, 16),
    "separate": lambda algorithm, outer, inner: (
        Searching(algorithm, 8, only=outer) >> Searching(algorithm, 8, only=inner)
    ),
    "factorized": lambda algorithm, outer, inner: Factorized(
        Searching(algorithm, 3, only=outer), Searching(algorithm, 5, only=inner)
    ),
}


def searched(program: Any, strategy: Any, judge: Any, found: Space, store: Path | bool = False, **more: Any) -> Study:
    rows = [{"x": number} for number in range(12)]
    where: dict[str, Any] = {"store": store} if store else {"journal": False}
    with tw.using(model=ScriptedModel(script), cache=False, **where):
        return optimize(
            program, train=rows[:1], dev=rows[1 : more.pop("dev", 3)], metric=lambda example, got: judge(got),
            strategy=strategy, space=found, progress=False, seed=more.pop("seed", 0), **more,
        )  # fmt: skip


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda one: one.name)
@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_algorithms_and_flows_of_search_know_nothing_of_each_other(
    program: str, algorithm: Any, flow: str
) -> None:
    made, found, judge, outer = PROGRAMS[program]
    inner = tuple(path for path in found().drawable if path not in found().select(*outer))
    study = searched(made, FLOWS[flow](algorithm, outer, inner), judge, found())
    assert 3 <= len(study.trials) <= 20
    assert study.best_trial.score >= study.baseline.score
    for trial in study.trials:
        assert found().validate(trial.genome.values) == trial.genome
    best = study.best
    with tw.using(model=ScriptedModel(script), journal=False, cache=False):
        assert judge(best(3)) == pytest.approx(study.best_trial.score), "the best is a program, with its choices"


def judge_numbers(got: int) -> float:
    return -abs(got - 61) / 61


def test_a_search_over_everything_finds_the_best_and_a_grid_ends_by_itself() -> None:
    study = searched(numbers, Searching(Grid(points=10), proposals=1000), judge_numbers, space(numbers))
    assert len(study.trials) == space(numbers).size() == 10 + 10 * 3 * 6
    assert study.best_trial.score == 0.0 and study.stop_reason == "finished"


def test_proposals_that_were_tried_before_cannot_go_on_for_ever() -> None:
    part = Searching(RandomSearch(), proposals=10_000, idle=7, only=("configured/end",))
    study = searched(configured, part >> Searching(RandomSearch(), 3), lambda got: 0.0, space(configured))
    assert study.stop_reason == "finished", "and the next search had its turn"
    assert 2 < len(study.trials) <= 2 + 3


def test_a_part_is_searched_around_the_best_and_the_rest_stays() -> None:
    first = Searching(Grid(10), 100, only=("numbers/how", "numbers/extra"))
    study = searched(numbers, first >> Searching(Grid(10), 100, only=("numbers/base",)), judge_numbers, space(numbers))
    found = {path: {trial.genome[path] for trial in study.trials} for path in space(numbers)}
    assert found["numbers/parts"] == {(1, 2)}
    assert study.best_genome["numbers/extra"] == 50 and study.best_genome["numbers/base"] == 8
    later = [one for one in study.trials if one.genome["numbers/base"] not in (4, 8)]
    assert later and all(one.genome["numbers/extra"] == 50 for one in later)


def test_a_climb_begins_at_the_best_so_far() -> None:
    first = Searching(Grid(10), 100, only=("numbers/base", "numbers/how"))
    study = searched(numbers, first >> Searching(HillClimbing(), 5), lambda got: float(got), space(numbers))
    before = [one for one in study.trials if one.by == first.name]
    best = max(before, key=lambda one: one.score).genome
    climbed = [one.genome for one in study.trials if one.by == "Searching(HillClimbing)"]
    assert len(climbed) >= 3 and all(len(best.diff(one)) <= 2 for one in climbed[:2])


def test_halving_scores_most_candidates_on_parts_of_dev() -> None:
    strategy = Searching(SuccessiveHalving(rungs=3, rate=3), proposals=13)
    study = searched(numbers, strategy, judge_numbers, space(numbers), dev=10)
    assert len(study.trials) == 2, "the program as it was, and the one that went all the way"
    assert study.spent.evaluations == 9 + 9 * 1 + 3 * 2 + 1 * 6


def test_texts_and_examples_are_searched_where_candidates_are_given() -> None:
    shown = [{"inputs": {"x": 1}, "output": "b"}]
    strategy = Searching(
        Grid(), 50, texts={"sort/instruction": ["LOUD", "Quiet."]}, demonstrations={"sort/demonstrations": [shown]}
    )
    found = opened().given({"sort/strategy": None})
    study = searched(sort, strategy, lambda got: float(got == "b"), found)
    tried = {(one.genome["sort/instruction"], len(one.genome["sort/demonstrations"])) for one in study.trials}
    assert tried == {(text, count) for text in ("Which?", "LOUD", "Quiet.") for count in (0, 1)}
    assert study.best_genome["sort/instruction"] == "LOUD" and study.best_trial.score == 1.0
    assert study.best.parameters.instruction == "LOUD"


def test_what_cannot_be_searched_is_refused_with_what_can(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="nothing to search in the space of `sort`"):
        searched(sort, Searching(), lambda got: 0.0, space(sort))
    with pytest.raises(SearchError, match="'sort/strategy', which is no text of `sort`.*sort/instruction"):
        searched(sort, Searching(texts={"sort/strategy": ["x"]}), lambda got: 0.0, opened())
    with pytest.raises(SearchError, match="Give each its `only`"):
        Factorized(Searching(), Searching(only=("a",)))
    with pytest.raises(SearchError, match="from 1 upwards"):
        Searching(proposals=0)


@pytest.mark.parametrize("algorithm", [RegularizedEvolution(4, 2), TPE(startup=3), SuccessiveHalving(2)])
def test_a_search_cut_short_goes_on_as_if_it_had_not_been(algorithm: Any, tmp_path: Path) -> None:
    strategy = Searching(algorithm, 14)
    whole = searched(numbers, strategy, judge_numbers, space(numbers), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        count = 0

        def cut(got: int) -> float:
            nonlocal count
            count += 1
            if count > 9:
                raise KeyboardInterrupt
            return judge_numbers(got)

        searched(numbers, strategy, cut, space(numbers), tmp_path / "cut", id="s")
    asked = []

    def counted(got: int) -> float:
        asked.append(got)
        return judge_numbers(got)

    again = searched(numbers, strategy, counted, space(numbers), tmp_path / "cut", id="s")
    assert [one.genome.digest for one in again.trials] == [one.genome.digest for one in whole.trials]
    assert 0 < len(asked) < whole.spent.evaluations + 4


@tw.learned
def kind(thing: str) -> Literal["animal", "plant"]:
    """Is it an animal or a plant?"""
    ...


def test_strategies_and_temperatures_are_searched_on_the_real_model(model: Any, tmp_path: Path) -> None:
    found = space(kind).opened("kind/strategy", Choice((Direct(), Loud("Choose: does it eat, or does it grow?"))))
    found = found.opened("kind/temperature", Choice((0.0, 1.0)))
    rows = [{"thing": "dog", "label": "animal"}, {"thing": "oak", "label": "plant"}]
    with tw.using(model=model, store=tmp_path / "store"):
        study = optimize(kind, train=rows, dev=rows, strategy=Searching(Grid()), space=found, progress=False)
        assert len(study.trials) == 1 + 4
        assert not any(trial.evaluation.failed for trial in study.trials)
        same = {
            trial.genome["kind/strategy"]: trial for trial in study.trials if trial.genome["kind/temperature"] == 0.0
        }
        written = [row.output for row in study.baseline.evaluation.rows]
        assert [row.output for row in same[f"{Direct()!r}"].evaluation.rows] == written, "the same program by a name"
        study.best.save(tmp_path / "kind.json")
        loaded = kind.load(tmp_path / "kind.json", space=found)
        assert [loaded(row["thing"]) for row in rows] == [row.output for row in study.best_trial.evaluation.rows]
