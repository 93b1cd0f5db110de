"""GEPA: instructions grow by reflection on failures; parents come from the front of what is best on each example.

A parent is drawn from the programs that no other beats on every example, works on a few training examples, and one of
its instructions is rewritten from what went wrong and the metric's feedback; where that helps on the same few, the
child is tried on the whole dev split and joins. Choose it where the metric says why (`Score.feedback`).
Source: Agrawal et al. 2025, "GEPA: Reflective Prompt Evolution Can Outperform Reinforcement Learning". Cost: a step has
two minibatches, one reflection, and for about every third an evaluation of the dev split.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.optimizing.composing import Composable
from thalweg.optimizing.optimizers.described import Described
from thalweg.optimizing.optimizers.starting import best_with, check_counts, open_functions
from thalweg.optimizing.proposers.proposer import Failing, Reflector
from thalweg.optimizing.proposers.reflection import Reflection
from thalweg.optimizing.proposers.rules import Rules
from thalweg.optimizing.search import Evaluation, Search, Trial
from thalweg.program.spaces import Genome


@dataclass(frozen=True, repr=False)
class GEPA(Described, Composable):
    """Reflective evolution of instructions.

    Args:
        steps: reflections. minibatch: training examples for each. merges: pairs of lineages that are joined at most.
        reflect: ``rules`` (default: sentences made from failures, no model), a `Reflector`, or who writes: a model, its
            name, or a function from a prompt to a text; ``self`` for the program's own model.
        perfect: the score of a row at which nothing is left to learn from it.
    """

    steps: int = 20
    minibatch: int = 6
    merges: int = 0
    reflect: Any = "rules"
    perfect: float = 1.0
    name: str = "GEPA"

    def __post_init__(self) -> None:
        check_counts(self, "steps", "minibatch")
        check_counts(self, "merges", least=0)

    def run(self, search: Search) -> None:
        paths = open_functions(search, "instruction")
        reflector = self._reflector()
        pool = [best_with(search, [f"{path}/instruction" for path in paths])]
        merged = 0
        for step in range(self.steps):
            rng = search.rng(f"step {step}")
            parent = _drawn(pool, rng)
            path = paths[step % len(paths)]
            examples = rng.sample(list(search.train), min(self.minibatch, len(search.train)))
            before = search.evaluate(parent.genome, examples)
            failing = self._failing(search, before, path)
            if not failing:
                continue
            child = self._child(search, reflector, parent, path, before, failing, step)
            if child is None or any(one.number == child.number for one in pool):
                continue
            pool.append(child)
            if merged < self.merges and len(pool) > 2:
                joined = self._merged(search, pool, paths, rng)
                if joined is not None:
                    merged += 1
                    pool.append(joined)

    def _reflector(self) -> Reflector:
        if self.reflect == "rules":
            return Rules()
        if hasattr(self.reflect, "reflect"):
            reflector: Reflector = self.reflect
            return reflector
        return Reflection(None if self.reflect == "self" else self.reflect)

    def _failing(self, search: Search, before: Evaluation, path: str) -> list[Failing]:
        found = []
        for example, row in zip(before.examples, before.rows, strict=True):
            if row.score < self.perfect:
                steps = [one for one in search.trace(before.genome, example) if one.path == path]
                inputs, output = (steps[-1].inputs, steps[-1].output) if steps else (None, None)
                found.append(Failing(example, inputs, output, row.output, row.score, row.feedback))
        return found

    def _child(self, search: Search, reflector: Reflector, parent: Trial, path: str, before: Evaluation,
               failing: Sequence[Failing], step: int) -> Trial | None:  # fmt: skip
        """The first rewriting that is better than its parent on the same examples, as a trial."""
        key = f"{path}/instruction"
        for text in reflector.reflect(search, path, parent.genome[key], failing, step)[:2]:
            genome = parent.genome.replace({key: text})
            if search.evaluate(genome, before.examples).mean > before.mean:
                return search.try_(genome, parent=parent, note=f"{path}: {text[-80:]}")
        return None

    def _merged(self, search: Search, pool: list[Trial], paths: list[str], rng: random.Random) -> Trial | None:
        """Two programs as one: what either has changed, where both did that of the better one."""
        front = [one for one in pool if one.number in _wins(pool)]
        if len(front) < 2:
            return None
        one, other = sorted(rng.sample(front, 2), key=lambda trial: (-trial.score, trial.number))
        root = pool[0].genome
        values = {
            key: one.genome[key] if one.genome[key] != root[key] else other.genome[key]
            for key in (f"{path}/instruction" for path in paths)
        }
        genome: Genome = one.genome.replace(values)
        if genome in (one.genome, other.genome):
            return None
        examples = rng.sample(list(search.train), min(self.minibatch, len(search.train)))
        had = max(search.evaluate(each.genome, examples).mean for each in (one, other))
        if search.evaluate(genome, examples).mean < had:
            return None
        return search.try_(genome, parent=one, note=f"trials {one.number} and {other.number} merged")


def _wins(pool: Sequence[Trial]) -> dict[int, int]:
    """How many dev examples each trial is best on, by number; trials that another one makes needless are left out."""
    count = len(pool[0].evaluation.scores)
    best = [max(one.evaluation.scores[at] for one in pool) for at in range(count)]
    fronts = {one.number: {at for at in range(count) if one.evaluation.scores[at] >= best[at]} for one in pool}
    by_score = sorted(pool, key=lambda one: (one.score, -one.number))
    left = dict(fronts)
    for one in by_score:  # the weakest first
        others = set().union(*(wins for number, wins in left.items() if number != one.number))
        if fronts[one.number] <= others:
            left.pop(one.number)
    return {number: len(wins) for number, wins in left.items() if wins}


def _drawn(pool: Sequence[Trial], rng: random.Random) -> Trial:
    """A parent from the front, the likelier the more examples it is best on."""
    wins = _wins(pool)
    front = [one for one in pool if one.number in wins]
    return rng.choices(front, [wins[one.number] for one in front])[0] if front else max(pool, key=lambda t: t.score)
