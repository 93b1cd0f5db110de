"""KNNFewShot: the training examples nearest to each case as its demonstrations; the search chooses how many.

Choose it where there are more labelled examples than fit into a prompt, and near cases have near answers. It loses the
shared beginning of prompts, so calls cost more. For programs of one learned function. Source: Liu et al. 2022, "What
Makes Good In-Context Examples for GPT-3?". Cost: one evaluation of the dev split for each number that is tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from thalweg.errors import SearchError
from thalweg.optimizing.composing import Composable
from thalweg.optimizing.optimizers.chosen_strategy import with_strategy
from thalweg.optimizing.optimizers.described import Described
from thalweg.optimizing.optimizers.starting import best_with
from thalweg.optimizing.search import Search
from thalweg.program import Demonstration, Learned
from thalweg.program.spaces import Genome


@dataclass(frozen=True, repr=False)
class KNNFewShot(Described, Composable):
    """The strategy `thalweg.prompting.KNNFewShot` with a number of neighbours that is chosen on the dev split.

    Args:
        ks: numbers to try, each at least 1. embedder: an `Embedder`, or ``minilm``.
    """

    ks: Sequence[int] = (4, 8)
    embedder: Any = "minilm"
    name: str = "KNNFewShot"

    def __post_init__(self) -> None:
        if not self.ks or any(type(k) is not int or k < 1 for k in self.ks):
            raise SearchError(f"KNNFewShot(ks={self.ks!r}) makes no search.", "Give whole numbers from 1.")

    def run(self, search: Search) -> None:
        if not isinstance(search.program, Learned):
            raise SearchError(
                f"Of the steps of the flow `{search.space.name}` the right answers are not known.",
                "Set `@learned(strategy=KNNFewShot(pool=...))` on the step that has a pool, and search the rest.",
            )
        start = best_with(search, [f"{search.program.name}/instruction"])
        output = search.program.signature.output
        pool = []
        for one in search.train:
            try:
                output.encode(one.label)
            except Exception as error:
                raise SearchError(
                    f"The label of example {one.number} ({one.label!r:.40}) is no output of `{search.program.name}`.",
                    "Choose KNNFewShot where labels are right outputs.",
                ) from error
            pool.append(Demonstration(one.inputs(search.names), one.label))
        for k in self.ks:
            genome = self._genome(search, start.genome, tuple(pool), min(k, len(pool)))
            search.try_(genome, parent=start, note=f"the {k} nearest examples for each case")

    def _genome(self, search: Search, genome: Genome, pool: tuple[Demonstration, ...], k: int) -> Genome:
        from thalweg.prompting.knn_few_shot import KNNFewShot as Nearest

        # The fixed demonstrations give way to the nearest ones, and are no longer open: a teacher with neighbours would
        # be shown what it is asked.
        path = search.program.name
        kept = {name: one for name, one in genome.space.items() if name != f"{path}/demonstrations"}
        space = replace(genome.space, dimensions=kept)
        plain = space.genome({name: genome.values[name] for name in kept})
        inner = getattr(search.bound(genome).own, "strategy", None)
        return with_strategy(plain, path, Nearest(k, pool, self.embedder, inner=inner))
