"""Human steps: typed answers, journalled in their place, given by anybody at any time."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

import thalweg as tw
from thalweg.errors import DataError, ModelError, NonDeterminism, StoreError, TypeNotSupported
from thalweg.models.scripted import ScriptedModel
from thalweg.program import human
from thalweg.program.human import Inbox, Question, Terminal, answer, approve, ask, questions
from thalweg.program.run import Cancelled, Run, resume
from thalweg.program.session import current, store_in_force

asked: list[str] = []
sent: list[str] = []
trouble: list[BaseException] = []


def script(request: Any) -> str:
    text = request.messages[-1].content
    asked.append(text)
    if "broken" in text:
        raise ModelError("Out of order.", "Wait.")
    return f"about {text.split()[-1]}"


@pytest.fixture(autouse=True)
def scripted(own_session: None) -> Iterator[None]:
    asked.clear()
    sent.clear()
    trouble.clear()
    with tw.using(model=ScriptedModel(script, identity="human tests"), cache=False, human=Inbox()):
        yield


@tw.learned
def title(text: str) -> str:
    """Give it a title."""


@tw.tool(effect="write", on_unknown="ask")
def send(text: str) -> int:
    if trouble:
        raise trouble.pop(0)
    sent.append(text)
    return len(text)


@dataclass
class Refund:
    order: Annotated[str, Field(pattern="[0-9]{4}")]
    amount: Annotated[int, Field(ge=1)]

    def __post_init__(self) -> None:
        if self.amount == 13:
            raise ValueError("thirteen is unlucky")


@tw.flow
def letter(text: str) -> str:
    draft = title(text)
    if approve("Send this?", draft):
        return f"{draft}, {send(draft)}"
    return "kept"


@tw.flow
def refund(text: str) -> Refund:
    return ask("Which refund?", Refund, {"letter": title(text)})


@tw.flow
def pick(text: str) -> str:
    return ask("Which way?", Literal["left", "right"])


def waiting(run: Run[Any], count: int = 1) -> list[Question]:
    """The questions of a run, once there are so many; notices the end of the run too."""
    for _ in range(2000):
        found = questions(run.id)
        if len(found) >= count or run.done():
            return found
        threading.Event().wait(0.005)
    raise AssertionError("nothing is asked")


# -- the inbox --------------------------------------------------------------------------------------------------------


def test_a_run_waits_for_its_answer_and_goes_on_with_it() -> None:
    run = letter.start("tea", id="letter")
    (question,) = waiting(run)
    assert (question.text, question.payload, question.choices) == ("Send this?", "about tea", ("true", "false"))
    assert (question.path, run.status, run.done()) == ("letter#0/approve#0", "waiting", False)
    assert sent == []
    answer("letter", True)
    assert run.result(20) == "about tea, 9"
    assert questions() == []
    calls = {call.path: call for call in run.messages()}
    assert (calls["letter#0/approve#0"].kind, calls["letter#0/approve#0"].value) == ("human", "true")
    assert tw.Finished("letter#0/approve#0", True) in list(run.events())


@pytest.mark.parametrize(("given", "taken"), [(True, "sent"), ("yes", "sent"), ("true", "sent"), ("N", "kept")])
def test_yes_and_no_have_their_usual_forms(given: Any, taken: str) -> None:
    run = letter.start("tea", id="forms")
    waiting(run)
    answer("forms", given)
    assert ("kept" if run.result(20) == "kept" else "sent") == taken


@pytest.mark.parametrize("given", [Refund("1234", 5), '{"order": "1234", "amount": 5}', {"order": "1234", "amount": 5}])
def test_answers_are_values_of_the_declared_type_or_texts_that_stand_for_them(given: Any) -> None:
    run = refund.start("tea", id="refund")
    (question,) = waiting(run)
    assert question.payload == {"letter": "about tea"}
    answer("refund", given)
    assert run.result(20) == Refund("1234", 5)
    assert resume("refund").result(20) == Refund("1234", 5)


@pytest.mark.parametrize(("given", "reason"), [
    ("nonsense", "not JSON"), ('{"order": "12345", "amount": 5}', "order"), ({"order": "1234", "amount": 0}, "amount"),
    ('{"order": "1234", "amount": 13}', "unlucky"), (True, "refused"),
])  # fmt: skip
def test_an_answer_that_is_not_of_the_type_is_refused_with_the_reason_and_the_question_stays(
    given: Any, reason: str
) -> None:
    run = refund.start("tea", id="refused")
    waiting(run)
    with pytest.raises(DataError, match=reason):
        answer("refused", given)
    assert len(questions("refused")) == 1 and not run.done()
    answer("refused", Refund("1234", 1))
    assert run.result(20) == Refund("1234", 1)


def test_choices_are_checked_where_the_answer_is_given() -> None:
    run = pick.start("x", id="pick")
    waiting(run)
    with pytest.raises(DataError, match="none of the choices 'left', 'right'"):
        answer("pick", "up")
    answer("pick", "Left")
    assert run.result(20) == "left"


def test_a_waiting_run_may_be_closed_and_finds_its_answer_when_it_is_resumed() -> None:
    run = letter.start("tea", id="closed")
    waiting(run)
    run.cancel()
    with pytest.raises(CancelledError):
        run.result(20)
    assert len(questions("closed")) == 1
    answer("closed", "yes")
    assert questions("closed") == []
    count = len(asked)
    assert resume("closed").result(20) == "about tea, 9"
    assert len(asked) == count


def test_an_answer_that_only_the_runs_own_type_can_refuse_leaves_the_question_with_the_reason() -> None:
    run = refund.start("tea", id="late")
    waiting(run)
    run.cancel()
    run.exception(20)
    answer("late", '{"order": "1234", "amount": 13}')  # the format allows it, the class does not
    again = resume("late")
    found = waiting(again)
    while not found[0].refused:
        found = waiting(again)
    assert "unlucky" in found[0].refused
    answer("late", '{"order": "1234", "amount": 14}')
    assert again.result(20) == Refund("1234", 14)


def test_an_answer_comes_from_any_process(tmp_path: Path) -> None:
    run = letter.start("tea", id="far")
    waiting(run)
    done = subprocess.run(
        [sys.executable, "-m", "thalweg", "answer", "far", "maybe"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and "none of the choices" in done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "thalweg", "answer", "far", "yes"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert run.result(20) == "about tea, 9"


def test_of_several_questions_one_must_be_named() -> None:
    @tw.flow
    def both(text: str) -> list[Any]:
        return [one.result() for one in (letter.submit(text), pick.submit(text))]

    run = both.start("tea", id="both")
    paths = {question.path for question in waiting(run, 2)}
    assert paths == {"both#0/letter#0/approve#0", "both#0/pick#0/ask#0"}
    with pytest.raises(DataError, match="asks 2 things.*Which way"):
        answer("both", "left")
    answer("both", "left", "both#0/pick#0/ask#0")
    answer("both", "no")
    assert run.result(20) == ["kept", "left"]
    with pytest.raises(DataError, match="asks nothing"):
        answer("both", "no")


# -- order and replay -------------------------------------------------------------------------------------------------


def test_nobody_is_asked_before_everything_earlier_has_succeeded() -> None:
    asking: list[str] = []

    @tw.flow
    def after(text: str) -> bool:
        draft = title(text)
        return approve("Send it?") and draft != ""

    with tw.using(human=lambda question: asking.append(question.text) or True):
        with pytest.raises(ModelError):
            after("broken")
        assert asking == []
        assert after("tea") is True
        assert asking == ["Send it?"]


def test_answers_are_replayed_and_nobody_is_asked_twice() -> None:
    trouble.append(ValueError("no post"))
    count: list[str] = []
    with tw.using(human=lambda question: count.append(question.text) or "yes"):
        run = letter.start("tea", id="twice")
        assert isinstance(run.exception(20), ValueError)
        assert resume("twice").result(20) == "about tea, 9"
    assert count == ["Send this?"]


def test_a_program_that_asks_something_else_is_another_program() -> None:
    trouble.append(ValueError("no post"))
    with tw.using(human=lambda question: True):
        letter.start("tea", id="changed").exception(20)

        @tw.flow
        def changed(text: str) -> str:
            return f"{title(text)} {approve('Burn this?', text)}"

        error = resume("changed", tw.Flow(renamed(changed.function))).exception(20)
    assert isinstance(error, NonDeterminism)
    assert "Send this?" in str(error) and "Burn this?" in str(error) and "test_human.py, line" in str(error)


def renamed(function: Callable[..., Any]) -> Callable[..., Any]:
    function.__qualname__ = "letter"
    return function


# -- who answers ------------------------------------------------------------------------------------------------------


def test_a_function_answers_with_values_or_texts_and_is_held_to_the_type() -> None:
    said: list[Any] = [Refund("1234", 5), '{"order": "1234", "amount": 5}']
    with tw.using(human=lambda question: said.pop(0)):
        assert refund("x") == refund("x") == Refund("1234", 5)
    with tw.using(human=lambda question: "sideways"), pytest.raises(DataError, match="sideways.*none of the choices"):
        pick("x")


def test_the_terminal_asks_until_the_answer_is_of_the_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("up\n right \n"))
    with tw.using(human=Terminal()):
        assert pick("x") == "right"
        shown = capsys.readouterr().err
        assert "Which way?" in shown and "none of the choices" in shown
        with pytest.raises(DataError, match="terminal closed"):
            pick("x")


def test_without_a_terminal_the_inbox_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("right\n"))
    with tw.using(human=None):
        assert current().human is not None  # the fixture's; settings of None say nothing
    assert isinstance(human.default(), Inbox)


def test_steps_work_outside_durable_runs_and_outside_flows() -> None:
    found: list[str] = []
    with tw.using(human=lambda question: found.append(question.run) or 3):
        assert ask("How many?", int) == 3
        assert approve.__name__ == "approve"
    assert found[0].startswith("script-")
    value = letter.submit("tea")
    while not (open_ones := questions()):
        threading.Event().wait(0.005)
    answer(open_ones[0].run, "no")
    assert value.result(20) == "kept"


def test_what_cannot_be_asked_says_why() -> None:
    with tw.using(human=lambda question: 1):
        with pytest.raises(TypeNotSupported):
            ask("What?", threading.Lock)
        with pytest.raises(DataError, match="Ask with a text"):
            ask("  ")
    with tw.using(journal=False), pytest.raises(StoreError, match="the journal is off"):
        ask("What?")


# -- writes nobody knows of -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("happened", "gave", "expected"), [(True, "7", 7), (False, None, 9)])
def test_a_person_says_whether_a_write_happened(happened: bool, gave: str | None, expected: int) -> None:
    @tw.flow
    def post(text: str) -> int:
        return send(title(text))

    trouble.append(Cancelled())
    assert isinstance(post.start("tea", id="post").exception(20), CancelledError)
    run = resume("post")
    (question,) = waiting(run)
    assert "`send` was at work. Did it happen?" in question.text
    assert question.payload == {"text": "about tea"}
    answer("post", happened)
    if gave is not None:
        while not (more := waiting(run)) or more[0].path == question.path:
            pass
        answer("post", gave)
    assert run.result(20) == expected
    assert sent == ([] if happened else ["about tea"])
    assert questions() == []
    assert store_in_force(current()).intent("post", "post#0/send#0") is None


def test_the_store_of_these_tests_is_the_process_default() -> None:
    """Other processes of these tests find it by the environment."""
    assert str(store_in_force(current()).folder) == os.environ["THALWEG_STORE"]
