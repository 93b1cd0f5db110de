"""APE: instructions by a proposer, the best of them on the dev split, one learned function after the other.

Choose it where demonstrations are settled, or do not fit into the prompt. Most instructions are seen on a small part of
the dev split only (see `screening`). Source: Zhou et al. 2023, "Large Language Models Are Human-Level Prompt
Engineers" (automatic prompt engineer). Cost: the proposer's, and about a quarter of `n` evaluations of the dev split a
function.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from thalweg.optimizing.composing import Composable
from thalweg.optimizing.optimizers.described import Described
from thalweg.optimizing.optimizers.screening import Candidate, screened
from thalweg.optimizing.optimizers.starting import best_with, check_counts, open_functions
from thalweg.optimizing.proposers.edits import Edits
from thalweg.optimizing.search import Search


@dataclass(frozen=True, repr=False)
class APE(Described, Composable):
    """A search of instructions, starting from the best program so far.

    Args:
        proposer: see `thalweg.optimizing.proposers` (default: rewordings that need no model). n: instructions for each
            function. rounds: passes over the functions; each starts from what the one before found.
        screening: see `thalweg.optimizing.optimizers.screening`.
    """

    proposer: Any = field(default_factory=Edits)
    n: int = 12
    rounds: int = 1
    screening: bool = True
    name: str = "APE"

    def __post_init__(self) -> None:
        check_counts(self, "n", "rounds")

    def run(self, search: Search) -> None:
        for _ in range(self.rounds):
            for path in open_functions(search, "instruction"):
                start = best_with(search, [f"{path}/instruction"])
                texts = self.proposer.propose(search, path, self.n)
                made = [
                    Candidate(start.genome.replace({f"{path}/instruction": one}), _said(path, one)) for one in texts
                ]
                if self.screening:
                    screened(search, made, parent=start)
                    continue
                for one in made:
                    search.try_(one.genome, parent=start, note=one.note)


def _said(path: str, text: str) -> str:
    return f"{path}: {text if len(text) <= 80 else text[:77] + '...'}"
