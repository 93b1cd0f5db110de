"""One of the two models of PEARL: a scorer with a thread to compute in, and what its passes take while both compute.

Two models that compute at the same time slow each other down (caches, memory, clock rate), so the cost curve, measured
alone, is scaled by what passes really took. Cost: nothing beside the passes.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from thalweg.models.scorer import Forest, Scores

MEMORY = 0.95  # of a measured pass, each time another one is made


class Side:
    """A scorer and its thread.

    Args:
        owned: free the scorer with this object.
        paced: compare passes with the scorer's cost curve, for `seconds`.
    """

    def __init__(self, scorer: Any, owned: bool, *, paced: bool) -> None:
        self.scorer = scorer
        self._owned, self._paced = owned, paced
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"pearl {scorer.name}")
        self._pace = 1.0  # measured seconds of a pass, by those of the cost curve
        self._busy = 0.0
        self._last: Future[Any] | None = None

    def submit(self, forest: Forest) -> Future[Scores]:
        """`score` on a thread of the scorer's own."""
        if hasattr(self.scorer, "submit"):
            self._last = future = self.scorer.submit(forest)
        else:
            self._last = future = self._pool.submit(self.scorer.score, forest)
        return future

    def score(self, forest: Forest) -> Scores:
        """`submit`, and wait."""
        return self.observed(self.submit(forest).result())

    def observed(self, scores: Scores) -> Scores:
        """Count what a pass took. Returns it."""
        self._busy += scores.seconds
        if self._paced:
            expected = self.scorer.cost(scores.rows)
            self._pace = MEMORY * self._pace + (1 - MEMORY) * scores.seconds / expected
        return scores

    def call(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call on this side's thread; not while a submitted forest is computed."""
        self._last = future = self._pool.submit(function, *arguments)
        return future

    def settle(self) -> None:
        """Wait until nothing is computed any more, whatever became of it."""
        if self._last is not None:
            wait([self._last])

    def take_seconds(self) -> float:
        """Seconds spent computing since this was asked last."""
        seconds, self._busy = self._busy, 0.0
        return seconds

    def seconds(self, rows: int) -> float:
        """What a pass over `rows` rows takes while the other model computes too."""
        return self._pace * self.scorer.cost(rows)

    def close(self) -> None:
        self._pool.shutdown(wait=True)
        if self._owned:
            self.scorer.free()
