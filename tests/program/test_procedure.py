"""Strategies of several questions: one call for whoever made it, wherever it is made."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest

import thalweg as tw
from thalweg.errors import ContractViolation, DataError, ModelError, TypeNotSupported, UnsupportedByBackend
from thalweg.models.request import Answer, Request
from thalweg.models.scripted import ScriptedModel
from thalweg.program.contract import BECAUSE, REFUSED
from thalweg.program.events import Done, Finished, Started
from thalweg.program.labels import Conservative, Introspection, Label, Permissive, labelled
from thalweg.program.procedure import Solved, derived
from thalweg.program.store import Store
from thalweg.program.value import Failure
from thalweg.prompting import ReadTwice

Mood = Literal["glad", "sad"]
asked: list[Request] = []


def script(request: Request) -> Answer | str:
    """Reasons about the last line, then judges the reasons; "bad" inputs are sad."""
    asked.append(request)
    text = request.messages[-1].content
    if "down" in text:
        raise ModelError("It is down.", "Wait.")
    choices = request.format.choices
    if not choices:
        return f"because {text.split()[-1]}"
    chosen = (
        next((one for one in ("sad", "no", "false") if one in choices), choices[0]) if "bad" in text else choices[0]
    )
    odds = tuple(0.75 if one == chosen else 0.25 / (len(choices) - 1) for one in choices)
    return Answer(chosen, -0.2877, probabilities=odds)


@pytest.fixture(autouse=True)
def scripted(own_session: None) -> Iterator[None]:
    asked.clear()
    model = ScriptedModel(script, identity="procedures")
    model.capabilities = replace(model.capabilities, logits="full")
    with tw.using(model=model, cache=False):
        yield


@tw.learned
def mood(text: str) -> Mood:
    """How does the writer feel?"""


@tw.learned
def title(text: str) -> str:
    """Give it a title."""


@dataclass(frozen=True)
class Reasoned:
    """Two questions: why, and what follows."""

    inner: Any = None
    name: str = "reasoned"

    def solve(self, ask: Any, inputs: Any) -> Solved:
        why = derived(ask, "why", instruction="Why?", output=str)(**inputs)
        return Solved(derived(ask, more={"why": str})(**inputs, why=why), {"why": why})

    def distribution(self, ask: Any, inputs: Any) -> dict[Any, float]:
        return ask.distribution(**inputs)


@dataclass(frozen=True)
class Twice:
    """The same question twice, side by side."""

    inner: Any = None
    name: str = "twice"

    def solve(self, ask: Any, inputs: Any) -> Any:
        return tw.gather(*[ask.using(seed=seed).submit(**inputs) for seed in (1, 2)])[-1]


@dataclass(frozen=True)
class Broken:
    """Fails after a question."""

    name: str = "broken"

    def solve(self, ask: Any, inputs: Any) -> Any:
        ask(**inputs)
        raise ValueError("a mistake of the strategy")


@dataclass(frozen=True)
class Wrong:
    name: str = "wrong"

    def solve(self, ask: Any, inputs: Any) -> Any:
        return "hungry"


@tw.flow
def sort(texts: list[str]) -> list[str]:
    found = []
    for text in texts:
        found.append(f"{mood(text)}: {title(text)}")
    return found


def journal() -> dict[str, Any]:
    from thalweg.program.session import current, store_in_force

    return {call.path: call for call in store_in_force(current()).calls()}


# -- the verbs --------------------------------------------------------------------------------------------------------


def test_every_verb_gives_the_strategys_answer() -> None:
    function = mood.using(strategy=Reasoned())
    assert function("a bad day") == "sad"
    value = function.submit("a good day")
    assert (value.result(), value.details) == ("glad", {"why": "because day"})
    assert asyncio.run(function.acall("a bad day")) == "sad"
    assert function.map(["a bad day", "fine"] * 20) == ["sad", "glad"] * 20
    assert function.sample("a bad day", n=3) == ["sad"] * 3
    events = list(function.stream("a bad day"))
    assert [type(one) for one in events] == [Started, Finished, Done] and events[-1].value == "sad"
    assert function.distribution("a bad day") == {"glad": 0.25, "sad": 0.75}
    with tw.using(strategy=Reasoned()):
        assert mood("a bad day") == "sad"


def test_draws_have_seeds_of_their_own() -> None:
    mood.using(strategy=Reasoned()).sample("a", n=3, temperature=0.9, seed=1)
    assert len({one.sampling.seed for one in asked}) == 3
    assert {one.sampling.temperature for one in asked} == {0.9}


def test_what_a_strategy_does_not_know_is_refused_by_its_name() -> None:
    with pytest.raises(UnsupportedByBackend, match="twice"):
        mood.using(strategy=Twice()).distribution("a")
    with pytest.raises(UnsupportedByBackend, match="reasoned"):
        mood.using(strategy=Reasoned()).score("a", "sad")
    with pytest.raises(UnsupportedByBackend, match="no single prompt"):
        mood.using(strategy=Reasoned()).render("a")
    with pytest.raises(TypeNotSupported):
        title.using(strategy=Reasoned()).distribution("a")


def test_a_strategy_is_one_call_whose_questions_lie_inside_it() -> None:
    mood.using(strategy=Reasoned())("a bad day")
    rows = journal()
    assert {path: call.kind for path, call in rows.items()} == {
        "mood#0/why#0": "value", "mood#0/mood#0": "value", "mood#0": "strategy",
    }  # fmt: skip
    call = rows["mood#0"]
    assert (json.loads(call.value), json.loads(call.answer)) == ("sad", {"why": "because day"})
    assert json.loads(call.inputs) == {"text": "a bad day"} and call.prompt == "reasoned"


def test_strategies_nest() -> None:
    mood.using(strategy=Twice(inner=Reasoned()))("a bad day")
    assert set(journal()) == {"mood#0"} | {
        f"mood#0/mood#{n}{inner}" for n in (0, 1) for inner in ("", "/why#0", "/mood#0")
    }


def test_another_function_asked_by_a_strategy_is_asked_by_the_inner_one() -> None:
    @dataclass(frozen=True)
    class Judged:
        name: str = "judged"

        def solve(self, ask: Any, inputs: Any) -> Any:
            title(inputs["text"])  # would ask itself without end under `using`
            return ask(**inputs)

    with tw.using(strategy=Judged()):
        assert mood("a bad day") == "sad"
    assert len(asked) == 2


def test_derived_questions_show_what_they_are_made_with() -> None:
    shown = mood.with_demonstrations(("hurray", "glad"))
    mood_of = derived(shown, more={"why": str})
    assert mood_of.parameters.demonstrations == ()
    assert derived(shown, "again").parameters.demonstrations == shown.parameters.demonstrations
    assert derived(shown, "again").name == "again"
    prompt = str(derived(shown, instruction="Other words.", demonstrations=()).render("x"))
    assert "Other words." in prompt and "hurray" not in prompt
    with pytest.raises(TypeNotSupported, match="text"):
        derived(mood, more={"text": str})


def test_derived_questions_are_known_by_their_types_and_the_order_of_literals() -> None:
    def made(first: str) -> type:
        @dataclass
        class Found:
            __annotations__ = {first: bool}

        return Found

    one, other = made("yes"), made("no")
    assert f"{one!r}" == f"{other!r}"
    fields = [derived(mood, "found", output=kind).signature.output.json_schema["properties"] for kind in (one, other)]
    assert [list(each) for each in fields] == [["yes"], ["no"]]
    orders = [derived(mood, "kind", output=kind).signature.output.values() for kind in (Mood, Literal["sad", "glad"])]
    assert orders[0] is not None and orders[1] is not None
    assert list(orders[0]) == ["glad", "sad"] and list(orders[1]) == ["sad", "glad"]


def test_a_derived_question_is_worked_out_once_for_a_function() -> None:
    @tw.learned(strategy=Reasoned())
    def feeling(text: str) -> Mood:
        """How does the writer feel?"""

    for text in ("a", "b", "c"):
        feeling(text)
    assert len(feeling.__dict__["_derived"]) == 2
    prompters = {id(derived(derived(feeling, "why", output=str), "then", output=bool)._prompter) for _ in range(3)}
    assert len(prompters) == 1


def test_inputs_that_are_shown_twice_are_in_every_question() -> None:
    ReadTwice(mood).using(strategy=Reasoned())("a bad day")
    assert [one.messages[-1].content.count("text: a bad day") for one in asked] == [2, 2]
    del asked[:]
    mood.using(strategy=Reasoned())("a bad day")
    assert [one.messages[-1].content.count("text: a bad day") for one in asked] == [1, 1]


def test_parameters_of_a_running_flow_reach_the_questions() -> None:
    bound = sort.bind({"sort.mood/instruction": "Rather: is it raining?"})
    with tw.using(strategy=Twice()):
        bound(["a"])
    assert sum("is it raining" in one.messages[0].content for one in asked) == 2


# -- failures ---------------------------------------------------------------------------------------------------------


def test_a_strategy_that_raises_is_a_failing_call_in_the_journal() -> None:
    function = mood.using(strategy=Broken())
    with pytest.raises(ValueError, match="a mistake"):
        function("a")
    assert journal()["mood#0"].error == "ValueError: a mistake of the strategy"
    rows = function.map(["a", "b"])
    assert all(isinstance(one, Failure) and isinstance(one.error, ValueError) for one in rows)


def test_a_question_that_fails_fails_the_call() -> None:
    found = mood.using(strategy=Reasoned()).map(["fine", "it is down"])
    assert found[0] == "glad" and isinstance(found[1].error, ModelError)


def test_a_value_that_is_not_of_the_type_is_refused_with_the_strategys_name() -> None:
    with pytest.raises(DataError, match=r"'wrong' gave 'hungry' for `mood`"):
        mood.using(strategy=Wrong())("a")


def test_python_mode_runs_the_body_and_fallback_mode_runs_it_once() -> None:
    ran: list[str] = []

    @tw.learned
    def careful(text: str) -> Mood:
        """How does the writer feel?"""
        ran.append(text)
        return "glad"

    assert careful.using(strategy=Reasoned(), mode="python")("a") == "glad" and not asked
    fallback = careful.using(strategy=Reasoned(), mode="fallback")
    assert fallback("a bad day") == "sad" and ran == ["a"]
    assert fallback("it is down") == "glad" and ran == ["a", "it is down"]


# -- contracts --------------------------------------------------------------------------------------------------------


def never_sad(text: str, out: str) -> str:
    return "do not be sad" if out == "sad" else ""


def hardened(request: Request) -> Answer | str:
    asked.append(request)
    if not request.format.choices:
        return "because"
    return "glad" if BECAUSE in request.messages[-1].content else "sad"


def test_a_contract_repairs_through_the_strategy() -> None:
    @tw.learned(ensure=never_sad, repair=1, strategy=Reasoned())
    def answer(text: str) -> Mood:
        """How does the writer feel?"""

    with tw.using(model=ScriptedModel(hardened, identity="hardened")):
        assert answer("a bad day") == "glad"
    again = [one.messages[-1].content for one in asked[2:]]
    assert len(again) == 2 and all(f"{REFUSED}: sad" in text and "do not be sad" in text for text in again)
    assert all("because" not in one.messages[-1].content for one in asked if not one.format.choices)
    rows = journal()
    assert {path for path in rows if rows[path].kind == "strategy"} == {"answer#0", "answer#0/answer#0"}
    assert len(rows) == 6  # no place of a repair is that of a question

    @tw.learned(ensure=never_sad, strategy=Wrong())
    def hopeless(text: str) -> Literal["sad", "hungry"]:
        """How?"""

    assert hopeless("a") == "hungry"
    with pytest.raises(ContractViolation):
        answer.using(strategy=Twice())("a bad day")


# -- flows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [Reasoned(), Twice(inner=Reasoned())], ids=lambda one: one.name)
def test_a_compiled_flow_equals_the_eager_one_in_values_and_places(strategy: Any, tmp_path: Any) -> None:
    texts = ["a bad day", "fine", "bad again"]
    seen = []
    for index, run in enumerate((sort, sort.eager)):
        with tw.using(strategy=strategy, store=tmp_path / str(index)):
            found = run(texts)
            seen.append((found, {(path, call.kind, call.value) for path, call in journal().items()}))
    assert seen[0] == seen[1]


def test_questions_begun_beyond_a_failure_leave_the_journal_with_their_call(tmp_path: Any) -> None:
    store = Store(tmp_path / "run")

    @tw.learned
    def early(text: str) -> str:
        """The first call, which fails late."""

    @tw.flow
    def both(text: str) -> str:
        first = early(text)
        second = mood(text)
        return first + second

    released = threading.Event()

    def late(request: Request) -> str:
        if "fails late" in request.messages[0].content:
            deadline = time.monotonic() + 20
            while not any(call.path == "both#0/mood#0/mood#0" for call in store.calls()):
                assert time.monotonic() < deadline
            released.set()
            raise ModelError("It is down.", "Wait.")
        if request.sampling.seed == 2:
            assert released.wait(20)
        return "glad"

    model = ScriptedModel(late, identity="late", max_concurrency=3)
    with tw.using(model=model, store=store), pytest.raises(ModelError, match="down"):
        flow_of(both)("x")
    time.sleep(0.05)  # what was under way may write now, and must not
    assert {call.path for call in store.calls()} == {"both#0", "both#0/early#0"}


def flow_of(flow: Any) -> Any:
    """`mood` asked twice in it, `early` directly."""

    def run(*args: Any) -> Any:
        global mood
        plain, mood = mood, mood.using(strategy=Twice())
        try:
            return flow(*args)
        finally:
            mood = plain

    return run


def test_a_resumed_run_asks_no_inner_question_twice() -> None:
    texts = ["a bad day", "fine", "it is down"]
    with tw.using(strategy=Reasoned()):
        run = sort.start(texts, id="mended")
        assert isinstance(run.exception(20), ModelError)
        before = len(asked)
        with tw.using(model=ScriptedModel(up, identity="procedures")):
            assert sort.resume("mended").result(20) == ["sad: because day", "glad: because fine", "glad: because down"]
    done = [one.messages[-1].content for one in asked[before:]]
    assert done and all("down" in text for text in done)
    del asked[:]
    with tw.using(strategy=Reasoned()):
        assert sort.start(texts, id="mended").result(20)[0] == "sad: because day"
    assert asked == []


def up(request: Request) -> Answer | str:
    if "down" in request.messages[-1].content:
        asked.append(request)
        return request.format.choices[0] if request.format.choices else "because down"
    return script(request)


def test_a_strategy_whose_failure_a_flow_has_handled_fails_again_when_resumed() -> None:
    @tw.flow
    def patient(text: str) -> str:
        try:
            first = mood(text)
        except ValueError as error:
            first = str(error)
        return f"{first}, {title('it is down' if text == 'a' else text)}"

    global mood
    plain, mood = mood, mood.using(strategy=Broken())
    try:
        assert isinstance(patient.start("a", id="patient").exception(20), ModelError)
        del asked[:]
        with tw.using(model=ScriptedModel(up, identity="procedures")):
            assert patient.resume("patient").result(20) == "a mistake of the strategy, because down"
    finally:
        mood = plain
    assert len(asked) == 1


# -- labels, tables, models -------------------------------------------------------------------------------------------


def test_a_labelled_input_keeps_its_label_through_a_strategy() -> None:
    value = mood.using(strategy=Reasoned()).submit(labelled("a bad day", "hr"))
    assert value.result() == "sad"
    assert value.label == Label("hr")
    with tw.using(strategy=Reasoned()):
        found = sort.labelled([labelled("a bad day", "hr")])
    assert (found.value, found.label) == (["sad: because day"], Label("hr"))


@pytest.mark.parametrize("propagator", [Introspection(), Permissive()], ids=lambda one: type(one).__name__)
def test_a_propagator_that_scores_answers_refuses_a_strategy_of_several(propagator: Any) -> None:
    with tw.using(labels=propagator), pytest.raises(UnsupportedByBackend, match="'reasoned' asks more than once"):
        mood.using(strategy=Reasoned())(labelled("a bad day", "hr"))
    with tw.using(labels=Conservative()):
        assert mood.using(strategy=Reasoned())(labelled("a bad day", "hr")) == "sad"


FLOW = '''
from dataclasses import dataclass
from typing import Literal
import thalweg as tw
from thalweg.program.procedure import Solved, derived

@dataclass(frozen=True)
class Checked:
    name: str = "checked"

    def solve(self, ask, inputs):
        first = ask(**inputs)
        kept = derived(ask, "check", output=bool, more={"answer": str})(**inputs, answer=first)
        return Solved(first, {"kept": kept})

@tw.learned(strategy=Checked())
def mood(text: str) -> Literal["glad", "sad"]:
    """How does the writer feel?"""
'''


def test_a_table_runs_through_a_strategy_and_is_inspected(
    model: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from thalweg.cli import main
    from thalweg.program import session

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "moods.py").write_text(FLOW)
    (tmp_path / "in.csv").write_text("text\nwhat a day\nI miss her\n")
    monkeypatch.setitem(session._models, "smollm2-135m", model)

    def said(*line: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left, tw.using(model="smollm2-135m", cache=True):
            main(list(line))
        told = capsys.readouterr()
        assert not left.value.code, told.err
        return told.out

    said("run", "moods.py:mood", "--input", "in.csv", "--output", "out.jsonl")
    rows = [json.loads(one) for one in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(rows) == 2 and all({*row.values()} & {"glad", "sad"} for row in rows)
    shown = said("inspect", "--run", "last")
    places = [line.split()[:2] for line in shown.splitlines()]
    for n in (0, 1):
        assert {f"row {n}/mood#0{inner}" for inner in ("", "/mood#0", "/check#0")} <= {" ".join(one) for one in places}


def test_the_real_model_asks_the_questions_of_all_rows_together(model: Any, tmp_path: Any) -> None:
    rows = [f"{word} day number {n}" for n in range(2) for word in ("a lovely", "an awful")]
    with tw.using(model=model, store=tmp_path, max_tokens=8):
        found = mood.using(strategy=Reasoned()).map(rows)
        assert set(found) <= {"glad", "sad"}
        assert (
            found == [mood.using(strategy=Reasoned(), journal=False, cache=False)(row) for row in rows[:2]] + found[2:]
        )
