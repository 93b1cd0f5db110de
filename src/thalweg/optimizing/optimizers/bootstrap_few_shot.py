"""BootstrapFewShot: demonstrations for every learned function of a program, taken from its own runs that succeed.

A teacher (the best program so far, another program, or another model) works on training examples; where the metric
holds, the calls behind its answer become demonstrations: so steps that nobody labelled get them too. Choose it for
flows of several steps; for one function, demonstrations are then examples that the teacher answers rightly.
Source: Khattab et al. 2023, "DSPy: Compiling Declarative Language Model Calls into Self-Improving Pipelines".
Cost: up to one run of the teacher a training example, and one evaluation of the dev split.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.optimizing.composing import Composable
from thalweg.optimizing.example import Example
from thalweg.optimizing.metric import TraceStep
from thalweg.optimizing.optimizers.demonstrations import Demo, drawn, labelled, traced, without
from thalweg.optimizing.optimizers.described import Described
from thalweg.optimizing.optimizers.starting import best_with, check_counts, open_functions
from thalweg.optimizing.optimizers.teachers import Teacher, teacher_of
from thalweg.optimizing.search import Search
from thalweg.program import Learned
from thalweg.program.spaces import Genome

_AT_ONCE = 8  # examples that a teacher works on side by side: so many runs at most are made and not needed


@dataclass(frozen=True, repr=False)
class BootstrapFewShot(Described, Composable):
    """One program with bootstrapped demonstrations.

    Args:
        demos: successful runs whose calls become demonstrations.
        labeled: demonstrations in all, filled up with labelled examples of every label alike, in programs of one
            learned function.
        rounds: passes over the training examples; from the second on the teacher draws at temperature 1.
        threshold: a run succeeds from this score on (default: where the score is above 0).
        teacher: a program with learned functions of the same names, or a model (default: the best program so far).

    Raises:
        SearchError: a number below 0, a search that leaves no demonstrations open, or a teacher of other functions.
    """

    demos: int = 4
    labeled: int = 4
    rounds: int = 1
    threshold: float | None = None
    teacher: Any = None
    name: str = "BootstrapFewShot"

    def __post_init__(self) -> None:
        check_counts(self, "rounds")
        check_counts(self, "demos", "labeled", least=0)

    def run(self, search: Search) -> None:
        paths = open_functions(search, "demonstrations")
        start = best_with(search, [f"{path}/demonstrations" for path in paths])
        runs = Runs(search, teacher_of(search, self.teacher, start.genome), self.threshold, self.rounds)
        kept = runs.first(self.demos, search.train)
        rng = search.rng("demonstrations")
        values = demonstrations_of(search, kept, rng, labeled=self.labeled, balanced=True)
        search.try_(start.genome.replace(values), parent=start, note=f"{len(kept)} runs that succeeded")


@dataclass(frozen=True)
class Kept:
    """A run that succeeded: its example and the calls behind it."""

    example: Example
    steps: tuple[TraceStep, ...]


class Runs:
    """A teacher's runs that succeed. The same teacher is asked once an example, however often it is taken from."""

    def __init__(self, search: Search, teacher: Teacher, threshold: float | None = None, rounds: int = 1) -> None:
        self.search = search
        self.teacher = teacher
        self.threshold = threshold
        self.rounds = rounds

    def first(self, wanted: int, examples: Sequence[Example]) -> list[Kept]:
        """The first so many runs that succeed, in the order of the examples, no example twice."""
        kept: list[Kept] = []
        left = list(examples)
        for turn in range(self.rounds):
            failed: list[Example] = []
            for at in range(0, len(left), _AT_ONCE):
                if len(kept) >= wanted:
                    return kept[:wanted]
                part = left[at : at + _AT_ONCE]
                found = self._succeeded(part, turn)
                kept += [found[one.digest] for one in part if one.digest in found]
                failed += [one for one in part if one.digest not in found]
            left = failed
        return kept[:wanted]

    def _succeeded(self, examples: Sequence[Example], turn: int) -> dict[str, Kept]:
        """By the example's digest. Examples that are shown alike are run together."""
        groups: dict[Genome, list[Example]] = {}
        for one in examples:
            groups.setdefault(self.teacher.genome(without(self.teacher.shown, one), turn), []).append(one)
        found: dict[str, Kept] = {}
        for genome, group in groups.items():
            for one, row in zip(group, self.search.evaluate(genome, group).rows, strict=True):
                holds = row.score >= self.threshold if self.threshold is not None else row.score > 0
                if holds and not row.error:
                    steps = self.search.trace(genome, one)
                    found[one.digest] = Kept(one, tuple(steps))
        return found


def demonstrations_of(
    search: Search, kept: Sequence[Kept], rng: random.Random, *, labeled: int = 0, balanced: bool = False
) -> dict[str, list[Demo]]:
    """Demonstrations by path of the space, from runs that succeeded.

    Of several calls of a function in one run the last is taken with probability 1/2, else one of the others.
    """
    values: dict[str, list[Demo]] = {}
    for path in open_functions(search, "demonstrations"):
        demos = []
        for one in kept:
            calls = [step for step in one.steps if step.path == path]
            if calls:
                at = -1 if len(calls) == 1 or rng.random() < 0.5 else rng.randrange(len(calls) - 1)
                demos.append(traced(calls[at], one.example))
        if isinstance(search.program, Learned):
            demos += _labelled(search, kept, rng, labeled - len(demos), balanced)
        values[f"{path}/demonstrations"] = _distinct(demos)
    return values


def _labelled(search: Search, kept: Sequence[Kept], rng: random.Random, count: int, balanced: bool) -> list[Demo]:
    used = {one.example.digest for one in kept}
    left = [one for one in search.train if one.digest not in used and one.label is not None]
    return [labelled(one, search.names) for one in drawn(rng, left, max(0, count), balanced=balanced)]


def _distinct(demos: Sequence[Mapping[str, Any]]) -> list[Demo]:
    found: list[Demo] = []
    for one in demos:
        if all(one["inputs"] != other["inputs"] for other in found):
            found.append(dict(one))
    return found
