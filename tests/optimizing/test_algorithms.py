"""Search algorithms as ask and tell: valid proposals, the same ones again, better than chance where they claim it."""

from __future__ import annotations

import builtins
import math
import random
import statistics
import time
from typing import Any

import pytest

from thalweg.errors import SearchError
from thalweg.optimizing.algorithms import (
    TPE,
    Grid,
    HillClimbing,
    OptunaTPE,
    RandomSearch,
    RegularizedEvolution,
    SuccessiveHalving,
)
from thalweg.optimizing.algorithms.algorithm import share_of
from thalweg.optimizing.algorithms.grid import values_of
from thalweg.optimizing.algorithms.kernels import kernel_of
from thalweg.program.choice_kinds import Choice, Examples, Integer, Permutation, Real, Subset, Text
from thalweg.program.spaces import Dimension, Genome, Space

WHEN_B: Any = ((("p/how", ("b",)),),)
MIXED = Space("p", {
    "p/text": Dimension("p/text", Text("as it is"), implicit=True),
    "p/shown": Dimension("p/shown", Examples(), implicit=True),
    "p/how": Dimension("p/how", Choice(("a", "b", None))),
    "p/k": Dimension("p/k", Integer(0, 30), WHEN_B),
    "p/rate": Dimension("p/rate", Real(0.001, 1.0, log=True), WHEN_B),
    "p/set": Dimension("p/set", Subset(2, ("v", "w", "x", "y", "z"))),
    "p/order": Dimension("p/order", Permutation(("q", "r", "s"))),
    "p/strategy": Dimension("p/strategy", Choice(("one", "two")), implicit=True, opened=True),
})  # fmt: skip
TEN = Space("p", {f"p/{index}": Dimension(f"p/{index}", Choice(tuple(range(5)))) for index in range(10)})
SMALL = MIXED.select("p/how", "p/order").given({})

ALGORITHMS = [
    RandomSearch(), RandomSearch("leaves"), Grid(3), HillClimbing(), RegularizedEvolution(12, 4),
    RegularizedEvolution(12, 4, crossover=0.5), TPE(), OptunaTPE(), OptunaTPE(joint=True), SuccessiveHalving(),
    SuccessiveHalving(brackets=True, draws=TPE()),
]  # fmt: skip


def named(one: Any) -> str:
    return f"{one!r}"


def worth(one: Genome) -> float:
    """Best: how=b, k=4, rate near 0.3, v and z in the set, s first."""
    v = one.values
    found = 0.3 * (("v" in v["p/set"]) + ("z" in v["p/set"])) + 0.4 * (v["p/order"][0] == "s")
    if v["p/how"] == "b":
        found += 2 - abs(v["p/k"] - 4) / 15 - abs(math.log(v["p/rate"] / 0.3)) / 3
    return found


def ten(one: Genome) -> float:
    return sum(value == index % 5 for index, value in enumerate(one.values.values()))


def history(algorithm: Any, space: Space, score: Any, count: int, seed: int, batch: int = 1) -> list[Genome]:
    asking, made = algorithm.start(space, random.Random(seed)), []
    while len(made) < count:
        asked = asking.ask(batch)
        if not asked:
            break
        for one in asked:
            made.append(one)
            asking.tell(one, score(one))
    return made


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=named)
def test_proposals_are_genomes_of_the_space_with_texts_left_alone(algorithm: Any) -> None:
    for one in history(algorithm, MIXED, worth, 30, seed=1, batch=3):
        assert MIXED.validate(one.values) == one
        assert one["p/text"] == "as it is" and one["p/shown"] == ()


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=named)
def test_equal_seeds_and_scores_give_equal_proposals(algorithm: Any) -> None:
    first = history(algorithm, MIXED, worth, 22, seed=3)
    assert history(algorithm, MIXED, worth, 22, seed=3) == first
    if not isinstance(algorithm, Grid):
        assert history(algorithm, MIXED, worth, 5, seed=4) != first[:5]


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=named)
def test_scores_of_failures_and_of_genomes_never_asked_for_are_taken(algorithm: Any) -> None:
    asking = algorithm.start(MIXED, random.Random(0))
    asking.tell(MIXED.default(), 1.0)
    for _ in range(15):
        for one in asking.ask(2):
            asking.tell(one, -math.inf)
    assert asking.ask(1) or isinstance(algorithm, Grid)


