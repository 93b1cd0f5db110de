"""MIPROv2: instructions and demonstrations of all learned functions chosen together, by a surrogate.

Sets of bootstrapped demonstrations and proposed instructions are made for every function; a Parzen estimator then picks
combinations, which are tried on minibatches of the dev split, and every few trials the combination with the best mean
is tried on the whole. Choose it for flows of several functions, or where instructions and demonstrations depend on each
other. Source: Opsahl-Ong et al. 2024, "Optimizing Instructions and Demonstrations for Multi-Stage Language Model
Programs". Cost: one run of the teacher a training example, the proposer's, `trials` minibatches and a fifth of as many
whole evaluations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from thalweg.optimizing.algorithms.tpe import TPE
from thalweg.optimizing.composing import Composable
from thalweg.optimizing.optimizers.demonstrations import drawn
from thalweg.optimizing.optimizers.described import Described
from thalweg.optimizing.optimizers.random_search import BootstrapFewShotWithRandomSearch
from thalweg.optimizing.optimizers.starting import best_with, check_counts, open_functions
from thalweg.optimizing.proposers.edits import Edits
from thalweg.optimizing.proposers.grounded import Grounded
from thalweg.optimizing.proposers.listed import Combined
from thalweg.optimizing.search import Search, Trial
from thalweg.program.choice_kinds import Choice
from thalweg.program.spaces import Dimension, Genome, Space


def _both() -> Combined:
    return Combined((Edits(), Grounded()))


@dataclass(frozen=True, repr=False)
class MIPROv2(Described, Composable):
    """A search over combinations of instructions and demonstration sets.

    Args:
        candidates: demonstration sets; instructions are half as many, besides the one in force.
        trials: combinations that are tried. minibatch: examples of the dev split for each; as many as it has, or more:
            every trial is on the whole. full_every: trials between whole evaluations. startup: trials at random first.
        proposer: of instructions (default: rewordings and the function's own model in turn); None: demonstrations only.
        demos, labeled, threshold, teacher, balanced: see `BootstrapFewShotWithRandomSearch`.
    """

    candidates: int = 8
    trials: int = 20
    minibatch: int = 25
    full_every: int = 5
    startup: int = 6
    proposer: Any = field(default_factory=_both)
    demos: int = 4
    labeled: int = 4
    threshold: float | None = None
    teacher: Any = None
    balanced: bool = True
    name: str = "MIPROv2"

    def __post_init__(self) -> None:
        check_counts(self, "candidates", "trials", "minibatch", "full_every", "startup", "demos")
        check_counts(self, "labeled", least=0)

    def run(self, search: Search) -> None:
        paths = open_functions(search, "demonstrations")
        start = best_with(search, [f"{path}/demonstrations" for path in paths])
        options = self._options(search, start, paths)
        sets = {name: Dimension(name, Choice(tuple(range(len(values))))) for name, values in options.items()}
        choices = Space(f"{search.space.name} (options)", sets)
        surrogate = TPE(startup=self.startup).start(choices, search.rng("surrogate"))
        surrogate.tell(choices.default(), start.score)
        means: dict[Genome, list[float]] = {}
        for number in range(self.trials):
            chosen = surrogate.ask()[0]
            genome = start.genome.replace({name: options[name][chosen[name]] for name in options})
            if self.minibatch >= len(search.dev):
                surrogate.tell(chosen, search.try_(genome, parent=start, note=_said(chosen)).score)
                continue
            part = drawn(search.rng(f"minibatch {number}"), search.dev, self.minibatch, balanced=True)
            found = search.evaluate(genome, part)
            means.setdefault(genome, []).extend(found.scores)
            surrogate.tell(chosen, found.mean)
            if (number + 1) % self.full_every == 0 or number + 1 == self.trials:
                self._whole(search, start, means)

    def _whole(self, search: Search, start: Trial, means: dict[Genome, list[float]]) -> None:
        """Try the best of what was seen on minibatches only."""
        if not means:
            return
        best = max(means, key=lambda one: sum(means[one]) / len(means[one]))
        seen = len(means.pop(best))
        search.try_(best, parent=start, note=f"the best mean, of {seen} rows")

    def _options(self, search: Search, start: Trial, paths: list[str]) -> dict[str, list[Any]]:
        """What can be chosen, by path of the space; the first of each is what the start has."""
        how = BootstrapFewShotWithRandomSearch(
            self.candidates, self.demos, self.labeled, 1, self.threshold, self.teacher, self.balanced
        )
        sets = how.sets(search, start.genome)
        options: dict[str, list[Any]] = {}
        for path in paths:
            key = f"{path}/demonstrations"
            found = [list(start.genome[key])]
            found += [values[key] for values, _ in sets if key in values]
            options[key] = [one for at, one in enumerate(found) if one not in found[:at]]
        if self.proposer is None:
            return options
        for path in search.functions:
            key = f"{path}/instruction"
            if key in start.genome.space:
                texts = self.proposer.propose(search, path, max(2, self.candidates // 2))
                options[key] = list(dict.fromkeys([start.genome[key], *texts]))
        return options


def _said(chosen: Genome) -> str:
    return ", ".join(f"{name} {at}" for name, at in chosen.values.items())
