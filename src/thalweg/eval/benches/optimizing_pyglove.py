"""Do search algorithms find better programs than chance does, on spaces that a program declares with markers?

Two spaces. The cells of NAS-Bench-201, written as a flow with six choices and scored by a table: evaluations until a
cell is within 0.5 points of the best, and the flows of search (joint, separate, factorized) at equal evaluations. And
prompt x demonstrations x strategy x temperature of a classification by the packaged model: every program is evaluated
on dev once, and searches of few evaluations are run over these scores many times, so that luck averages out; the best
on dev is then asked about examples that no search saw. Baseline: random search. Peer: Optuna (proposals a second, TPE).
"""

from __future__ import annotations

import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import thalweg as tw
from thalweg.errors import DataError, SearchError
from thalweg.eval.benches.nas_table import accuracies
from thalweg.eval.benches.wordnet_fields import FIELDS, field_examples, kind
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.optimizing import optimize
from thalweg.optimizing.algorithms import TPE, Grid, HillClimbing, OptunaTPE, RandomSearch, RegularizedEvolution
from thalweg.optimizing.comparison import estimate
from thalweg.optimizing.optimizers.searching import Part, Searching
from thalweg.program.choice_kinds import Choice
from thalweg.program.spaces import Genome, Space, space
from thalweg.program.strategy import Direct
from thalweg.prompting.chain_of_thought import ChainOfThought

NAME = "optimizing.pyglove"
QUESTION = "Do search algorithms find better programs than chance, whatever the space?"
NEAR = 0.5  # points below the maximum
CAP = 1500  # evaluations

Score = Callable[[Genome], float]


@tw.flow
def cell() -> tuple[int, ...]:
    """A cell: an operation on each of its six edges."""
    return (
        tw.choice(0, 1, 2, 3, 4, name="edge1"), tw.choice(0, 1, 2, 3, 4, name="edge2"),
        tw.choice(0, 1, 2, 3, 4, name="edge3"), tw.choice(0, 1, 2, 3, 4, name="edge4"),
        tw.choice(0, 1, 2, 3, 4, name="edge5"), tw.choice(0, 1, 2, 3, 4, name="edge6"),
    )  # fmt: skip


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, QUESTION, lambda: list(_run(quick)))


def _run(quick: bool) -> Iterator[Figure]:
    yield from _speed(quick)
    try:
        table = accuracies()
    except DataError as error:
        print(f"thalweg: no figures on NAS-Bench-201: {error}", file=sys.stderr)
    else:
        yield from _cells(table, 8 if quick else 50)
        yield from _flows(table, 8 if quick else 50, 150)
    yield from _prompts(quick)


# -- proposals a second -----------------------------------------------------------------------------------------------


def _speed(quick: bool) -> Iterator[Figure]:
    names = [f"p/{index}" for index in range(10)]
    ten = Space("p", {name: _dimension(name) for name in names})
    count = 2_000 if quick else 20_000
    scored = 60 if quick else 200
    fast = _rate(RegularizedEvolution(), ten, count)
    own = _rate(TPE(), ten, scored)
    try:
        peer: float | None = _rate(OptunaTPE(), ten, scored)
    except SearchError as error:
        print(f"thalweg: no comparison with Optuna: {error}", file=sys.stderr)
        peer = None
    note = f"ten choices of five, asked and told one by one, {count} times"
    yield Figure(NAME, "proposals, evolution", fast, None, None, "1/s", count, note)
    note = f"ten choices of five, {scored} asked and told one by one; baseline Optuna's TPE sampler"
    yield Figure(NAME, "proposals, TPE", own, peer, own / peer if peer else None, "1/s", scored, note)


def _dimension(path: str) -> Any:
    from thalweg.program.spaces import Dimension

    return Dimension(path, Choice((0, 1, 2, 3, 4)))


def _rate(algorithm: Any, found: Space, count: int) -> float:
    asking, began = algorithm.start(found, random.Random(0)), time.perf_counter()
    for _ in range(count):
        (one,) = asking.ask(1)
        asking.tell(one, float(sum(one.values.values())))
    return count / (time.perf_counter() - began)


# -- cells ------------------------------------------------------------------------------------------------------------


