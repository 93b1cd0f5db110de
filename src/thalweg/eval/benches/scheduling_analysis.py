"""Does `analyze` know before a run what it will cost, how long it will take, and how wrong it will be?

Counts: calls and prompt tokens of a flow over the packaged model, predicted and used. Seconds: a cost model measured
once, lengths of answers from three chunk sizes, then predictions for other chunk sizes and other numbers of calls at
once, against the median of five runs; the baseline is tokens times one rate. Errors: a small transformer trained here
counts, finds and sorts in chunks; errors of single calls are measured at some chunk sizes, errors of whole answers are
predicted for others and compared with 30 trials each. Bounds are theorems and are checked in every trial.
"""

from __future__ import annotations

import heapq
import math
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

import thalweg as tw
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.program.analysis import MeasuredErrors, calibrated, measure_errors
from thalweg.program.analysis.errors import (
    counting_bound,
    counting_expected,
    merge_success,
    overlapping_success,
)

NAME = "scheduling.analysis"
TRIALS = 30
CODE = 4  # characters, with the sign before it
SAMPLE = 300  # strings that the errors of single calls are measured on, a size


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "Does `analyze` know cost, time and error before a run?", lambda: list(_run(quick)))


def _run(quick: bool) -> Iterator[Figure]:
    yield from _seconds(quick)
    yield from _errors(quick)


# -- counts and seconds, over the packaged model ----------------------------------------------------------------------


@tw.learned
def note(text: str) -> Annotated[str, Field(min_length=1, max_length=60)]:
    """Say in a few words what this part of a text is about."""
    ...


@tw.flow
def notes(text: str, m: int) -> list[str]:
    """A note on every part of m characters."""
    return [note(text[i : i + m]) for i in range(0, len(text), m)]


def _text(characters: int) -> str:
    from thalweg.eval.benches.samples import mails

    found = ""
    for one in mails("train"):
        found += one["mail"] + "\n"
        if len(found) >= characters:
            break
    return found[:characters]


def _seconds(quick: bool) -> Iterator[Figure]:
    from thalweg.models import load
    from thalweg.scheduling import Engine
    from thalweg.scheduling.cost import profile

    text = _text(2400)
    known, wanted = (200, 400, 800), (300, 600)
    streams = (1, 4) if quick else (1, 2, 4)
    repeats = 1 if quick else 5
    scorer = load("smollm2-135m", streams=max(streams))
    cost = profile(scorer, repeats=2 if quick else 5)
    scorer.free()
    lengths: dict[int, float] = {}
    pairs: list[tuple[float, float, float]] = []
    equal = settings = calls = prompt = 0
    rate = math.nan
    told = []
    for p in streams:
        engine = Engine(load("smollm2-135m", streams=p), workers=1)
        try:
            with tw.using(model=engine, cache=False, journal=False, progress=False):
                notes(text[:400], 200)  # everything is loaded
                if not lengths:
                    rate = _learn_lengths(engine, text, known, lengths)
                length = calibrated({float(m): lengths[m] for m in known})
                for m in wanted:
                    analysis = tw.analyze(
                        notes, {"text": text, "m": m}, parallelism=p, cost=cost, output_tokens=length(float(m))
                    )
                    predicted = analysis.rows[0]
                    taken = []
                    for _ in range(repeats):
                        calls, prompt, _ = _used(engine.counters)
                        started = time.perf_counter()
                        notes(text, m)
                        taken.append(time.perf_counter() - started)
                        calls, prompt = _used(engine.counters)[0] - calls, _used(engine.counters)[1] - prompt
                    settings += 1
                    equal += (calls, prompt) == (predicted.calls, predicted.prompt)
                    measured = statistics.median(taken)
                    tokens = predicted.prompt + predicted.output
                    pairs.append((predicted.seconds, measured, tokens / rate))
                    told.append(f"m={m} p={p}: {predicted.seconds:.2f} / {measured:.2f} s")
        finally:
            engine.close()
    yield Figure(
        NAME, "calls and prompt tokens as predicted", equal / settings, 1.0, equal / settings, "share", settings,
        "settings of chunk size and streams whose counts were exactly those of the run; baseline is the bar",
    )  # fmt: skip
    off = [abs(predicted - measured) / measured for predicted, measured, _ in pairs]
    naive = [abs(simple - measured) / measured for _, measured, simple in pairs]
    within = sum(one <= 0.2 for one in off) / len(off)
    yield Figure(
        NAME, "seconds: median relative error, held-out sizes and streams", statistics.median(off),
        statistics.median(naive), statistics.median(naive) / max(1e-9, statistics.median(off)), "share", len(off),
        f"baseline: tokens at one rate, measured on the calibration runs; largest {max(off):.2f}; "
        + "; ".join(told),
    )  # fmt: skip
    yield Figure(
        NAME, "seconds predicted within 20 %", within, sum(one <= 0.2 for one in naive) / len(naive), None, "share",
        len(off), "wanted 1; baseline: tokens at one rate",
    )  # fmt: skip


