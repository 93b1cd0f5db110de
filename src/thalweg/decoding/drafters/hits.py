"""How often guesses of a kind turned out right, so that the weights of a draft are honest probabilities.

A drafter names the kind of every node it proposes (depth and rank, length of the match, ...). `Hits` keeps the share of
right ones by kind; `Watch` follows proposals through the text that was really written, including those the budget did
not let through: what was guessed is compared with what came, which costs no row. The model speaks of a node only where
all above it was right, so rates are conditional and a path's probability is their product.
Source: own; Chen et al. 2024, "Sequoia", measures acceptance by rank. Cost: a few microseconds a token.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from threading import Lock

from thalweg.decoding.drafters.draft import Draft

Kind = Hashable


class Hits:
    """Share of right guesses by kind, with a prior. Safe for several threads.

    Args:
        prior: the rate of a kind nothing is known of; a function of the kind.
        base: counts this one starts from: its rates are the prior, and what is counted here is counted there too.
        strength: how many guesses the prior weighs.
        horizon: after so many guesses of a kind its counts are halved, so that they follow a change.
    """

    def __init__(
        self,
        prior: Callable[[Kind], float] | None = None,
        *,
        base: Hits | None = None,
        strength: float = 4.0,
        horizon: int = 2048,
    ) -> None:
        self._prior = prior if base is None else base.rate
        if self._prior is None:
            raise ValueError("Hits need a prior, or a base")
        self._base, self._strength, self._horizon = base, strength, horizon
        self._counts: dict[Kind, tuple[float, float]] = {}  # right, all; replaced whole, so that readers need no lock
        self._lock = Lock()

    def rate(self, kind: Kind) -> float:
        """The probability that a guess of this kind is right, given that all above it are; in [0.001, 0.999]."""
        right, tries = self._counts.get(kind, (0.0, 0.0))
        assert self._prior is not None
        rate = (right + self._strength * self._prior(kind)) / (tries + self._strength)
        return min(0.999, max(0.001, rate))

    def count(self, kind: Kind, right: bool) -> None:
        """One more guess of this kind."""
        with self._lock:
            hits, tries = self._counts.get(kind, (0.0, 0.0))
            if tries >= self._horizon:
                hits, tries = hits / 2, tries / 2
            self._counts[kind] = (hits + right, tries + 1)
        if self._base is not None:
            self._base.count(kind, right)

    def tries(self, kind: Kind) -> float:
        """How many guesses of this kind were counted (halved ones count half)."""
        return self._counts.get(kind, (0.0, 0.0))[1]


class Watch:
    """Compares proposals of one answer with the text that follows them, and counts in `hits`.

    Args:
        hits: where to count.
        most: proposals followed at once; the oldest are dropped.
    """

    def __init__(self, hits: Hits, most: int = 32) -> None:
        self._hits, self._most = hits, most
        self._open: list[tuple[Draft, Sequence[Kind], dict[int, list[int]], int]] = []  # ..., children, where it stands

    def proposed(self, draft: Draft, kinds: Sequence[Kind]) -> None:
        """`draft` was proposed behind the text so far; `kinds` are those of its nodes."""
        if not len(draft):
            return
        children: dict[int, list[int]] = {}
        for node, parent in enumerate(draft.parents):
            children.setdefault(parent, []).append(node)
        self._open = [*self._open[-self._most + 1 :], (draft, kinds, children, -1)]

    def written(self, tokens: Sequence[int]) -> None:
        """`tokens` were written next."""
        for token in tokens:
            alive = []
            for draft, kinds, children, node in self._open:
                follows = -1
                for child in children[node]:
                    right = draft.tokens[child] == token
                    self._hits.count(kinds[child], right)
                    if right:
                        follows = child
                if follows >= 0 and follows in children:
                    alive.append((draft, kinds, children, follows))
            self._open = alive


def length_bucket(length: int) -> int:
    """Lengths of a match that are about as telling: 1, 2, 3, 4, 5-6, 7-9, 10-14, 15-24, 25 and more."""
    if length <= 4:
        return length
    for bucket, top in ((5, 6), (6, 9), (7, 14), (8, 24)):
        if length <= top:
            return bucket
    return 9
