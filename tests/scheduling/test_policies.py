"""Policies decide who is next and nothing else: every request is answered once, with the same answer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thalweg.errors import ModelError
from thalweg.models import Format, Hint, Message, Request, Sampling
from thalweg.models.simulated import Simulated
from thalweg.scheduling import POLICIES, Engine, Seat, Waiting, policy_named


def asked(document: str, question: str, **hint: Any) -> Request:
    return Request(
        (Message("user", question),),
        Format("text", max_chars=40),
        Sampling(max_tokens=24),
        prefix=document,
        suffix=question,
        hint=Hint(**hint),
    )


def documents(count: int, questions: int, length: int = 400) -> list[Request]:
    """Interleaved, as tables come: question 1 of every document, then question 2."""
    draw = random.Random(count)
    texts = ["".join(draw.choice("abcdefgh ") for _ in range(length)) for _ in range(count)]
    return [asked(text, f" question {i}?") for i in range(questions) for text in texts]


def answers(policy: str, requests: Sequence[Request], *, workers: int = 1, **scorer: Any) -> tuple[list[Any], Engine]:
    engine = Engine(Simulated(**scorer), workers=workers, policy=policy)
    futures = [engine.submit(request) for request in requests]
    found = [future.result(60) for future in futures]
    engine.close()
    return found, engine


@pytest.mark.parametrize("workers", [1, 2])
def test_every_policy_gives_every_request_the_same_answer(workers: int) -> None:
    requests = documents(6, 4)
    made = {policy: answers(policy, requests, workers=workers, streams=4)[0] for policy in POLICIES}
    texts = {policy: [(one.text, one.tokens, one.logprob) for one in found] for policy, found in made.items()}
    assert all(found == texts["fcfs"] for found in texts.values())
    assert len(set(texts["fcfs"])) > 20


def test_prefix_groups_stay_together_where_the_cache_is_small() -> None:
    requests = documents(20, 5)
    logical = sum(len(request.prefix) for request in requests)
    computed = {}
    for policy in ("fcfs", "sorted", "batch"):
        _, engine = answers(policy, requests, streams=4, cells=2400)
        computed[policy] = engine.counters.prompt_tokens - engine.counters.cached_tokens
    assert computed["fcfs"] > 0.9 * logical  # every document is evicted before it is asked about again
    for policy in ("sorted", "batch"):
        assert computed[policy] < 1.25 * (logical / 5 + 15 * len(requests)), computed


def test_two_workers_do_not_read_the_same_document() -> None:
    requests = documents(12, 6)
    _, together = answers("batch", requests, workers=2, streams=4, cells=2400)
    _, apart = answers("sorted", requests, workers=2, streams=4, cells=2400)
    read = [engine.counters.prompt_tokens - engine.counters.cached_tokens for engine in (together, apart)]
    assert read[0] < read[1], read


def test_somebody_who_waits_goes_before_the_batch() -> None:
    requests = documents(10, 4)
    engine = Engine(Simulated(streams=2), workers=1, policy="batch")
    futures = [engine.submit(request) for request in requests]
    urgent = engine.submit(asked("something else", " now?", objective="latency"))
    urgent.result(60)
    waited = [one for one in futures if not one.done()]
    [one.result(60) for one in futures]
    engine.close()
    assert len(waited) > 20


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    policy=st.sampled_from(sorted(POLICIES)),
    prompts=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=40),
    seats=st.integers(1, 3),
    budget=st.integers(20, 200),
    data=st.data(),
)
def test_no_request_is_lost_doubled_or_starved(
    policy: str, prompts: list[list[int]], seats: int, budget: int, data: st.DataObject
) -> None:
    queue = policy_named(policy)
    waiting = [Waiting(i, asked("", str(i)), None, prompt=prompt, expected=4) for i, prompt in enumerate(prompts)]  # type: ignore[arg-type]
    for one in waiting:
        queue.push(one)
    running: list[list[Waiting]] = [[] for _ in range(seats)]
    recent: list[list[list[int]]] = [[] for _ in range(seats)]
    admitted: list[int] = []
    while len(queue):
        assert sorted(one.number for one in queue.waiting()) == sorted(set(range(len(prompts))) - set(admitted))
        shown = [
            Seat(
                i,
                tuple(running[i]),
                tuple(recent[i][-8:]),
                len(recent[i]),
                sum(one.cells for one in running[i]),
                budget,
            )
            for i in range(seats)
        ]
        named = [(i, queue.choose(seat, shown)) for i, seat in enumerate(shown)]
        assert any(one is not None for _, one in named) or any(running), "nothing runs and nobody may begin"
        able = [(i, one) for i, one in named if one is not None]
        if not able or (any(running) and data.draw(st.booleans())):
            busy = data.draw(st.sampled_from([i for i in range(seats) if running[i]]))
            running[busy].pop(0)
            continue
        worker, one = data.draw(st.sampled_from(able))
        assert queue.choose(shown[worker], shown) is one, "asking twice gives the same"
        assert not running[worker] or shown[worker].cells + len(one.prompt) - 12 <= budget
        queue.remove(one)
        admitted.append(one.number)
        running[worker].append(one)
        recent[worker].append(one.prompt)
    assert sorted(admitted) == list(range(len(prompts)))


def test_the_policy_can_change_while_requests_wait() -> None:
    requests = documents(8, 4)
    want, _ = answers("fcfs", requests, streams=4)
    engine = Engine(Simulated(streams=4), workers=1, policy="fcfs")
    futures = [engine.submit(request) for request in requests]
    for name in ("sorted", "batch", "fcfs", "batch"):
        engine.use_policy(name)
        assert engine.policy.name == name
    assert [future.result(60).text for future in futures] == [one.text for one in want]
    engine.close()


def test_a_faulty_policy_fails_its_requests_and_leaves_nobody_waiting() -> None:
    class Faulty(type(policy_named("fcfs"))):  # type: ignore[misc]
        def choose(self, seat: Seat, seats: Sequence[Seat]) -> Waiting | None:
            raise LookupError("lost the thread")

    engine = Engine(Simulated(), workers=1, policy=Faulty())
    with pytest.raises(LookupError, match="lost the thread"):
        engine.submit(asked("a document", " a question?")).result(60)
    engine.use_policy("batch")
    assert engine.submit(asked("a document", " a question?")).result(60).text
    engine.close()


def test_an_unknown_policy_is_refused_with_those_there_are() -> None:
    with pytest.raises(ModelError, match="fastest") as error:
        Engine(Simulated(), policy="fastest")
    assert "batch" in error.value.remedy


def test_a_snapshot_shows_what_waits_what_runs_and_what_ended() -> None:
    engine = Engine(Simulated(streams=2), workers=1)
    futures = [engine.submit(request) for request in documents(10, 5)]
    futures[0].result(60)
    seen = [engine.snapshot()]
    while not futures[-1].done():
        seen.append(engine.snapshot())
    [future.result(60) for future in futures]
    for one in seen:
        calls = [call.number for call in one.waiting] + [call.waiting.number for call in one.finished]
        calls += [call.waiting.number for row in one.running for call in row]
        assert len(calls) == len(set(calls)), "a call is shown twice"
        assert len(calls) >= 49, "only the one that is being admitted is in neither place"
    last = engine.snapshot()
    engine.close()
    assert not last.waiting and len(last.finished) == 50
    one = last.finished[0]
    assert one.answer is not None and one.waiting.submitted <= one.admitted <= one.ended


def test_the_hint_is_no_part_of_what_identifies_a_request() -> None:
    one = asked("a", "b")
    assert one == replace(one, hint=Hint(app="another", rank=3))