def _learn_lengths(engine: Any, text: str, sizes: Sequence[int], lengths: dict[int, float]) -> float:
    """Tokens drawn for an answer, by chunk size; returns tokens a second over all of these runs."""
    started, first = time.perf_counter(), _used(engine.counters)
    for m in sizes:
        calls, _, drawn = _used(engine.counters)
        notes(text, m)
        after = _used(engine.counters)
        lengths[m] = (after[2] - drawn) / (after[0] - calls)
    last = _used(engine.counters)
    return (last[1] - first[1] + last[2] - first[2]) / (time.perf_counter() - started)


def _used(counters: Any) -> tuple[int, int, int]:
    return counters.requests, counters.prompt_tokens, counters.output_tokens - counters.forced_tokens


# -- errors, over a transformer trained here --------------------------------------------------------------------------


@tw.learned
def digits(count: str) -> int:
    """How many digits are in the text?"""
    ...


@tw.learned
def code(find: str) -> str:
    """The code after "#", or none."""
    ...


@tw.learned
def ordered(sort: str) -> str:
    """The digits, sorted."""
    ...


@tw.flow
def count_all(text: str, m: int) -> int:
    return sum([digits(text[i : i + m]) for i in range(0, len(text), m)])


@tw.flow
def find_code(text: str, m: int) -> str:
    """Chunks overlap by half, so that the code stands whole in one; only an answer that all agree on counts."""
    step = m // 2
    answers = [code(text[i : i + m]) for i in range(0, max(1, len(text) - step), step)]
    found = [one for one in answers if one != "none"]
    return found[0] if found and all(one == found[0] for one in found) else "none"


@tw.flow
def sort_all(text: str, m: int) -> str:
    parts = [ordered(text[i : i + m]) for i in range(0, len(text), m)]
    return "".join(heapq.merge(*parts))


@dataclass(frozen=True)
class Point:
    """One task at one size: predicted error, that of each trial, tokens a trial, and the trials that broke a bound."""

    task: str
    m: int
    predicted: float
    trials: list[float]
    tokens: float
    broken: int

    @property
    def measured(self) -> float:
        return statistics.mean(self.trials)

    def band(self) -> tuple[float, float]:
        """95 % bootstrap interval of the measured mean."""
        dice = random.Random(self.m)
        means = sorted(statistics.mean(dice.choices(self.trials, k=len(self.trials))) for _ in range(2000))
        return means[50], means[-50]


def _errors(quick: bool) -> Iterator[Figure]:
    from thalweg.eval.benches.string_reader import trained
    from thalweg.models.storage import home

    reader = trained(Path(home()) / "benches", steps=150 if quick else 600)
    known = (6, 12, 20, 30, 40)
    wanted = (10, 16, 24, 36)
    sample, trials = (60, 10) if quick else (SAMPLE, TRIALS)
    with tw.using(model=reader, cache=False, journal=False, progress=False):
        points = [
            *_counting(known, wanted, sample, trials),
            *_finding(known, wanted, sample, trials),
            *_sorting(known, (5, 10, 15, 20), sample, trials),
        ]
    inside = sum(low - 1e-9 <= one.predicted <= high + 1e-9 for one in points for low, high in [one.band()])
    flat = {
        task: statistics.mean(one.measured for one in points if one.task == task) for task in ("count", "find", "sort")
    }
    of_flat = sum(low <= flat[one.task] <= high for one in points for low, high in [one.band()])
    told = "; ".join(f"{one.task} m={one.m}: {one.predicted:.2f} / {one.measured:.2f}" for one in points)
    yield Figure(
        NAME, "errors: predicted within the 95 % band of the trials", inside / len(points), of_flat / len(points),
        None, "share", len(points),
        f"{trials} trials a point, held-out sizes, errors of single calls from {sample} strings at other sizes; wanted "
        f"0.8; baseline: one error for all sizes (known afterwards); {told}",
    )  # fmt: skip
    broken = sum(one.broken for one in points)
    yield Figure(NAME, "trials that broke a bound", broken, 0, None, "trials", sum(len(one.trials) for one in points),
                 "sum of counts, exact merge of exact lists")  # fmt: skip
    yield from _recommended(points)


