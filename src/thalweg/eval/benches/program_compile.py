"""What does compiling a flow pay, and what does it cost?

Pay: six flows over the packaged model, compiled against eager, in turns, same results asserted; how many calls were in
flight. Cost: compiling a flow, and the time a compiled flow adds to a call, measured with a recorded model that
answers at once, against the same calls made in a plain loop. Peers: a step of LangGraph's functional API and a DSPy
module call, both without a model, in their own environment.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import thalweg as tw
from thalweg.eval.benches.peers import run_peer
from thalweg.eval.benches.six_flows import six
from thalweg.eval.benchmark import Benchmark, Figure, compare
from thalweg.models.recorded import RecordedModel
from thalweg.models.request import Answer, Usage
from thalweg.models.request_codec import request_key
from thalweg.program.compile import compile_source
from thalweg.program.session import Session, current, model_in_force

NAME = "program.compile"


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "What does compiling a flow pay, and cost?", lambda: _run(1 if quick else 5, quick))


def _run(repeats: int, quick: bool) -> Sequence[Figure]:
    return [*_pay(repeats), *_compile_time(), *_call_time(200 if quick else 2000), *_peers()]


# -- pay ------------------------------------------------------------------------------------------------------------


def _pay(repeats: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder, tw.using(cache=False, store=folder, progress=False):
        model = model_in_force(current())
        for name, flow, arguments in six():
            results: dict[str, Any] = {}
            counts: dict[str, int] = {}

            def compiled(
                flow: Any = flow, arguments: Any = arguments, results: Any = results, counts: Any = counts
            ) -> None:
                with _in_flight(model) as most:
                    results["compiled"] = flow(*arguments)
                counts["compiled"] = most()

            def eager(
                flow: Any = flow, arguments: Any = arguments, results: Any = results, counts: Any = counts
            ) -> None:
                with _in_flight(model) as most:
                    results["eager"] = flow.eager(*arguments)
                counts["eager"] = most()

            compiled()
            measured = compare(compiled, eager, repeats=repeats)
            if results["compiled"] != results["eager"]:
                raise AssertionError(f"{name}: compiled and eager differ")
            note = (
                f"{counts['compiled']} calls in flight (eager {counts['eager']}), same result, "
                f"spread of the ratio {measured.spread:.2f}"
            )
            yield Figure(
                NAME, f"{name}: seconds", measured.median_a, measured.median_b, measured.ratio, "s", repeats, note
            )
            yield Figure(NAME, f"{name}: calls in flight", counts["compiled"], counts["eager"],
                         counts["compiled"] / counts["eager"], "calls", 1, "most at one time")  # fmt: skip


@contextmanager
def _in_flight(model: Any) -> Iterator[Callable[[], int]]:
    """Counts requests between `submit` and answer."""
    lock = threading.Lock()
    now = most = 0
    submit = model.submit

    def counted(request: Any, *rest: Any) -> Any:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        future = submit(request, *rest)

        def over(_: Any) -> None:
            nonlocal now
            with lock:
                now -= 1

        future.add_done_callback(over)
        return future

    model.submit = counted
    try:
        yield lambda: most
    finally:
        del model.submit


# -- cost -----------------------------------------------------------------------------------------------------------


def _compile_time() -> Iterator[Figure]:
    times = []
    for _ in range(5):
        for _, flow, _ in six():
            started = time.perf_counter()
            compile_source(flow.function)
            times.append(1e3 * (time.perf_counter() - started))
    yield Figure(NAME, "compile a flow", statistics.median(times), 5, 5 / statistics.median(times), "ms", len(times),
                 f"source to code, largest {max(times):.2f} ms; baseline is the bar")  # fmt: skip


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


@tw.flow
def spread(questions: list[str]) -> list[bool]:
    return [long(question) for question in questions]


@tw.flow
def one(question: str) -> bool:
    return long(question)


@tw.flow
def nested(questions: list[str]) -> list[bool]:
    return [one(question) for question in questions]


def _call_time(calls: int) -> Iterator[Figure]:
    questions = [f"How long is question number {i}?" for i in range(calls)]
    answer = Answer("true", -0.1, (1, 2, 3), tuple(range(80)), usage=Usage(80, 60, 3, 1, 0.01))
    empty = RecordedModel({}, identity="recorded")
    recording = {
        request_key(long._request({"question": one}, Session(), empty), "recorded"): answer for one in questions
    }
    model = RecordedModel(recording, identity="recorded")
    flows = (("a loop that forces", loop), ("a fan-out", spread), ("a fan-out of flows of one call", nested))
    with tempfile.TemporaryDirectory() as folder, tw.using(model=model, cache=False, store=folder):
        for name, flow in flows:
            flow(questions)
            times: dict[str, list[float]] = {"flow": [], "plain": [], "eager": []}
            for _ in range(5):
                for key, call in (("flow", flow), ("plain", _plain), ("eager", flow.eager)):
                    started = time.perf_counter()
                    call(questions)
                    times[key].append(1e6 * (time.perf_counter() - started) / calls)
            extra = statistics.median(a - b for a, b in zip(times["flow"], times["plain"], strict=True))
            plain, eager = statistics.median(times["plain"]), statistics.median(times["eager"])
            yield Figure(NAME, f"time added to a call, {name}", extra, 100, 100 / max(extra, 1e-3), "us", calls,
                         f"baseline is the bar; plain calls {plain:.0f} us each, eager flow {eager:.0f}")  # fmt: skip


def _plain(questions: list[str]) -> list[bool]:
    return [long(question) for question in questions]


def _peers() -> Iterator[Figure]:
    for script, name in (
        ("langgraph_overhead.py", "LangGraph functional API, a step"),
        ("dspy_overhead.py", "DSPy Predict"),
    ):
        peer = run_peer(script)
        if peer is not None:
            yield Figure(
                NAME, f"peer: {name}", peer["median_us"], None, None, "us", 1, f"version {peer['version']}, no model"
            )
        else:
            yield Figure(NAME, f"peer: {name}", 0.0, None, None, "us", 0, "not here (make peers)")
