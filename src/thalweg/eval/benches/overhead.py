"""What does a learned call cost outside the model? A recorded model answers at once; what is left is ours.

Baseline: DSPy's `Predict` over a dummy language model, in an environment of its own (`make peers`), in the same run.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Literal

import thalweg as tw
from thalweg.eval.benches.peers import run_peer
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models.recorded import RecordedModel
from thalweg.models.request import Answer, Usage
from thalweg.models.request_codec import request_key
from thalweg.program.session import Session, current


def benchmark(quick: bool) -> Benchmark:
    return Benchmark("overhead", "What does a call cost outside the model?", lambda: _run(300 if quick else 3000))


@tw.learned
def kind(question: str) -> Literal["short", "long"]:
    """Is the question short or long?"""
    ...


def _run(calls: int) -> Sequence[Figure]:
    questions = [f"How long is question number {i}?" for i in range(calls)]
    answer = Answer("short", -0.1, (1, 2, 3), tuple(range(80)), usage=Usage(80, 60, 3, 1, 0.01))
    empty = RecordedModel({}, identity="recorded")
    recording = {
        request_key(kind._request({"question": one}, Session(), empty), "recorded"): answer for one in questions
    }
    model = RecordedModel(recording, identity="recorded")
    peer = run_peer("dspy_overhead.py")
    base = peer["median_us"] if peer else None
    note = f"DSPy {peer['version']} Predict over a dummy model" if peer else "DSPy is not here (make peers); bar: "
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for name, journal, bar in (("with the journal", True, 150), ("without", False, 60)):
            with tw.using(model=model, cache=False, journal=journal, store=folder):
                times = []
                for question in questions:
                    started = time.perf_counter()
                    kind(question)
                    times.append(time.perf_counter() - started)
                current()
            median = 1e6 * statistics.median(times[calls // 10 :])
            figures.append(
                Figure(
                    "overhead",
                    f"microseconds per call, {name}",
                    median,
                    base,
                    base / median if base else None,
                    "us",
                    calls,
                    note if peer else f"{note}{bar}",
                )  # fmt: skip
            )
    return [*figures, *_import_time()]


def _import_time() -> list[Figure]:
    def run(code: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - started

    run("import thalweg")
    pairs = [(run("import thalweg"), run("pass")) for _ in range(7)]
    milliseconds = 1e3 * statistics.median(a - b for a, b in pairs)
    heavy = subprocess.run(
        [sys.executable, "-c", "import sys, thalweg; print(int('torch' in sys.modules))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    return [
        Figure("overhead", "import thalweg", milliseconds, 200, 200 / milliseconds, "ms", 7,
               "baseline is the bar; python's own start left out"),
        Figure("overhead", "torch imported by it", float(heavy), 0, None, "modules", 1, ""),
    ]  # fmt: skip
