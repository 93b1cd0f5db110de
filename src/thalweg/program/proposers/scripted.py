"""A Python function as proposer, for tests of what stands around proposers: `ScriptedProposer`.

Choose it where what is proposed is part of the test, above all with its declared error process: `faulty(rate, seed)`
plants wrong candidates at a known rate, against which a checker's promises are measured. Its name says that it is
scripted, so that no figure obtained with it is taken for the quality of a model. Cost: that of the function.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from thalweg.program.proposers.proposer import Candidate, State, key_of

Script = Callable[[Any, "Sequence[Any] | None", int], Iterable[Any]]
Wrong = Callable[[Any, random.Random], Any]


@dataclass(frozen=True)
class ScriptedProposer:
    """What a Python function proposes.

    Args:
        function: from (state, options, k) to values or `Candidate`s, best first. A plain value scores 0. It must give
            the same again for the same arguments.
    """

    function: Script
    rate: float = 0.0
    seed: int = 0
    wrong: Wrong | None = None

    @property
    def name(self) -> str:
        name = f"scripted:{getattr(self.function, '__qualname__', type(self.function).__name__)}"
        return f"{name} faulty {self.rate:g} seed {self.seed}" if self.rate else name

    def faulty(self, rate: float, seed: int, wrong: Wrong | None = None) -> ScriptedProposer:
        """A copy that replaces each candidate with probability `rate` by a wrong one, independently.

        Args:
            wrong: from a value and a random source to a wrong value; None: another of the options.
        """
        if not 0 <= rate <= 1:
            raise ValueError(f"rate={rate!r}; give a share from 0 to 1")
        return replace(self, rate=rate, seed=seed, wrong=wrong)

    def propose(self, state: Any, options: Sequence[Any] | None, k: int) -> list[Candidate[Any]]:
        """The first `k` that the function gives.

        Raises:
            ValueError: a wrong candidate is due, and there is neither `wrong` nor another option.
        """
        made: list[Candidate[Any]] = []
        before = state.proposed if isinstance(state, State) else 0
        for one in self.function(state, options, k):
            if len(made) == k:
                break
            candidate = one if isinstance(one, Candidate) else Candidate(one)
            value = self._perhaps_wrong(candidate.value, before + len(made), options)
            made.append(replace(candidate, value=value, source=self.name))
        return made

    def _perhaps_wrong(self, value: Any, place: int, options: Sequence[Any] | None) -> Any:
        if not self.rate:
            return value
        source = random.Random(f"{self.seed} {place}")  # by place, so that a resumed search meets the same errors
        if source.random() >= self.rate:
            return value
        if self.wrong is not None:
            return self.wrong(value, source)
        others = [option for option in options or () if key_of(option) != key_of(value)]
        if not others:
            raise ValueError(f"{self.name}: no other option can stand for a wrong candidate; pass `wrong`")
        return source.choice(others)
