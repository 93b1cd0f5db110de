"""Nouns of judging: `Score` (a metric's value with feedback) and `Verdict` (graded truth with its evidence).

Choose `Score` for how good something is, `Verdict` for how far it was shown to be right: equivalence of two queries, a
checked instruction, a valid plan, a kept contract. One type, so that checks of all rooms can be combined (`worst`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
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


Grade = Literal["refuted", "unknown", "tested", "proved"]

_GRADES: tuple[Grade, ...] = ("refuted", "unknown", "tested", "proved")  # ascending


@dataclass(frozen=True)
class Verdict:
    """How true something was found: `proved`, `tested` on n cases, `refuted` by a witness, or `unknown`.

    A verdict has no truth value: "not refuted" and "proved" are both called true by somebody. A condition on it is a
    `TypeError`; ask `at_least("tested")` or look at `status`. Make one by `proved`, `tested`, `refuted`, `unknown`.

    Args:
        cases: on how many cases it was tried (at least 1 when tested).
        witness: what refutes it: an input, a row, a plan. None: no witness is known.
        evidence: in words: which prover, which cases, why it is not known.

    Raises:
        ValueError: a status there is not, or `tested` without a case.
    """

    status: Grade
    cases: int = 0
    witness: Any = None
    evidence: str = ""

    def __post_init__(self) -> None:
        if self.status not in _GRADES:
            raise ValueError(f"status={self.status!r}; choose one of {', '.join(_GRADES)}")
        if self.cases < (self.status == "tested"):
            raise ValueError(f"cases={self.cases}; what was tried on no case is unknown, not {self.status}")

    @classmethod
    def proved(cls, evidence: str = "", *, cases: int = 0) -> Verdict:
        """True of every case."""
        return cls("proved", cases, None, evidence)

    @classmethod
    def tested(cls, cases: int, evidence: str = "") -> Verdict:
        """True of each of `cases` cases; of others nothing is known."""
        return cls("tested", cases, None, evidence)

    @classmethod
    def refuted(cls, witness: Any, evidence: str = "", *, cases: int = 0) -> Verdict:
        """False, as `witness` shows."""
        return cls("refuted", cases, witness, evidence)

    @classmethod
    def unknown(cls, evidence: str = "") -> Verdict:
        """Neither shown nor refuted; `evidence` says why."""
        return cls("unknown", 0, None, evidence)

    @classmethod
    def worst(cls, verdicts: Iterable[Verdict]) -> Verdict:
        """The verdict on "all of them hold": the lowest in `rank`, the first of equals; of none it is `proved`."""
        return min(verdicts, key=lambda one: one.rank, default=cls.proved("there was nothing to show"))

    @property
    def rank(self) -> tuple[int, int]:
        """Sorts verdicts: refuted, unknown, tested (more cases above fewer), proved."""
        return _GRADES.index(self.status), self.cases if self.status == "tested" else 0

    def at_least(self, status: Grade, *, cases: int = 1) -> bool:
        """Whether it is of this grade or a higher one; ``tested`` counts from `cases` cases on."""
        return self.rank >= (_GRADES.index(status), cases if status == "tested" else 0)

    def __bool__(self) -> bool:
        raise TypeError(f'a verdict ({self.status}) is neither true nor false; ask verdict.at_least("tested")')
