"""Durable runs: nothing done is done again, failures that were handled come again, another program is noticed."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import DataError, EffectUnknown, Error, ModelError, NonDeterminism, RecordedError, RunBusy
from thalweg.eval.benches.durable_flows import FLOWS
from thalweg.eval.benches.durable_kills import survive, undisturbed
from thalweg.models.scripted import ScriptedModel
from thalweg.program.failure_record import failure_from_json, failure_to_json
from thalweg.program.human import Inbox
from thalweg.program.run import Cancelled, Run, resume, runs
from thalweg.program.run_events import Failed, journal_events
from thalweg.program.run_lock import RunLock
from thalweg.program.session import current, store_in_force
from thalweg.program.settling import settle
from thalweg.program.store import Store

asked: list[str] = []
sent: list[str] = []
trouble: dict[str, list[BaseException]] = {}  # by text: raised one by one


def meet_trouble(text: str) -> None:
    if trouble.get(text):
        raise trouble[text].pop(0)


def script(request: Any) -> str:
    text = request.messages[-1].content
    asked.append(text)
    meet_trouble(next((key for key in trouble if text.endswith(key)), ""))
    return "high" if request.format.choices else f"about {text.split()[-1]}"


@pytest.fixture(autouse=True)
def scripted(own_session: None) -> Iterator[None]:
    for one in (asked, sent):
        one.clear()
    trouble.clear()
    with tw.using(model=ScriptedModel(script, identity="durable tests"), cache=False, human=Inbox()):
        yield


@tw.learned
def title(text: str) -> str:
    """Give it a title."""


@tw.learned
def level(text: str) -> Literal["low", "high"]:
    """How urgent is it?"""


@tw.tool(effect="write")
def send(to: str) -> str:
    meet_trouble(f"send {to}")
    sent.append(to)
    return f"sent to {to}"


@dataclass(frozen=True)
class Case:
    name: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    case: Case
    titles: dict[str, str]


@tw.flow
def work(case: Case) -> Report:
    titles = {note: title(note) for note in case.notes}
    send(case.name)
    return Report(case, titles)


@tw.flow
def patient(text: str) -> str:
    try:
        first = title(text)
    except ModelError as error:
        first = f"none, as {error.what}"
    urgency = level(first)
    return f"{first}, {urgency}, {send(urgency)}"


CASE = Case("anna", ("tea", "soap", "lamp"))


def fail(flow: Any, *args: Any, id: str) -> BaseException:
    """Run a flow to its failure."""
    run = flow.start(*args, id=id)
    error = run.exception(20)
    assert error is not None and run.status == "failed"
    return error


# -- running ----------------------------------------------------------------------------------------------------------


def test_a_durable_run_gives_the_result_of_the_flow() -> None:
    expected = work(CASE)
    run = work.start(CASE)
    assert isinstance(run, Run)
    assert run.result(20) == expected
    assert (run.done(), run.status, run.exception()) == (True, "finished", None)
    assert run.id.startswith("work-")

    async def awaited() -> Any:
        return await work.start(CASE, id="awaited")

    assert asyncio.run(awaited()) == expected


def test_a_finished_run_gives_its_typed_result_from_the_store_without_running_anything() -> None:
    result = work.start(CASE, id="case-17").result(20)
    del asked[:], sent[:]
    for again in (work.start(CASE, id="case-17"), resume("case-17"), resume("case-17", work), work.resume("case-17")):
        assert again.done()
        assert again.result() == result
        assert isinstance(again.result().case, Case)
    assert asked == sent == []


def test_the_same_id_with_another_flow_or_other_inputs_is_an_error_saying_the_difference() -> None:
    work.start(CASE, id="mine").result(20)
    with pytest.raises(NonDeterminism, match=r"`case` was .*tea.* and is .*'bert'"):
        work.start(Case("bert", ()), id="mine")
    with pytest.raises(NonDeterminism, match=r"begun with the flow .*:work .* started with .*:patient"):
        patient.start("x", id="mine")
    with pytest.raises(NonDeterminism, match=r"one of `work`, not of `patient`"):
        resume("mine", patient)
    with pytest.raises(DataError, match="no run 'nobody'"):
        resume("nobody")


def test_an_input_that_cannot_be_written_down_is_named_before_anything_runs() -> None:
    @tw.flow
    def reading(text: str, source: Any) -> str:
        return title(text + source.read())

    with pytest.raises(DataError, match=r"`source` is a Handle.*make the object inside the flow"):
        reading.start("x", Handle())
    with pytest.raises(DataError, match="cannot name a run"):
        work.start(CASE, id=" ")
    assert asked == []
    assert runs() == []


class Handle:
    """No data."""


def test_inputs_of_every_kind_of_parameter_come_back_as_they_were() -> None:
    @tw.flow
    def many(a: int, /, b: Case, *more: Case, c: float = 0.5, d: tuple[str, int] = ("x", 1), **rest: Case) -> list[str]:
        meet_trouble("many")
        return [repr((a, b, more, c, d, rest))]

    trouble["many"] = [ValueError("once")]
    expected = [repr((1, CASE, (CASE, CASE), float("inf"), ("y", 2), {"e": CASE}))]
    arguments: dict[str, Any] = {"c": float("inf"), "d": ("y", 2), "e": CASE}
    run = many.start(1, CASE, CASE, CASE, id="many", **arguments)
    with pytest.raises(ValueError, match="once"):
        run.result(20)
    assert resume("many").result(20) == expected


def test_events_tell_every_call_the_same_while_it_runs_and_afterwards() -> None:
    run = work.start(CASE, id="told")
    live = list(run.events())
    assert list(resume("told").events()) == live
    assert live[0] == tw.Started("work#0")
    assert live[-1] == tw.Done(run.result())
    finished = [event.path for event in live if isinstance(event, tw.Finished)]
    assert sorted(finished) == ["work#0", "work#0/send#0", "work#0/title#0", "work#0/title#1", "work#0/title#2"]
    for path in finished:
        begin = live.index(tw.Started(path))
        assert begin < next(i for i, one in enumerate(live) if isinstance(one, tw.Finished) and one.path == path)
    assert tw.Finished("work#0/title#1", "about soap") in live
    assert [call.path for call in run.messages()] == finished
    assert all(call.prompt for call in run.messages() if call.function == "title")


def test_a_cancelled_run_is_interrupted_and_goes_on_where_it_was() -> None:
    @tw.flow
    def slow(texts: list[str]) -> list[str]:
        found = []
        for text in texts:
            try:
                found.append(level(text + title(text)))
            except Exception:  # cancelling is not for the program to catch
                found.append("caught")
        return found

    reached, go = threading.Event(), threading.Event()

    def waiting(request: Any) -> str:
        if request.messages[-1].content.endswith("c"):
            reached.set()
            go.wait(20)
        return script(request)

    with tw.using(model=ScriptedModel(waiting, identity="durable tests", max_concurrency=1)):
        run = slow.start(["a", "b", "c", "d"], id="slow")
        assert reached.wait(20)
        run.cancel()
        go.set()
        with pytest.raises(CancelledError):
            run.result(20)
    assert run.status == "interrupted"
    done = len(asked)
    assert 5 <= done <= 6
    assert resume("slow").result(20) == ["high"] * 4
    assert len(asked) == 8


# -- failures ---------------------------------------------------------------------------------------------------------


def test_the_call_a_run_failed_by_is_tried_again_and_nothing_else() -> None:
    trouble["soap"] = [ModelError("Out of order.", "Wait.")]
    error = fail(work, CASE, id="broken")
    assert isinstance(error, ModelError)
    told = list(journal_events(store_in_force(current()), "broken", lambda: True, time.sleep))
    assert Failed("work#0", "ModelError: Out of order. Wait.") in told
    assert [run.error for run in runs()] == ["ModelError: Out of order. Wait."]
    before = list(asked)
    result = resume("broken").result(20)
    assert result.titles == {note: f"about {note}" for note in CASE.notes}
    assert sent == ["anna"]
    again = asked[len(before) :]
    assert sum("soap" in one for one in again) == 1
    assert not any("tea" in one for one in again)


def test_a_handled_failure_fails_again_with_the_same_exception_and_the_one_that_was_not_is_tried_again() -> None:
    trouble["tea"] = [ModelError("the model slept.", "Wake it.")]
    trouble["send high"] = [OSError(28, "No space left")]
    error = fail(patient, "tea", id="handled")
    assert isinstance(error, OSError) and error.errno == 28
    count = len(asked)
    assert resume("handled").result(20) == "none, as the model slept., high, sent to high"
    assert len(asked) == count, "no call of the model is made again, the failed one included"
    assert sent == ["high"]


@tw.flow
def tidy(text: str) -> str:
    try:
        first = title(text)
    except ModelError:
        send("sorry")
        raise
    finally:
        level(text)
    return f"{first}, {send('well done')}"


@tw.flow
def around(text: str) -> str:
    return tidy(text)


@pytest.mark.parametrize("flow", [tidy, around])
def test_what_a_program_did_after_the_failure_that_ended_it_does_not_bind_the_next_try(flow: Any) -> None:
    trouble["tea"] = [ModelError("Down.", "Wait.")]
    fail(flow, "tea", id="tidy")
    assert sent == ["sorry"]
    assert resume("tidy").result(20) == "about tea, sent to well done"
    assert sent == ["sorry", "well done"]
    assert sum(one.endswith("tea") for one in asked) == 3, "twice the title, once the level"


def test_a_failure_whose_handling_a_kill_cut_off_is_tried_again_when_nothing_handles_it() -> None:
    trouble["soap"] = [ModelError("Down.", "Wait.")]
    fail(work, CASE, id="cut")
    store = store_in_force(current())
    failing = next(call.path for call in store.calls("cut") if call.error and call.function == "title")
    with store._guard():  # the state before the end of the run was written down
        store._db.execute("INSERT INTO failures VALUES ('cut', ?, ?)",
                          (failing, failure_to_json(ModelError("Down.", "Wait."))))  # fmt: skip
        store._db.execute("UPDATE runs SET finished = NULL, status = 'running' WHERE run = 'cut'")
    assert resume("cut").result(20).titles["soap"] == "about soap"


class Odd(Exception):
    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"{detail} ({code})")
        self.code = code
        self.detail = detail


@pytest.mark.parametrize("error", [
    ValueError("x", 3), OSError(2, "No such file"), KeyError("k"), TimeoutError(), StopIteration([1, {"a": None}]),
    ModelError("It broke.", "Mend it."), DataError("Row.", "Fix.", row=3, column="c"), Odd(7, "odd"),
], ids=lambda error: type(error).__name__)  # fmt: skip
def test_a_recorded_exception_is_the_same_exception(error: Exception) -> None:
    error.add_note("call f#0")
    made = failure_from_json(failure_to_json(error))
    assert type(made) is type(error)
    assert (made.args, str(made), vars(made)) == (error.args, str(error), vars(error))
    if isinstance(error, OSError):
        assert isinstance(made, OSError) and made.errno == error.errno


@given(st.lists(st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False))))
def test_any_json_arguments_of_an_exception_come_back(arguments: list[Any]) -> None:
    made = failure_from_json(failure_to_json(RuntimeError(*arguments)))
    assert (type(made), made.args) == (RuntimeError, tuple(arguments))


@pytest.mark.parametrize("name", ["antigravity:Error", "os:system", "subprocess:Popen", "builtins:SystemExit",
                                  "nowhere.at.all:Error", "builtins:eval", "test_durable:Handle"])  # fmt: skip
def test_a_record_neither_imports_nor_runs_what_it_names(name: str) -> None:
    record = json.loads(failure_to_json(ValueError("touch /tmp/x")))
    before = set(sys.modules)
    made = failure_from_json(json.dumps(record | {"class": name}))
    assert isinstance(made, RecordedError)
    assert made.recorded_class == name
    assert set(sys.modules) == before


def test_a_failure_with_arguments_that_are_no_data_gets_a_stand_in() -> None:
    made = failure_from_json(failure_to_json(ValueError(object())))
    assert isinstance(made, RecordedError) and isinstance(made, Error)
    assert "ValueError" in str(made)


# -- the same program -------------------------------------------------------------------------------------------------

PROGRAM = """
import thalweg as tw
from test_durable import level, meet_trouble, send, title