def bests(algorithm: Any, space: Space, score: Any, count: int, seeds: int) -> list[float]:
    return [max(map(score, history(algorithm, space, score, count, seed))) for seed in range(seeds)]


@pytest.mark.parametrize(
    ("algorithm", "space", "score", "count", "seeds"),
    [
        pytest.param(RegularizedEvolution(25, 8), TEN, ten, 300, 12, id="evolution, ten"),
        pytest.param(RegularizedEvolution(20, 6), MIXED, worth, 150, 12, id="evolution, mixed"),
        pytest.param(HillClimbing(), TEN, ten, 100, 12, id="climbing, ten"),
        pytest.param(TPE(), TEN, ten, 70, 8, id="tpe, ten"),
        pytest.param(TPE(), MIXED, worth, 60, 8, id="tpe, mixed"),
        pytest.param(OptunaTPE(), MIXED, worth, 60, 4, id="optuna, mixed", marks=pytest.mark.long),
    ],
)
def test_what_learns_beats_chance_at_equal_proposals(
    algorithm: Any, space: Space, score: Any, count: int, seeds: int
) -> None:
    chance = bests(RandomSearch(), space, score, count, seeds)
    found = bests(algorithm, space, score, count, seeds)
    assert statistics.median(found) > statistics.median(chance)
    won = sum(a > b for a, b in zip(found, chance, strict=True))
    assert won >= 0.75 * seeds


# -- each -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [SMALL, MIXED.select("p/how", "p/k", "p/set")])
def test_a_grid_of_enough_points_has_every_genome_once(space: Space) -> None:
    made = history(Grid(points=31), space, lambda one: 0.0, 10_000, seed=0, batch=7)
    assert len(set(made)) == len(made) == space.size()


def test_a_grid_takes_numbers_at_even_points_and_both_ends() -> None:
    space = Space("p", {"p/x": Dimension("p/x", Real(0, 1)), "p/k": Dimension("p/k", Integer(1, 9))})
    made = history(Grid(points=3), space, lambda one: 0.0, 100, seed=0)
    assert [(one["p/x"], one["p/k"]) for one in made] == [(x, k) for x in (0.0, 0.5, 1.0) for k in (1, 5, 9)]


def test_a_population_forgets_its_oldest_however_good_it_was() -> None:
    space = Space("p", {"p/a": Dimension("p/a", Integer(0, 1000))})
    asking = RegularizedEvolution(population=4, tournament=50).start(space, random.Random(0))
    first = asking.ask(4)
    for index, one in enumerate(first):
        asking.tell(one, 100.0 if index == 0 else float(index))
    near = [abs(asking.ask(1)[0]["p/a"] - first[0]["p/a"]) for _ in range(40)]
    for index in range(4):
        asking.tell(space.genome({"p/a": 900}), float(index))
    later = [abs(asking.ask(1)[0]["p/a"] - 900) for _ in range(40)]
    assert statistics.median(near) < 300 and statistics.median(later) < 300
    assert all(one is not first[0] for _, one in asking._alive)  # type: ignore[attr-defined]


def test_hill_climbing_waits_for_scores_it_needs_and_begins_anew_at_the_top() -> None:
    asking = HillClimbing().start(TEN, random.Random(1))
    assert asking.ask(5) == [TEN.default()] and asking.ask(5) == []
    asking.tell(TEN.default(), 0.0)
    near = asking.ask(1000)
    assert len(near) == 40 and all(len(TEN.default().diff(one)) == 1 for one in near) and asking.ask(1) == []
    for one in near:
        asking.tell(one, -1.0)
    (start,) = asking.ask(3)
    assert len(TEN.default().diff(start)) > 1


