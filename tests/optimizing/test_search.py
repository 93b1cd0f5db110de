"""`Search`: evaluations, budgets, failures, traces."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest

import thalweg as tw
from thalweg.errors import EndpointError, ModelNotFound, SearchError
from thalweg.models import ScriptedModel
from thalweg.models.request import Request
from thalweg.optimizing import Example, Search, optimize, scoring
from thalweg.optimizing.trial import SearchOver
from thalweg.program.budget import Budget

Letter = Literal["a", "b"]


@tw.learned
def read(text: str) -> Letter:
    """Which letter?"""
    ...


@tw.learned
def check(text: str, letter: str) -> bool:
    """Is it right?"""
    ...


@tw.flow
def both(text: str) -> str:
    first = read(text)
    return first if check(text, first) else "a"


@tw.flow
async def apart(text: str) -> str:
    one, other = await asyncio.gather(read.acall(text), check.acall(text, "a"))
    return one if other else "b"


@tw.flow
def styled(text: str, style: str = tw.choice("plain", "loud"), suffix: str = "!") -> str:
    return read(f"{text} {style}{suffix}")


class Model:
    """Answers by the text of the last message, and counts what it was asked."""

    def __init__(self, refuse: Any = None) -> None:
        self.asked: Counter[str] = Counter()
        self.refuse = refuse
        self.model = ScriptedModel(self.answer, identity="scripted for searches")

    def answer(self, request: Request) -> str:
        text = "\n".join(one.content for one in request.messages)
        self.asked[text] += 1
        if self.refuse is not None:
            self.refuse(text, self.asked[text])
        if request.format.choices == ("true", "false") or "true" in request.format.choices:
            return "true"
        return "a" if "good" in text or "yes" in request.messages[-1].content else "b"

    @property
    def calls(self) -> int:
        return sum(self.asked.values())


@dataclass(frozen=True)
class Steps:
    """An optimizer that runs a function, for tests of what it may do."""

    work: Any
    name: str = "steps"

    def run(self, search: Search) -> None:
        self.work(search)


ROWS = [Example({"text": f"{'yes' if i % 2 else 'no'} {i}"}, "a", i) for i in range(8)]
TRAIN, DEV = ROWS[:2], ROWS[2:]


def searched(work: Any, model: Model, store: Path, program: Any = read, metric: Any = None, **more: Any) -> Any:
    said = {"train": TRAIN, "dev": DEV, "progress": False, "fresh": True, **more}
    with tw.using(model=model.model, store=store):
        return optimize(program, metric=metric or exact, strategy=Steps(work), **said)


def exact(example: Example, output: Any) -> float:
    return float(output == example.label)


def instruct(search: Search, text: str) -> Any:
    path = next(one for one in search.space if one.endswith("read/instruction"))
    return search.space.default().replace({path: text})


def test_a_row_is_asked_once_whoever_asks_for_it_again(tmp_path: Path) -> None:
    def work(search: Search) -> None:
        good = instruct(search, "good")
        search.evaluate(good, search.dev[:2])
        search.try_(good)
        search.try_(good)
        search.evaluate(good, search.dev)

    model = Model()
    study = searched(work, model, tmp_path)
    assert max(model.asked.values()) == 1
    assert study.spent.evaluations == 2 * len(DEV) and study.spent.calls == 2 * len(DEV)
    assert [one.score for one in study.trials] == [0.5, 1.0]


def test_equal_examples_are_asked_and_paid_once_and_count_as_often_as_they_stand_there(tmp_path: Path) -> None:
    model = Model()
    twice = [DEV[1], DEV[1], DEV[1], DEV[0]]
    study = searched(lambda search: None, model, tmp_path, dev=twice)
    assert study.spent.evaluations == 2 and study.baseline.score == 0.75
    assert len(study.baseline.evaluation.rows) == 4


def test_failing_rows_metrics_and_candidates_score_the_failure_score_and_end_nothing(tmp_path: Path) -> None:
    def refuse(text: str, count: int) -> None:
        if "no 2" in text:
            raise ValueError("broken row")

    def metric(example: Example, output: str) -> float:
        if example.text == "yes 3":
            raise KeyError("broken metric")
        return math.nan if example.text == "no 4" else float(output == "a")

    def work(search: Search) -> None:
        search.try_(search.space.default().replace({"read/demonstrations": [{"inputs": {}, "output": "neither"}]}))
        search.try_(instruct(search, "good"))

    study = searched(work, Model(refuse), tmp_path, metric=metric, failure_score=-1.0)
    rows = study.trials[0].evaluation.rows
    assert [row.score for row in rows] == [-1, -1, -1, 1, 0, 1]
    assert "broken row" in rows[0].error and "broken metric" in rows[1].error and "nan" in rows[2].error
    assert study.trials[1].evaluation.error and study.trials[1].score == -1
    assert study.best_trial.number == 2


def test_an_endpoint_that_is_down_for_a_moment_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "WAITS", (0.0, 0.0, 0.0))

    def refuse(text: str, count: int) -> None:
        if count <= 2:
            raise EndpointError("It hung.", "Wait.")

    study = searched(lambda search: None, Model(refuse), tmp_path)
    assert study.baseline.score == 0.5 and not study.warnings


def test_rows_that_an_endpoint_never_answered_fail_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "WAITS", (0.0, 0.0))

    def refuse(text: str, count: int) -> None:
        if "yes 3" in text:
            raise EndpointError("It hung.", "Wait.")

    study = searched(lambda search: None, Model(refuse), tmp_path)
    assert study.baseline.evaluation.failed == 1
    assert any("endpoint did not answer" in one for one in study.warnings)


def test_what_is_no_candidates_fault_ends_the_search(tmp_path: Path) -> None:
    def refuse(text: str, count: int) -> None:
        raise ModelNotFound("There is no such model.", "Choose another.")

    with pytest.raises(ModelNotFound):
        searched(lambda search: None, Model(refuse), tmp_path)


def test_a_program_that_fails_everywhere_is_refused_and_tried_anew_by_the_next_call(tmp_path: Path) -> None:
    broken = [True]

    def refuse(text: str, count: int) -> None:
        if broken:
            raise ValueError("no key")

    model = Model(refuse)
    with pytest.raises(SearchError, match="fails on every one"):
        searched(lambda search: None, model, tmp_path, fresh=False)
    broken.clear()
    assert searched(lambda search: None, model, tmp_path, fresh=False).baseline.score == 0.5


@pytest.mark.parametrize("limit", ["evaluations", "calls"])
def test_a_budget_ends_the_search_between_two_candidates(tmp_path: Path, limit: str) -> None:
    def work(search: Search) -> None:
        for number in range(100):
            search.try_(instruct(search, f"good {number}"))

    study = searched(work, Model(), tmp_path, budget=Budget(**{limit: 4 * len(DEV)}))
    assert len(study.trials) == 4 and study.stop_reason == limit
    assert getattr(study.spent, limit) == 4 * len(DEV)


def test_tokens_of_prompts_and_answers_count(tmp_path: Path, model: Any) -> None:
    with tw.using(model=model, store=tmp_path):
        study = optimize(
            read, train=TRAIN, dev=DEV[:2], budget=Budget(tokens=1), progress=False, metric=exact,
            strategy=Steps(lambda search: search.try_(instruct(search, "other"))),
        )  # fmt: skip
    assert study.stop_reason == "tokens" and len(study.trials) == 1 and study.spent.tokens > 50


def test_a_study_that_used_its_seconds_gives_the_same_again(tmp_path: Path) -> None:
    def work(search: Search) -> None:
        search.try_(instruct(search, "good"))
        search.journal.seconds += 1000  # the time is over
        search.try_(instruct(search, "too late"))

    kwargs = {"budget": Budget(seconds=500), "fresh": False}
    first = searched(work, Model(), tmp_path, **kwargs)
    again = searched(work, Model(), tmp_path, **kwargs)
    assert first.stop_reason == again.stop_reason == "seconds"
    assert [one.score for one in first.trials] == [one.score for one in again.trials] == [0.5, 1.0]


def test_a_budget_for_less_than_three_candidates_is_said(tmp_path: Path) -> None:
    study = searched(lambda search: None, Model(), tmp_path, budget=Budget(evaluations=3 * len(DEV)))
    assert study.warnings == ("The budget pays for 2 more candidates: hardly a search.",)
    with pytest.raises(SearchError, match="does not pay for"):
        searched(lambda search: None, Model(), tmp_path, budget=Budget(evaluations=2))


def test_a_failure_score_above_the_metric_is_said(tmp_path: Path) -> None:
    study = searched(lambda search: None, Model(), tmp_path, metric=lambda example, output: -1.0)
    assert any("failure_score" in one for one in study.warnings)


def test_a_search_that_tries_nothing_new_ends(tmp_path: Path) -> None:
    def work(search: Search) -> None:
        while True:
            search.try_(search.space.default())

    study = searched(work, Model(), tmp_path, budget=Budget(evaluations=1000))
    assert study.stop_reason == "idle" and len(study.trials) == 1


def test_calls_of_a_metric_are_counted_and_are_no_steps_of_the_trace(tmp_path: Path) -> None:
    def metric(example: Example, output: str, trace: Any = None) -> float:
        assert [one.path for one in trace] == ["read"] and trace[0].output == output
        return float(check(example.text, output)) + float(read(example.text + " judged") == "a")

    traces: list[Any] = []

    def work(search: Search) -> None:
        traces.extend(search.trace(search.best.genome, search.dev[0]))

    model = Model()
    study = searched(work, model, tmp_path, metric=metric)
    assert study.spent.calls == 3 * len(DEV)
    assert [(one.path, one.inputs, one.output) for one in traces] == [("read", {"text": "no 2"}, "b")]


@pytest.mark.parametrize("journal", [True, False])
def test_a_flow_of_several_functions_is_traced_step_by_step_with_and_without_a_journal(
    tmp_path: Path, journal: bool
) -> None:
    found: list[Any] = []

    def work(search: Search) -> None:
        tried = search.try_(instruct(search, "good"))
        found.extend(search.trace(tried.genome, search.dev[0]))

    with tw.using(journal=journal):
        study = searched(work, Model(), tmp_path, program=both)
    assert [(one.path, one.output) for one in found] == [("both.read", "a"), ("both.check", True)]
    assert study.best_trial.number == 1 and study.best.state()["both.read/instruction"] == "good"
    assert (tmp_path / "store.sqlite").exists() == journal  # not a trace of it where none was wanted


def test_a_program_without_a_journal_of_its_own_is_traced_too(tmp_path: Path) -> None:
    found: list[Any] = []
    searched(
        lambda search: found.extend(search.trace(search.best.genome, search.dev[0])), Model(), tmp_path,
        program=read.using(journal=False),
    )  # fmt: skip
    assert [one.path for one in found] == ["read"]


class Twice:
    """Asks twice and takes the second answer."""

    name = "twice"

    def solve(self, ask: Any, inputs: Any) -> Any:
        ask(**inputs)
        return ask(text=f"{inputs['text']} again")


def test_a_strategy_of_several_questions_is_one_step_of_a_trace_and_costs_what_it_asks(tmp_path: Path) -> None:
    found: list[Any] = []
    study = searched(
        lambda search: found.extend(search.trace(search.best.genome, search.dev[1])), Model(), tmp_path,
        program=read.using(strategy=Twice()),
    )  # fmt: skip
    assert [(one.path, one.inputs, one.output) for one in found] == [("read", {"text": "yes 3"}, "a")]
    assert study.spent.calls == 2 * len(DEV) and study.baseline.score == 0.5


def test_async_flows_are_searched(tmp_path: Path) -> None:
    study = searched(lambda search: search.try_(instruct(search, "good")), Model(), tmp_path, program=apart)
    assert [one.score for one in study.trials] == [0.5, 1.0] and study.spent.calls == 4 * len(DEV)


def test_parameters_with_defaults_and_choices_need_no_column(tmp_path: Path) -> None:
    def work(search: Search) -> None:
        assert search.names == ["text"]
        search.try_(search.space.default().replace({"styled/style": "loud"}))

    model = Model()
    study = searched(work, model, tmp_path, program=styled)
    assert [one.evaluation.failed for one in study.trials] == [0, 0]
    assert any("no 2 loud!" in one for one in model.asked)


def test_what_goes_wrong_in_a_question_of_the_optimizer_goes_wrong_again_when_it_is_taken_up(tmp_path: Path) -> None:
    broken = [True]

    def refuse(text: str, count: int) -> None:
        if "propose" in text and broken:
            raise ValueError("proposer down")

    def work(search: Search) -> None:
        for number in range(3):
            try:
                with search.asking("propose"):
                    said = read(f"propose {number}")
            except ValueError:
                broken.clear()  # only the first
                continue
            search.try_(instruct(search, f"good {number} {said}"))

    first = searched(work, Model(refuse), tmp_path, fresh=False)
    broken.append(True)
    model = Model(refuse)
    again = searched(work, model, tmp_path, fresh=False)
    assert model.calls == 0 and len(again.trials) == 3
    assert [one.genome for one in again.trials] == [one.genome for one in first.trials]
    assert (again.spent.calls, again.spent.evaluations) == (first.spent.calls, first.spent.evaluations)


def test_a_question_whose_failure_ended_the_search_is_asked_again_by_the_next_call(tmp_path: Path) -> None:
    broken = [True]

    def refuse(text: str, count: int) -> None:
        if "propose" in text and broken:
            raise ValueError("proposer down")

    def work(search: Search) -> None:
        with search.asking("propose"):
            read("propose")

    with pytest.raises(ValueError, match="proposer down"):
        searched(work, Model(refuse), tmp_path, fresh=False)
    broken.clear()
    assert searched(work, Model(refuse), tmp_path, fresh=False).stop_reason == "finished"


def test_questions_of_the_optimizer_are_refused_when_the_budget_is_spent(tmp_path: Path) -> None:
    seen: list[str] = []

    def work(search: Search) -> None:
        try:
            with search.asking("propose"):
                read("propose")
        except SearchOver as over:
            seen.append(over.reason)
            raise

    study = searched(work, Model(), tmp_path, budget=Budget(calls=len(DEV)))
    assert seen == ["calls"] and study.stop_reason == "calls"


def test_a_row_whose_calls_come_in_another_order_than_a_killed_search_recorded_is_asked_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "WAITS", (0.0, 0.0))

    def work(search: Search) -> None:
        good = instruct(search, "good")
        path = f"c{good.digest}/e{search.dev[0].digest}/read#0"
        other = search.journal.calls(search.best.genome.digest, search.dev[0].digest)[0]
        search.journal.store.record(replace(other, path=path, key="another"))  # left by an earlier life
        assert search.try_(good).score == 1.0

    study = searched(work, Model(), tmp_path)
    assert not study.best_trial.evaluation.failed


def test_two_studies_in_one_store_keep_to_themselves_and_share_the_cache(tmp_path: Path) -> None:
    model = Model()
    one = searched(lambda search: None, model, tmp_path, seed=1)
    other = searched(lambda search: None, model, tmp_path, seed=2)
    assert one.id != other.id and model.calls == len(DEV) + len(TRAIN)
    assert one.spent.calls == other.spent.calls == len(DEV)  # a budget does not depend on what the cache knows


def test_the_state_is_told_after_every_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from thalweg.optimizing.search_bar import state

    told: list[str] = []

    def work(search: Search) -> None:
        search._told = lambda search: told.append(state(search))
        search.try_(instruct(search, "good"))

    searched(work, Model(), tmp_path)
    assert told[0] == "best 0.500 (trial 0), as it was 0.500; 7 rows, candidate 1: 1/6"
    assert told[6] == "best 1.000 (trial 1), as it was 0.500; 12 rows"
    assert told[-1] == "best 1.000 (trial 1), as it was 0.500; 12 rows, measuring: 2/2"
    searched(lambda search: None, Model(), tmp_path, progress=True)
    assert "optimize read" in capsys.readouterr().err