@tw.flow
def story(text: str) -> list[str]:
    first = title(text)
    second = title(first + " more")
    third = level(second)
    return [first, second, third, send(text)]
"""


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Write the program with replacements, and import it anew."""
    monkeypatch.syspath_prepend(str(tmp_path))
    versions = iter(range(100))

    def make(*replacements: tuple[str, str]) -> Any:
        text = PROGRAM
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "told.py").write_text(text + f"# {'x' * next(versions)}\n")
        sys.modules.pop("told", None)
        importlib.invalidate_caches()
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        try:
            return importlib.import_module("told").story
        finally:
            sys.dont_write_bytecode = before

    return make


@pytest.mark.parametrize(("old", "new", "line", "was", "now"), [
    ('first + " more"', 'first + " other"', 9, r"`title` of .*about tea more", r"`title` of .*about tea other"),
    ("third = level(second)", "third = title(second)", 10, r"`level` of .*about more", r"`title` of .*about more"),
    ("third = level(second)", 'third = send("early")', 10, r"`level` of .*about more", r"`send` of .*early"),
    ("second = title", "second = level", 9, r"`title` of .*about tea more", r"`level` of .*about tea more"),
])  # fmt: skip
def test_a_changed_call_says_its_line_what_was_expected_and_what_came(
    edit: Callable[..., Any], old: str, new: str, line: int, was: str, now: str
) -> None:
    story = edit()
    trouble["send tea"] = [ValueError("no post")]
    fail(story, "tea", id="edited")
    error = resume("edited", edit((old, new))).exception(20)
    assert isinstance(error, NonDeterminism)
    where = rf"told.py, line {line}\)"
    assert re.search(rf"{where} the run edited recorded {was}.*now calls {now}", str(error)), str(error)
    assert sent == [], "nothing is done for another program"
    assert resume("edited", edit()).result(20)[3] == "sent to tea", "the recorded program still goes on"


