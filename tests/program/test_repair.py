"""Repair: nothing wrong is accepted, nothing is checked twice, no budget is passed, counterexamples save checks."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import EndpointError, NonDeterminism, Unverified
from thalweg.models.scripted import ScriptedModel
from thalweg.program.budget import Budget
from thalweg.program.journal import Scope, inside
from thalweg.program.proposers import (
    Candidate,
    ChoiceProposer,
    ExhaustiveProposer,
    SamplingProposer,
    ScriptedProposer,
    State,
)
from thalweg.program.repair import Outcome, Repair
from thalweg.program.score import Score, Verdict
from thalweg.program.session import current, store_in_force

INPUTS = range(-100, 101)
LINES = list(itertools.product(range(-25, 26), repeat=2))  # a*x + b


def line(candidate: tuple[int, int], x: int) -> int:
    return candidate[0] * x + candidate[1]


class Spec:
    """A hidden line: a sound and complete check over all inputs, and the cheap replay of one input."""

    def __init__(self, a: int, b: int) -> None:
        self.hidden = (a, b)
        self.checks: list[tuple[int, int]] = []
        self.replays = 0

    def check(self, candidate: tuple[int, int]) -> Verdict:
        self.checks.append(candidate)
        for tried, x in enumerate(INPUTS):
            if line(candidate, x) != line(self.hidden, x):
                return Verdict.refuted(x, cases=tried + 1)
        return Verdict.proved("all inputs", cases=len(INPUTS))

    def replay(self, candidate: tuple[int, int], x: int) -> bool:
        self.replays += 1
        return line(candidate, x) == line(self.hidden, x)


def scripted(*values: Any) -> ScriptedProposer:
    """Proposes these, in order."""
    return ScriptedProposer(lambda state, options, k: values[state.proposed : state.proposed + k])


def trying(check: Any, *values: Any, **said: Any) -> Outcome[Any]:
    return Repair(scripted(*values), check, **said)("task")


# -- counterexamples ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [(3, -7), (25, 25), (-25, -25)])
def test_counterexamples_spare_nearly_all_full_checks(hidden: tuple[int, int]) -> None:
    plain, guided = Spec(*hidden), Spec(*hidden)
    search = Repair(ExhaustiveProposer(LINES), plain.check, k=64)
    exhaustive = search("a line")
    cegis = Repair(ExhaustiveProposer(LINES), guided.check, guided.replay, k=64)("a line")
    for outcome in (exhaustive, cegis):
        assert outcome and outcome.value == hidden and outcome.verdict.status == "proved"
    assert len(plain.checks) == LINES.index(hidden) + 1
    assert len(guided.checks) <= 4, "two different points fix a line"
    if LINES.index(hidden) > 1000:
        assert len(plain.checks) > 100 * len(guided.checks)
    assert cegis.spent.evaluations == len(guided.checks)
    assert [one.candidate.value for one in cegis.trials] == [one.candidate.value for one in exhaustive.trials]
    assert {one.by for one in cegis.trials if one.candidate.value not in guided.checks} <= {"replay"}


@given(st.tuples(st.integers(-25, 25), st.integers(-25, 25)), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_replay_changes_the_cost_and_never_the_answer(hidden: tuple[int, int], seed: int) -> None:
    order = random.Random(seed).sample(LINES, 60) + [hidden]
    found = []
    for with_replay in (False, True):
        spec = Spec(*hidden)
        with tw.using(journal=False):
            search = Repair(ExhaustiveProposer(order), spec.check, spec.replay if with_replay else None, k=7)
            found.append(search("a line").value)
    assert found == [hidden, hidden]


def test_a_counterexample_is_in_the_state_of_the_next_round_and_lets_a_proposer_repair() -> None:
    seen: list[State] = []
    spec = Spec(3, -7)

    def through_known_points(state: State, options: Any, k: int) -> Iterable[tuple[int, int]]:
        seen.append(state)
        known = {x: line(spec.hidden, x) for x in state.counterexamples}  # what the spec says at the witnesses
        return (one for one in LINES if all(line(one, x) == y for x, y in known.items()))

    outcome = Repair(ScriptedProposer(through_known_points), spec.check, k=1)("a line")
    assert outcome.value == (3, -7)
    assert outcome.rounds == len(spec.checks) <= 3
    assert [state.counterexamples for state in seen] == [outcome.counterexamples[:n] for n in range(len(seen))]
    assert [state.tried for state in seen] == [tuple(spec.checks[:n]) for n in range(len(seen))]
    assert [state.round for state in seen] == list(range(len(seen)))


def test_a_candidate_that_stood_falls_to_a_later_counterexample() -> None:
    """Tested on too few cases, then refuted by the witness against another one: it is not the best any more."""

    def check(value: str) -> Verdict:
        return {"a": Verdict.tested(3), "b": Verdict.refuted("w"), "c": Verdict.tested(2)}[value]

    said = {"accept": "tested", "cases": 10}
    assert trying(check, "a", "b", "c", **said).best == Candidate("a", 0.0, scripted().name)
    outcome = trying(check, "a", "b", "c", replay=lambda value, witness: value == "c", **said)
    assert outcome.best is not None and outcome.best.value == "c"
    assert [one.verdict.status for one in outcome.trials] == ["refuted", "refuted", "tested"]
    assert not outcome.accepted


# -- soundness ------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.integers(1, 9), st.sampled_from(["proved", "tested"]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_planted_error_is_ever_accepted(seed: int, k: int, accept: Any, with_replay: bool) -> None:
    """A proposer that is right but for 30 % planted errors, in front of a sound check."""
    spec = Spec(seed % 7 - 3, seed % 11 - 5)
    planted: list[Any] = []

    def wrong(value: Any, source: random.Random) -> Any:
        planted.append((value[0] + source.choice((-1, 1)), value[1]))
        return planted[-1]

    proposer = ScriptedProposer(lambda state, options, k: [spec.hidden] * k).faulty(0.3, seed, wrong)
    with tw.using(journal=False):
        outcome = Repair(proposer, spec.check, spec.replay if with_replay else None, accept=accept, k=k, patience=9)(0)
    assert outcome.accepted and outcome.value == spec.hidden
    judged = {one.candidate.value: one.verdict.status for one in outcome.trials}
    assert all(judged.get(value, "refuted") == "refuted" for value in planted)
    assert len(spec.checks) == len(set(spec.checks)), "equal candidates are checked once"


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_a_search_that_meets_errors_alone_accepts_nothing(seed: int) -> None:
    spec = Spec(0, 0)
    proposer = ScriptedProposer(lambda state, options, k: [spec.hidden] * k).faulty(
        1.0, seed, wrong=lambda value, source: (source.randint(1, 9), source.randint(-9, 9))
    )
    with tw.using(journal=False):
        outcome = Repair(proposer, spec.check, budget=Budget(evaluations=20), patience=99)("task")
    assert (outcome.best, outcome.accepted, outcome.verdict.status) == (None, False, "unknown")
    assert not outcome
    with pytest.raises(Unverified, match="None of 20 candidates"):
        _ = outcome.value


def test_what_was_only_tested_is_no_proof() -> None:
    outcome = trying(lambda value: Verdict.tested(value), 5, 30, 10)
    assert not outcome.accepted and outcome.stop_reason == "exhausted"
    assert outcome.best is not None and (outcome.best.value, outcome.verdict) == (30, Verdict.tested(30))
    outcome = trying(lambda value: Verdict.tested(value), 5, 10, 30, accept="tested", cases=10)
    assert (outcome.value, outcome.stop_reason, len(outcome.trials)) == (10, "accepted", 2)


def test_unknown_stands_below_tested_and_above_nothing() -> None:
    grades = {"u": Verdict.unknown("time out"), "t": Verdict.tested(1), "r": Verdict.refuted("w")}
    assert trying(grades.__getitem__, "r", "u", "t").verdict == Verdict.tested(1)
    assert trying(grades.__getitem__, "r", "u").verdict == Verdict.unknown("time out")
    assert trying(grades.__getitem__, "r").best is None


def test_bools_and_scores_are_tests_of_one_case() -> None:
    assert trying(lambda value: value > 2, 1, 2, 3, accept="tested").verdict == Verdict.tested(1)
    outcome = trying(lambda value: Score(value, f"only {value}"), 0.2, 1.0, accept="tested")
    assert outcome.value == 1.0
    assert outcome.counterexamples == ("only 0.2",), "the feedback is what the next proposal reads"
    assert trying(lambda value: Score(value), 0.2, 0.5, accept="tested", passing=0.4).value == 0.5
    with pytest.raises(TypeError, match='accept="tested"'):
        trying(lambda value: True, 1)
    with pytest.raises(TypeError, match="return a Verdict"):
        trying(lambda value: None, 1)


# -- failing checks -------------------------------------------------------------------------------------------------


def test_a_check_that_raises_sets_its_candidate_aside() -> None:
    def check(value: int) -> Verdict:
        if 6 // value == 3:
            return Verdict.proved()
        return Verdict.refuted(value)

    outcome = trying(check, 0, 1, 2)
    assert outcome.value == 2
    assert outcome.trials[0].error.startswith("ZeroDivisionError")
    assert "ZeroDivisionError" in outcome.trials[0].verdict.evidence
    assert trying(check, 0).best is None, "what could not be checked is never the best"


def test_a_replay_that_raises_sets_its_candidate_aside() -> None:
    outcome = trying(lambda value: Verdict.refuted(0), 1, 2, replay=lambda value, witness: bool(1 // witness))
    assert [one.by for one in outcome.trials] == ["check", "replay"]
    assert outcome.trials[1].error.startswith("ZeroDivisionError")


def test_trouble_that_is_not_the_candidates_ends_the_search() -> None:
    def check(value: int) -> Verdict:
        raise EndpointError("The server is gone.", "Start it.")

    with pytest.raises(EndpointError):
        trying(check, 1)


# -- ends -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 30), st.integers(1, 8), st.booleans())
@settings(max_examples=60, deadline=None)
def test_evaluations_never_pass_the_budget_and_are_all_used(limit: int, k: int, with_replay: bool) -> None:
    checked: list[int] = []

    def check(value: int) -> Verdict:
        checked.append(value)
        return Verdict.refuted(value // 2)

    def replay(value: int, witness: int) -> bool:
        return value // 2 != witness

    with tw.using(journal=False):
        search = Repair(ExhaustiveProposer(itertools.count), check, replay if with_replay else None, k=k,
                        budget=Budget(evaluations=limit))  # fmt: skip
        outcome = search("task")
    assert outcome.stop_reason == "evaluations"
    assert len(checked) == outcome.spent.evaluations == limit
    assert checked == [value for value in range(2 * limit) if not with_replay or value % 2 == 0][:limit]


def test_the_best_so_far_is_returned_when_the_budget_ends() -> None:
    outcome = trying(lambda value: Verdict.tested(value), 3, 9, 4, 20, budget=Budget(evaluations=3))
    assert outcome.stop_reason == "evaluations" and outcome.best is not None
    assert (outcome.best.value, outcome.verdict, outcome.accepted) == (9, Verdict.tested(9), False)


def test_calls_of_proposals_never_pass_the_budget() -> None:
    asked: list[int] = []

    @tw.learned
    def number(task: str) -> int:
        """Name a number."""

    def script(request: Any) -> str:
        asked.append(request.sampling.seed)
        return str(request.sampling.seed)

    for limit in (1, 5, 8, 9):
        asked.clear()
        with tw.using(model=ScriptedModel(script, identity=f"by seed {limit}")):
            search = Repair(SamplingProposer(number), lambda value: Verdict.refuted(value), k=4,
                            budget=Budget(calls=limit))  # fmt: skip
            outcome = search("any")
        assert outcome.stop_reason == "calls"
        assert len(asked) == outcome.spent.calls == limit


def test_cached_calls_cost_nothing(model: Any) -> None:
    @tw.learned
    def pick(sentence: str) -> str:
        """Which animal is the sentence about?"""

    with tw.using(model=model):
        search = Repair(ChoiceProposer(pick), lambda value: Verdict.refuted(value), k=1, budget=Budget(calls=2))
        outcome = search("It barks.", ["cat", "dog", "fish", "horse"])
    assert (outcome.stop_reason, len(outcome.trials), outcome.spent.calls) == ("exhausted", 4, 1)
    scores = [one.candidate.score for one in outcome.trials]
    assert scores == sorted(scores, reverse=True), "the model's order, one candidate a round"


def test_time_ends_a_search() -> None:
    outcome = Repair(ExhaustiveProposer(itertools.count), lambda value: Verdict.refuted(value),
                     budget=Budget(seconds=0.05))("task")  # fmt: skip
    assert outcome.stop_reason == "seconds"
    assert outcome.spent.seconds >= 0.05


def test_rounds_and_patience_end_a_search() -> None:
    def check(value: Any) -> Verdict:
        return Verdict.refuted(None)

    outcome = Repair(ExhaustiveProposer(itertools.count), check, k=3, rounds=4)("task")
    assert (outcome.stop_reason, outcome.rounds, len(outcome.trials)) == ("rounds", 4, 12)
    same = ScriptedProposer(lambda state, options, k: ["x"] if state.round < 5 else ["y"])
    assert [len(Repair(same, check, patience=n)("task").trials) for n in (1, 4, 5)] == [1, 1, 2]


def test_a_search_that_cannot_be_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="ScriptedProposer"):
        Repair(lambda state, options, k: [], bool)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="accept='sure'"):
        Repair(scripted(), bool, accept="sure")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="k=0"):
        Repair(scripted(), bool, k=0)


# -- the journal ----------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process dies."""


