"""A model as proposer, by free generation: `SamplingProposer`.

Choose it when the candidates cannot be listed: a rewritten query, a plan, a program. The candidate's type is the return
type of a learned function, so every draw is a valid value; draws are independent and equal ones are merged. Source:
best-of-n sampling, as in Chen et al. 2021, "Evaluating large language models trained on code".
Cost: k calls, which share their prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.program.learned import Learned
from thalweg.program.proposers.proposer import Candidate, State, inputs_of, key_of


@dataclass(frozen=True)
class SamplingProposer:
    """Draws of a learned function; a candidate's score is its share of the draws.

    Args:
        function: its inputs render the state (see `ChoiceProposer`).
        temperature: of the draws. seed: equal seeds give equal draws; each round of a search draws others.
    """

    function: Learned[..., Any]
    temperature: float = 1.0
    seed: int = 0

    @property
    def name(self) -> str:
        return f"sampling:{self.function.name}"

    def propose(self, state: Any, options: Sequence[Any] | None, k: int) -> list[Candidate[Any]]:
        """`k` draws, merged: the most frequent first, then in order.

        Raises:
            ValueError: there are options, and the function has no input `options` that could show them.
        """
        names = [field.name for field in self.function.signature.inputs]
        if options is not None and "options" not in names:
            raise ValueError(f"`{self.function.name}` draws freely; to choose between options use ChoiceProposer")
        rounds = state.round if isinstance(state, State) else 0
        inputs = self.function.signature.bind((), inputs_of(names, state, options))
        seed = 1009 * self.seed + rounds
        drawn = self.function.sample(*inputs.values(), n=k, temperature=self.temperature, seed=seed)
        counts: dict[Any, tuple[Any, int]] = {}
        for value in drawn:
            key = key_of(value)
            counts[key] = (value, counts[key][1] + 1 if key in counts else 1)
        merged = [Candidate(value, count / k, self.name) for value, count in counts.values()]
        return sorted(merged, key=lambda one: -one.score)
