"""Flows that only issue calls run on their caller's thread until these are issued, and mean the same."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import pytest

import thalweg as tw
from thalweg.errors import ModelError
from thalweg.models.request import Answer, Capabilities
from thalweg.models.scripted import ScriptedModel
from thalweg.program.compile.issuing import issues_only
from thalweg.program.session import current, store_in_force
from thalweg.program.store import Store


@tw.learned
def title(text: str) -> str:
    """Give it a title."""


@tw.learned
def level(text: str) -> str:
    """How urgent is it?"""


@tw.flow
def one(text: str) -> str:
    return title(text)


@tw.flow
def several(text: str) -> tuple[str, dict[str, str]]:
    """A few."""
    name = title(f"{text}, please")
    return name, {"level": level(name), "text": text}


@tw.flow
def spread(texts: list[str]) -> list[Any]:
    return [one(text) for text in texts]


@tw.flow
def both(texts: list[str]) -> list[Any]:
    return [(one(text), several(text)) for text in texts]


@tw.flow
def forced(text: str) -> str:
    return title(text) + "!"


@tw.flow
def branching(text: str) -> str:
    return title(text) if text else ""


@tw.flow
def plain(text: str) -> str:
    return title(text.strip())


@tw.flow
def looping(texts: list[str]) -> list[str]:
    return [title(text) for text in texts]


@tw.flow
def splatted(texts: list[str]) -> str:
    return title(*texts)


@tw.flow
def captured(text: str) -> Any:
    name = title(text)
    return title(name), lambda: name


@tw.flow
def formatted(text: str) -> str:
    name = title(text)
    return level(f"{name}!")  # a text of a result: waits


@pytest.mark.parametrize("flow, names", [(one, ("title",)), (several, ("title", "level"))])
def test_a_straight_line_of_calls_of_what_is_there_only_issues(flow: Any, names: tuple[str, ...]) -> None:
    assert issues_only(flow.ir) == names


@pytest.mark.parametrize("flow", [forced, branching, plain, looping, splatted, captured, formatted])
def test_a_body_that_may_wait_or_act_does_not_only_issue(flow: Any) -> None:
    assert issues_only(flow.ir) is None or "title" not in issues_only(flow.ir)


class Held:
    """A model whose answers come when they are told to, on another thread."""

    name = identity = "held"
    capabilities = Capabilities(constraints="exact", logits="none", streams=8)

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, Future[Answer]]] = []
        self.came = threading.Semaphore(0)

    def submit(self, request: Any) -> Future[Answer]:
        future: Future[Answer] = Future()
        self.asked.append((request.messages[-1].content, threading.get_ident(), future))
        self.came.release()
        return future

    def wait_for(self, calls: int) -> None:
        for _ in range(calls):
            assert self.came.acquire(timeout=20)

    def answer(self, order: list[int], broken: tuple[int, ...] = ()) -> None:
        def answer() -> None:
            for at in order:
                text, _, future = self.asked[at]
                if at in broken:
                    future.set_exception(ModelError(f"Nothing for {at}.", "Wait."))
                else:
                    future.set_result(Answer(f"about {text.split()[-1]}"))

        thread = threading.Thread(target=answer)
        thread.start()
        thread.join()


def journal() -> dict[str, tuple[Any, Any]]:
    return {call.path: (call.value, call.error) for call in store_in_force(current()).calls()}


def test_the_calls_of_all_flows_are_issued_by_the_caller_before_any_is_answered(tmp_path: Any) -> None:
    model = Held()
    with tw.using(model=model, store=tmp_path):
        value = spread.submit(["a", "b", "c"])
        model.wait_for(3)
        assert not value.done()
        assert len({thread for _, thread, _ in model.asked}) == 1
        model.answer([2, 0, 1])
        assert value.result(20) == ["about a", "about b", "about c"]
        assert set(journal()) == {"spread#0"} | {f"spread#0/one#{i}" for i in range(3)} | {
            f"spread#0/one#{i}/title#0" for i in range(3)
        }  # fmt: skip


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
def test_a_failure_is_the_first_in_program_order_and_what_was_begun_beyond_it_never_happened(
    tmp_path: Any, order: list[int]
) -> None:
    model = Held()
    with tw.using(model=model, store=tmp_path, cache=False):
        value = spread.submit(list("abcd"))
        model.wait_for(4)
        model.answer(order, broken=(1, 2))
        with pytest.raises(ModelError, match="Nothing for 1"):
            value.result(20)
        found = journal()
    assert set(found) == {
        "spread#0", "spread#0/one#0", "spread#0/one#0/title#0", "spread#0/one#1", "spread#0/one#1/title#0",
    }  # fmt: skip
    assert found["spread#0/one#1"][1] == found["spread#0/one#1/title#0"][1] == "ModelError: Nothing for 1. Wait."


def script(request: Any) -> str:
    said = request.messages[-1].content
    if "bad" in said:
        raise ModelError("Bad.", "Be good.")
    return f"about {said.split()[-1]}"


@pytest.mark.parametrize("texts", [["x", "y"], ["x", "bad", "y"], []])
@pytest.mark.parametrize("threads", [0, 2])
def test_compiled_and_eager_give_the_same_result_error_and_journal(
    tmp_path: Any, texts: list[str], threads: int
) -> None:
    found = []
    for name, run in (("compiled", both), ("eager", both.eager)):
        store = Store(tmp_path / name)
        with tw.using(model=ScriptedModel(script, identity="issuing", max_concurrency=threads), store=store):
            try:
                result: Any = run(texts)
            except ModelError as error:
                result = str(error)
            found.append((result, journal()))
        store.close()
    assert found[0] == found[1]


def test_a_name_that_stands_for_something_else_by_then_is_not_called_ahead(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def other(text: str) -> str:
        threads.append(threading.get_ident())
        return text.upper()

    with tw.using(model=ScriptedModel(script, identity="issuing"), store=tmp_path):
        assert spread(["a"]) == ["about a"]
        monkeypatch.setitem(one.function.__globals__, "title", other)
        assert spread(["a", "b"]) == ["A", "B"]


def test_settings_and_bound_parameters_hold_for_what_is_issued(tmp_path: Any) -> None:
    seen: list[tuple[float, str]] = []

    def noting(request: Any) -> str:
        seen.append((request.sampling.temperature, request.messages[0].content))
        return "fine"

    loud = one.using(temperature=0.5).bind({"one.title/instruction": "SHOUT"})

    @tw.flow
    def through(text: str) -> str:
        return loud(text)

    with tw.using(model=ScriptedModel(noting, identity="noting"), store=tmp_path):
        assert through("x") == "fine"
    assert [(temperature, "SHOUT" in said) for temperature, said in seen] == [(0.5, True)]
