"""Searching: any algorithm over the open choices of a program, or over some of them.

Choose it where the program itself leaves choices open (`tw.choice`, settings made choices by `Space.opened`): the
algorithm decides what is tried, this drives it. Texts and examples cannot be drawn and stay as they are, unless
candidates are given for them. `a >> b` searches one part after the other, `Factorized` one inside the other. Source:
the flows of search of Peng et al. 2020, "PyGlove". Cost: one evaluation of the dev split a new proposal (a part of it
under `SuccessiveHalving`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from thalweg.errors import SearchError
from thalweg.optimizing.algorithms.algorithm import check_least, share_of
from thalweg.optimizing.algorithms.tpe import TPE
from thalweg.optimizing.composing import Composable
from thalweg.optimizing.example import Example
from thalweg.optimizing.search import Search
from thalweg.optimizing.trial import Trial
from thalweg.program.choice_kinds import Choice, Examples, Text
from thalweg.program.spaces import Genome, Space


@dataclass(frozen=True)
class Searching(Composable):
    """Ask an algorithm, score, tell.

    Args:
        algorithm: see `thalweg.optimizing.algorithms`. proposals: how many it may make, those included that were scored
            before and cost nothing. batch: how many are asked for at once. idle: stop after so many in a row that were
            scored before.
        only: patterns of the paths to search, such as ``("answer/*",)`` (default: all). The rest is as in the best
            program so far.
        texts: candidates for texts by path, beside the one there is. demonstrations: likewise, lists of worked examples
            ``{"inputs": {...}, "output": ...}``.
    """

    algorithm: Any = field(default_factory=TPE)
    proposals: int = 100
    batch: int = 1
    idle: int = 50
    only: tuple[str, ...] = ()
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    demonstrations: Mapping[str, Sequence[Sequence[Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_least(self, 1, "proposals", "batch", "idle")

    @property
    def name(self) -> str:
        return f"Searching({self.algorithm.name})"

    def run(self, search: Search) -> None:
        self.from_(search, search.best.genome, "")

    def from_(self, search: Search, start: Genome, place: str) -> Trial | None:
        """Search around a genome; the best that was scored on the whole dev split, None where nothing was.

        Args:
            place: names this search among others of the study; its random numbers depend on it.

        Raises:
            SearchError: nothing to search, or candidates for what is no text.
        """
        part = Part(self, search.space, start)
        asking = self.algorithm.start(part.space, search.rng(f"{place}algorithm"))
        order = list(search.dev)
        search.rng("examples").shuffle(order)  # parts of dev are the same for everybody, and grow
        parent = next((one for one in search.trials if one.genome == start), None)
        scored: dict[tuple[str, int], float] = {}
        best: Trial | None = None
        known = proposed = 0
        while proposed < self.proposals and known < self.idle:
            genomes = asking.ask(min(self.batch, self.proposals - proposed))
            if not genomes:
                break
            for one in genomes:
                proposed += 1
                whole = part.whole(one)
                count = max(1, math.ceil(share_of(asking, one) * len(order) - 1e-9))
                key = (whole.digest, count)
                if key in scored:
                    known += 1
                else:
                    known = 0
                    if count < len(order):
                        scored[key] = search.evaluate(whole, order[:count]).mean
                    else:
                        trial = search.try_(whole, parent=parent, note=_changed(start, whole))
                        scored[key] = trial.score
                        best = trial if best is None or trial.score > best.score else best
                asking.tell(one, scored[key])
        return best


@dataclass(frozen=True)
class Factorized(Composable):
    """One search inside another: every proposal of the outer one scores what the inner one makes of it.

    Args:
        outer, inner: searches of different parts (`only`). The inner one begins at each proposal of the outer one.
    """

    outer: Searching
    inner: Searching

    def __post_init__(self) -> None:
        if not self.outer.only or not self.inner.only:
            raise SearchError("Both searches of `Factorized` would search everything.", "Give each its `only`.")

    @property
    def name(self) -> str:
        return f"Factorized({self.outer.name}, {self.inner.name})"

    def run(self, search: Search) -> None:
        start = search.best.genome
        part = Part(self.outer, search.space, start)
        asking = self.outer.algorithm.start(part.space, search.rng("outer algorithm"))
        scored: dict[str, float] = {}
        known = proposed = 0
        while proposed < self.outer.proposals and known < self.outer.idle:
            genomes = asking.ask(min(self.outer.batch, self.outer.proposals - proposed))
            if not genomes:
                break
            for one in genomes:
                proposed += 1
                whole = part.whole(one)
                if whole.digest in scored:
                    known += 1
                else:
                    known = 0
                    first = search.try_(whole, note=_changed(start, whole))
                    found = _searched(self.inner, search, whole, f"inner {len(scored)} ")
                    scored[whole.digest] = max(first.score, found.score if found is not None else first.score)
                asking.tell(one, scored[whole.digest])


def _searched(inner: Searching, search: Search, start: Genome, place: str) -> Trial | None:
    """The inner search; None where the outer choices leave it nothing."""
    if not any(one.drawable or one.path in {*inner.texts, *inner.demonstrations}
               for one in _given(search.space, start, inner.only).values()):  # fmt: skip
        return None
    return inner.from_(search, start, place)


class Part:
    """What an algorithm searches: some choices of a space, candidates in the place of texts and examples. The default
    of its space is where the search starts."""

    def __init__(self, searching: Searching, space: Space, start: Genome) -> None:
        self._start = start
        self._candidates: dict[str, list[Any]] = {}
        found = _given(space, start, searching.only)
        for path in (*searching.texts, *searching.demonstrations):
            kind = space[path].kind if path in space else None
            wanted = Text if path in searching.texts else Examples
            if not isinstance(kind, wanted):
                raise SearchError(
                    f"There are candidates for {path!r}, which is no {wanted.__name__.lower()} of `{space.name}`.",
                    f"There are: {', '.join(name for name, one in space.items() if isinstance(one.kind, wanted))}.",
                )
        made = {}
        for path, one in found.items():
            candidates = searching.texts.get(path) or searching.demonstrations.get(path)
            if candidates:
                options: list[Any] = [start.values[path]]
                options += [each for each in map(_form, candidates) if each not in options]
                self._candidates[path] = options
                one = replace(one, kind=Choice(tuple(range(len(options)))), implicit=False)
            elif one.drawable:
                one = replace(one, begin=(start.values[path],))
            if one.drawable:
                made[path] = one
        self.space = replace(space, dimensions=made) if type(space) is Space else Space(space.name, made)
        if not self.space.drawn:
            raise SearchError(
                f"There is nothing to search in {', '.join(searching.only) or 'the space'} of `{space.name}`.",
                "Leave a choice open (`tw.choice`, `Space.opened`), or give `texts` or `demonstrations`.",
            )

    def whole(self, genome: Genome) -> Genome:
        """The program's genome."""
        made = {
            path: self._candidates[path][value] if path in self._candidates else value
            for path, value in genome.values.items()
        }
        return self._start.replace(made)


def _given(space: Space, start: Genome, only: Sequence[str]) -> Space:
    """The choices to search, where the rest is settled."""
    if not only:
        return space
    searched = set(space.select(*only))
    return space.given({path: value for path, value in start.values.items() if path not in searched})


def _form(candidate: Any) -> Any:
    return candidate if isinstance(candidate, str) else tuple(_row(one) for one in candidate)


def _row(one: Any) -> Any:
    if isinstance(one, Example):
        raise SearchError(
            f"Example {one.number} is no worked example of a learned function.",
            'Give {"inputs": {...}, "output": ...}, as `state()` has it.',
        )
    return one


def _changed(start: Genome, genome: Genome) -> str:
    return ", ".join(f"{path}={one.new!r:.40}" for path, one in start.diff(genome).items())
