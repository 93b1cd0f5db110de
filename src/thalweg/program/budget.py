"""Budgets: how much a search may use, and the ledger of what it has used.

A `Budget` is a frozen set of limits; a `Ledger` counts through the meter of the journal, so answers that came from the
cache or the journal are free. A search asks `Budget.spent_out` between two candidates and returns its best so far with
the name of the limit as its reason to stop: nothing that was paid for is thrown away. Cost: two reads of a counter.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from thalweg.models.request import Answer
from thalweg.program.journal import Meter, Scope, inside

Limit = Literal["calls", "tokens", "seconds", "evaluations"]


@dataclass(frozen=True)
class Spent:
    """What was used.

    Args:
        calls, tokens: answered by a model now: neither cache nor journal; prompts and answers together.
        seconds: of wall clock. evaluations: checks or scores of a candidate, other than free ones.
    """

    calls: int = 0
    tokens: int = 0
    seconds: float = 0.0
    evaluations: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(*(getattr(self, name) + getattr(other, name) for name in _NAMES))

    def __sub__(self, other: Spent) -> Spent:
        return Spent(*(getattr(self, name) - getattr(other, name) for name in _NAMES))

    def to_json(self) -> dict[str, float]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Spent:
        return cls(**{name: data[name] for name in _NAMES})


_NAMES: tuple[Limit, ...] = tuple(field.name for field in fields(Spent))  # type: ignore[assignment]


@dataclass(frozen=True)
class Budget:
    """Limits of a search; None is no limit.

    A limit that is reached ends the search at the next candidate boundary: a step that has begun is finished. So
    `evaluations` is never passed, `calls`, `tokens` and `seconds` by what one step uses at most.

    Raises:
        ValueError: a limit is negative or no number.
    """

    calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    evaluations: int | None = None

    def __post_init__(self) -> None:
        for name in _NAMES:
            limit = getattr(self, name)
            if limit is not None and not (isinstance(limit, int | float) and limit >= 0):
                raise ValueError(f"{name}={limit!r}; give a number from 0 upwards, or None for no limit")

    def spent_out(self, spent: Spent) -> Limit | None:
        """The first limit that is reached, None while there is something left of each."""
        for name in _NAMES:
            limit = getattr(self, name)
            if limit is not None and getattr(spent, name) >= limit:
                return name
        return None

    def left(self, name: Limit, spent: Spent) -> float:
        """What is left under one limit, at least 0; infinite without a limit."""
        limit = getattr(self, name)
        return math.inf if limit is None else max(0, limit - getattr(spent, name))

    def pays_for(self, step: Spent, times: int = 1) -> bool:
        """Whether `times` steps of this size fit: a search that cannot make three proposals should say so first."""
        return all(getattr(step, name) * times <= self.left(name, Spent()) for name in _NAMES)


class Ledger:
    """Counts what is used, from now on.

    Args:
        meter: the counters of the calls (`Scope.meter`, or a `Meter` of `metered`).
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._evaluations = 0
        self._began = Spent()
        self._began = self.read()

    def read(self) -> Spent:
        """What was used so far."""
        meter = self._meter
        tokens = meter.prompt_tokens + meter.output_tokens
        now = Spent(meter.calls - meter.reused, tokens, time.monotonic(), self._evaluations)
        return now - self._began

    def evaluate(self) -> None:
        """Count one evaluation."""
        self._evaluations += 1

    def restore(self, spent: Spent) -> None:
        """Go on from what an interrupted run had used: to resume must not make a budget larger."""
        self._began = self.read() + self._began - spent


@contextmanager
def metered(scope: Scope, path: str) -> Iterator[tuple[Scope, Meter]]:
    """Work in the place `path` of the run with a meter of its own, so that side by side nobody pays for another.

    What is counted there counts in the meter of `scope` too.
    """
    place = scope.child(path)
    place.meter = meter = _Part(scope.meter)
    with inside(place):
        yield place, meter


class _Part(Meter):
    """A meter that is part of another one."""

    def __init__(self, whole: Meter) -> None:
        super().__init__()
        self._whole = whole

    def add(self, answer: Answer, *, reused: bool) -> None:
        super().add(answer, reused=reused)
        self._whole.add(answer, reused=reused)