def _cells(table: Mapping[Any, float], seeds: int) -> Iterator[Figure]:
    found, best = space(cell), max(table.values())

    def score(one: Genome) -> float:
        return table[tuple(one.values.values())]

    near = sum(value >= best - NEAR for value in table.values())
    chance = [_until(RandomSearch(), found, score, best - NEAR, seed) for seed in range(seeds)]
    algorithms = [(RegularizedEvolution(population=50, tournament=10), seeds), (TPE(), seeds), (HillClimbing(), seeds)]
    try:
        OptunaTPE().start(found, random.Random(0))
        algorithms.append((OptunaTPE(), min(10, seeds)))
    except SearchError:
        pass
    for algorithm, runs in algorithms:
        took = [_until(algorithm, found, score, best - NEAR, seed) for seed in range(runs)]
        p = fewer(took, chance)
        value, base = statistics.median(took), statistics.median(chance)
        note = (
            f"median over seeds, until {best - NEAR:.2f} % ({near} of {len(table)} cells reach it; the best has "
            f"{best:.2f} %); cells asked for again cost nothing; fewer than random: one-sided p = {p:.2g}; "
            f"{sum(one >= CAP for one in took)} runs ended at {CAP} without"
        )
        yield Figure(NAME, f"evaluations on NAS-Bench-201, {algorithm.name}", value, base, base / value, "evaluations",
                     runs, note)  # fmt: skip


def _until(algorithm: Any, found: Space, score: Score, wanted: float, seed: int) -> int:
    """Different genomes scored until one is good enough."""
    asking, seen = algorithm.start(found, random.Random(seed)), {}
    for _ in range(20 * CAP):
        for one in asking.ask(1):
            if one not in seen:
                seen[one] = score(one)
                if seen[one] >= wanted or len(seen) >= CAP:
                    return len(seen)
            asking.tell(one, seen[one])
    return CAP


def fewer(these: Sequence[float], those: Sequence[float]) -> float:
    """One-sided p of the Mann-Whitney test (normal approximation with ties) that `these` are the smaller ones."""
    pooled = sorted([*these, *those])
    rank = {value: pooled.index(value) + (pooled.count(value) + 1) / 2 for value in set(pooled)}
    n, m = len(these), len(those)
    u = sum(rank[value] for value in these) - n * (n + 1) / 2
    ties = sum(pooled.count(value) ** 3 - pooled.count(value) for value in set(pooled))
    variance = n * m / 12 * ((n + m + 1) - ties / ((n + m) * (n + m - 1)))
    if variance <= 0:
        return 1.0
    return 0.5 * (1 + math.erf((u + 0.5 - n * m / 2) / math.sqrt(2 * variance)))


