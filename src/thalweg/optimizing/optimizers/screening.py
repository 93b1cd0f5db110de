"""Screening: many candidates on a few examples of the dev split, the better ones on more, the best on all.

Choose it where candidates are plenty and evaluations are not: for what 16 candidates cost on the whole split, about 60
are looked at. Nothing is asked twice, as each part of the split holds the one before. Source: Jamieson and Talwalkar
2016, "Non-stochastic Best Arm Identification and Hyperparameter Optimization" (successive halving). Cost: see `cost`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.optimizing.optimizers.demonstrations import drawn
from thalweg.optimizing.optimizers.starting import affordable
from thalweg.optimizing.search import Search, Trial
from thalweg.program.spaces import Genome

FACTOR = 3  # so many times more examples, for a part of the candidates that is so many times smaller
SMALLEST = 8  # examples on which a first opinion is formed


@dataclass(frozen=True)
class Candidate:
    """A program to look at, with what was changed in words."""

    genome: Genome
    note: str = ""


def screened(search: Search, candidates: Sequence[Candidate], *, parent: Trial | None = None) -> list[Trial]:
    """The candidates that came through, as trials on the whole dev split, in the order in which they were given.

    Where the budget does not pay for all, the last are left out: a screening that it cuts short has chosen nothing.
    """
    examples = drawn(search.rng("screening"), search.dev, len(search.dev), balanced=True)
    left = list({one.genome.digest: one for one in candidates}.values())
    left = left[: max(1, most(len(examples), affordable(search), len(left)))]
    for size in rungs(len(examples), len(left)):
        means = {
            one.genome.digest: (search.evaluate(one.genome, examples[:size]).mean, -place)
            for place, one in enumerate(left)
        }
        keep = max(1, -(-len(left) // FACTOR))
        best = sorted(left, key=lambda one: means[one.genome.digest], reverse=True)[:keep]
        left = [one for one in left if one in best]
    return [search.try_(one.genome, parent=parent, note=one.note) for one in left]


def rungs(examples: int, candidates: int) -> list[int]:
    """Sizes of the parts of the dev split, ascending, without the whole; none for two candidates or a small split."""
    found: list[int] = []
    size, left = -(-examples // FACTOR), candidates
    while size >= SMALLEST and size < examples and left > 2:
        found.insert(0, size)
        size, left = -(-size // FACTOR), -(-left // FACTOR)
    return found


def cost(examples: int, candidates: int) -> int:
    """Evaluations that `screened` makes at most."""
    total, seen, left = 0, 0, candidates
    for size in rungs(examples, candidates):
        total += left * (size - seen)
        seen, left = size, max(1, -(-left // FACTOR))
    return total + left * (examples - seen)


def most(examples: int, evaluations: float, largest: int) -> int:
    """How many candidates can be screened with so many evaluations, at most `largest`; 0 where not one can."""
    return next((count for count in range(largest, 0, -1) if cost(examples, count) <= evaluations), 0)
