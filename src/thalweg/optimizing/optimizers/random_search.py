"""BootstrapFewShotWithRandomSearch: many sets of bootstrapped demonstrations, the best on the dev split.

Tries the program without demonstrations, with labelled ones only, with the first runs that succeed, and with sets drawn
from all runs that succeed, of random sizes. The teacher is asked once an example, whatever the number of candidates.
Choose it first for programs of any form: demonstrations move small models most. With `screening`, several times more
sets are looked at for the same evaluations. Source: Khattab et al. 2023, "DSPy". Cost: `candidates` evaluations of the
dev split (about a quarter of it with `screening`) and one run of the teacher a training example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thalweg.optimizing.composing import Composable
from thalweg.optimizing.optimizers.bootstrap_few_shot import Runs, demonstrations_of
from thalweg.optimizing.optimizers.demonstrations import Demo, drawn, labelled
from thalweg.optimizing.optimizers.described import Described
from thalweg.optimizing.optimizers.screening import Candidate, screened
from thalweg.optimizing.optimizers.starting import best_with, check_counts, open_functions
from thalweg.optimizing.optimizers.teachers import teacher_of
from thalweg.optimizing.search import Search
from thalweg.program import Learned


@dataclass(frozen=True, repr=False)
class BootstrapFewShotWithRandomSearch(Described, Composable):
    """Sets of bootstrapped demonstrations of sizes from 1 to `demos`, tried one after the other.

    Args:
        candidates: sets drawn at random, besides the three that are always tried.
        demos, labeled, rounds, threshold, teacher: see `BootstrapFewShot`.
        balanced: draw sets that hold every label about equally often.
        screening: candidates are tried on small parts of the dev split first (successive halving).
    """

    candidates: int = 16
    demos: int = 4
    labeled: int = 4
    rounds: int = 1
    threshold: float | None = None
    teacher: Any = None
    balanced: bool = True
    screening: bool = False
    name: str = "BootstrapFewShotWithRandomSearch"

    def __post_init__(self) -> None:
        check_counts(self, "candidates", "demos", "rounds")
        check_counts(self, "labeled", least=0)

    def run(self, search: Search) -> None:
        paths = open_functions(search, "demonstrations")
        start = best_with(search, [f"{path}/demonstrations" for path in paths])
        made = [Candidate(start.genome.replace(values), note) for values, note in self.sets(search, start.genome)]
        if self.screening:
            screened(search, made, parent=start)
            return
        for one in made:
            search.try_(one.genome, parent=start, note=one.note)

    def sets(self, search: Search, genome: Any) -> list[tuple[Mapping[str, list[Demo]], str]]:
        """The candidates' demonstrations by path, each with what it is in words. Runs the teacher on all of train."""
        paths = open_functions(search, "demonstrations")
        runs = Runs(search, teacher_of(search, self.teacher, genome), self.threshold, self.rounds)
        kept = runs.first(len(search.train), search.train)
        found: list[tuple[Mapping[str, list[Demo]], str]] = [
            ({f"{path}/demonstrations": [] for path in paths}, "no demonstrations")
        ]
        if isinstance(search.program, Learned) and self.labeled:
            rng = search.rng("labels only")
            chosen = drawn(rng, search.train, self.labeled, balanced=self.balanced)
            demos = [labelled(one, search.names) for one in chosen if one.label is not None]
            found.append(({f"{paths[0]}/demonstrations": demos}, f"{len(demos)} labelled examples"))
        for number in range(-1, self.candidates):
            rng = search.rng(f"set {number}")
            size = self.demos if number < 0 else rng.randint(1, self.demos)
            by_label = {one.example.digest: one for one in kept}
            order = (
                [one.example for one in kept][:size]
                if number < 0
                else drawn(rng, [one.example for one in kept], size, balanced=self.balanced)
            )
            chosen_runs = [by_label[one.digest] for one in order]
            values = demonstrations_of(search, chosen_runs, rng, labeled=self.labeled, balanced=self.balanced)
            found.append((values, f"{len(chosen_runs)} runs that succeeded{' (the first)' if number < 0 else ''}"))
        return found
