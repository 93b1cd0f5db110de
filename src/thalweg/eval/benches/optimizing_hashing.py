"""What does a search save that knows candidates by how they behave, and what does it cost in quality?

Three worlds, one cache: register programs that regress a formula, the cells of NAS-Bench-201 with the real noise
between cells that are one function, and prompts of SmolLM2 for a flow of two questions. Baselines: the same search,
with the same random numbers, that evaluates every proposal (and one that knows candidates by their text alone).
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

import thalweg as tw
from thalweg.errors import DataError
from thalweg.eval.benches.nas_cells import CellFunction
from thalweg.eval.benches.nas_table import Cell, accuracies
from thalweg.eval.benches.register_programs import drawn, evolve, fitness, mutated, outputs, points, target
from thalweg.eval.benches.wordnet_fields import field_examples, kind
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.optimizing import Search, exact_match, optimize
from thalweg.optimizing.comparison import compared
from thalweg.optimizing.hashing import FunctionalCache
from thalweg.program.spaces import Genome

NAME = "optimizing.hashing"


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "What does knowing candidates by their behaviour save?", lambda: list(_run(quick)))


def _run(quick: bool) -> Iterator[Figure]:
    yield from _registers(4 if quick else 20)
    try:
        yield from _cells(dict(accuracies()), 10 if quick else 60)
    except DataError as error:
        yield Figure(NAME, "NAS-Bench-201", 0.0, None, None, "cells", 0, f"not measured: {error}")
    yield from _prompts(*((1, 24, 8, 10, 24) if quick else (3, 48, 16, 24, 100)))


# -- register programs ------------------------------------------------------------------------------------------------


def _registers(seeds: int) -> Iterator[Figure]:
    x = points(400, 1)
    wanted = target(x)
    settings: dict[str, Any] = {"population": 100, "tournament": 10}
    counts: dict[Any, list[int]] = defaultdict(list)
    found: dict[Any, list[float]] = defaultdict(list)
    seconds: dict[Any, float] = defaultdict(float)
    false: dict[int, list[int]] = {16: [0, 0], 64: [0, 0]}
    for seed in range(seeds):
        for arm in ("none", "text", 16, 64):
            score, count = _scorer(arm, lambda program: fitness(program, x, wanted))
            started = time.perf_counter()
            _, best = evolve(drawn, mutated, score, rng=random.Random(seed), proposals=3000, **settings)
            seconds[arm] += time.perf_counter() - started
            counts[arm].append(count())
            found[arm].append(best)
        for probes, totals in false.items():
            wrong = _wrong_hits(probes, seed, x, wanted, settings)
            totals[0] += wrong[0]
            totals[1] += wrong[1]
    mean = {arm: statistics.fmean(counts[arm]) for arm in counts}
    equal = sum(a == b for a, b in zip(found["none"], found[64], strict=True))
    note = (
        f"of 3000 proposals, range {min(counts[64])}-{max(counts[64])}; by text alone {mean['text']:.0f}; the best "
        f"fitness is the same in {equal} of {seeds} searches; wall time {seconds[64] / seconds['none']:.2f} of "
        "the baseline's (whose evaluations cost as little as a hash)"
    )
    yield Figure(NAME, "register programs: evaluations", mean[64], mean["none"], mean["none"] / mean[64], "evaluations",
                 seeds, note)  # fmt: skip
    for probes, (wrong, hits) in false.items():
        yield Figure(NAME, f"register programs: false hits, {probes} probes", wrong / max(1, hits), None, None, "share",
                     hits, f"{wrong} hits whose fitness differs by more than 1e-9")  # fmt: skip
    late, idle = [], 0
    for seed in range(seeds):
        for arm in ("none", 64):
            score, count = _scorer(arm, lambda program: fitness(program, x, wanted))
            _, best = evolve(drawn, mutated, score, rng=random.Random(seed), proposals=20_000,
                             over=lambda count=count: count() >= 300, **settings)  # fmt: skip
            late.append(best)
            idle += count() < 300
    none, cached = late[::2], late[1::2]
    yield Figure(NAME, "register programs: best fitness after 300 evaluations", statistics.fmean(cached),
                 statistics.fmean(none), None, "fitness", seeds,
                 f"{_paired(cached, none)}; {idle} searches met 20,000 proposals first")  # fmt: skip


def _scorer(arm: Any, evaluate: Callable[[Any], float]) -> tuple[Callable[[Any], float], Callable[[], int]]:
    """A score function with an arm's way of knowing candidates, and the count of its evaluations."""
    made = [0]

    def full(program: Any) -> float:
        made[0] += 1
        return evaluate(program)

    if arm == "none":
        score = full
    elif arm == "text":
        score = cache(full)
    else:
        known, probes = FunctionalCache(probes=arm), points(arm, 2)

        def score(program: Any) -> float:
            return known.score(_key(known, program, probes), lambda: full(program))

    return score, lambda: made[0]


