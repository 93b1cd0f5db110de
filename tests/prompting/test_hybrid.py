"""Hybrid: fast where it holds, slow where verification says no."""

from __future__ import annotations

import json
from typing import Any

import pytest

import thalweg as tw
from thalweg.errors import TypeNotSupported
from thalweg.models import ScriptedModel
from thalweg.models.request import Answer, Request, Usage
from thalweg.program.journal import Scope, inside
from thalweg.prompting.hybrid import Hybrid


@tw.learned
def total(question: str) -> int:
    """Work out the number."""
    ...


class Slow:
    """A slow way that asks two questions."""

    name = "slow"

    def solve(self, ask: Any, inputs: Any) -> Any:
        from thalweg.program.procedure import Solved, derived

        half = derived(ask, "half", instruction="HALF", output=int)(**inputs)
        return Solved(2 * half, {"half": half})


class Script:
    """Answers by the question's kind, and keeps what it was asked."""

    def __init__(self, fast: list[str], yes: list[str] | None = None, system: str = "fast") -> None:
        self.fast, self.yes, self.system = list(fast), list(yes or []), system
        self.asked: list[Request] = []

    def __call__(self, request: Request) -> Answer:
        self.asked.append(request)
        said = request.messages[0].content
        if "HALF" in said:
            text = "21"
        elif "Before anybody answers" in said:
            text = self.system
        elif request.format.kind == "choices":
            text = self.yes.pop(0)
        else:
            text = self.fast.pop(0)
        return Answer(text, usage=Usage(prompt_tokens=10, output_tokens=2))


def solve(strategy: Any, script: Script, tmp_path: Any, **said: Any) -> Any:
    with tw.using(model=ScriptedModel(script), store=tmp_path, cache=False, **said):
        value = total.using(strategy=strategy).submit("What?")
        value.result()
        return value


def is_42(inputs: Any, value: int) -> bool:
    return value == 42


def test_an_accepted_fast_answer_never_reaches_the_slow_way(tmp_path: Any) -> None:
    script = Script(["42"])
    value = solve(Hybrid(slow=Slow(), verify=is_42), script, tmp_path)
    assert value.result() == 42
    assert len(script.asked) == 1
    assert value.details["mode"] == "fast"
    assert value.details["tries"] == 1
    assert value.details["verified"] is True
    assert value.details["parts"]["slow"] == {"calls": 0, "prompt_tokens": 0, "output_tokens": 0}


def test_it_escalates_only_after_every_try_was_refused_and_tells_the_tokens_of_each_part(tmp_path: Any) -> None:
    script = Script(["1", "2", "3"])
    value = solve(Hybrid(slow=Slow(), verify=is_42), script, tmp_path)
    assert value.result() == 42
    assert len(script.asked) == 4
    details = value.details
    assert (details["mode"], details["tries"], details["verified"]) == ("slow", 3, True)
    assert [one["answer"] for one in details["refused"]] == ["1", "2", "3"]
    assert details["parts"]["fast"] == {"calls": 3, "prompt_tokens": 30, "output_tokens": 6}
    assert details["parts"]["slow"] == {"calls": 1, "prompt_tokens": 10, "output_tokens": 2}
    assert details["slow"] == {"half": 21}


def test_the_first_try_is_greedy_and_later_ones_are_drawn_from_seeds_of_their_own(tmp_path: Any) -> None:
    script = Script(["1", "2", "42"])
    solve(Hybrid(slow=Slow(), verify=is_42, temperature=0.7), script, tmp_path, seed=5)
    sampled = [(one.sampling.temperature, one.sampling.seed) for one in script.asked]
    assert sampled[0] == (0.0, 5)
    assert [temperature for temperature, _ in sampled[1:]] == [0.7, 0.7]
    assert len({seed for _, seed in sampled}) == 3


def test_an_answer_that_comes_again_is_not_judged_again(tmp_path: Any) -> None:
    looked: list[int] = []

    def check(inputs: Any, value: int) -> bool:
        looked.append(value)
        return False

    solve(Hybrid(slow=Slow(), verify=check), Script(["7", "7", "8"]), tmp_path)
    assert looked == [7, 8, 42]  # the last is the slow answer


