"""Programs of six instructions on four registers that regress a formula, and regularized evolution.

A small world for search algorithms: many programs are one function in other words, evaluations are exact, and a search
takes a second. Source: the algorithm-discovery setting of Real et al. 2020, "AutoML-Zero"; evolution as in Real et al.
2019, "Regularized Evolution for Image Classifier Architecture Search".
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

LENGTH, REGISTERS = 6, 4
OPS = ("add", "sub", "mul", "max", "neg", "sin", "abs", "half")
Instruction = tuple[str, int, int, int]  # operation, target, arguments
Program = tuple[Instruction, ...]
T = TypeVar("T")


def points(count: int, seed: int) -> Any:  # [count, 2]
    return np.random.default_rng(seed).uniform(-2, 2, (count, 2))


def target(x: Any) -> Any:
    return x[:, 0] * x[:, 1] + np.sin(x[:, 0]) - 0.5 * x[:, 1]


def outputs(program: Program, x: Any) -> Any:  # [points]
    """What a program computes: the inputs are in registers 0 and 1, the result is in register 3."""
    registers = [x[:, 0], x[:, 1], np.ones(len(x)), np.zeros(len(x))]
    for name, to, one, other in program:
        a, b = registers[one], registers[other]
        match name:
            case "add":
                made = a + b
            case "sub":
                made = a - b
            case "mul":
                made = a * b
            case "max":
                made = np.maximum(a, b)
            case "neg":
                made = -a
            case "sin":
                made = np.sin(a)
            case "abs":
                made = np.abs(a)
            case _:
                made = 0.5 * a
        registers[to] = made  # fmt: skip
    return registers[3]


def fitness(program: Program, x: Any, wanted: Any) -> float:
    """From 0 to 1: 1 is the formula."""
    with np.errstate(all="ignore"):
        error = float(np.sqrt(np.mean((outputs(program, x) - wanted) ** 2)))
    return 1 / (1 + error) if np.isfinite(error) else 0.0


def drawn(rng: random.Random) -> Program:
    return tuple(_instruction(rng) for _ in range(LENGTH))


def mutated(program: Program, rng: random.Random) -> Program:
    """One instruction drawn anew, or one of its parts."""
    at = rng.randrange(LENGTH)
    new = _instruction(rng)
    if rng.random() < 0.5:
        part = rng.randrange(4)
        name, to, one, other = (new if part == index else program[at] for index in range(4))
        new = name[0], to[1], one[2], other[3]
    return (*program[:at], new, *program[at + 1 :])


def evolve(
    first: Callable[[random.Random], T],
    mutate: Callable[[T, random.Random], T],
    score: Callable[[T], float],
    *,
    rng: random.Random,
    population: int,
    tournament: int,
    proposals: int,
    over: Callable[[], bool] = lambda: False,
) -> tuple[T, float]:
    """The best of so many proposals by regularized evolution: the winner of a tournament is mutated, the oldest goes.

    Args:
        over: asked after each proposal whether to stop before that.
    """
    alive: deque[tuple[T, float]] = deque()
    best: tuple[T, float] | None = None
    for number in range(proposals):
        if number < population:
            made = first(rng)
        else:
            drawn = [alive[rng.randrange(len(alive))] for _ in range(tournament)]
            made = mutate(max(drawn, key=lambda one: one[1])[0], rng)
        one = made, score(made)
        alive.append(one)
        if len(alive) > population:
            alive.popleft()
        if best is None or one[1] > best[1]:
            best = one
        if over():
            break
    assert best is not None
    return best


def _instruction(rng: random.Random) -> Instruction:
    return rng.choice(OPS), rng.randrange(REGISTERS), rng.randrange(REGISTERS), rng.randrange(REGISTERS)
