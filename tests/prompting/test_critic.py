"""One opinion of any critic, by one rule of what passes; and one account of what was used."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import TypeNotSupported
from thalweg.models import ScriptedModel
from thalweg.models.request import Answer, Request, Usage
from thalweg.program.score import Score, Verdict
from thalweg.prompting.critic import Bill, Critique, SelfCritique, asks_model, checked, counted, review
from thalweg.prompting.hybrid import Hybrid
from thalweg.prompting.refine import Refine
from thalweg.prompting.sample_and_verify import SampleAndVerify


@tw.learned
def total(question: str) -> int:
    """Work out the number."""
    ...


@tw.learned
def right(question: str, found: int) -> bool:
    """Is the number right?"""
    ...


class Even:
    """A checker with words of its own."""

    def check(self, inputs: Any, value: int) -> Verdict:
        return Verdict.proved() if value % 2 == 0 else Verdict.refuted(value, "an odd one")

    def describe(self, inputs: Any, value: int, violation: int) -> str:
        return f"{violation} is odd"


def opinion(said: Any) -> Critique:
    return review(lambda inputs, value: said, total, {"question": "?"}, 7)


@given(st.one_of(st.floats(-2, 2), st.booleans(), st.integers(-2, 2)))
def test_a_number_passes_from_one_on_whether_it_is_a_score_or_not(number: Any) -> None:
    bare, score = opinion(number), opinion(Score(float(number), "remark"))
    assert bare.passed == score.passed == (number >= 1)
    assert bare.rank == score.rank == (float(number),)
    assert score.why == "remark" and bare.why == ""
    assert score.faults == (() if score.passed else ("remark",))


def test_scores_pass_where_repair_accepts_them() -> None:
    from thalweg.program.proposers import ScriptedProposer
    from thalweg.program.repair import Repair

    for number in (0.0, 0.5, 0.99, 1.0, 1.5):
        check = lambda value: Score(number)  # noqa: B023, E731
        repair = Repair(ScriptedProposer(lambda state, options, k: ["x"]), check, accept="tested")
        with tw.using(journal=False):
            assert repair("task").accepted == opinion(Score(number)).passed


@pytest.mark.parametrize(
    ("said", "passed", "faults", "why"),
    [
        (Verdict.proved("by cases"), True, (), "by cases"),
        (Verdict.tested(3), True, (), ""),
        (Verdict.unknown("no time"), False, ("no time",), "no time"),  # not shown: does not pass
        (Verdict.refuted(["a", "b"], "two letters"), False, ("a", "b"), "two letters"),
        (Verdict.refuted("a"), False, ("a",), "a"),
    ],
)
def test_a_verdict_passes_from_tested_on(said: Verdict, passed: bool, faults: tuple[str, ...], why: str) -> None:
    found = opinion(said)
    assert (found.passed, found.faults, found.why) == (passed, faults, why)


def test_a_checker_has_words_of_its_own() -> None:
    found = review(Even(), total, {"question": "?"}, 7)
    assert (found.passed, found.violations, found.faults) == (False, (7,), ("7 is odd",))


def critics() -> list[Any]:
    return [
        lambda inputs, value: value == 42, lambda inputs, value: Score(float(value == 42)), Even(), right,
        "Is it so?", SelfCritique(),
    ]  # fmt: skip


def script(request: Request) -> Answer:
    shown = request.messages[-1].content
    asked = request.format.kind == "choices"  # a verdict: 42 is right
    text = ("true" if ": 42" in shown else "false") if asked else str(request.sampling.seed % 2 * 41 + 1)
    return Answer(text, usage=Usage(prompt_tokens=10, output_tokens=2))


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("make", [Hybrid, Refine, SampleAndVerify], ids=lambda one: one.__name__)
def test_every_strategy_takes_every_critic(make: Any, number: int) -> None:
    critic = checked(critics()[number])
    strategy = make(verify=critic, slow=Refine(critic)) if make is Hybrid else make(critic)
    with tw.using(model=ScriptedModel(script), cache=False, journal=False):
        value = total.using(strategy=strategy).submit("What?")
        assert value.result() == 42
    if make is not Hybrid:
        made = len(value.details["tries"])
        assert value.details["calls"] == made * (1 + asks_model(critic))
        assert value.details["checks"] == made * (not asks_model(critic))


def test_a_question_as_text_is_the_model_as_critic_in_other_words() -> None:
    seen: list[Request] = []

    def kept(request: Request) -> Answer:
        seen.append(request)
        return script(request)

    with tw.using(model=ScriptedModel(kept), cache=False, journal=False):
        asked = ("Is it so?", SelfCritique(instruction="Is it so?"))
        said = [review(one, total, {"question": "?"}, 42) for one in asked]
    assert said[0] == said[1] and said[0].passed
    assert seen[0].messages == seen[1].messages and "Is it so?" in seen[0].messages[0].content


def test_a_learned_critic_gets_what_it_asks_for_and_the_answer() -> None:
    @tw.learned
    def near(answer: int) -> bool:
        """Is it near?"""
        ...

    @tw.learned
    def other(something: str, answer: int) -> bool:
        """Is it?"""
        ...

    with tw.using(model=ScriptedModel(script), cache=False, journal=False):
        assert review(near, total, {"question": "?"}, 42).passed
        assert not review(near, total, {"question": "?"}, 41).passed
        with pytest.raises(TypeNotSupported, match="exactly one more"):
            review(other, total, {"question": "?"}, 42)


@pytest.mark.parametrize("bad", [1, None, Even, ""])
def test_what_is_no_critic_is_refused_when_it_is_given(bad: Any) -> None:
    with pytest.raises(TypeError, match="no critic"):
        checked(bad)


class Twice:
    """Works in two parts, one of them again, and counts all of it."""

    name = "twice"

    def solve(self, ask: Any, inputs: Any) -> Any:
        from thalweg.program.procedure import Solved

        first, second = Bill(), Bill()
        with counted() as bill:
            for part, one in (("first", first), ("second", second), ("first", first)):
                with counted(part, one):
                    ask(**inputs)
                    ask(**inputs)
                assert bill.spent.calls == first.spent.calls + second.spent.calls  # told while it goes on
            ask(**inputs)
        return Solved(bill.spent.calls, {"all": bill.to_json(), "first": first.to_json(), "second": second.to_json()})


def test_parts_add_up_to_the_whole_and_have_places_of_their_own(tmp_path: Any) -> None:
    from thalweg.program.journal import Scope, inside
    from thalweg.program.session import store_in_force

    with tw.using(model=ScriptedModel(script), store=tmp_path, cache=False) as session:
        scope = Scope("r")
        with inside(scope):
            value = total.using(strategy=Twice()).submit("What?")
            assert value.result() == 7
        paths = {one.path for one in store_in_force(session).calls("r")}
    assert value.details["all"] == {"calls": 7, "prompt_tokens": 70, "output_tokens": 14}
    assert value.details["first"]["calls"] == 4 and value.details["second"]["calls"] == 2
    assert {"total#0/first#0/total#1", "total#0/second#0/total#0", "total#0/first#1/total#0", "total#0/total#0"} < paths
    assert len(scope.answers) == 7
