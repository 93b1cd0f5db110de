"""What a search finds out: `Evaluation`, one candidate on some examples, and `Trial`, one that was tried on all of dev.

Both are frozen data. `SearchOver` says that the budget is spent; optimizers let it pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from thalweg.optimizing.example import Example
from thalweg.optimizing.study_journal import Row
from thalweg.program.budget import Spent
from thalweg.program.spaces import Genome


class SearchOver(Exception):
    """The budget is spent; `reason` names the limit. Not an error: optimizers let it pass."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Evaluation:
    """One candidate on some examples.

    Args:
        rows: one for each example, in order. error: why the candidate as a whole could not run, "" where it could.
        free: nothing new had to be asked.
    """

    genome: Genome
    examples: tuple[Example, ...]
    rows: tuple[Row, ...]
    error: str = ""
    free: bool = False

    @property
    def mean(self) -> float:
        return sum(row.score for row in self.rows) / len(self.rows) if self.rows else float("-inf")

    @property
    def scores(self) -> list[float]:
        return [row.score for row in self.rows]

    @property
    def failed(self) -> int:
        """Rows without an output."""
        return sum(bool(row.error) for row in self.rows)

    @property
    def tokens(self) -> float:
        """Tokens an example, prompts and answers."""
        return sum(row.tokens for row in self.rows) / len(self.rows) if self.rows else 0.0


@dataclass(frozen=True)
class Trial:
    """A candidate that was evaluated on the whole dev split.

    Args:
        number: from 0, which is the program as it was. by: the optimizer. parent: number of the trial it was made from.
        note: what was changed, in words. same_as: the trial that behaves alike, whose rows it has.
        spent: by the search when the trial was done.
    """

    number: int
    evaluation: Evaluation
    by: str = ""
    parent: int | None = None
    note: str = ""
    same_as: int | None = None
    spent: Spent = field(default_factory=Spent)

    @property
    def genome(self) -> Genome:
        return self.evaluation.genome

    @property
    def score(self) -> float:
        return self.evaluation.mean
