"""Tools that call: what a tool calls has its place below it, waits for nothing but what is above it, and keeps to what
the tool declares."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import thalweg as tw
from thalweg.errors import ToolError
from thalweg.models.scripted import ScriptedModel
from thalweg.program.session import current, store_in_force

said: list[str] = []


@tw.learned
def title(text: str) -> str:
    """Give it a title."""


@tw.tool(effect="write")
def send(text: str) -> str:
    said.append(text)
    return f"sent {text}"


@tw.tool(effect="read")
def look(text: str) -> str:
    return send(text)


@tw.tool(effect="none")
def count(text: str) -> int:
    return len(send.submit(text).result())


@tw.tool(effect="read")
def find(text: str) -> str:
    return noisy(title(text))


@tw.tool(effect="write")
def post(text: str) -> str:
    return send(title(text))


def tell(text: str) -> None:
    said.append(text)


@tw.flow
def noisy(text: str) -> str:
    tell(text)
    return title(text)


@tw.flow
def looking(text: str) -> str:
    found = look(text)
    return f"{title(text)} {found}"


@tw.flow
def counting(text: str) -> int:
    return count(text)


@tw.flow
def finding(text: str) -> list[str]:
    before = title(text)
    return [before, find(text), title(text), post(text), title(text)]


@pytest.fixture(autouse=True)
def scripted(own_session: None) -> Any:
    said.clear()
    with tw.using(model=ScriptedModel(lambda request: "about it", identity="tools")):
        yield


def within(seconds: float, call: Any) -> Any:
    """The outcome of a call, which must come."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(call())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, "it waits for itself"
    return found[0]


@pytest.mark.parametrize("how", ["compiled", "eager"])
@pytest.mark.parametrize("flow, tool, effect", [(looking, "look", "read"), (counting, "count", "none")])
def test_a_tool_that_declares_not_to_write_may_not_call_one_that_does(
    flow: Any, tool: str, effect: str, how: str
) -> None:
    using = tw.using(store=store_in_force(current()), model=ScriptedModel(lambda request: "about it"))

    def call() -> Any:
        with using:
            return flow.eager("x") if how == "eager" else flow("x")

    error = within(20, call)
    assert isinstance(error, ToolError)
    for part in (f"`{tool}`", f"effect='{effect}'", "calls `send`, which writes"):
        assert part in str(error)
    assert said == []


def test_outside_of_flows_it_is_refused_too() -> None:
    with pytest.raises(ToolError, match="calls `send`, which writes"):
        look("x")


@pytest.mark.parametrize("how", ["compiled", "eager"])
def test_what_a_tool_calls_is_below_it_and_its_flows_wait_for_what_is_above_the_tool_only(how: str) -> None:
    store = store_in_force(current())
    model = ScriptedModel(lambda request: "about it", identity="tools", max_concurrency=2)

    def call() -> Any:
        with tw.using(store=store, model=model):
            return finding.eager("x") if how == "eager" else finding("x")

    assert within(20, call) == ["about it", "about it", "about it", "sent about it", "about it"]
    assert {one.path for one in store.calls()} == {
        "finding#0", "finding#0/title#0", "finding#0/find#0", "finding#0/find#0/title#0", "finding#0/find#0/noisy#0",
        "finding#0/find#0/noisy#0/title#0", "finding#0/title#1", "finding#0/post#0", "finding#0/post#0/title#0",
        "finding#0/post#0/send#0", "finding#0/title#2",
    }  # fmt: skip
    assert said == ["about it", "about it"]


def test_a_resumed_run_does_not_look_for_what_a_recorded_tool_had_called() -> None:
    trouble = [ValueError("once")]

    @tw.flow
    def resumed(text: str) -> list[str]:
        found = [find(text), post(text)]
        if trouble:
            raise trouble.pop()
        return [*found, title(text)]

    assert isinstance(resumed.start("x", id="tools").exception(20), ValueError)
    sent = list(said)
    assert resumed.resume("tools").result(20) == ["about it", "sent about it", "about it"]
    assert said == sent