def _recommended(points: Sequence[Point]) -> Iterator[Figure]:
    """What is chosen by predicted error under a cap of tokens, against the best that was measured under it."""
    lost, count = [], 0
    for task in ("count", "find", "sort"):
        mine = [one for one in points if one.task == task]
        for cap in sorted(one.tokens for one in mine)[1:]:
            able = [one for one in mine if one.tokens <= cap]
            chosen = min(able, key=lambda one: one.predicted)
            best = min(able, key=lambda one: one.measured)
            scale = max(1e-9, max(one.measured for one in able))
            lost.append((chosen.measured - best.measured) / scale)
            count += 1
    within = sum(one <= 0.1 for one in lost) / count
    yield Figure(NAME, "recommended size within 10 % of the best under a cap", within, 1.0, within, "share", count,
                 f"of the largest error under the cap; largest loss {max(lost):.2f}; baseline is the bar")  # fmt: skip


def _of_calls(task: str, function: Any, sizes: Sequence[int], sample: int) -> MeasuredErrors:
    """Single calls, by the length of their string."""
    from thalweg.eval.benches.string_reader import question

    asked: list[tuple[str, Any]] = []
    for m in sizes:
        dice = random.Random(f"{task} {m}")
        asked += [question(task, dice, m) for _ in range(sample)]
    if task == "count":
        asked = [(text, int(right)) for text, right in asked]
    (name,) = (one.name for one in function.signature.inputs)
    return measure_errors(function, asked, size_of=lambda one: len(one[name]))


def _counting(known: Sequence[int], wanted: Sequence[int], sample: int, trials: int) -> Iterator[Point]:
    from thalweg.eval.benches.string_reader import random_text

    measured = _of_calls("count", digits, known, sample)
    bias = calibrated(measured.by_size(lambda calls: statistics.mean(one.output - one.label for one in calls)))
    spread = calibrated(measured.by_size(lambda calls: statistics.pstdev(one.output - one.label for one in calls)))
    n, dice = 200, random.Random(1)
    for m in wanted:
        sizes = [min(m, n - i) for i in range(0, n, m)]
        predicted = counting_expected(
            sum(bias(one) for one in sizes), math.sqrt(sum(spread(one) ** 2 for one in sizes))
        )
        errors, broken = [], 0
        for _ in range(trials):
            text = random_text(dice, n)
            parts = [text[i : i + m] for i in range(0, n, m)]
            error = abs(count_all(text, m) - sum(one.isdigit() for one in text))
            limit = counting_bound([digits(one) - sum(c.isdigit() for c in one) for one in parts])
            broken += error > limit
            errors.append(float(error))
        yield Point("count", m, predicted, errors, n + 2 * len(sizes), broken)


def _finding(known: Sequence[int], wanted: Sequence[int], sample: int, trials: int) -> Iterator[Point]:
    from thalweg.eval.benches.string_reader import NONE, cut, hidden

    measured = _of_calls("find", code, known, 2 * sample)
    missed = calibrated(measured.by_size(lambda calls: _share(one.error for one in calls if one.label != NONE)))
    invented = calibrated(measured.by_size(lambda calls: _share(one.error for one in calls if one.label == NONE)))
    wrong = calibrated(
        measured.by_size(
            lambda calls: _share(one.error and one.output != NONE for one in calls if one.label != NONE)
        )
    )  # fmt: skip
    draw = random.Random(4)
    of_cut = calibrated({m: _share(code(cut(draw, m)) != NONE for _ in range(sample)) for m in known})
    n, dice = 120, random.Random(2)
    for m in wanted:
        step = m // 2
        chunks = len(range(0, max(1, n - step), step))
        predicted = 1 - overlapping_success(
            missed(m), invented(m), n, m, CODE, wrong=wrong(m), cut=of_cut(m)
        )  # fmt: skip
        errors = []
        for _ in range(trials):
            text, right = hidden(dice, n)
            errors.append(float(find_code(text, m) != right))
        yield Point("find", m, predicted, errors, chunks * (m + 2), 0)


def _sorting(known: Sequence[int], wanted: Sequence[int], sample: int, trials: int) -> Iterator[Point]:
    from thalweg.eval.benches.string_reader import random_digits

    sizes = tuple(one for one in known if one <= 20)
    wrong = _of_calls("sort", ordered, sizes, sample)
    n, dice = 40, random.Random(3)
    for m in wanted:
        parts = [min(m, n - i) for i in range(0, n, m)]
        predicted = 1 - math.prod(merge_success(wrong(float(one)), 1) for one in parts)
        errors, broken = [], 0
        for _ in range(trials):
            text = random_digits(dice, n)
            got = sort_all(text, m)
            exact = all(ordered(text[i : i + m]) == "".join(sorted(text[i : i + m])) for i in range(0, n, m))
            broken += exact and got != "".join(sorted(text))
            errors.append(float(got != "".join(sorted(text))))
        yield Point("sort", m, predicted, errors, 2 * n + 2 * len(parts), broken)


def _share(found: Any) -> float:
    values = [bool(one) for one in found]
    return sum(values) / len(values) if values else 0.0
