"""Nouns of judging: `Score` (a metric's value with feedback) and `Verdict` (graded truth with its evidence)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@functools.total_ordering
@dataclass(frozen=True, eq=False)
class Score:
    """A metric's value. Compares and converts like its number; `feedback` is for whoever improves the program."""

    value: float
    feedback: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)

    def __float__(self) -> float:
        return float(self.value)

    def __bool__(self) -> bool:
        return self.value > 0

    def __eq__(self, other: object) -> bool:
        return float(self) == float(other) if isinstance(other, Score | int | float) else NotImplemented

    def __lt__(self, other: Score | float) -> bool:
        return float(self) < float(other)

    def __hash__(self) -> int:
        return hash(float(self))


@dataclass(frozen=True)
class Verdict:
    """How true something was found: `proved`, `tested` on n cases, `refuted` by a witness, or `unknown`."""

    status: Literal["proved", "tested", "refuted", "unknown"]
    cases: int = 0
    witness: Any = None
    evidence: str = ""
