"""Simulated engines: equal input gives equal output, nothing runs before what it needs, turns take what they cost."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.errors import GraphError
from thalweg.models.request import Hint
from thalweg.models.simulated import Device
from thalweg.scheduling import POLICIES, policy_named
from thalweg.scheduling.policies.parrot import Parrot
from thalweg.scheduling.simulator import SimulatedCall, simulate

COST = Device().seconds


def workload(seed: int) -> list[SimulatedCall]:
    draw = random.Random(seed)
    made: list[SimulatedCall] = []
    for i in range(draw.randint(1, 40)):
        needs = tuple(one.id for one in draw.sample(made, min(len(made), draw.randint(0, 3))))
        hint = Hint(f"app{draw.randint(0, 5)}", objective=draw.choice(("latency", "throughput")),
                    depth=draw.randint(0, 3), group=draw.choice(("", "", "g", "h")))  # fmt: skip
        prompt = tuple(draw.randint(1, 3) for _ in range(draw.randint(2, 400)))
        made.append(SimulatedCall(f"c{i}", draw.random() * 3, prompt, draw.randint(1, 60), hint, needs, 0.1))
    return made


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(sorted(POLICIES)), st.integers(1, 4))
def test_every_schedule_ends_respects_dependencies_and_is_deterministic(seed: int, policy: str, engines: int) -> None:
    calls = workload(seed)
    done = simulate(calls, policy_named(policy), COST, engines=engines, streams=3, cells=600)
    assert done.simulated and set(done.ends) == {one.id for one in calls}
    for one in calls:
        end = done.ends[one.id]
        assert one.arrival <= end.came <= end.admitted < end.ended <= done.seconds
        assert 1 <= end.read <= len(one.prompt)
        for needed in one.needs:
            assert end.came >= done.ends[needed].ended + 0.1 - 1e-9
    again = simulate(calls, policy_named(policy), COST, engines=engines, streams=3, cells=600)
    assert again == done


def test_a_lone_call_takes_what_its_turns_cost() -> None:
    done = simulate([SimulatedCall("a", 1.0, tuple(range(100)), 3)], Parrot(), lambda read, rows, cells: 0.5 + read)
    assert done.ends["a"].ended == pytest.approx(1.0 + (0.5 + 100) + 0.5 + 0.5)
    assert done.turns == 3


def test_a_shared_beginning_is_read_once_an_engine() -> None:
    head = tuple(range(50))
    calls = [SimulatedCall(f"c{i}", float(i), (*head, 100 + i), 2) for i in range(6)]
    done = simulate(calls, Parrot(), COST, engines=4)
    assert [end.read for end in done.ends.values()] == [51, 1, 1, 1, 1, 1]


def test_a_chat_does_not_join_an_engine_full_of_throughput_work() -> None:
    work = [
        SimulatedCall(f"w{i}", 0.0, (i + 2,) * 400, 100, Hint("w", objective="throughput", group="w@0"))
        for i in range(12)
    ]
    first = SimulatedCall("first", 0.0, (1,) * 300, 200, Hint("first", objective="latency"))
    chat = SimulatedCall("chat", 0.2, (0,) * 300, 100, Hint("chat", objective="latency"))
    done = simulate([first, *work, chat], Parrot(whole_groups=True), COST, engines=2)
    assert done.ends["chat"].engine == done.ends["first"].engine
    with_first = sum(done.ends[one.id].engine == done.ends["first"].engine for one in work)
    assert with_first < len(work) / 2


def test_calls_that_wait_for_each_other_are_refused() -> None:
    with pytest.raises(GraphError, match="never ran"):
        simulate([SimulatedCall("a", 0.0, (1,), 1, needs=("b",))], Parrot(), COST)