def _flows(table: Mapping[Any, float], seeds: int, budget: int) -> Iterator[Figure]:
    """The best accuracy at equal evaluations, by the flow of search. Those by parts begin at a random cell: the default
    one has no operation anywhere."""
    found = space(cell)
    outer, inner = ("cell/edge1", "cell/edge2", "cell/edge3"), ("cell/edge4", "cell/edge5", "cell/edge6")
    algorithm = RegularizedEvolution(population=20, tournament=5)

    def score(one: Genome) -> float:
        return table[tuple(one.values.values())]

    def joint(seed: int) -> float:
        return _best(algorithm, found, score, budget, seed)

    def separate(seed: int) -> float:
        best = _searched(algorithm, found, outer, found.sample(seed), score, budget // 2, seed)
        best = _searched(algorithm, found, inner, best, score, budget - budget // 2, seed + 1000)
        return score(best)

    def factorized(seed: int) -> float:
        part = Part(Searching(only=outer), found, found.sample(seed))
        asking = RegularizedEvolution(population=8, tournament=3).start(part.space, random.Random(seed))
        left, best, turn = budget, -math.inf, 0
        while left > 0:
            (one,) = asking.ask(1)
            count = min(left, 10)
            reached = score(_searched(HillClimbing(), found, inner, part.whole(one), score, count, seed * 100 + turn))
            left, best, turn = left - count, max(best, reached), turn + 1
            asking.tell(one, reached)
        return best

    base = [joint(seed) for seed in range(seeds)]
    for name, flow in (("separate", separate), ("factorized", factorized)):
        got = [flow(seed) for seed in range(seeds)]
        difference = estimate([a - b for a, b in zip(got, base, strict=True)])
        note = f"{budget} evaluations; mean over seeds; baseline joint; difference {difference} points"
        value, whole = statistics.fmean(got), statistics.fmean(base)
        yield Figure(NAME, f"best cell, {name}", value, whole, value / whole, "%", seeds, note)


def _best(algorithm: Any, found: Space, score: Score, budget: int, seed: int) -> float:
    """The best score of so many different genomes."""
    asking, seen = algorithm.start(found, random.Random(seed)), {}
    for _ in range(50 * budget):
        for one in asking.ask(1):
            if one not in seen:
                if len(seen) == budget:
                    return max(seen.values())
                seen[one] = score(one)
            asking.tell(one, seen[one])
    return max(seen.values())


def _searched(
    algorithm: Any, found: Space, only: tuple[str, ...], start: Genome, score: Score, budget: int, seed: int
) -> Genome:
    """The best genome of a search of some choices, the rest as in `start`."""
    part = Part(Searching(only=only), found, start)
    asking, seen = algorithm.start(part.space, random.Random(seed)), {}
    for _ in range(50 * budget):
        for one in asking.ask(1):
            if one not in seen:
                if len(seen) == budget:
                    return part.whole(max(seen, key=lambda each: seen[each]))
                seen[one] = score(part.whole(one))
            asking.tell(one, seen[one])
    return part.whole(max(seen, key=lambda each: seen[each]))


# -- prompts ----------------------------------------------------------------------------------------------------------

INSTRUCTIONS = (
    "Sort the definition into one of four groups: animal, artifact, food or plant.",
    "Read the definition of a word. Say whether the word names an animal, an artifact (something made by people), "
    "something to eat or drink, or a plant.",
    "You are a lexicographer. Give the lexical field of the definition.",
    "Is it alive and does it move? Then animal. Does it grow in the ground? Then plant. Is it eaten? Then food. Else "
    "artifact.",
)  # fmt: skip


def _prompts(quick: bool) -> Iterator[Figure]:
    train, dev, test = field_examples(24, 12 if quick else 24, 12 if quick else 100)
    texts = INSTRUCTIONS[:1] if quick else INSTRUCTIONS
    shown = [_one_of_each(train, seed) for seed in range(1 if quick else 2)]
    searched = space(kind).opened("kind/strategy", Choice((Direct(), ChainOfThought(max_tokens=24))))
    if not quick:
        searched = searched.opened("kind/temperature", Choice((0.0, 0.7)))
    grid = Searching(Grid(), 10_000, texts={"kind/instruction": texts}, demonstrations={"kind/demonstrations": shown})
    with tempfile.TemporaryDirectory() as folder, tw.using(store=folder, progress=False):
        study = optimize(kind, train=train, dev=dev, test=test, strategy=grid, space=searched, seed=0, progress=False)
    part = Part(grid, searched, searched.default())
    known = {trial.genome: trial.score for trial in study.trials}
    # The program as it is (no strategy, no temperature said) is in the grid by other names, too; searches draw those.
    scores = {one: known[part.whole(one)] for one in _every(part.space)}
    values = sorted(scores.values())
    whole = (
        f"{len(scores)} programs: {len(texts) + 1} instructions x {len(shown) + 1} sets of examples x 2 strategies"
        f"{'' if quick else ' x 2 temperatures'}, {len(dev)} definitions each; worst {values[0]:.3f}, median "
        f"{statistics.median(values):.3f}, best {values[-1]:.3f}, as written {study.baseline.score:.3f}"
    )
    runs, budget = (50, 4) if quick else (400, 12)
    chance = [_best(RandomSearch(), part.space, scores.__getitem__, budget, seed) for seed in range(runs)]
    for algorithm in (RegularizedEvolution(population=5, tournament=3), TPE(startup=4, good=0.25), HillClimbing(False)):
        got = [_best(algorithm, part.space, scores.__getitem__, budget, seed) for seed in range(runs)]
        difference = estimate([a - b for a, b in zip(got, chance, strict=True)])
        note = (
            f"best dev accuracy after {budget} evaluations, mean over {runs} searches over the scores of all; baseline "
            f"random search; difference {difference}; {whole}"
        )
        value, base = statistics.fmean(got), statistics.fmean(chance)
        yield Figure(NAME, f"best program, {algorithm.name}", value, base, value / base, "share", runs, note)
    if study.held_out is not None:
        before, after = study.held_out.before, study.held_out.after
        note = f"the best on dev against the program as it was: {study.held_out}; {len(FIELDS)} kinds"
        yield Figure(NAME, "held-out accuracy of the best program", after.mean, before.mean,
                     after.mean / before.mean if before.mean else None, "share", len(test), note)  # fmt: skip


def _every(found: Space) -> Iterator[Genome]:
    asking = Grid().start(found, random.Random(0))
    while asked := asking.ask(100):
        yield from asked


def _one_of_each(train: Sequence[Any], seed: int) -> list[dict[str, Any]]:
    """A worked example of each kind."""
    rng = random.Random(seed)
    drawn = [rng.choice([one for one in train if one.label == label]) for label in FIELDS.values()]
    rng.shuffle(drawn)
    return [{"inputs": {"definition": one.definition}, "output": one.label} for one in drawn]