def _key(known: FunctionalCache, program: Any, probes: Any) -> str:
    with np.errstate(all="ignore"):
        return known.key(outputs(program, probes))


def _wrong_hits(probes: int, seed: int, x: Any, wanted: Any, settings: dict[str, Any]) -> tuple[int, int]:
    """(false hits, hits) of one search: each hit is evaluated all the same, aside."""
    known, places = FunctionalCache(probes=probes), points(probes, 2)
    wrong = [0]

    def score(program: Any) -> float:
        truth = fitness(program, x, wanted)
        found = known.score(_key(known, program, places), lambda: truth)
        wrong[0] += abs(found - truth) > 1e-9
        return found

    evolve(drawn, mutated, score, rng=random.Random(seed), proposals=3000, **settings)
    return wrong[0], known.hits


# -- NAS-Bench-201 ----------------------------------------------------------------------------------------------------


def _cells(table: dict[Cell, float], seeds: int) -> Iterator[Figure]:
    function = CellFunction()
    bits = FunctionalCache(mantissa_bits=24)
    keys = {cell: _rounded(bits, function(cell)) for cell in table}
    classes: dict[str, list[float]] = defaultdict(list)
    for cell, accuracy in table.items():
        classes[keys[cell]].append(accuracy)
    truth = {key: statistics.fmean(all_) for key, all_ in classes.items()}
    noise = statistics.fmean(statistics.pstdev(one) for one in classes.values() if len(one) > 1)
    results: dict[int, list[float]] = defaultdict(list)
    for seed in range(seeds):
        for most in (0, 1, 3):
            known = FunctionalCache(max_evaluations=max(1, most))
            made = [0]

            def evaluate(cell: Cell, made: list[int] = made) -> float:
                made[0] += 1
                return table[cell]

            def score(cell: Cell, most: int = most, known: Any = known, evaluate: Any = evaluate) -> float:
                return known.score(keys[cell], lambda: evaluate(cell)) if most else evaluate(cell)

            best, _ = evolve(_any_cell, _other_cell, score, rng=random.Random(seed), population=50, tournament=10,
                             proposals=5000, over=lambda made=made: made[0] >= 200)  # fmt: skip
            results[most].append(truth[keys[best]])
    world = f"{len(table)} cells are {len(classes)} functions, accuracies within one differ by {noise:.2f} points"
    for most in (1, 3):
        yield Figure(NAME, f"NAS-Bench-201: accuracy after 200 evaluations, at most {most} a key",
                     statistics.fmean(results[most]), statistics.fmean(results[0]), None, "%", seeds,
                     f"{_paired(results[most], results[0])}; of the function found; {world}")  # fmt: skip


def _rounded(known: FunctionalCache, values: Any) -> str:
    """Sums in another order differ in the last bits, and a number that is 0 but for them in all of its bits."""
    return known.key(np.round(values, 6))


def _any_cell(rng: random.Random) -> Cell:
    return tuple(rng.randrange(5) for _ in range(6))


def _other_cell(cell: Cell, rng: random.Random) -> Cell:
    at = rng.randrange(6)
    return (*cell[:at], rng.choice([one for one in range(5) if one != cell[at]]), *cell[at + 1 :])


# -- prompts ----------------------------------------------------------------------------------------------------------


@tw.learned
def eaten(definition: str) -> Literal["food", "plant"]:
    """Is it something to eat or drink, or a plant that grows?"""
    ...


@tw.flow
def settled(definition: str) -> str:
    first = kind(definition)
    return eaten(definition) if first == "food" else first


