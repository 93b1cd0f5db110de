"""How many guesses a pass should carry: as many as pay on this machine, often none.

A pass over r rows takes cost(r) seconds, measured. A draft's node i is accepted with probability w_i, as its drafter
believes. Nodes are taken by falling w as long as (1 + sum of w) / cost(rows) grows; if no number of nodes beats a pass
without guesses, the pass carries none, so the worst case is plain decoding. Drafters are overconfident at times: what
they promised is compared with what was accepted, and their weights are corrected by the running ratio.

Source: the hardware-aware tree sizing of PPD (Chen et al. 2024) and Sequoia (Chen et al. 2024), for any drafter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thalweg.decoding.drafters.draft import Draft, Drafting
from thalweg.models.scorer import SOFT

MEMORY = 0.97  # of what was promised and accepted, per pass
PRIOR = 2.0  # accepted tokens that speak for the drafter before anything was seen
PROBE_EVERY = 32  # passes without guesses after which a few are scored to see whether the drafter got better
RESERVE = 1.02  # a wider pass must promise at least this much


class Budget:
    """Decides the width of passes for one drafter on one scorer; learns across answers.

    Args:
        cost: seconds of a pass over so many rows (`Scorer.cost`).
        max_rows: most rows of a pass.
        size: a fixed number of nodes instead of the best one (0: the best).
    """

    def __init__(self, cost: Callable[[int], float], *, max_rows: int, size: int = 0) -> None:
        self.cost = cost
        self.max_rows = max_rows
        self.size = size
        self._promised = self._accepted = PRIOR
        self._idle = 0
        self._curve: list[float] = []

    @property
    def trust(self) -> float:
        """Accepted tokens for each one promised, lately; at most 1.5."""
        return min(1.5, self._accepted / max(self._promised, 1e-9))

    def most(self, pending: int) -> int:
        """Nodes that could pay in a pass with `pending` known rows: what a drafter should propose at most."""
        room = self.max_rows - pending
        if room < 1:
            return 0
        if self.size:
            return min(self.size, room)
        seconds = self._seconds(pending)
        # Even if every guess were right, r nodes pay only if (1 + r) / cost(rows) beats 1 / cost(pending).
        best, most = 1.0 / seconds, 0
        for nodes in range(1, room + 1):
            if (1 + nodes) / self._seconds(pending + nodes) > best:
                most = nodes
        return most

    def fit(self, draft: Draft, pending: int, *, depth: int) -> Draft:
        """The part of `draft` that is worth scoring, at most `depth` deep."""
        draft = _shallow(draft, depth)
        if not len(draft):
            return draft
        if self.size:
            return draft.prune(min(self.size, self.max_rows - pending))
        order = draft.ranked()[: self.max_rows - pending]
        best, count = RESERVE / self._seconds(pending), 0
        expected, trust = 1.0, self.trust
        for i, node in enumerate(order, 1):
            expected += min(1.0, draft.weights[node] * trust)
            gain = expected / self._seconds(pending + i)
            if gain > best:
                best, count = gain, i
        if count == 0:
            self._idle += 1
            if self._idle < PROBE_EVERY or trust >= 1.0:
                return Draft()
            self._idle = 0
            count = min(len(order), 3)
        return draft.prune(count)

    def observe(self, draft: Draft, accepted: Sequence[int]) -> None:
        """Compare what a scored draft promised with what was accepted of it."""
        if len(draft):
            promised = sum(weight for token, weight in zip(draft.tokens, draft.weights, strict=True) if token != SOFT)
            self._promised = MEMORY * self._promised + promised
            self._accepted = MEMORY * self._accepted + len(accepted)

    def _seconds(self, rows: int) -> float:
        while len(self._curve) <= rows:
            self._curve.append(self.cost(max(1, len(self._curve))))
        return self._curve[rows]


@dataclass(frozen=True)
class Guesses:
    """A drafter at work on one answer, and the budget that says how many of its guesses a pass carries."""

    drafting: Drafting
    budget: Budget


def _shallow(draft: Draft, depth: int) -> Draft:
    """`draft` without what lies deeper than `depth`."""
    depths: list[int] = []
    for parent in draft.parents:
        depths.append(1 if parent < 0 else depths[parent] + 1)
    if not depths or max(depths) <= depth:
        return draft
    return draft.keep(node for node, at in enumerate(depths) if at <= depth)
