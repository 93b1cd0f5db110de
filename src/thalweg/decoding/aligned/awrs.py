"""Adaptive weighted rejection sampling: one constrained token, and an unbiased weight, without the full mask.

Draws tokens from the unmasked law, tests each alone, and never draws a refused one again, until two were accepted.
The first is an exact draw from the allowed ones; how often it was refused estimates their mass. Choose it where testing
one token is much cheaper than the mask over the vocabulary (checkers, monitors); llguidance's masks are not such.
Source: Lipkin, LeBrun, Vigly, Loula, MacIver, Du, Eisner, Cotterell, Mansinghka, O'Donnell, Lew, Vieira 2025, "Fast
Controlled Generation from Language Models with Adaptive Weighted Rejection Sampling". Cost: a test a drawn token, and
one mask after `MOST` refusals.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from thalweg.decoding.aligned.drawing import Floats, Ints, choose, log_sum

MOST = 32  # refusals after which the mask is cheaper


class Rejection:
    """A weighted draw of one token.

    Let trials of mass ``m_0 = 1 > m_1 > ...`` (what is left after 0, 1, ... refusals) run until the second acceptance,
    with I refusals. "The first trial was accepted" estimates the allowed mass Z without bias; its expectation given the
    refusals is ``W = 1 / sum_{j<=I} 1 / m_j``, positive and of less variance. Where `MOST` = L refusals come first, Z
    is computed, and that expectation is ``W = Z / (1 + Z sum_{j<L} 1 / m_j)``. Accepted tokens are independent of W.

    Args:
        law: log-probabilities of the vocabulary.
        accepts: whether one token may come next. allowed: ids of all that may, ascending; called at most once.
    """

    def __init__(
        self,
        law: Floats,
        accepts: Callable[[int], bool],
        allowed: Callable[[], Ints],
        dice: np.random.Generator,
        *,
        most: int = MOST,
    ) -> None:
        self._law = law
        self._dice = dice
        self._allowed = allowed
        self._ids: Ints | None = None
        self.accepted: list[int] = []
        self.refused: list[int] = []
        self.tests = 0
        self.log_weight = self._run(accepts, most)

    def token(self, copy: int) -> int:
        """The token of the `copy`-th particle that goes on from here: exact draws, independent of each other."""
        if copy < len(self.accepted):
            return self.accepted[copy]
        if self._ids is None:
            self._ids = self._allowed()
        return int(self._ids[choose(self._law[self._ids], self._dice.random())])

    def _run(self, accepts: Callable[[int], bool], most: int) -> float:
        left = np.exp(self._law)
        ladder = np.cumsum(left)
        mass, inverse = 1.0, 1.0  # of what is left; the sum of 1 / m_j so far
        known: dict[int, bool] = {}
        while len(self.accepted) < 2:
            if mass <= 0 or len(self.refused) == most:
                return self._masked(inverse)
            token = int(np.searchsorted(ladder, self._dice.random() * ladder[-1], side="right"))
            if token >= len(left) or left[token] == 0:
                # Refused before, and still in the ladder: build it anew, so that rejections stay few.
                ladder = np.cumsum(left)
                continue
            if token not in known:
                self.tests += 1
                known[token] = accepts(token)
            if known[token]:
                self.accepted.append(token)
                continue
            self.refused.append(token)
            mass -= float(left[token])
            left[token] = 0.0
            if mass < 0.1:  # a difference of near equals has few digits
                mass = float(left.sum())
            if mass > 0 and len(self.refused) < most:
                inverse += 1 / mass
        return -math.log(inverse)

    def _masked(self, inverse: float) -> float:
        self._ids = self._allowed()
        log_mass = log_sum(self._law[self._ids])
        return log_mass - math.log1p(math.exp(log_mass) * inverse) if log_mass > -math.inf else -math.inf