def test_a_program_that_swallows_errors_does_not_swallow_that_it_changed(edit: Callable[..., Any]) -> None:
    trouble["end"] = [ValueError("end")]
    fail(edit(("return [first", "meet_trouble('end')\n    return [first")), "tea", id="quiet")
    caught = '    try:\n        second = title("changed")\n    except Exception:\n        second = "x"'
    changed = edit(('    second = title(first + " more")', caught))
    assert isinstance(resume("quiet", changed).exception(20), NonDeterminism)


def test_a_program_that_ends_without_its_recorded_calls_is_an_error_naming_them(edit: Callable[..., Any]) -> None:
    trouble["end"] = [ValueError("end")]
    fail(edit(("return [first", "meet_trouble('end')\n    return [first")), "tea", id="short")
    shorter = edit(("third = level(second)", "return [first]"))
    error = resume("short", shorter).exception(20)
    assert isinstance(error, NonDeterminism)
    assert "story#0/level#0, `level` of" in str(error)
    assert resume("short").status == "failed"


def test_an_effect_never_comes_before_recorded_calls_that_were_not_made(edit: Callable[..., Any]) -> None:
    trouble["send tea"] = [ValueError("no post")]
    fail(edit(), "tea", id="early")
    changed = edit(("    first = title(text)", "    first = title(text)\n    return [send('now')]"))
    assert isinstance(resume("early", changed).exception(20), NonDeterminism)
    assert sent == []


