"""Flows: plain Python over learned functions, with the same verbs; state replaces parameters without touching code."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from typing import Any, Literal

import pytest
from mail_program import MAILS, Complaint, Refund, Ticket, read, triage, urgent

import thalweg as tw
from thalweg.errors import ModelError, TypeNotSupported
from thalweg.models.scripted import ScriptedModel
from thalweg.program.session import current, store_in_force


def scripted(table: dict[str, str], default: str = "true", threads: int = 0) -> ScriptedModel:
    """Answers by the first key that the last message contains."""

    def script(request: Any) -> str:
        said = request.messages[-1].content
        return next((answer for key, answer in table.items() if key in said), default)

    return ScriptedModel(script, name="table", identity=f"table {sorted(table.items())} {default}",
                         max_concurrency=threads)  # fmt: skip


def paths() -> dict[str, Any]:
    return {call.path: call for call in store_in_force(current()).calls()}


# -- the verbs on the real model ------------------------------------------------------------------------------------


def test_all_verbs_give_the_same_typed_result(model: Any) -> None:
    with tw.using(model=model):
        expected = [triage(mail) for mail in MAILS]
        assert all(isinstance(ticket, Ticket) for ticket in expected)
        assert [triage.submit(mail).result(60) for mail in MAILS] == expected
        assert asyncio.run(triage.acall(MAILS[0])) == expected[0]
        assert triage.map(MAILS) == expected
        assert triage.map([{"mail": mail} for mail in MAILS]) == expected
        assert list(triage.stream(MAILS[0])) == [
            tw.Started("triage"), tw.Finished("triage", expected[0]), tw.Done(expected[0])
        ]  # fmt: skip
        draws = triage.sample(MAILS[0], n=3, temperature=1.0, seed=4)
        assert draws == triage.sample(MAILS[0], n=3, temperature=1.0, seed=4)

    async def streamed() -> list[Any]:
        return [event async for event in triage.using(model=model).astream(MAILS[0])]

    assert asyncio.run(streamed())[-1] == tw.Done(expected[0])


def test_verbs_without_meaning_for_a_program_say_what_to_use() -> None:
    for verb in (triage.distribution, triage.score, triage.render):
        with pytest.raises(TypeNotSupported, match="`read`, `urgent`"):
            verb("x")


# -- control flow ---------------------------------------------------------------------------------------------------


def union_texts() -> dict[str, str]:
    values = {"order": Refund("12"), "rude": Complaint("staff", 5), "soap": Complaint("quality", 2)}
    return {key: read.signature.output.encode(value) for key, value in values.items()}


def answering(urgency: str = "false") -> ScriptedModel:
    texts = union_texts()

    def script(request: Any) -> str:
        if request.format.kind == "choices":
            return urgency
        return next(text for key, text in texts.items() if key in request.messages[-1].content)

    return ScriptedModel(script, identity=f"answering {urgency}")


def test_match_if_and_guards_follow_the_values() -> None:
    with tw.using(model=answering()):
        assert triage("my order") == Ticket("billing", "12")
        assert triage("rude man") == Ticket("escalate", "staff")
        assert triage("bad soap") == Ticket("inbox", "quality")
    with tw.using(model=answering("true")):
        assert triage("bad soap") == Ticket("escalate", "quality")


def test_nested_paths_cover_flows_in_flows_recursion_and_gather() -> None:
    @tw.learned
    def yes(text: str) -> bool:
        """Yes?"""

    @tw.flow
    def inner(text: str) -> list[bool]:
        return tw.gather(yes.submit(text + "a"), yes.submit(text + "b"))

    @tw.flow
    def down(depth: int) -> int:
        yes(str(depth))
        return depth if depth == 0 else down(depth - 1)

    @tw.flow
    def outer(text: str) -> Any:
        return inner(text), inner(text + "!"), down(2), tw.gather(*(inner.submit(str(i)) for i in range(2)))

    with tw.using(model=scripted({})):
        assert outer("x") == ([True, True], [True, True], 2 - 2, [[True, True], [True, True]])
        calls = paths()
    assert set(calls) == {
        "outer#0",
        "outer#0/inner#0", "outer#0/inner#0/yes#0", "outer#0/inner#0/yes#1",
        "outer#0/inner#1", "outer#0/inner#1/yes#0", "outer#0/inner#1/yes#1",
        "outer#0/inner#2", "outer#0/inner#2/yes#0", "outer#0/inner#2/yes#1",
        "outer#0/inner#3", "outer#0/inner#3/yes#0", "outer#0/inner#3/yes#1",
        "outer#0/down#0", "outer#0/down#0/yes#0",
        "outer#0/down#0/down#0", "outer#0/down#0/down#0/yes#0",
        "outer#0/down#0/down#0/down#0", "outer#0/down#0/down#0/down#0/yes#0",
    }  # fmt: skip
    assert calls["outer#0"].kind == "flow"
    assert json.loads(calls["outer#0"].value)[2] == 0


def test_flows_started_together_get_their_places_in_the_order_they_were_started() -> None:
    @tw.learned
    def yes(text: str) -> bool:
        """Yes?"""

    @tw.flow
    def late(number: int) -> int:
        time.sleep(0.02 * (4 - number))
        yes(str(number))
        return number

    @tw.flow
    def outer() -> list[int]:
        return tw.gather(*(late.submit(i) for i in range(4)))

    with tw.using(model=scripted({})):
        assert outer() == [0, 1, 2, 3]
        assert [json.loads(paths()[f"outer#0/late#{i}/yes#0"].inputs) for i in range(4)] == [
            {"text": str(i)} for i in range(4)
        ]


def test_an_exception_of_the_flow_reaches_the_caller_and_the_journal() -> None:
    @tw.flow
    def broken(text: str) -> str:
        raise LookupError(f"no {text}")

    with tw.using(model=scripted({})):
        with pytest.raises(LookupError, match="no bread"):
            broken("bread")
        assert paths()["broken#0"].error == "LookupError: no bread"
        results = broken.map(["a", "b"])
        assert [type(one.error) for one in results] == [LookupError] * 2
        with pytest.raises(LookupError):
            broken.map(["a", "b"], fail_fast=True)
        with pytest.raises(LookupError):
            list(broken.stream("a"))


def test_an_error_of_a_call_can_be_caught_in_the_flow() -> None:
    def script(request: Any) -> str:
        raise ModelError("The model is on holiday.", "Ask again tomorrow.")

    @tw.flow
    def careful(mail: str) -> str:
        try:
            return str(urgent(mail))
        except ModelError as error:
            return error.remedy

    with tw.using(model=ScriptedModel(script)):
        assert careful("x") == "Ask again tomorrow."
        assert paths()["careful#0/urgent#0"].error == "ModelError: The model is on holiday. Ask again tomorrow."


def test_gather_raises_the_first_error_in_order_and_passes_values_through() -> None:
    def script(request: Any) -> str:
        said = request.messages[-1].content
        if "slow" in said:
            time.sleep(0.05)
        if "bad" in said:
            raise ModelError(said, "x")
        return "true"

    with ScriptedModel(script, identity="gather", max_concurrency=4) as model, tw.using(model=model):
        assert tw.gather(urgent.submit("a"), 7, urgent.submit("b")) == [True, 7, True]
        with pytest.raises(ModelError, match="bad slow"):
            tw.gather(urgent.submit("fine"), urgent.submit("bad slow"), urgent.submit("bad fast"))


def test_a_value_that_takes_too_long_raises_and_is_still_there_later() -> None:
    released = threading.Event()

    def script(request: Any) -> str:
        released.wait(30)
        return "true"

    with ScriptedModel(script, identity="slow", max_concurrency=1) as model, tw.using(model=model):
        value = urgent.submit("x")
        assert not value.done()
        assert "under way" in repr(value)
        with pytest.raises(TimeoutError, match=r"urgent#0 has no result after 0\.01 s"):
            value.result(0.01)
        released.set()
        assert value.result(30) is True
        assert value.exception() is None
        assert "done" in repr(value)


def test_a_timeout_raised_by_the_program_is_not_taken_for_the_callers() -> None:
    @tw.flow
    def late(mail: str) -> str:
        raise TimeoutError("the bank did not answer")

    with tw.using(model=scripted({})), pytest.raises(TimeoutError, match="the bank"):
        late.submit("x").result(30)


# -- settings follow the program ------------------------------------------------------------------------------------


def test_settings_follow_flows_maps_and_async_code_into_their_threads() -> None:
    @tw.flow
    def seen(mail: str) -> tuple[Any, Any]:
        return current().seed, current().temperature

    with tw.using(model=scripted({}), seed=5):
        assert seen("x") == seen.submit("x").result(30) == asyncio.run(seen.acall("x")) == (5, None)
        assert seen.map(["x"] * 5) == [(5, None)] * 5
        assert seen.using(temperature=0.5).map(["x"] * 3) == [(5, 0.5)] * 3
        assert list(seen.stream("x"))[-1] == tw.Done((5, None))

        async def streamed() -> Any:
            return [event async for event in seen.astream("x")][-1]

        assert asyncio.run(streamed()) == tw.Done((5, None))


def test_a_learned_functions_own_settings_win_over_the_flows() -> None:
    seeds: list[int] = []

    def script(request: Any) -> str:
        seeds.append(request.sampling.seed)
        return "true"

    @tw.learned(seed=9)
    def own(text: str) -> bool:
        """Yes?"""

    @tw.flow(seed=3)
    def flow(text: str) -> bool:
        return own(text) and urgent(text)

    with tw.using(model=ScriptedModel(script, identity="seeds"), seed=1, cache=False):
        flow("x")
        flow.using(seed=4)("x")
        own.using(seed=2)("x")
    assert seeds == [9, 3, 9, 4, 2]


def test_python_mode_maps_a_flow_without_loading_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALWEG_MODEL", "no-such-model")

    @tw.learned
    def parity(number: int) -> bool:
        """Is it even?"""
        return number % 2 == 0

    @tw.flow
    def both(number: int) -> bool:
        return parity(number)

    with tw.using(mode="python"):
        assert both.map([1, 2, 3]) == [False, True, False]


# -- state ----------------------------------------------------------------------------------------------------------


def test_the_state_of_a_flow_names_every_learned_function_it_reaches(model: Any) -> None:
    state = triage.state()
    assert list(state) == [
        "triage.read/instruction", "triage.read/demonstrations", "triage.read/adapter",
        "triage.urgent/instruction", "triage.urgent/demonstrations", "triage.urgent/adapter",
    ]  # fmt: skip
    assert state["triage.read/instruction"] == "Read a customer's e-mail."


def test_bound_parameters_hold_inside_the_flow_and_its_threads_only() -> None:
    said: list[str] = []

    def script(request: Any) -> str:
        said.append(request.messages[0].content)
        return "true"

    @tw.flow
    def ask(mail: str) -> bool:
        return urgent(mail) and urgent.submit(mail + "!").result()

    better = ask.bind({"ask.urgent/instruction": "Look twice."})
    with tw.using(model=ScriptedModel(script, identity="bound"), cache=False):
        better("x")
        better.map(["a", "b"])
        ask("x")
        urgent("x")
    assert [text.startswith("Look twice.") for text in said] == [True] * 6 + [False] * 3
    assert better.state()["ask.urgent/instruction"] == "Look twice."
    assert ask.state()["ask.urgent/instruction"] == urgent.parameters.instruction
    assert urgent.parameters.instruction == "Does this mail need an answer today?"


def test_an_inner_flow_with_bound_parameters_keeps_them() -> None:
    said: list[str] = []

    def script(request: Any) -> str:
        said.append(request.messages[0].content.splitlines()[0])
        return "true"

    @tw.flow
    def ask(mail: str) -> bool:
        return urgent(mail)

    special = ask.bind({"ask.urgent/instruction": "Inner."})

    @tw.flow
    def outer(mail: str) -> bool:
        return special(mail) and urgent(mail)

    with tw.using(model=ScriptedModel(script, identity="inner"), cache=False):
        outer.bind({"outer.urgent/instruction": "Outer."})("x")
    assert said == ["Inner.", "Outer."]


def test_what_is_no_function_cannot_become_a_flow() -> None:
    with pytest.raises(TypeError, match="takes a function"):
        tw.flow("text")  # type: ignore[call-overload]


def test_the_distribution_of_a_step_can_steer_the_flow(model: Any) -> None:
    @tw.learned
    def tone(mail: str) -> Literal["calm", "angry"]:
        """Say the tone."""

    @tw.flow
    def careful(mail: str) -> str:
        table = tone.distribution(mail)
        assert math.fsum(table.values()) == pytest.approx(1)
        return max(table, key=table.__getitem__)

    with tw.using(model=model):
        assert careful(MAILS[1]) == tone(MAILS[1])
        call = paths()["careful#0/tone#0"]
        assert call.kind == "distribution"
        assert {value for value, _ in json.loads(call.value)} == {"calm", "angry"}
