"""Search over phrases of a small set of words: greedy, genetic, particle swarm.

Each yields the best phrase whenever it is done with a step, asks for rewards through `rewards(phrases)`, and lets the
exception that ends a budget pass. Choose greedy for short phrases, the others where words only help together. Source:
Zhou et al. 2023 (ClaPS); the swarm's moves are those of Zang et al. 2020. Cost: greedy length x words rewards,
genetic population x generations about.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Phrase = tuple[str, ...]
Ask = Callable[[Sequence[Phrase]], list[float]]
Crossover = Literal["uniform", "whole"]


@dataclass(frozen=True)
class Evolution:
    """Sizes of the genetic and the swarm search.

    Args:
        population: phrases kept. mutants, crossovers: made a generation (genetic only). rate: chance that a word of a
            mutant is redrawn. crossover: `uniform` takes each word from one of two parents, `whole` takes one parent
            as it is, as the authors' code does.
    """

    population: int = 128
    mutants: int = 64
    crossovers: int = 64
    generations: int = 30
    rate: float = 0.1
    crossover: Crossover = "uniform"


def greedy(words: Sequence[str], length: int, ask: Ask, rng: random.Random, sizes: Evolution) -> Iterator[Phrase]:
    """Append the best word, `length` times; yields the phrase of each length."""
    phrase: Phrase = ()
    for _ in range(length):
        longer = [(*phrase, word) for word in words]
        scores = ask(longer)
        phrase = longer[max(range(len(longer)), key=scores.__getitem__)]
        yield phrase


def genetic(words: Sequence[str], length: int, ask: Ask, rng: random.Random, sizes: Evolution) -> Iterator[Phrase]:
    """Keep the best of a population, its mutants and its crossovers."""
    population = [_drawn(words, length, rng) for _ in range(sizes.population)]
    scores = dict(zip(population, ask(population), strict=True))
    population = _best(scores, sizes.population)
    yield population[0]
    for _ in range(sizes.generations):
        made = [_mutated(rng.choice(population), words, sizes.rate, rng) for _ in range(sizes.mutants)]
        made += [
            _crossed(rng.choice(population), rng.choice(population), sizes.crossover, rng)
            for _ in range(sizes.crossovers)
        ]
        scores.update(zip(made, ask(made), strict=True))
        population = _best(scores, sizes.population)
        yield population[0]


def swarm(words: Sequence[str], length: int, ask: Ask, rng: random.Random, sizes: Evolution) -> Iterator[Phrase]:
    """Particles that take over words of their own best phrase and of the best of all, and redraw some."""
    count, epochs = sizes.population, sizes.generations
    places = [_drawn(words, length, rng) for _ in range(count)]
    speeds = [[rng.uniform(-1, 1) for _ in range(length)] for _ in range(count)]
    own = list(zip(ask(places), places, strict=True))  # the best of each particle
    best = max(own)
    yield best[1]
    for epoch in range(epochs):
        done = epoch / max(1, epochs - 1)
        inertia, to_own, to_best = 0.8 - 0.6 * done, 0.8 - 0.6 * done, 0.2 + 0.6 * done
        for i in range(count):
            for d in range(length):
                pull = (1 if own[i][1][d] == places[i][d] else -1) + (1 if best[1][d] == places[i][d] else -1)
                speeds[i][d] = inertia * speeds[i][d] + (1 - inertia) * pull
            if rng.random() < to_own:
                places[i] = _drawn_to(places[i], own[i][1], speeds[i], rng)
            if rng.random() < to_best:
                places[i] = _drawn_to(places[i], best[1], speeds[i], rng)
            places[i] = _mutated(places[i], words, sizes.rate, rng)
        found = list(zip(ask(places), places, strict=True))
        own = [max(pair, key=lambda one: one[0]) for pair in zip(own, found, strict=True)]
        best = max(best, max(found, key=lambda one: one[0]), key=lambda one: one[0])
        yield best[1]


def _drawn(words: Sequence[str], length: int, rng: random.Random) -> Phrase:
    return tuple(rng.choice(words) for _ in range(length))


def _mutated(phrase: Phrase, words: Sequence[str], rate: float, rng: random.Random) -> Phrase:
    """With each word redrawn with chance `rate`, and one at least: a copy would only be asked for again."""
    forced = rng.randrange(len(phrase))
    return tuple(
        rng.choice(words) if index == forced or rng.random() < rate else word for index, word in enumerate(phrase)
    )


def _crossed(one: Phrase, other: Phrase, how: Crossover, rng: random.Random) -> Phrase:
    if how == "whole":
        return rng.choice((one, other))
    return tuple(rng.choice(pair) for pair in zip(one, other, strict=True))


def _drawn_to(place: Phrase, goal: Phrase, speed: Sequence[float], rng: random.Random) -> Phrase:
    """With words of `goal` where the speed says so."""
    return tuple(
        wanted if rng.random() < 1 / (1 + math.exp(-v)) else word
        for word, wanted, v in zip(place, goal, speed, strict=True)
    )


def _best(scores: dict[Phrase, float], count: int) -> list[Phrase]:
    """The best first, earlier ones before later ones of the same score."""
    return sorted(scores, key=lambda phrase: -scores[phrase])[:count]