def test_the_comment_and_layout_of_a_program_may_change(edit: Callable[..., Any]) -> None:
    trouble["send tea"] = [ValueError("no post")]
    fail(edit(), "tea", id="same")
    count = len(asked)
    moved = edit(("    first = title(text)", "    # a comment\n\n    first = title(text)\n"))
    assert resume("same", moved).result(20)[0] == "about tea"
    assert len(asked) == count


def test_another_model_or_instruction_is_said_to_be_one() -> None:
    trouble["send anna"] = [ValueError("no post")]
    fail(work, CASE, id="model")
    with tw.using(model=ScriptedModel(script, identity="another")):
        error = resume("model").exception(20)
    assert isinstance(error, NonDeterminism)
    assert "with another model, other settings or another contract" in str(error)


def test_settings_and_parameters_of_the_run_come_back_with_it() -> None:
    trouble["send anna"] = [ValueError("no post")]
    bound = work.using(temperature=0.25, seed=3).bind({"work.title/instruction": "Name it."})
    assert isinstance(bound.start(CASE, id="bound").exception(20), ValueError)
    count = len(asked)
    assert resume("bound").result(20).titles["tea"] == "about tea"
    assert len(asked) == count


@tw.flow
def ahead(text: str) -> list[str]:
    try:
        found = [title(text), title(text + " second"), title(text + " third")]
    except ModelError:
        found = [title("instead"), level("instead")]
    return [*found, send(text)]