@pytest.mark.parametrize(
    ("said", "mode"),
    [
        (True, "fast"),
        (False, "slow"),
        (tw.Score(1.0, "fine"), "fast"),
        (tw.Score(0.9, "a digit is missing"), "slow"),
        (tw.Verdict.tested(3), "fast"),
        (tw.Verdict.proved(), "fast"),
        (tw.Verdict.refuted(7, "7 is odd"), "slow"),
        (tw.Verdict.unknown("no time"), "slow"),  # not shown: not verified
    ],
)
def test_every_kind_of_verdict_decides(said: Any, mode: str, tmp_path: Any) -> None:
    value = solve(Hybrid(slow=Slow(), verify=lambda inputs, answer: said, tries=1), Script(["7"]), tmp_path)
    assert value.details["mode"] == mode


def test_the_reason_of_a_refusal_is_kept(tmp_path: Any) -> None:
    check = lambda inputs, answer: tw.Score(float(answer == 42), "not 42")  # noqa: E731
    value = solve(Hybrid(slow=Slow(), verify=check, tries=1), Script(["7"]), tmp_path)
    assert value.details["refused"] == [{"answer": "7", "why": "not 42"}]


def test_without_a_check_the_model_judges_itself_and_the_slow_answer_is_not_judged_again(tmp_path: Any) -> None:
    script = Script(["7", "8"], yes=["false", "true"])
    value = solve(Hybrid(slow=Slow()), script, tmp_path)
    assert (value.result(), value.details["mode"], value.details["tries"]) == (8, "fast", 2)
    assert value.details["parts"]["verify"]["calls"] == 2
    assert "answer: 7" in script.asked[1].messages[-1].content
    script = Script(["7"], yes=["false"])
    value = solve(Hybrid(slow=Slow(), tries=1), script, tmp_path)
    assert value.details["verified"] is None
    assert len(script.asked) == 3


def test_a_learned_function_can_verify(tmp_path: Any) -> None:
    @tw.learned
    def right(question: str, found: int) -> bool:
        """Is the number right?"""
        ...

    script = Script(["7"], yes=["true"])
    assert solve(Hybrid(slow=Slow(), verify=right), script, tmp_path).result() == 7
    assert "found: 7" in script.asked[-1].messages[-1].content


def test_a_verifier_that_does_not_fit_is_refused_with_a_remedy(tmp_path: Any) -> None:
    @tw.learned
    def right(other: str, found: int) -> bool:
        """Is it?"""
        ...

    with pytest.raises(TypeNotSupported, match="exactly one more"):
        solve(Hybrid(slow=Slow(), verify=right), Script(["7"]), tmp_path)
    with pytest.raises(TypeError, match="return a Verdict, a Score or a bool"):
        solve(Hybrid(slow=Slow(), verify=lambda inputs, value: "maybe"), Script(["7"]), tmp_path)
    with pytest.raises(TypeError, match="no critic"):
        Hybrid(verify=1)


@pytest.mark.parametrize("system", ["fast", "slow"])
def test_before_asks_first_and_goes_one_way(system: str, tmp_path: Any) -> None:
    script = Script(["7"], system=system)
    value = solve(Hybrid.before(slow=Slow()), script, tmp_path)
    assert len(script.asked) == 2
    assert value.details["mode"] == system
    assert value.result() == (7 if system == "fast" else 42)
    assert value.details["parts"][system]["calls"] == 1


def test_calls_are_journalled_by_part_and_counted_for_the_run_around(tmp_path: Any) -> None:
    with tw.using(model=ScriptedModel(Script(["1", "2", "3"])), store=tmp_path, cache=False) as session:
        scope = Scope("r", "")
        with inside(scope):
            total.using(strategy=Hybrid(slow=Slow(), verify=is_42))("What?")
        assert scope.meter.calls == 4
        assert len(scope.answers) == 4
        from thalweg.program.session import store_in_force

        paths = [one.path for one in store_in_force(session).calls("r")]
    assert "total#0/fast#0/total#0" in paths
    assert "total#0/fast#2/total#0" in paths
    assert any(path.startswith("total#0/slow#0/total#0/half#0") for path in paths)


def test_a_replayed_run_tells_the_same_tokens(tmp_path: Any) -> None:
    script = Script(["1", "42"])
    told = []
    with tw.using(model=ScriptedModel(script), store=tmp_path):
        for _ in range(2):
            value = total.using(strategy=Hybrid(slow=Slow(), verify=is_42)).submit("What?")
            value.result()
            told.append(json.dumps(value.details))
    assert len(script.asked) == 2  # the second time from the cache
    assert told[0] == told[1]


@pytest.mark.parametrize("said", [{"tries": 0}, {"temperature": 0.0}])
def test_bounds_that_make_no_sense_are_refused(said: Any) -> None:
    with pytest.raises(ValueError, match="give"):
        Hybrid(**said)