def resumed(search: Any, run: str = "run-1", replay: bool = True) -> Any:
    store_in_force(current()).begin(run, "p", "", {})
    with inside(Scope(run, replay=replay)):
        return search()


@pytest.mark.parametrize("dies_at", range(1, 13))
def test_a_killed_search_resumes_without_checking_again(dies_at: int) -> None:
    """Killed at its n-th check, with learned functions on both sides and a budget: the same end as in one go."""
    checked: list[int] = []
    asked: list[str] = []

    def script(request: Any) -> str:
        asked.append(request.messages[-1].content)
        if request.format.kind == "choices":
            return "true" if "8" in asked[-1] else "false"
        return str(request.sampling.seed * 7 % 31)

    @tw.learned
    def number(task: str, counterexamples: list[int]) -> int:
        """Name a number."""

    @tw.learned
    def holds_an_eight(number: int) -> bool:
        """Is there an 8 in it?"""

    killing = True

    def check(value: int) -> Verdict:
        checked.append(value)
        if killing and len(checked) == dies_at:
            raise Killed
        if value % 5 == 3:
            raise ArithmeticError(value)
        if holds_an_eight(value):
            return Verdict.unknown("an eight")
        return Verdict.refuted((value, "w")) if value % 2 else Verdict.tested(value + 1)

    def replay(value: int, witness: tuple[int, str]) -> bool:
        return value % 6 != witness[0] % 6

    search = Repair(SamplingProposer(number), check, replay, k=3, patience=2,
                    budget=Budget(calls=40, evaluations=12))  # fmt: skip
    with tw.using(model=ScriptedModel(script, identity="by seed"), cache=False):
        killing = False
        whole = resumed(lambda: search("any"), "whole", replay=False)
        asked_whole, checked_whole = len(asked), list(checked)
        assert len(checked) == 12 and {one.by for one in whole.trials} == {"check", "replay"}
        assert {one.verdict.status for one in whole.trials} == {"tested", "refuted", "unknown"}
        asked.clear(), checked.clear()
        killing = True
        with pytest.raises(Killed):
            resumed(lambda: search("any"), replay=False)
        killing = False
        outcome = resumed(lambda: search("any"))
        assert checked == checked_whole[:dies_at] + checked_whole[dies_at - 1 :], "only the one that was under way"
        assert len(asked) == asked_whole
        checked.clear()
        again = resumed(lambda: search("any"))
        assert checked == [], "a finished search is replayed from its records"
    for one in (outcome, again):
        assert (one.best, one.verdict, one.stop_reason, one.rounds) == (
            whole.best, whole.verdict, whole.stop_reason, whole.rounds)  # fmt: skip
        assert one.counterexamples == whole.counterexamples
        assert [(t.candidate, t.verdict, t.by, t.error) for t in one.trials] == [
            (t.candidate, t.verdict, t.by, t.error) for t in whole.trials
        ]
        assert (one.spent.calls, one.spent.evaluations) == (whole.spent.calls, whole.spent.evaluations)


