"""OptunaTPE: Optuna's TPE sampler over a space, define-by-run.

Choose it to compare with, or for its refinements of TPE. Needs the package `optuna`. Subsets and orders are drawn by
random keys: a number an option, of which the largest are taken, or by which the options are sorted. Source: Akiba et
al. 2019, "Optuna: A Next-generation Hyperparameter Optimization Framework". Cost: about a millisecond a proposal of ten
choices, growing with the number of scores.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from thalweg.errors import SearchError
from thalweg.optimizing.algorithms.algorithm import check_least
from thalweg.optimizing.algorithms.grid import deciders_first
from thalweg.program.choice_kinds import Choice, Integer, Permutation, Real, Subset
from thalweg.program.spaces import Dimension, Genome, Space


@dataclass(frozen=True)
class OptunaTPE:
    """Optuna's `TPESampler`.

    Args:
        startup: genomes drawn at random first. joint: model all choices together (Optuna's ``multivariate``).
    """

    startup: int = 10
    joint: bool = False
    name: str = "OptunaTPE"

    def __post_init__(self) -> None:
        check_least(self, 1, "startup")

    def start(self, space: Space, rng: random.Random) -> _Trying:
        """Raises `SearchError` where Optuna is not installed."""
        return _Trying(self, space, rng)


class _Trying:
    def __init__(self, config: OptunaTPE, space: Space, rng: random.Random) -> None:
        self._space = space
        self._order = deciders_first(space)
        with _quiet() as optuna:
            sampler = optuna.samplers.TPESampler(
                n_startup_trials=config.startup, seed=rng.getrandbits(32), multivariate=config.joint,
                group=config.joint,
            )  # fmt: skip
            self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._open: dict[Genome, list[Any]] = {}

    def ask(self, n: int = 1) -> list[Genome]:
        return [self._next() for _ in range(n)]

    def tell(self, genome: Genome, score: float) -> None:
        waiting = self._open.get(genome)
        if waiting:
            with _quiet():
                self._study.tell(waiting.pop(0), score)

    def _next(self) -> Genome:
        with _quiet():
            trial = self._study.ask()
            values = dict(self._space.default().values)
            for one in self._order:
                values[one.path] = _suggested(trial, one) if self._space.holds(one, values) else one.default
        made = self._space.settled(values)
        self._open.setdefault(made, []).append(trial)
        return made


def _suggested(trial: Any, one: Dimension) -> Any:
    kind: Any = one.kind
    if isinstance(kind, Choice):
        return kind.options[trial.suggest_categorical(one.path, range(len(kind.options)))]
    if isinstance(kind, Integer):
        return trial.suggest_int(one.path, kind.low, kind.high)
    if isinstance(kind, Real):
        return trial.suggest_float(one.path, kind.low, kind.high, log=kind.log)
    if not isinstance(kind, Subset | Permutation):
        return one.default
    keys = [trial.suggest_float(f"{one.path}#{index}", 0.0, 1.0) for index in range(len(kind.options))]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    if isinstance(kind, Subset):
        order = sorted(order[len(order) - kind.k :])
    return tuple(kind.options[index] for index in order)


@contextmanager
def _quiet() -> Iterator[Any]:
    """Optuna, saying nothing below a warning of its own loggers."""
    import warnings

    try:
        import optuna
    except ImportError as error:
        raise SearchError(
            "Optuna is not installed.", 'Install it (pip install "thalweg[optimize]"), or use `TPE`.'
        ) from error  # noqa: E501
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield optuna
    finally:
        optuna.logging.set_verbosity(before)
