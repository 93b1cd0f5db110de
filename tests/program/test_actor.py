"""Actors: private state, one message at a time, nothing shared, and the same continuation after a crash."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import DataError, NonDeterminism
from thalweg.models.scripted import ScriptedModel
from thalweg.program.actor import Actor, exchanges
from thalweg.program.journal import Scope, inside
from thalweg.program.session import current, store_in_force


@tw.learned
def shorten(text: str) -> str:
    """Make it shorter."""


def halving() -> ScriptedModel:
    calls: list[str] = []

    def script(request: Any) -> str:
        said = request.messages[-1].content.removeprefix("text: ")
        calls.append(said)
        return said[: len(said) // 2]

    model = ScriptedModel(script, identity="halving")
    model.calls = calls  # type: ignore[attr-defined]
    return model


@dataclass
class Draft:
    text: str
    notes: list[str] = field(default_factory=list)


class Writer(Actor):
    history: list[str] = []
    drafts: int = 0

    def on(self, message: str) -> Draft:
        short = shorten(message)
        self.history.append(short)
        self.drafts += 1
        return Draft(short, list(self.history))


class Keeper(Actor):
    kept: list[Any] = []

    def on(self, message: Any) -> Any:
        self.kept.append(message)
        if isinstance(message, list):
            message.append("mine")
        return message


class Relay(Actor):
    private = ("token",)
    token: str = "secret"
    count: int = 0

    def __init__(self, to: Actor, **state: Any) -> None:
        super().__init__(**state)
        self._to = to

    def on(self, message: Any) -> Any:
        self.count += 1
        return self._to(message)


def in_run(name: str, *, replay: bool = False) -> Any:
    store = store_in_force(current())
    store.begin(name, "test", "", {})
    return inside(Scope(name, replay=replay))


data = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(data, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_shared_between_sender_actors_and_reply(messages: list[Any]) -> None:
    inner = Keeper()
    outer = Relay(inner)
    with tw.using(journal=False):
        for message in messages:
            sent = copy.deepcopy(message)
            reply = outer(message)
            assert message == sent
            if isinstance(reply, list):
                reply.append("changed by the sender")
    assert [one for one in inner.kept if isinstance(one, list) and "changed by the sender" in one] == []
    expected = [[*one, "mine"] if isinstance(one, list) else one for one in messages]
    assert inner.kept == expected


def test_state_is_private_and_defaults_are_not_shared() -> None:
    with tw.using(model=halving()):
        first, second = Writer(), Writer(drafts=5)
        assert first("abcd") == Draft("ab", ["ab"])
        assert second.state() == {"history": [], "drafts": 5}
        first.state()["history"].append("x")
        assert first.state() == {"history": ["ab"], "drafts": 1}
        first.reset()
        assert first.state() == {"history": [], "drafts": 0}
    with pytest.raises(TypeError, match="no state 'colour'"):
        Writer(colour=1)


def test_an_actor_without_its_process_continues_from_the_journal() -> None:
    messages = ["abcdefgh", "12345678", "xyzwxyzw"]
    model = halving()
    with tw.using(model=model, cache=False):
        with in_run("whole"):
            actor = Writer()
            expected = [actor(one) for one in messages]
            state = actor.state()
        with in_run("cut"):
            stopped = Writer()
            stopped(messages[0]), stopped(messages[1])
        made = len(model.calls)  # type: ignore[attr-defined]
        with in_run("cut", replay=True):
            again = Writer()
            assert [again(one) for one in messages] == expected
            assert again.state() == state
        assert len(model.calls) == made + 1  # type: ignore[attr-defined]
        with in_run("cut", replay=True), pytest.raises(NonDeterminism, match="Writer"):
            Writer(drafts=9)(messages[0])


def test_a_message_that_fails_leaves_no_trace_in_the_state() -> None:
    class Fragile(Actor):
        seen: list[str] = []

        def on(self, message: str) -> int:
            self.seen.append(message)
            return 1 // len(message)

    actor = Fragile()
    assert actor("a") == 1
    with pytest.raises(ZeroDivisionError):
        actor("")
    assert actor.state() == {"seen": ["a"]}


def test_every_message_has_one_parent_and_private_fields_are_hidden() -> None:
    relay = Relay(Keeper())
    with in_run("log"):
        relay({"token": "t-1", "text": "hello"})
        relay("second")
    log = list(exchanges(store_in_force(current()), "log", [relay, Keeper()]))
    assert [(one.path, one.parent) for one in log] == [
        ("Relay#0/Keeper#0", "Relay#0"),
        ("Relay#0", ""),
        ("Relay#1/Keeper#0", "Relay#1"),
        ("Relay#1", ""),
    ]
    outer = log[1]
    assert outer.message == {"token": "***", "text": "hello"} and outer.state == {"count": 1}


def test_messages_to_one_actor_are_answered_in_the_order_they_were_sent() -> None:
    keeper = Keeper()
    with in_run("order"):
        values = [keeper.submit(index) for index in range(40)]
        assert [value.result(10) for value in values] == list(range(40))
    assert keeper.kept == list(range(40))


def test_actors_keep_program_order_in_compiled_flows() -> None:
    keeper = Keeper()

    @tw.flow
    def talk(text: str) -> Any:
        first = shorten(text)
        keeper(text)
        keeper(first)
        shorten("fail")
        return keeper("never")

    def script(request: Any) -> str:
        if "fail" in request.messages[-1].content:
            raise ValueError("asked to fail")
        return "short"

    with (
        tw.using(model=ScriptedModel(script, max_concurrency=2), cache=False),
        pytest.raises(ValueError, match="asked"),
    ):
        talk("long")
    assert keeper.kept == ["long", "short"]


def test_state_that_cannot_be_written_down_is_refused() -> None:
    class Odd(Actor):
        thing: object = None

        def on(self, message: str) -> str:
            self.thing = lambda: message
            return message

    with pytest.raises(DataError, match="`thing` of Odd"):
        Odd()("x")