def test_every_step_is_in_the_journal_under_its_place() -> None:
    @tw.learned
    def fine(value: int) -> bool:
        """Is it fine?"""

    def check(value: int) -> bool:
        return fine(value)

    @tw.flow
    def solve(task: str) -> int:
        return Repair(scripted(1, 2, 3), check, accept="tested", k=2, name="numbers")(task).value

    with tw.using(model=ScriptedModel(lambda request: "true" if "3" in request.messages[-1].content else "false",
                                      identity="three")):  # fmt: skip
        assert solve("x") == 3
        rows = {call.path: call for call in store_in_force(current()).calls()}
    at = "solve#0/numbers#0"
    assert list(rows) == [
        f"{at}/propose#0", f"{at}/check#0/fine#0", f"{at}/check#0", f"{at}/check#1/fine#0", f"{at}/check#1",
        f"{at}/propose#1", f"{at}/check#2/fine#0", f"{at}/check#2", at, "solve#0",
    ]  # fmt: skip
    assert [rows[f"{at}/check#{i}"].kind for i in range(3)] == ["check"] * 3
    found = json.loads(rows[f"{at}/check#2"].value or "")
    assert (found["found"]["status"], found["found"]["cases"], found["spent"]["evaluations"]) == ("tested", 1, 3)
    assert json.loads(rows[f"{at}/check#0"].inputs) == {"candidate": 1}
    assert rows[f"{at}/propose#0"].function == scripted().name
    assert json.loads(rows[at].value or "")["best"] == 3
    assert all(rows[path].key is None for path in rows if "fine" not in path)


