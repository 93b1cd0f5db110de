"""Does a run that is killed again and again end as an undisturbed one, and what does it cost to make that so?

Eight flows, each in a process of its own, killed with SIGKILL at random moments and started again: same result, no
recorded step computed again, no write done twice. Baseline: the same flows run again from the beginning, as a program
without a journal must. Cost: microseconds a step over the ordinary journalled call, seconds to resume a run of 1,000
steps. Peer: LangGraph's functional API with its SQLite checkpointer, the same measurements in its own environment.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import thalweg as tw
from thalweg.eval.benches.durable_flows import FLOWS
from thalweg.eval.benches.durable_kills import Disturbed, survive, undisturbed
from thalweg.eval.benches.peers import run_peer
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models.recorded import RecordedModel
from thalweg.models.request import Answer, Usage
from thalweg.models.request_codec import request_key
from thalweg.program.run import resume
from thalweg.program.session import Session

NAME = "program.durable"


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "Does a killed run end as an undisturbed one?", lambda: _run(quick))


def _run(quick: bool) -> Sequence[Figure]:
    return [
        *_kills(3 if quick else 29, 2 if quick else 6, tuple(FLOWS), "scripted"),
        *_kills(2 if quick else 6, 0, ("fan_out", "triage"), "real"),
        *_cost(400 if quick else 2000),
        *_resume(1000),
        *_peer(),
    ]


# -- kills ------------------------------------------------------------------------------------------------------------


def _kills(each: int, plain_each: int, names: tuple[str, ...], model: str) -> Iterator[Figure]:
    """`each` kills a flow, `plain_each` of the plain rerun."""
    dice = random.Random(0)
    durable: list[Disturbed] = []
    plain: list[Disturbed] = []
    with tempfile.TemporaryDirectory() as name, _environment(MODEL=model):
        for flow in names:
            folder = Path(name) / flow
            folder.mkdir()
            expected = undisturbed(folder / "undisturbed", flow)
            durable += survive(folder / "killed", flow, expected, each, dice)
            if plain_each:
                plain += survive(folder / "plain", flow, expected, plain_each, dice, "plain")
    kills = sum(one.kills for one in durable)
    reruns = sum(one.kills for one in plain)
    with_model = "scripted model" if model == "scripted" else "packaged model"
    note = f"{len(names)} flows, {len(durable)} runs, {with_model}"

    def figure(text: str, field: str, unit: str, *, each_kill: bool = False) -> Figure:
        value = sum(getattr(one, field) for one in durable) / (kills if each_kill else 1)
        known = plain and field != "recorded_again"  # a plain rerun records nothing
        other = sum(getattr(one, field) for one in plain) / (reruns if each_kill else 1) if known else None
        beside = f"; baseline: rerun from the beginning, {reruns} kills" if known else ""
        ratio = other / value if other and value else None
        return Figure(NAME, f"{text} ({with_model})", value, other, ratio, unit, kills, note + beside)

    yield Figure(NAME, f"kills survived ({with_model})", kills, each * len(names), None, "kills", len(durable), note)
    same = sum(one.same for one in durable) / len(durable)
    yield Figure(NAME, f"results as undisturbed ({with_model})", same, 1.0, None, "share", len(durable), note)
    yield figure("steps computed again a kill", "repeated", "steps", each_kill=True)
    yield figure("recorded steps computed again", "recorded_again", "steps")
    yield figure("writes done twice", "doubled", "writes")
    yield figure("writes lost", "lost", "writes")
    beyond = max(one.most - 1 - one.kills for one in durable)
    yield Figure(NAME, f"computations of one step beyond one a kill ({with_model})", max(0, beyond), 0.0, None, "steps",
                 kills, note)  # fmt: skip


@contextmanager
def _environment(**said: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in said}
    os.environ.update(said)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


# -- cost -------------------------------------------------------------------------------------------------------------


@tw.learned
def long(question: str) -> bool:
    """Is it long?"""
    ...


@tw.flow
def loop(questions: list[str]) -> int:
    count = 0
    for question in questions:
        if long(question):
            count += 1
    return count


_broken = False


@tw.tool(effect="write")
def post(count: int) -> None:
    if _broken:
        raise ValueError("out of paper")


@tw.flow
def counted(questions: list[str]) -> int:
    count = sum([long(question) for question in questions])
    post(count)
    return count


@contextmanager
def _answering(steps: int) -> Iterator[list[str]]:
    """Questions, and a model that has recorded their answers."""
    questions = [f"How long is question number {i}?" for i in range(steps)]
    answer = Answer("true", -0.1, (1, 2, 3), tuple(range(80)), usage=Usage(80, 60, 3, 1, 0.01))
    empty = RecordedModel({}, identity="recorded")
    recording = {
        request_key(long._request({"question": one}, Session(), empty), "recorded"): answer for one in questions
    }
    model = RecordedModel(recording, identity="recorded")
    with tempfile.TemporaryDirectory() as folder, tw.using(model=model, cache=False, store=folder):
        yield questions


def _cost(steps: int) -> Iterator[Figure]:
    times: dict[str, list[float]] = {"durable": [], "flow": [], "plain": []}
    with _answering(steps) as questions:
        for turn in range(6):
            for name, call in (
                ("durable", lambda turn=turn: loop.start(questions, id=f"turn {turn}").result()),
                ("flow", lambda: loop(questions)),
                ("plain", lambda: sum([long(question) for question in questions])),
            ):
                started = time.perf_counter()
                call()
                times[name].append(1e6 * (time.perf_counter() - started) / steps)
    least = {name: min(found) for name, found in times.items()}
    note = f"least of 6 turns; the flow itself {least['flow']:.0f} us a call, plain calls {least['plain']:.0f}"
    yield Figure(NAME, "time added to a step by being durable", least["durable"] - least["flow"], 30, None, "us", steps,
                 f"baseline is the bar; {note}")  # fmt: skip
    yield Figure(NAME, "durable step, in whole", least["durable"], least["plain"], least["plain"] / least["durable"],
                 "us", steps, "baseline: the same calls, plain and journalled; least of 6 turns")  # fmt: skip


def _resume(steps: int) -> Iterator[Figure]:
    global _broken
    first, again = [], []
    with _answering(steps) as questions:
        for turn in range(3):
            _broken = True
            began = time.perf_counter()
            counted.start(questions, id=f"long {turn}").exception()
            first.append(time.perf_counter() - began)
            _broken = False
            began = time.perf_counter()
            done: Any = resume(f"long {turn}", counted).result()
            again.append(time.perf_counter() - began)
            if done != steps:
                raise AssertionError(f"the resumed run gave {done}")
    yield Figure(NAME, f"resume a run of {steps} recorded steps", min(again), min(first), min(first) / min(again), "s",
                 steps, "baseline: the run itself, its model answering at once; least of 3")  # fmt: skip


def _peer() -> Iterator[Figure]:
    peer = run_peer("langgraph_durable.py")
    if peer is None:
        yield Figure(NAME, "peer: LangGraph functional API", 0.0, None, None, "us", 0, "not here (make peers)")
        return
    note = f"version {peer['version']}, SQLite checkpointer, durability sync"
    yield Figure(NAME, "peer: LangGraph, a step", peer["median_us"], None, None, "us", 100, note)
    yield Figure(NAME, "peer: LangGraph, resume 1,000 recorded steps", peer["resume_s"], None, None, "s", 1000, note)
    killed = f"{note}; {peer['kills']} kills of {peer['runs']} runs"
    yield Figure(NAME, "peer: LangGraph, writes done twice", peer["doubled"], None, None, "writes", peer["kills"],
                 f"{killed}; a task that writes is repeated when the kill hits it")  # fmt: skip
    yield Figure(NAME, "peer: LangGraph, steps computed again a kill", peer["repeated"] / max(1, peer["kills"]), None,
                 None, "steps", peer["kills"], killed)  # fmt: skip