def test_halving_gives_the_better_third_three_times_the_examples() -> None:
    algorithm = SuccessiveHalving(rungs=3, rate=3)
    asking = algorithm.start(TEN, random.Random(2))
    rounds: list[list[Genome]] = []
    for share in (1 / 9, 1 / 3, 1.0):
        asked = asking.ask(100)
        rounds.append(asked)
        assert {share_of(asking, one) for one in asked} == {share}
        for one in asked:
            asking.tell(one, ten(one))
    assert [len(asked) for asked in rounds] == [9, 3, 1]
    for asked, kept in zip(rounds, rounds[1:], strict=False):
        assert kept == sorted(asked, key=ten, reverse=True)[: len(kept)]
    assert len(asking.ask(100)) == 9, "a new round"


def test_brackets_begin_higher_with_fewer() -> None:
    asking = SuccessiveHalving(rungs=3, rate=3, brackets=True).start(TEN, random.Random(2))
    begun: list[tuple[int, float]] = []
    known: list[Genome] = []
    while len(begun) < 3:
        asked = asking.ask(100)
        if asked[0] not in known:
            begun.append((len(asked), share_of(asking, asked[0])))
        known = asked
        for one in asked:
            asking.tell(one, ten(one))
    assert begun == [(9, 1 / 9), (5, 1 / 3), (3, 1.0)]


@pytest.mark.parametrize(
    "kind", [Choice(tuple("abcd")), Subset(2, tuple("abcde")), Permutation(tuple("abcd")), Integer(1, 40), Real(0.1, 9)]
)
def test_a_kernel_is_a_density_and_draws_from_itself(kind: Any) -> None:
    import numpy as np

    rng, kernel, width = random.Random(0), kernel_of(kind), (3, 2)
    centre = kind.sample(rng)
    if isinstance(kind, Integer | Real):
        grid = np.linspace(0, 1, 4001)[:, None]
        mass = float(np.exp(kernel.logs(grid, np.array([kernel.code(centre)]), width)).mean())
        assert mass == pytest.approx(1, abs=0.01)
        return
    values = list(values_of(Dimension("p/x", kind), 2))
    logs = kernel.logs(np.array([kernel.code(one) for one in values]), np.array([kernel.code(centre)]), width)
    chances = np.exp(logs[:, 0])
    assert chances.sum() == pytest.approx(1)
    drawn = [kernel.draw(centre, width, rng) for _ in range(6000)]
    counts = np.array([drawn.count(one) for one in values])
    assert counts.sum() == 6000
    statistic = float(((counts - 6000 * chances) ** 2 / (6000 * chances)).sum())
    degrees = len(values) - 1
    assert statistic < degrees * (1 - 2 / (9 * degrees) + 3.0902 * math.sqrt(2 / (9 * degrees))) ** 3


def test_tpe_proposes_nothing_twice_while_something_is_left() -> None:
    made = history(TPE(), SMALL, lambda one: float(one["p/how"] == "b"), 18, seed=0)
    assert len(set(made[10:])) >= 6 and len(set(made)) >= 12


def test_without_optuna_its_sampler_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refused(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "optuna":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refused)
    with pytest.raises(SearchError, match="Optuna is not installed.*`TPE`"):
        OptunaTPE().start(TEN, random.Random(0))


def test_numbers_that_make_no_sense_are_refused() -> None:
    for make in (
        lambda: TPE(startup=0), lambda: TPE(good=1.0), lambda: Grid(1), lambda: RegularizedEvolution(0),
        lambda: RegularizedEvolution(crossover=2), lambda: SuccessiveHalving(rate=1), lambda: SuccessiveHalving(0),
    ):  # fmt: skip
        with pytest.raises(SearchError, match="Give a"):
            make()


def test_evolution_proposes_thousands_a_second() -> None:
    asking = RegularizedEvolution().start(TEN, random.Random(0))
    began = time.process_time()
    for _ in range(3000):
        (one,) = asking.ask(1)
        asking.tell(one, ten(one))
    assert 3000 / (time.process_time() - began) > 3000, "of this thread's own time; some 100,000 on a free machine"