OPENINGS = ("", "Read the definition. ", "You know a lot about words. ", "Think of the thing itself. ")
QUESTIONS = (
    "What does this definition describe?", "What kind of thing is defined?", "Sort the definition.",
    "Which category does it belong to?",
)  # fmt: skip
ENDINGS = ("", " Answer with one word.", " Be exact.", " Animals live, artifacts are made, food is eaten, plants grow.")


@dataclass(frozen=True)
class PromptEvolution:
    """Evolution over the words of both instructions and over demonstrations."""

    proposals: int
    name: str = "PromptEvolution"

    def run(self, search: Search) -> None:
        rng = search.rng("evolution")
        alive = [search.trials[0]]
        for _ in range(self.proposals):
            parent = max((rng.choice(alive) for _ in range(3)), key=lambda trial: trial.score)
            alive.append(search.try_(self._changed(parent.genome, search, rng), parent=parent))
            alive = alive[-8:]

    def _changed(self, genome: Genome, search: Search, rng: random.Random) -> Genome:
        which = rng.choice(("kind", "kind", "eaten", "demonstrations"))
        if which != "demonstrations":
            text = rng.choice(OPENINGS) + rng.choice(QUESTIONS) + rng.choice(ENDINGS)
            return genome.replace({f"settled.{which}/instruction": text})
        path = "settled.kind/demonstrations"
        shown = list(genome[path])
        one = rng.choice(search.train)
        if len(shown) == 2:
            shown.pop(rng.randrange(2))
        shown.append({"inputs": {"definition": one.definition}, "output": one.label})
        return genome.replace({path: shown})


def _prompts(seeds: int, dev_size: int, probes: int, proposals: int, test_size: int) -> Iterator[Figure]:
    arms: dict[str, Any] = {"none": None, "likelihoods": "likelihoods", "outputs": "outputs"}
    used: dict[str, list[int]] = defaultdict(list)
    test_scores: dict[str, list[list[float]]] = defaultdict(list)
    wrong: dict[str, list[float]] = defaultdict(list)
    twins: dict[str, int] = defaultdict(int)
    train, dev, test = field_examples(12, dev_size, test_size)
    with tempfile.TemporaryDirectory() as folder, tw.using(model="smollm2-135m", store=folder):
        for seed in range(seeds):
            for arm, seen in arms.items():
                known = None if seen is None else FunctionalCache(probes=probes, seen=seen)
                study = optimize(
                    settled, train=train, dev=dev, test=test, strategy=PromptEvolution(proposals), seed=seed,
                    cache=known, id=f"{arm} {seed}", progress=False,
                )  # fmt: skip
                used[arm].append(study.spent.evaluations)
                test_scores[arm].append(_scores(study.best, test))
                for trial in study.trials:
                    if trial.same_as is not None:
                        twins[arm] += 1
                        truth = statistics.fmean(_scores(settled.bind(trial.genome), dev))
                        wrong[arm].append(abs(truth - trial.score))
    none = statistics.fmean(used["none"])
    for arm in ("likelihoods", "outputs"):
        mean = statistics.fmean(used[arm])
        off = wrong[arm]
        yield Figure(NAME, f"prompts, {arm} of {probes} probes: evaluations", mean, none, none / mean, "evaluations",
                     seeds, f"{proposals} proposals, {dev_size} of dev; {twins[arm]} had a twin")  # fmt: skip
        yield Figure(NAME, f"prompts, {arm}: false hits", sum(one > 1e-9 for one in off) / max(1, len(off)), None, None,
                     "share", len(off), f"scores on dev off by {max(off, default=0.0):.3f} at most")  # fmt: skip
        a = [score for one in test_scores[arm] for score in one]
        b = [score for one in test_scores["none"] for score in one]
        yield Figure(NAME, f"prompts, {arm}: held-out accuracy of the best", statistics.fmean(a), statistics.fmean(b),
                     None, "share", len(a), _paired(a, b))  # fmt: skip


def _scores(program: Any, rows: Sequence[Any]) -> list[float]:
    found = program.map([{"definition": one.definition} for one in rows])
    return [exact_match(one, output).value for one, output in zip(rows, found, strict=True)]


def _paired(a: Sequence[float], b: Sequence[float]) -> str:
    """The mean difference with its 95 % bootstrap interval."""
    found = compared(b, a).difference
    return f"difference {found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
