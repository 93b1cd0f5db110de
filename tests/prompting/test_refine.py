"""A loop of answers and critique: what it says, when it stops, what it costs."""

from __future__ import annotations

import re
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import ContextOverflow, TypeNotSupported
from thalweg.models import ScriptedModel
from thalweg.models.request import Answer, Request, Usage
from thalweg.program.budget import Budget
from thalweg.program.score import Score, Verdict
from thalweg.prompting.critic import SelfCritique
from thalweg.prompting.fitted import Fitted
from thalweg.prompting.graph_colouring import Colouring, Graph, GraphColouring, planar_graphs, violations
from thalweg.prompting.refine import Refine
from thalweg.prompting.sample_and_verify import SampleAndVerify


@tw.learned
def guess(hint: str) -> int:
    """Guess the number."""
    ...


@tw.learned
def colour(graph: Graph) -> Colouring:
    """Give every vertex a colour, so that no edge joins two vertices of the same colour."""
    ...


class Faults:
    """Wrong unless 7; says so in two sentences, and can mislead."""

    def check(self, inputs: Any, value: int) -> Verdict:
        return Verdict.proved() if value == 7 else Verdict.refuted(["not seven", "not odd enough"])

    def describe(self, inputs: Any, value: int, violation: str) -> str:
        return f"{value} is {violation}"

    def mislead(self, inputs: Any, value: int, random: Any) -> str:
        return f"blamed {random.randrange(10**6)}"


def counting(request: Request) -> Answer:
    """Answers 1, 2, 3 ... by the answers shown so far; every call costs 10 + 2 tokens."""
    shown = request.messages[-1].content.count("Answer ")
    return Answer(str(shown + 1), usage=Usage(prompt_tokens=10, output_tokens=2))


def asked(model: ScriptedModel, strategy: Any, **said: Any) -> Any:
    with tw.using(model=model, cache=False, **said):
        value = guess.using(strategy=strategy).submit("a hint")
        value.result()
    return value


def recording() -> tuple[list[Request], ScriptedModel]:
    seen: list[Request] = []

    def script(request: Request) -> Answer:
        seen.append(request)
        return counting(request)

    return seen, ScriptedModel(script)


@pytest.mark.parametrize(
    ("feedback", "remark"),
    [
        ("none", r"It is wrong\."),
        ("first", r"It is wrong: 1 is not seven\."),
        ("all", r"It is wrong: 1 is not seven; 1 is not odd enough\."),
        ("random", r"It is wrong: 1 is blamed \d+\."),
    ],
)
def test_feedback_says_as_much_as_asked_for(feedback: Any, remark: str) -> None:
    seen, model = recording()
    asked(model, Refine(Faults(), feedback, rounds=2))
    first, second = (one.messages[-1].content for one in seen)
    assert first == "hint: a hint"
    assert re.search(rf"Answer 1: 1\n{remark}\nGive another answer\.$", second), second


def test_it_stops_at_the_first_answer_that_passes_and_keeps_the_whole_history() -> None:
    seen, model = recording()
    value = asked(model, Refine(Faults(), "first", rounds=15))
    assert value.result() == 7 and value.details["accepted"] and value.details["stop"] == "accepted"
    assert len(seen) == value.details["calls"] == value.details["checks"] == 7
    assert [one["value"] for one in value.details["tries"]] == [1, 2, 3, 4, 5, 6, 7]
    assert all(f"Answer {n}: {n}" in seen[-1].messages[-1].content for n in range(1, 7))
    assert {one.sampling.temperature for one in seen[1:]} == {0.7} and seen[0].sampling.temperature == 0
    assert len({one.sampling.seed for one in seen}) == 7


@settings(max_examples=25, deadline=None)
@given(rounds=st.integers(1, 9), calls=st.integers(1, 9))
def test_rounds_and_budget_are_kept_and_accounted_exactly(rounds: int, calls: int) -> None:
    seen, model = recording()
    value = asked(model, Refine(lambda _i, _v: False, rounds=rounds, budget=Budget(calls=calls)))
    made = min(rounds, calls)
    assert len(seen) == value.details["calls"] == len(value.details["tries"]) == made
    assert value.details["tokens"] == 12 * made
    assert [one["calls"] for one in value.details["tries"]] == list(range(1, made + 1))
    assert [one["tokens"] for one in value.details["tries"]] == [12 * n for n in range(1, made + 1)]
    assert value.details["stop"] == ("calls" if calls < rounds else "rounds") and not value.details["accepted"]


def test_budgets_of_tokens_and_checks_end_it_at_the_next_answer() -> None:
    refused = lambda _i, _v: False  # noqa: E731
    tokens = asked(ScriptedModel(counting), Refine(refused, budget=Budget(tokens=30)))
    checks = asked(ScriptedModel(counting), Refine(refused, budget=Budget(evaluations=2)))
    assert (tokens.details["stop"], tokens.details["tokens"]) == ("tokens", 36)
    assert (checks.details["stop"], checks.details["checks"]) == ("evaluations", 2)
    assert asked(ScriptedModel(counting), Refine(refused, budget=Budget(calls=0))).details["calls"] == 1


def test_what_comes_from_the_cache_costs_the_loop_the_same(tmp_path: Any) -> None:
    seen, model = recording()
    strategy = Refine(Faults(), rounds=4, budget=Budget(calls=3))
    with tw.using(model=model, store=tmp_path):
        first, second = (guess.using(strategy=strategy).submit("a hint") for _ in range(2))
        assert first.result() == second.result()
    assert first.details == second.details
    assert 3 <= len(seen) <= 6  # both may be under way at once; a third one asks nothing
    before = len(seen)
    with tw.using(model=model, store=tmp_path):
        third = guess.using(strategy=strategy).submit("a hint")
        third.result()
    assert third.details == first.details and len(seen) == before