def test_records_made_ahead_of_a_failure_do_not_stand_in_the_way() -> None:
    """A process that is killed leaves calls it made ahead; if an earlier one then fails, they never happened."""
    trouble["send tea"] = [ValueError("stop")]
    fail(ahead, "tea", id="ahead")
    store = store_in_force(current())
    store.forget_calls("ahead", ["ahead#0/title#0", "ahead#0/send#0"])  # it was under way when the process died
    trouble["tea"] = [ModelError("Down.", "Wait.")]
    assert resume("ahead").result(20) == ["about instead", "high", "sent to tea"]
    assert sorted(call.path for call in store.calls("ahead")) == [
        "ahead#0", "ahead#0/level#0", "ahead#0/send#0", "ahead#0/title#0", "ahead#0/title#1"
    ]  # fmt: skip


@tw.flow
def apart(texts: list[str]) -> list[str]:
    done = patient.submit(texts[0])
    sent_first = send("first")
    return [sent_first, done.result(), *[str(one) for one in safe.map(texts)], send("last")]


@tw.flow
def safe(text: str) -> str:
    return title(f"row {text}")


def test_submitted_flows_and_rows_that_failed_come_back_as_they_were() -> None:
    trouble["row soap"] = [ModelError("Down.", "Wait.")]
    trouble["send last"] = [ValueError("no post")]
    fail(apart, ["tea", "soap"], id="apart")
    count = len(asked)
    found = resume("apart").result(20)
    assert found[:3] == ["sent to first", "about tea, high, sent to high", "about tea"]
    assert "Down." in found[3] and found[4] == "sent to last"
    assert len(asked) == count
    assert sorted(sent) == ["first", "high", "last"]


def test_an_effect_does_not_wait_for_a_submitted_flow_to_be_replayed() -> None:
    trouble["send first"] = [ValueError("no post")]
    fail(apart, ["tea"], id="apart")
    assert resume("apart").result(20)[0] == "sent to first"


def test_a_run_does_not_end_in_the_middle_of_an_effect_of_a_flow_it_submitted() -> None:
    """It may be resumed at once, and must then know whether the effect happened."""
    began, go = threading.Event(), threading.Event()

    @tw.tool(effect="write")
    def slow(text: str) -> str:
        began.set()
        assert go.wait(20)
        sent.append(text)
        return f"sent {text}"

    @tw.flow
    def beside(text: str) -> str:
        return slow(text) + slow(f"{text} again")

    @tw.flow
    def around(text: str) -> list[str]:
        done = beside.submit(text)
        assert began.wait(20)
        meet_trouble("around")
        return [done.result(), send("end")]

    trouble["around"] = [ValueError("no")]
    run = around.start("tea", id="around")
    assert began.wait(20)
    with pytest.raises(TimeoutError):
        run.exception(0.2)
    go.set()
    assert isinstance(run.exception(20), ValueError)
    assert sent == ["tea"]  # what it submitted stops at its next call
    assert around.resume("around").result(20) == ["sent teasent tea again", "sent to end"]
    assert sent == ["tea", "tea again", "end"]


def test_async_flows_are_durable_too() -> None:
    @tw.flow
    async def together(text: str) -> list[str]:
        found = await asyncio.gather(title.acall(text), level.acall(text), title.acall(text + " two"))
        meet_trouble("end")
        return [*found, await send.acall(text)]

    trouble["end"] = [ValueError("end")]
    error = fail(together, "tea", id="async")
    assert isinstance(error, ValueError)
    count = len(asked)
    assert resume("async").result(20) == ["about tea", "high", "about two", "sent to tea"]
    assert len(asked) == count


def test_a_flow_that_says_journal_false_is_journalled_as_a_durable_run() -> None:
    quiet = work.using(journal=False)
    run = quiet.start(CASE, id="quiet")
    run.result(20)
    assert len(run.messages()) == 5