def test_another_candidate_at_a_recorded_place_is_an_error() -> None:
    def check(value: int) -> Verdict:
        return Verdict.refuted(value)

    resumed(lambda: Repair(scripted(1, 2), check)("task"), replay=False)
    checked: list[int] = []
    for others in ((1, 3), (2, 1), (1,)):
        with pytest.raises(NonDeterminism, match="propose#0|check#"):
            resumed(lambda: Repair(scripted(*others), checked.append)("task"))  # noqa: B023
    with pytest.raises(NonDeterminism, match="check#0"):
        resumed(lambda: Repair(scripted(1, 2), checked.append)("task"))
    assert checked == [], "refused before the check runs"


def test_a_check_whose_witness_cannot_be_read_back_is_not_run_on_another_candidate() -> None:
    def check(value: int) -> Verdict:
        checked.append(value)
        return Verdict.refuted(Row(value, "no type says how to read it"))

    checked: list[int] = []
    candidates = [1, 2]
    search = Repair(ScriptedProposer(lambda state, options, k: [] if state.round else candidates[::-1]), check)
    resumed(lambda: search("task"), replay=False)
    store = store_in_force(current())
    proposal, first = (store.call("run-1", f"repair#0/{step}#0") for step in ("propose", "check"))
    assert proposal and first
    store.record(replace(first, inputs=json.dumps({"candidate": 9})))
    checked.clear()
    with pytest.raises(NonDeterminism, match="check#0"):
        resumed(lambda: search("task"))
    assert checked == []


