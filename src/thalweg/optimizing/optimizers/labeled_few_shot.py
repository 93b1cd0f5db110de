"""LabeledFewShot: labelled examples as demonstrations of a learned function, drawn at random.

Choose it as the first thing to try, and as the baseline of everything else. Only for programs of one learned function:
of the steps of a flow the right answers are not known. Source: Khattab et al. 2023, "DSPy". Cost: one evaluation of
the dev split a draw.
"""

from __future__ import annotations

from dataclasses import dataclass

from thalweg.errors import SearchError
from thalweg.optimizing.composing import Composable
from thalweg.optimizing.example import Example
from thalweg.optimizing.search import Search
from thalweg.program import Learned
from thalweg.program.types import jsonable


@dataclass(frozen=True)
class LabeledFewShot(Composable):
    """Draws of `k` labelled examples.

    Args:
        k: demonstrations. draws: how many sets are tried.
    """

    k: int = 8
    draws: int = 5
    name: str = "LabeledFewShot"

    def run(self, search: Search) -> None:
        if not isinstance(search.program, Learned):
            raise SearchError(
                f"Of the steps of the flow `{search.space.name}` the right answers are not known.",
                "Use BootstrapFewShot, which takes them from runs that succeed.",
            )
        start = search.best
        path = f"{search.program.name}/demonstrations"
        for number in range(self.draws):
            rng = search.rng(f"draw {number}")
            drawn = rng.sample(search.train, min(self.k, len(search.train)))
            demonstrations = [demonstration(one, search.names) for one in drawn]
            search.try_(
                start.genome.replace({path: demonstrations}), parent=start, note=f"{len(drawn)} labelled examples"
            )


def demonstration(example: Example, names: list[str]) -> dict[str, object]:
    """A labelled example in the form of a program's state."""
    return {"inputs": jsonable(example.inputs(names)), "output": jsonable(example.label)}