def test_a_store_of_before_runs_were_durable_serves_them(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    with tw.using(store=folder):
        work.start(CASE, id="one").result(20)
        store_in_force(current()).close()
    with sqlite3.connect(folder / "store.sqlite") as db:
        db.execute("ALTER TABLE calls DROP COLUMN position")
        for table in ("failures", "outcomes", "questions"):
            db.execute(f"DROP TABLE {table}")
    db.close()
    store = Store(folder)
    assert work.using(store=store).start(CASE, id="two").result(20) == work(CASE)
    store.close()


def test_a_write_recorded_after_a_handled_failure_is_not_taken_for_one_made_ahead() -> None:
    """Only what could be made ahead of a failure may be dropped after it; a write never is."""

    @tw.flow
    def writing(text: str) -> str:
        try:
            title(text)
        except ModelError:
            send("first" if "changed" not in sent else "second")
        meet_trouble("end")
        return "done"

    trouble["tea"] = [ModelError("Down.", "Wait.")]
    trouble["end"] = [ValueError("end")]
    fail(writing, "tea", id="writing")
    sent.append("changed")
    error = resume("writing").exception(20)
    assert isinstance(error, NonDeterminism) and "first" in str(error) and "second" in str(error)
    assert sent == ["first", "changed"]


# -- write effects ----------------------------------------------------------------------------------------------------


def cut_off(flow: Any, *args: Any, id: str) -> None:
    """End the life of a run inside its tool, after the effect or before it."""
    with pytest.raises(CancelledError):
        flow.start(*args, id=id).result(20)


def test_an_unknown_write_fails_with_its_line_and_is_settled_by_hand() -> None:
    trouble["send anna"] = [Cancelled()]
    cut_off(work, CASE, id="unknown")
    error = resume("unknown").exception(20)
    assert isinstance(error, EffectUnknown)
    assert "work#0/send#0 (test_durable.py, line" in str(error)
    with pytest.raises(DataError, match=r"Nothing is unknown about work#0/send#1.*Unknown there: work#0/send#0"):
        settle("unknown", "work#0/send#1", None)
    settle("unknown", "work#0/send#0", "it was sent")
    assert resume("unknown").result(20).case == CASE
    assert sent == []
    assert json.loads(store_in_force(current()).call("unknown", "work#0/send#0").value) == "it was sent"  # type: ignore


def test_a_write_that_did_not_happen_is_run_again_when_somebody_says_so() -> None:
    trouble["send anna"] = [Cancelled()]
    cut_off(work, CASE, id="again")
    settle("again", "work#0/send#0", happened=False)
    resume("again").result(20)
    assert sent == ["anna"]


def test_an_idempotent_write_is_simply_tried_again() -> None:
    @tw.tool(effect="write", idempotent=True)
    def put(key: str) -> int:
        meet_trouble(f"put {key}")
        sent.append(key)
        return 1

    @tw.flow
    def putting(key: str) -> int:
        return put(key)

    trouble["put k"] = [Cancelled()]
    cut_off(putting, "k", id="put")
    assert resume("put").result(20) == 1
    assert sent == ["k"]


def test_a_write_whose_result_has_no_json_form_is_not_done_twice() -> None:
    @tw.tool(effect="write")
    def make(name: str) -> Any:
        sent.append(name)
        return Handle()

    @tw.flow
    def making(name: str) -> str:
        make(name)
        meet_trouble("end")
        return "done"

    trouble["end"] = [ValueError("end")]
    fail(making, "x", id="make")
    assert isinstance(resume("make").exception(20), EffectUnknown)
    settle("make", "making#0/make#0", None)
    assert resume("make").result(20) == "done"
    assert sent == ["x"]


# -- processes --------------------------------------------------------------------------------------------------------


def test_the_lock_is_one_holders_and_leaves_no_file(tmp_path: Path) -> None:
    first, second = RunLock(tmp_path, "a"), RunLock(tmp_path, "a")
    assert first.acquire() and not second.acquire()
    assert second.is_held() and not RunLock(tmp_path, "b").is_held()
    first.release()
    assert not second.is_held() and second.acquire()
    second.release()
    assert list((tmp_path / "locks").iterdir()) == []


def test_who_does_not_work_on_a_run_cannot_cancel_it_and_gets_its_result() -> None:
    trouble["send anna"] = [ValueError("first")]
    fail(work, CASE, id="other")
    store = store_in_force(current())
    lock = RunLock(store.folder, "other")
    assert lock.acquire()  # another process
    run = resume("other")
    with pytest.raises(RunBusy):
        run.cancel()
    with pytest.raises(RunBusy):
        settle("other", "work#0/send#0", None)
    with pytest.raises(TimeoutError):
        run.result(0.05)
    assert run.status == "failed"
    lock.release()  # it died
    assert run.result(20).case == CASE


SCRIPT = """
import os, sys, time
from pathlib import Path
import thalweg as tw
from thalweg.models.scripted import ScriptedModel
from thalweg.program.run import resume

@tw.learned
def title(text: str) -> str:
    \"Give it a title.\"

@tw.flow
def long(count: int) -> list[str]:
    return [str(len(title("x" * i))) for i in range(count)]

def script(request):
    with open("model.log", "a") as log:
        log.write(f"{os.getpid()}\\n")
    time.sleep(0.02)
    return request.messages[-1].content or "empty"

if __name__ == "__main__":
    tw.configure(model=ScriptedModel(script, identity="p", max_concurrency=1), store="store", cache=False)
    id, how = sys.argv[1:]
    run = long.start(25, id=id) if how == "start" else resume(id)
    print(run.result(), flush=True)
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    (tmp_path / "long.py").write_text(SCRIPT)
    begun: list[subprocess.Popen[str]] = []

    def start(id: str, how: str) -> subprocess.Popen[str]:
        command = [sys.executable, "long.py", id, how]
        begun.append(subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return begun[-1]

    yield start
    for one in begun:
        one.kill()
        said = one.communicate()[1]
        assert "Traceback" not in (said or ""), said


def workers(tmp_path: Path, least: int = 0) -> list[int]:
    """The processes that made requests, one entry a request; waits until there are some."""
    log = tmp_path / "model.log"
    until = time.monotonic() + 60
    while True:
        lines = log.read_text().splitlines() if log.exists() else []
        if len(lines) >= least:
            return [int(line) for line in lines]
        assert time.monotonic() < until
        time.sleep(0.01)


def test_of_two_processes_at_one_run_one_works_and_both_have_the_result(process: Any, tmp_path: Path) -> None:
    first = process("both", "start")
    workers(tmp_path, 1)
    second = process("both", "resume")
    said = [one.communicate(timeout=60)[0] for one in (first, second)]
    assert said[0] == said[1] != ""
    assert workers(tmp_path) == [first.pid] * 25


def test_a_process_that_waits_takes_over_when_the_owner_is_killed(process: Any, tmp_path: Path) -> None:
    first = process("owner", "start")
    workers(tmp_path, 1)
    others = [process("owner", "resume") for _ in range(2)]
    workers(tmp_path, 8)
    os.kill(first.pid, signal.SIGKILL)
    said = {one.communicate(timeout=60)[0] for one in others}
    assert len(said) == 1 and said != {""}
    made = workers(tmp_path)
    assert len(set(made)) <= 2 and len(made) <= 26, "one took over, and at most the call under way was repeated"


def test_many_processes_write_their_runs_into_one_store(process: Any, tmp_path: Path) -> None:
    begun = [process(f"run {i}", "start") for i in range(4)]
    said = {one.communicate(timeout=60) for one in begun}
    assert len({out for out, _ in said}) == 1, said
    with tw.using(store=tmp_path / "store"):
        assert [run.status for run in runs()] == ["finished"] * 4
        assert len(list(store_in_force(current()).calls())) == 4 * 26


@pytest.mark.parametrize("name", ["cautious", "agent"])
def test_killed_runs_end_as_undisturbed_ones(name: str, tmp_path: Path) -> None:
    check_kills(name, tmp_path, kills=2)


@pytest.mark.long
@pytest.mark.parametrize("name", list(FLOWS))
def test_runs_killed_often_end_as_undisturbed_ones(name: str, tmp_path: Path) -> None:
    check_kills(name, tmp_path, kills=3)


def check_kills(name: str, tmp_path: Path, kills: int) -> None:
    expected = undisturbed(tmp_path / "undisturbed", name)
    found = survive(tmp_path / "killed", name, expected, kills, random.Random(name))
    assert sum(one.kills for one in found) >= kills
    for one in found:
        assert one.same
        assert (one.recorded_again, one.doubled, one.lost) == (0, 0, 0)
        assert one.most <= 1 + one.kills


def test_a_result_that_its_type_refuses_is_written_as_it_is() -> None:
    @tw.tool(effect="write")
    def lines() -> list[str]:
        return ["a\nb"]

    assert lines._read_back(lines._written(["a\nb"]) or "") == ["a\nb"]
    assert lines._read_back(lines._written(["plain"]) or "") == ["plain"]