def test_tokens_and_confidence_of_a_row_do_not_depend_on_whether_it_was_resumed(model: Any) -> None:
    @tw.learned
    def pick(sentence: str) -> str:
        """Which animal is the sentence about?"""

    @tw.learned
    def fits(animal: str) -> bool:
        """Is it an animal that barks?"""

    search = Repair(ChoiceProposer(pick), lambda value: fits(value) and False, accept="tested", rounds=1)
    store_in_force(current()).begin("run-1", "p", "", {})
    seen = []
    with tw.using(model=model):
        for replay in (False, True):
            with inside(Scope("run-1", replay=replay)) as scope:
                search("It barks.", ["cat", "dog"])
            seen.append((scope.tokens, scope.confidence))
    assert seen[0] == seen[1]
    assert seen[0][0] > 0 and 0.5 <= seen[0][1] < 1, "of the proposal"


@dataclass(frozen=True)
class Row:
    x: int
    note: str


class Text(str):
    pass


@pytest.mark.parametrize(
    ("witness", "annotation", "again"),
    [
        ((1, ("a", None), {"k": [1.5]}), None, 0),
        ({3, 4}, None, 0),
        ("text\u00e9", None, 0),
        (Text("looks like a str"), None, 1),
        (Row(1, "a"), Row, 0),
        (Row(1, "a"), None, 1),
        (float("nan"), None, 1),
    ],
)
def test_a_witness_is_read_back_exactly_or_its_check_runs_again(witness: Any, annotation: Any, again: int) -> None:
    checked: list[int] = []

    def check(value: int) -> Verdict:
        checked.append(value)
        return Verdict.refuted(witness)

    search = Repair(scripted(1), check, witness=annotation)
    first = resumed(lambda: search("task"), replay=False)
    second = resumed(lambda: search("task"))
    assert len(checked) == 1 + again
    assert [type(one) for one in second.counterexamples] == [type(witness)]
    assert repr(second.counterexamples) == repr(first.counterexamples)
    assert second.spent.evaluations == 1


def test_without_a_journal_nothing_is_written() -> None:
    with tw.using(journal=False):
        assert trying(lambda value: Verdict.proved(), 1).value == 1
    assert list(store_in_force(current()).calls()) == []
