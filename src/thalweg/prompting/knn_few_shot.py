"""KNNFewShot: each call shows the worked examples nearest to its question.

Choose it where a labelled pool is larger than a prompt and near questions have near answers. The baseline is the same
strategy with `RandomDemos`. Source: Liu et al. 2022, "What makes good in-context examples for GPT-3?". Cost: the tokens
of k demonstrations in every prompt, which calls share only where they choose the same ones; one embedding a call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thalweg.program.procedure import Solved, derived
from thalweg.program.strategy import Demonstration
from thalweg.prompting.demonstrations import KNN, DemoSelector, demonstrations_of

if TYPE_CHECKING:
    from thalweg.program.learned import Learned


@dataclass(frozen=True)
class KNNFewShot:
    """Few-shot with demonstrations chosen for each question, after those that the function has itself.

    Args:
        k: how many. pool: `Demonstration`s, pairs (inputs, output) or labelled examples.
        embedder: an `Embedder`, or ``minilm``. selector: another way to choose (then `k` and `embedder` do not count).
        inner: strategy of the question with its demonstrations (default: direct).
    """

    k: int = 5
    pool: Sequence[Any] = field(default=(), repr=False, hash=False)
    embedder: Any = "minilm"
    selector: DemoSelector | None = None
    inner: Any = None
    name: str = "knn-few-shot"
    _known: dict[Any, tuple[Any, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pool", tuple(self.pool))

    def solve(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        shown, ask = self._shown(ask, inputs)
        value = ask.submit(**inputs)
        return Solved(value.result(), {**value.details, "demonstrations": shown})

    def distribution(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        """Of the question with its demonstrations."""
        shown, ask = self._shown(ask, inputs)
        return Solved(ask.distribution(**inputs), {"demonstrations": shown})

    def chosen(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> list[tuple[int, Demonstration]]:
        """(index in the pool, demonstration) of what a call with `inputs` shows, in order."""
        pool = self._known.get(ask.signature.digest)
        if pool is None:
            pool = self._known[ask.signature.digest] = demonstrations_of(self.pool, ask.signature)
        selector = self.selector or KNN(self.k, self.embedder)
        at = {id(one): index for index, one in enumerate(pool)}
        return [(at[id(one)], one) for one in selector.select(pool, inputs)]

    def _shown(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> tuple[list[int], Learned[..., Any]]:
        chosen = self.chosen(ask, inputs)
        own = ask.parameters.demonstrations
        return [index for index, _ in chosen], derived(ask, demonstrations=(*own, *(one for _, one in chosen)))
