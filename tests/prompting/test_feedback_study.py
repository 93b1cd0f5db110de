"""The study's table: equal budgets, honest judging, and what it concludes of models whose ways are known."""

from __future__ import annotations

from random import Random
from typing import Any, Literal

import pytest

import thalweg as tw
from thalweg.errors import DataError
from thalweg.models import ScriptedModel
from thalweg.models.request import Answer, Request, Usage
from thalweg.program.intervals import wilson_interval
from thalweg.program.score import Verdict
from thalweg.prompting.critic import SelfCritique
from thalweg.prompting.feedback_study import MODES, feedback_study
from thalweg.prompting.refine import Refine

Number = Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
CASES = 60


@tw.learned
def find(case: int) -> Number:
    """Find the number."""
    ...


class Known:
    """The right number is the case modulo 10; the one fault names it."""

    def check(self, inputs: Any, value: int) -> Verdict:
        right = inputs["case"] % 10
        return Verdict.proved() if value == right else Verdict.refuted([right])

    def describe(self, inputs: Any, value: int, violation: int) -> str:
        return f"it should be {violation}"

    def mislead(self, inputs: Any, value: int, random: Random) -> int:
        return (inputs["case"] + 1 + random.randrange(9)) % 10


def answering(reads: bool) -> ScriptedModel:
    """Guesses by seed; one that `reads` does what the last feedback says. As a judge it likes everything."""

    def script(request: Request) -> Answer:
        text = request.messages[-1].content
        if "proposed_answer" in text:
            return Answer("true", usage=Usage(prompt_tokens=1))
        told = text.rpartition("it should be ")[2][:1]
        luck = Random(f"{text.split()[1]} {request.sampling.seed}").randrange(10)
        return Answer(told if reads and told.isdigit() and "should be" in text else str(luck), usage=Usage(2, 0, 1))

    return ScriptedModel(script)


@pytest.fixture(scope="module")
def studies() -> dict[bool, Any]:
    found = {}
    for reads in (False, True):
        with tw.using(model=answering(reads), cache=False, journal=False):
            found[reads] = feedback_study(find, range(CASES), critic=Known(), budgets=[1, 3, 5])
    return found


def test_a_model_that_ignores_feedback_gains_nothing_over_drawing_again(studies: Any) -> None:
    study = studies[False]
    for mode in ("pass-fail", "first", "all", "random"):
        assert study.difference(mode, "top-k", 5).within_interval
        assert study.outcomes[mode, 5] == study.outcomes["pass-fail", 5]
    assert study.row("top-k", 5).solved > study.row("top-k", 1).solved


def test_a_model_that_reads_feedback_is_seen_to_and_only_where_it_has_content(studies: Any) -> None:
    study = studies[True]
    assert study.row("first", 3).solved == CASES == study.row("all", 3).solved
    assert study.difference("first", "top-k", 3).low > 0 and study.difference("first", "random", 3).p < 0.01
    assert study.row("random", 3).solved < CASES / 2
    assert studies[False].row("pass-fail", 5).solved == study.row("pass-fail", 5).solved


def test_a_self_critic_that_likes_everything_equals_asking_once(studies: Any) -> None:
    for study in studies.values():
        assert study.outcomes["self", 5] == study.outcomes["direct", 5]
        difference = study.difference("self", "direct", 5)
        assert (difference.wins, difference.losses, difference.mean, difference.p) == (0, 0, 0, 1)
        assert sum(study.critiques.values()) == CASES
        assert study.critiques["passes a wrong answer"] == CASES - study.row("direct", 5).solved


