"""Contracts: what comes back always satisfies them, whatever the model says."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

import thalweg as tw
from thalweg.errors import ContractViolation, ModelError
from thalweg.models import ScriptedModel
from thalweg.program import Store
from thalweg.program.condition import Condition
from thalweg.program.contract import BECAUSE, REFUSED, Statistics, contracted


@dataclass
class Invoice:
    items: list[int]
    total: int


def non_empty(text: str) -> bool:
    """The text is not empty."""
    return bool(text.strip())


def adds_up(text: str, out: Invoice) -> str:
    return "" if out.total == sum(out.items) else f"the items sum to {sum(out.items)}, not {out.total}"


def parse_under(repair: int, **settings):
    @tw.learned(require=non_empty, ensure=adds_up, repair=repair, **settings)
    def parse(text: str) -> Invoice:
        """Read the invoice."""

    return parse


def corrupting(rate: float):
    """Wrong in `rate` of all calls, independently: decided by a hash of what was asked."""

    def script(request):
        asked = request.messages[-1].content + str(request.sampling.seed)
        draw = int.from_bytes(hashlib.blake2b(asked.encode(), digest_size=8).digest()) / 2**64
        return f'{{"items": [1, 2], "total": {4 if draw < rate else 3}}}'

    return ScriptedModel(script, identity=f"corrupting-{rate}")


def always(text: str):
    return ScriptedModel(lambda request: text, identity=f"always {text}")


WRONG = '{"items": [1, 2], "total": 4}'


@pytest.mark.parametrize("repair", [0, 1, 2, 3])
def test_success_rises_to_the_analytic_rate(repair):
    parse = parse_under(repair)
    rows = [f"invoice {number}" for number in range(3000)]
    with tw.using(model=corrupting(0.3), cache=False, journal=False):
        results = parse.map(rows)
    kept = sum(bool(one) for one in results) / len(rows)
    assert abs(kept - (1 - 0.3 ** (repair + 1))) < 0.02
    assert all(one == Invoice([1, 2], 3) for one in results if one)
    assert all(isinstance(one.error, ContractViolation) for one in results if not one)
    said = parse.contract.statistics
    assert (said.calls, said.failed) == (3000, sum(not one for one in results))
    assert said.violations >= said.repaired + said.failed * (repair + 1)


def test_the_remedy_holds_the_refused_answer_and_what_is_wrong_and_keeps_the_prefix():
    asked = []

    def script(request):
        asked.append(request)
        return WRONG if len(asked) == 1 else '{"items": [1, 2], "total": 3}'

    parse = parse_under(1)
    with tw.using(model=ScriptedModel(script, identity="remedy")):
        assert parse("an invoice") == Invoice([1, 2], 3)
    first, again = asked
    assert again.messages[:-1] == first.messages[:-1]
    said = again.messages[-1].content
    assert said.startswith(first.messages[-1].content)
    assert f"{REFUSED}: {WRONG}" in said and f"{BECAUSE}: the items sum to 3, not 4" in said
    assert again.sampling.seed != first.sampling.seed
    assert parse.contract.statistics == Statistics(calls=1, violations=1, repaired=1)


def test_a_refused_answer_that_comes_back_raises_the_temperature():
    asked = []

    def script(request):
        asked.append(request.sampling.temperature)
        return WRONG

    with tw.using(model=ScriptedModel(script, identity="stubborn")), pytest.raises(ContractViolation):
        parse_under(3)("an invoice")
    assert asked == [0.0, 0.0, 0.7, 0.7]


def test_the_error_names_condition_call_and_last_value():
    parse = parse_under(2)
    with tw.using(model=always(WRONG)), pytest.raises(ContractViolation) as caught:
        parse("an invoice")
    error = caught.value
    assert (error.kind, error.condition, error.tries) == ("ensure", "adds up", 3)
    assert error.value == Invoice([1, 2], 4)
    assert error.path.startswith("parse#") and error.path in str(error)
    assert "the items sum to 3, not 4" in str(error) and str(error).endswith(error.remedy)


def test_a_broken_precondition_asks_no_model():
    def script(request):
        raise AssertionError("asked")

    parse = parse_under(3)
    with tw.using(model=ScriptedModel(script)), pytest.raises(ContractViolation) as caught:
        parse("  ")
    assert (caught.value.kind, caught.value.condition) == ("require", "The text is not empty")
    assert parse.contract.statistics == Statistics(calls=1, refused=1)


def test_the_body_answers_when_no_try_is_kept_and_is_held_to_the_contract():
    @tw.learned(ensure=lambda out: out > 10, repair=1)
    def count(text: str) -> int:
        """Count the letters."""
        return len(text)

    with tw.using(model=always("3")):
        assert count("a rather long text") == 18
        with pytest.raises(ContractViolation, match="out > 10") as caught:
            count("short")
    assert caught.value.value == 5
    assert count.contract.statistics == Statistics(calls=2, violations=4, fell_back=1, failed=1)


def test_python_mode_and_fallback_mode_keep_the_contract():
    @tw.learned(ensure=lambda out: out > 10)
    def count(text: str) -> int:
        """Count the letters."""
        return len(text)

    def down(request):
        raise ModelError("It is down.", "Wait.")

    with tw.using(mode="python"):
        assert count("a rather long text") == 18
        with pytest.raises(ContractViolation):
            count("short")
    with tw.using(model=ScriptedModel(down), mode="fallback"):
        assert count("a rather long text") == 18
        with pytest.raises(ContractViolation):
            count("short")
    with tw.using(model=ScriptedModel(down)), pytest.raises(ModelError, match="down"):
        count("a rather long text")


def test_every_verb_keeps_the_contract():
    parse = parse_under(40)
    good = Invoice([1, 2], 3)
    with tw.using(model=corrupting(0.5)):
        assert parse("a") == parse.submit("b").result() == asyncio.run(parse.acall("c")) == good
        assert parse.map([f"row {n}" for n in range(20)]) == [good] * 20
        assert parse.sample("d", n=10, seed=3) == [good] * 10
        events = list(parse.stream("e"))
        assert [type(one) for one in events] == [tw.Started, tw.Finished, tw.Done] and events[-1].value == good
        assert parse.using(seed=5)("f") == parse.with_instruction("Read it.")("g") == good
    assert isinstance(parse.using(seed=5), tw.Learned)
    assert parse.using(seed=5).contract is parse.contract


def test_a_flow_reaches_it_and_a_resumed_run_replays_every_try(tmp_path):
    from thalweg.program.journal import Scope, inside

    parse = parse_under(20)

    @tw.flow
    def work(texts: list[str]) -> list[int]:
        return [parse(text).total for text in texts]

    assert list(work.learned()) == ["work.parse"]
    assert set(work.state()) == {f"work.parse/{kind}" for kind in ("instruction", "demonstrations", "adapter")}
    store, calls = Store(tmp_path / "run"), []

    def script(request):
        calls.append(request)
        return corrupting(0.6)._script(request)

    texts = [f"text {number}" for number in range(30)]
    with tw.using(model=ScriptedModel(script, identity="once"), store=store, cache=False):
        store.begin("run", "script", "", {})
        with inside(Scope("run", store=store)):
            first = work(texts)
        made = len(calls)
        with inside(Scope("run", replay=True, store=store)):
            assert work(texts) == first == [3] * 30
    assert len(calls) == made > 30
    paths = [call.path for call in store.calls() if call.function == "parse"]
    assert len(paths) == len(set(paths)) == made
    for path in paths:  # repairs lie inside the place of their first try
        outer = path.rpartition("/")[0]
        assert outer == "work#0" or outer in paths


def test_a_validator_of_the_output_type_is_part_of_the_contract():
    class Even(BaseModel):
        number: int

        @field_validator("number")
        @classmethod
        def even(cls, number: int) -> int:
            if number % 2:
                raise ValueError("an odd number")
            return number

    @tw.learned(repair=1)
    def even(text: str) -> Even:
        """An even number."""

    asked = []

    def script(request):
        asked.append(request.messages[-1].content)
        return '{"number": 3}' if len(asked) == 1 else '{"number": 4}'

    with tw.using(model=ScriptedModel(script, identity="odd")):
        assert even("four").number == 4
    assert "odd number" in asked[1] and '{"number": 3}' in asked[1]


def test_pydantic_models_verdicts_and_scores_are_conditions():
    class Inputs(BaseModel):
        text: str = Field(min_length=3)

    class Small(BaseModel):
        total: int = Field(le=5)

    @tw.learned(
        require=Inputs,
        ensure=[Small, lambda out: tw.Verdict.refuted(7, "no seven") if out.total == 3 else tw.Verdict.proved(),
                lambda out: tw.Score(0.5, "too few") if len(out.items) < 2 else tw.Score(1.0)],
    )  # fmt: skip
    def parse(text: str) -> Invoice:
        """Read the invoice."""

    def answer(text):
        with tw.using(model=always(text)):
            return parse("an invoice")

    assert answer('{"items": [1, 2], "total": 4}') == Invoice([1, 2], 4)
    for text, said in [
        ('{"items": [1, 2], "total": 6}', "total: Input should be less than or equal to 5"),
        ('{"items": [1, 2], "total": 3}', "no seven"),
        ('{"items": [1], "total": 4}', "too few"),
    ]:
        with pytest.raises(ContractViolation, match=said):
            answer(text)
    with tw.using(model=always(WRONG)), pytest.raises(ContractViolation, match="text: String should have at least 3"):
        parse("an")


def test_conditions_may_call_learned_functions_at_places_of_their_own(tmp_path):
    @tw.learned
    def plausible(total: int) -> bool:
        """Is the total plausible?"""

    @tw.learned(ensure=lambda out: plausible(out.total), repair=2)
    def parse(text: str) -> Invoice:
        """Read the invoice."""

    def script(request):
        said = request.messages[-1].content
        if request.format.choices:
            return "true" if said.endswith("5") else "false"
        return '{"items": [], "total": 5}' if REFUSED in said else '{"items": [], "total": 4}'

    with tw.using(model=ScriptedModel(script, identity="nested", max_concurrency=2), store=tmp_path / "s"):
        assert [one.total for one in parse.map(["a", "b", "c"])] == [5] * 3
    paths = {call.path for call in Store(tmp_path / "s").calls()}
    assert {f"parse#{n}{rest}" for n in range(3) for rest in ("", "/plausible#0", "/parse#0", "/plausible#1")} == paths


@settings(max_examples=50, deadline=None)
@given(bad=st.integers(0, 6), repair=st.integers(0, 4))
def test_what_comes_back_always_satisfies_the_contract(bad, repair):
    asked = []

    def script(request):
        asked.append(1)
        return "-1" if len(asked) <= bad else "1"

    @tw.learned(ensure=lambda out: out > 0, repair=repair)
    def positive(text: str) -> int:
        """A positive number."""

    with tw.using(model=ScriptedModel(script), journal=False, cache=False):
        if bad <= repair:
            assert positive("x") == 1 and len(asked) == bad + 1
        else:
            with pytest.raises(ContractViolation):
                positive("x")
            assert len(asked) == repair + 1


def test_conditions_get_inputs_by_name_or_by_position():
    def both(a, b, out): ...
    def second(b, out): ...
    def other_names(x, y, out): ...

    inputs = ("a", "b")
    assert Condition.of("ensure", both, inputs, 1).takes == ("a", "b")
    assert Condition.of("ensure", second, inputs, 1).takes == ("b",)
    assert Condition.of("ensure", other_names, inputs, 1).takes is None
    assert Condition.of("ensure", lambda out: out, inputs, 1).takes == ()
    assert Condition.of("require", lambda b: b, inputs, 1).takes == ("b",)
    assert Condition.of("require", lambda x, y: x, inputs, 1).takes is None
    with pytest.raises(TypeError, match="name its parameters like the inputs: a, b"):
        Condition.of("require", lambda x: x, inputs, 1)
    with pytest.raises(TypeError, match="takes nothing"):
        Condition.of("ensure", lambda: True, inputs, 1)
    with pytest.raises(TypeError, match="no condition"):
        parse_like = tw.learned(ensure=3)
        parse_like(non_empty)
    with pytest.raises(ValueError, match="repair=-1"):
        contracted(non_empty, repair=-1)


def test_a_condition_that_returns_no_answer_is_a_mistake_of_the_program():
    @tw.learned(ensure=lambda out: None, repair=3)
    def number(text: str) -> int:
        """A number."""

    with tw.using(model=always("1")), pytest.raises(TypeError, match="return a bool, a text, or a Verdict"):
        number("x")


def test_the_real_model_under_a_contract(model):
    @tw.learned(ensure=lambda text, out: out in text or "the word is not in the text", repair=2)
    def longest(text: str) -> str:
        """Copy the longest word of the text."""
        return max(text.split(), key=len)

    with tw.using(model=model, max_tokens=16):
        text = "The quick brown fox met an extraordinary hedgehog."
        assert longest(text) in text


def test_repairs_of_a_call_beyond_a_failure_leave_the_journal_with_it(tmp_path):
    @tw.learned
    def early(text: str) -> int:
        """The first call, which fails late."""

    @tw.learned(ensure=lambda out: out == 2, repair=1)
    def late(text: str) -> int:
        """The second call, begun before the first has failed."""

    @tw.flow
    def both(text: str) -> int:
        first = early(text)
        second = late(text)
        return first + second

    def script(request):
        if "fails late" in request.messages[0].content:
            deadline = time.monotonic() + 20
            while not any(call.path == "both#0/late#0/late#0" for call in store.calls()):
                assert time.monotonic() < deadline
            raise ModelError("It is down.", "Wait.")
        return "2" if REFUSED in request.messages[-1].content else "1"

    store = Store(tmp_path / "run")
    model = ScriptedModel(script, identity="late", max_concurrency=2)
    with tw.using(model=model, store=store), pytest.raises(ModelError, match="down"):
        both("x")
    assert {call.path for call in store.calls()} == {"both#0", "both#0/early#0"}


def test_a_flow_that_is_not_overlapped_journals_the_same_places(tmp_path):
    parse = parse_under(20)

    @tw.flow
    def work(texts: list[str]) -> list[int]:
        return [parse(text).total for text in texts]

    places = []
    for index, run in enumerate((work, work.eager)):
        store = Store(tmp_path / f"{index}")
        with tw.using(model=corrupting(0.6), store=store, cache=False):
            assert run(["a", "b", "c", "d"]) == [3] * 4
        places.append({(call.path, call.value) for call in store.calls()})
    assert places[0] == places[1]
