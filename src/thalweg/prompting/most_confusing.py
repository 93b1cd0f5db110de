"""I3C-Select: the most confusing problems of a pool as worked examples. `MostConfusing`, a `DemoSelector`.

A problem is the more confusing, the less its conditions have to do with its question (mean cosine). Choose it with
`IgnoreIrrelevant`, where the worked examples should show how to leave things out; the choice is the same for every
question, so all prompts share their prefix. Source: Wu, Shen and Jiang, 2024, "Instructing large language models to
identify and ignore irrelevant conditions". Cost: embedding the pool's sentences once a process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from thalweg.program.strategy import Demonstration
from thalweg.prompting.i3c import IgnoreIrrelevant
from thalweg.prompting.word_problem import problem_of


@dataclass(frozen=True)
class MostConfusing:
    """The `k` most confusing problems, the most confusing first; of equals the first of the pool.

    Args:
        k: how many. embedder: an `Embedder`, or ``minilm``. text: name of the input that holds the problem (default:
            the longest text).

    Raises:
        ValueError: k below 0.
    """

    k: int = 8
    embedder: Any = "minilm"
    text: str = ""
    name: str = "most_confusing"

    def __post_init__(self) -> None:
        if self.k < 0:
            raise ValueError(f"k={self.k}; give 0 or more")

    def select(self, pool: Sequence[Demonstration], query: Mapping[str, Any] | None = None) -> list[Demonstration]:
        """Worked examples out of `pool`; the question does not matter. Raises `DataError` for one without a text."""
        similar = _similarities(self.embedder, tuple(problem_of(one.inputs, self.text) for one in pool))
        order = sorted(range(len(pool)), key=lambda index: similar[index])
        return [pool[index] for index in order[: self.k]]

    def confusion(self, texts: Sequence[str]) -> list[float]:
        """How confusing problems are: 1 / mean cosine of conditions and question, infinite where that is not above 0,
        0 for a problem without conditions."""
        similar = _similarities(self.embedder, tuple(texts))
        return [0.0 if one == float("inf") else 1 / one if one > 0 else float("inf") for one in similar]


@lru_cache(maxsize=16)
def _similarities(embedder: Any, texts: tuple[str, ...]) -> list[float]:
    """Mean cosine of conditions and question; infinite without conditions, which nothing can confuse."""
    if not texts:
        return []
    found = IgnoreIrrelevant(embedder=embedder).scores(texts)
    return [sum(one.to_question for one in rows) / len(rows) if rows else float("inf") for rows in found]