def test_budgets_are_kept_grow_monotonously_and_are_accounted(studies: Any) -> None:
    for study in studies.values():
        assert [one.mode for one in study.rows] == [mode for mode in MODES for _ in range(3)]
        for mode in MODES:
            found = [study.row(mode, budget) for budget in (1, 3, 5)]
            assert all(one.calls <= one.budget and one.n == CASES for one in found)
            assert [one.solved for one in found] == sorted(one.solved for one in found)
        assert study.row("direct", 5).calls == 1 and study.row("direct", 5).tokens == 3
        assert study.row("self", 5).calls == 2 and study.row("self", 1).calls == 1
        top = study.row("top-k", 5)
        assert top.tokens == pytest.approx(3 * top.calls)
        firsts = [study.outcomes["top-k", b] for b in (1, 3, 5)]
        assert (
            top.calls <= 1 + 2 * sum(not one for one in firsts[0]) / CASES + 2 * sum(not o for o in firsts[1]) / CASES
        )


def test_kinds_of_wrong_critique_are_told_apart() -> None:
    def script(request: Request) -> str:
        text = request.messages[-1].content
        if "proposed_answer" not in text:
            return str(int(text.split()[1]) % 2)
        return request.format.choices[0] if "it should be" in request.format.choices[0] else "false"

    harsh = SelfCritique(faults=lambda inputs: [f"it should be {inputs['case'] % 10 if inputs['case'] != 4 else 9}"])
    with tw.using(model=ScriptedModel(script), cache=False, journal=False):
        study = feedback_study(find, [0, 2, 4], critic=Known(), budgets=[2], self_critic=harsh, modes=["self"])
    assert study.critiques == {
        "refuses a right answer": 1,
        "refuses a wrong answer, naming a real fault": 1,
        "refuses a wrong answer, naming no real fault": 1,
    }


def test_the_critic_and_inner_strategy_of_a_loop_are_taken_over() -> None:
    with tw.using(model=answering(True), cache=False, journal=False):
        study = feedback_study(find.using(strategy=Refine(Known())), range(5), budgets=[2], modes=["first"])
    assert study.row("first", 2).solved == 5


def test_what_fails_counts_as_not_solved_and_is_told() -> None:
    def script(request: Request) -> str:
        if "case: 3" in request.messages[-1].content:
            raise tw.errors.EndpointError("No answer came.", "Try again.")
        return "0"

    with tw.using(model=ScriptedModel(script), cache=False, journal=False):
        study = feedback_study(find, [0, 3, 10], critic=Known(), budgets=[1], modes=["direct", "top-k"])
    assert study.row("direct", 1).solved == 2 and study.row("direct", 1).n == 3
    assert set(study.failures) == {("direct", 1), ("top-k", 1)} and "2 failed" in study.text()


def test_text_and_plot_show_every_way(studies: Any, tmp_path: Any) -> None:
    said = studies[True].text()
    assert all(mode in said for mode in MODES) and "first - top-k: +" in said and "self - direct: +0.00" in said
    assert studies[True].plot(tmp_path / "study.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(KeyError, match="no row 'first' at 4"):
        studies[True].row("first", 4)


def test_intervals_hold_the_share_and_narrow() -> None:
    for n in (5, 50, 500):
        for solved in (0, n // 3, n):
            low, high = wilson_interval(solved, n)
            assert 0 <= low <= solved / n <= high <= 1
    assert (
        wilson_interval(50, 500)[1] - wilson_interval(50, 500)[0]
        < wilson_interval(5, 50)[1] - wilson_interval(5, 50)[0]
    )


def test_bad_studies_are_refused() -> None:
    with pytest.raises(ValueError, match="sound critic"):
        feedback_study(find, [1])
    with pytest.raises(ValueError, match="sound critic"):
        feedback_study(find, [1], critic=SelfCritique())
    with pytest.raises(ValueError, match="budgets"):
        feedback_study(find, [1], critic=Known(), budgets=[0])
    with pytest.raises(ValueError, match="mode 'loud'"):
        feedback_study(find, [1], critic=Known(), modes=["loud"])
    with pytest.raises(DataError, match="no example"):
        feedback_study(find, [], critic=Known())
