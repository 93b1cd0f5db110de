"""A vote of similar past cases as proposer: `NeighbourProposer`.

Choose it when there is a record of states and what was right for them, as a fast first guess or as the baseline that a
model has to beat. Cases vote for what was chosen in them, the nearer the stronger. Source: Dudani 1976, "The
distance-weighted k-nearest-neighbor rule" (weights 1 / distance). Cost: one embedding a proposal, and one of all cases
at the first; linear in the number of cases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from thalweg.errors import DataError
from thalweg.program.proposers.proposer import Candidate, key_of, task_of, untried
from thalweg.program.types import render_value

_NEAREST = 1e-3  # distance below which cases are the same to float32


@dataclass(frozen=True)
class NeighbourProposer:
    """What was chosen in the nearest past cases; a candidate's score is its share of the votes.

    Args:
        cases: pairs of a state and what was chosen in it.
        embedder: an `Embedder` (`embed(texts)`), or an object with `encode(texts)`; None: the packaged MiniLM.
        neighbours: cases that vote.
        show: text of a state, which is embedded.
    """

    cases: Sequence[tuple[Any, Any]]
    embedder: Any = None
    neighbours: int = 8
    show: Callable[[Any], str] = render_value

    @property
    def name(self) -> str:
        return f"neighbours:{self.neighbours} of {len(self.cases)}"

    def propose(self, state: Any, options: Sequence[Any] | None, k: int) -> list[Candidate[Any]]:
        """The `k` strongest choices not tried yet; of equals the one that a nearer case made.

        Choices that are no longer among `options` have no vote: the nearest cases whose choice is, vote. Fewer than
        `k` come when the neighbours chose fewer things.
        """
        import numpy as np

        may = None if options is None else {key_of(option) for option in options}
        voters = [index for index, (_, chosen) in enumerate(self.cases) if may is None or key_of(chosen) in may]
        if not voters:
            return []
        query = self._embed([self.show(task_of(state))])[0]
        distances = np.linalg.norm(self._vectors[voters] - query, axis=1)
        votes: dict[Any, tuple[Any, float]] = {}
        for near in np.argsort(distances, kind="stable")[: self.neighbours]:
            chosen = self.cases[voters[near]][1]
            key = key_of(chosen)
            before = votes[key][1] if key in votes else 0.0
            votes[key] = (chosen, before + 1.0 / max(float(distances[near]), _NEAREST))
        values = [value for value, _ in votes.values()]
        total = sum(vote for _, vote in votes.values())
        shares = [vote / total for _, vote in votes.values()]
        kept = sorted(untried(values, state), key=lambda index: -shares[index])
        return [Candidate(values[index], shares[index], self.name) for index in kept[:k]]

    @cached_property
    def _vectors(self) -> Any:  # [cases, dimensions], unit length
        return self._embed([self.show(task_of(state)) for state, _ in self.cases])

    def _embed(self, texts: list[str]) -> Any:
        import numpy as np

        embed = getattr(self._embedder, "embed", None) or self._embedder.encode
        vectors = np.asarray(embed(texts), np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise DataError(
                f"The embedder gave shape {vectors.shape} for {len(texts)} texts.",
                "Give one that returns one vector a text.",
            )
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    @cached_property
    def _embedder(self) -> Any:
        if self.embedder is not None:
            return self.embedder
        from thalweg.models import MiniLM

        return MiniLM()