def test_without_a_passing_answer_the_best_one_is_given_and_the_last_of_equals() -> None:
    near = Refine(lambda _i, value: Score(-abs(value - 3)), rounds=6)
    assert asked(ScriptedModel(counting), near).result() == 3
    assert asked(ScriptedModel(counting), Refine(lambda _i, _v: False, rounds=6)).result() == 6
    once = asked(ScriptedModel(counting), Refine(lambda _i, value: Score(1.0 if value == 2 else 0.0, "no")))
    assert once.result() == 2 and once.details["tries"][0]["faults"] == ["no"]


def test_a_self_critic_may_stop_at_a_wrong_answer_or_destroy_a_right_one() -> None:
    def liar(request: Request) -> str:
        text = request.messages[-1].content
        if "proposed_answer" in text:
            return "true" if "proposed_answer: 2" in text else "false"  # likes 2, refuses 1
        return str(text.count("Answer ") + 1)

    right_is_one = asked(ScriptedModel(liar), Refine(SelfCritique(), "all", rounds=9))
    assert right_is_one.result() == 2 and right_is_one.details["stop"] == "accepted"
    assert right_is_one.details["calls"] == 4 and right_is_one.details["checks"] == 0
    assert [one["calls"] for one in right_is_one.details["tries"]] == [1, 3]


def test_a_self_critic_names_one_of_the_faults_it_is_given() -> None:
    seen: list[str] = []

    def script(request: Request) -> str:
        text = request.messages[-1].content
        seen.append(text)
        if "proposed_answer" not in text:
            return "4"
        return "too large" if "too large" in request.format.choices else "false"

    critic = SelfCritique(faults=lambda inputs: ["too small", "too large"])
    value = asked(ScriptedModel(script), Refine(critic, "all", rounds=2))
    assert value.details["calls"] == 6  # answer, verdict, fault, twice
    assert "It is wrong: too large." in seen[3]


def test_history_is_forgotten_from_the_oldest_where_it_does_not_fit() -> None:
    seen: list[str] = []

    def narrow(request: Request) -> str:
        text = request.messages[-1].content
        if text.count("Answer ") > 2:
            raise ContextOverflow("Too long.", "Shorten it.")
        seen.append(text)
        return "5"

    value = asked(ScriptedModel(narrow), Refine(lambda _i, _v: False, rounds=6), journal=False)
    assert value.details["calls"] == 6 == len(seen)
    assert "Answer 4" in seen[-1] and "Answer 5" in seen[-1] and "Answer 3" not in seen[-1]


def test_worked_examples_and_an_inner_strategy_stay_in_force() -> None:
    seen, model = recording()
    shown = guess.with_demonstrations(("another hint", 3))
    with tw.using(model=model, cache=False):
        shown.using(strategy=Refine(Faults(), rounds=2, inner=SampleAndVerify(lambda _i, _v: False, k=2)))("a hint")
    assert len(seen) == 4
    assert all([m.content for m in one.messages[1:3]] == ["hint: another hint", "3"] for one in seen)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Refine(3), TypeError),
        (lambda: Refine(GraphColouring), TypeError),
        (lambda: Refine(Faults(), "loud"), ValueError),  # type: ignore[arg-type]
        (lambda: Refine(Faults(), rounds=0), ValueError),
        (lambda: Refine(Faults(), temperature=-1), ValueError),
        (lambda: Refine(lambda _i, _v: True, "random"), ValueError),
        (lambda: Refine(Faults(), budget=Budget(seconds=3)), ValueError),
        (lambda: asked(ScriptedModel(counting), Refine(lambda _i, _v: "fine")), TypeError),
    ],
)
def test_bad_settings_are_refused(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


def test_an_input_of_the_name_it_needs_is_refused() -> None:
    @tw.learned
    def taken(earlier_answers: str) -> Literal["a", "b"]:
        """Choose."""
        ...

    with (
        tw.using(model=ScriptedModel(lambda request: "a")),
        pytest.raises(TypeNotSupported, match="earlier_answers.*Rename"),
    ):
        taken.using(strategy=Refine(lambda _i, _v: False))("x")


def test_the_small_model_colours_in_form_and_the_details_tell_the_truth(model: Any) -> None:
    critic = GraphColouring()
    strategy = Refine(critic, "all", rounds=2, inner=Fitted(critic.type_of))
    with tw.using(model=model, progress=False):
        for graph in planar_graphs(1, sizes=(6,), density=0.7):
            value = colour.using(strategy=strategy).submit(graph)
            found = value.result()
            assert set(found) == {str(v) for v in range(graph.vertices)}
            assert value.details["accepted"] == (violations(graph, found) == [])
            assert value.details["tokens"] > 0 and value.details["calls"] == len(value.details["tries"])
            assert all(one["passed"] == (violations(graph, one["value"]) == []) for one in value.details["tries"])


def test_the_real_context_is_kept_by_forgetting_old_answers() -> None:
    from thalweg.models import load

    small = load("smollm2-135m:q8_0", streams=2, context=128, threads=1)
    try:
        with tw.using(model=small, cache=False):
            strategy = Refine(Faults(), "all", rounds=6)
            value = guess.using(strategy=strategy).submit("It is not 7, but one of the others, say 3 or 4 or 8.")
            value.result()
            spent = [0, *(one["tokens"] for one in value.details["tries"])]
            used = [after - before for before, after in zip(spent, spent[1:], strict=False)]
            assert len(used) == 6 and not value.details["accepted"]  # not 7: the last one was asked for, too
            line = used[2] - used[1]
            assert line > 0 and used[1] + 4 * line > 128 >= max(used)  # all of the history would not have fitted
    finally:
        small.free()
