"""How fast two models write together, by their seconds a pass and the share of right guesses: formula and simulation.

`best_gamma` chooses PEARL's block lengths from the formula. `simulate` plays the events of plain decoding, speculative
decoding and PEARL, guess by guess: it answers what another machine, or another pair of models, would give. Both take
guesses to be right independently with probability `acceptance`; in texts they come in runs, so real figures spread.

Source: the analysis of Liu et al. 2025 ("PEARL"), with passes whose cost grows with their rows. Cost: `best_gamma` 0.1
ms; `simulate` a few microseconds a token.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Seconds = Callable[[int], float]  # rows -> seconds of a pass
MARGIN = 1.02  # blocks must promise at least this much


def best_gamma(target: Seconds, draft: float, acceptance: float, most: int) -> tuple[int, int]:
    """Draft passes of a pre-verify tick and of a post-verify tick that write most tokens a second.

    Returns (0, 0) where none is faster than the target alone by more than the margin of such estimates.

    Args:
        target: seconds of a target pass by its rows.
        draft: seconds of a draft pass.
    """
    alpha = min(max(acceptance, 0.01), 0.995)
    seconds = [0.0, *(target(rows) for rows in range(1, most + 1))]
    powers = [alpha**n for n in range(most + 1)]
    written = [(1 - power) / (1 - alpha) for power in powers]  # by a post-verify tick that checks n guesses
    best, found = MARGIN / seconds[1], (0, 0)
    for pre in range(1, most + 1):
        until = 1 / alpha  # pre-verify ticks until one guess is right
        first = max(seconds[1], pre * draft) * until
        for post in range(1, most + 1):
            more = powers[pre] / (1 - powers[post])  # post-verify ticks after the first
            time = first + max(seconds[pre], post * draft) + more * max(seconds[post], post * draft)
            rate = (until + written[pre] + more * written[post]) / time
            if rate > best:
                best, found = rate, (pre, post)
    return found


@dataclass(frozen=True)
class Simulated:
    """A simulated run. `target_idle` and `draft_idle` are shares of the time."""

    seconds: float
    tokens: int
    passes: int  # of the target
    target_idle: float
    draft_idle: float

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def simulate(
    method: Literal["plain", "speculative", "pearl"],
    *,
    target: Seconds,
    draft: float,
    acceptance: float,
    gamma: int,
    tokens: int = 20_000,
    overhead: float = 0.0,
    seed: int = 0,
) -> Simulated:
    """Play a run in which each guess is right with probability `acceptance`.

    Args:
        target: seconds of a target pass by its rows.
        draft: seconds of a draft pass.
        gamma: draft passes of a block.
        overhead: seconds of a tick in which neither model computes.
    """
    numbers = random.Random(seed)
    clock = _Clock()
    written = passes = pending = 0
    while written < tokens:
        passes += 1
        if method == "plain":
            clock.run(target=[target(1)])
            written += 1
        elif method == "speculative":
            clock.run(draft=[draft] * gamma)
            clock.run(target=[target(1 + gamma)])
            written += 1 + _right(numbers, acceptance, gamma)
        else:
            clock.run(target=[target(1 + pending)], draft=[draft] * gamma)
            tested = pending + 1  # what was pending, and the first of the new block
            right = _right(numbers, acceptance, tested)
            written += min(right + 1, tested)
            pending = gamma - 1 if right == tested else 0
        clock.now += overhead
    share = 1 / clock.now
    return Simulated(clock.now, written, passes, 1 - clock.busy["target"] * share, 1 - clock.busy["draft"] * share)


class _Clock:
    """Two models and the time. `run` plays passes of both side by side, until both are through."""

    def __init__(self) -> None:
        self.now = 0.0
        self.busy = {"target": 0.0, "draft": 0.0}

    def run(self, **passes: list[float]) -> None:
        waiting = {model: list(seconds) for model, seconds in passes.items()}
        events = [(self.now + seconds.pop(0), model) for model, seconds in waiting.items() if seconds]
        heapq.heapify(events)
        started = dict.fromkeys(waiting, self.now)
        while events:
            self.now, model = heapq.heappop(events)
            self.busy[model] += self.now - started[model]
            started[model] = self.now
            if waiting[model]:
                heapq.heappush(events, (self.now + waiting[model].pop(0), model))


def _right(numbers: random.Random, acceptance: float, guesses: int) -> int:
    """How many guesses are right before the first wrong one."""
    right = 0
    while right < guesses and numbers.random() < acceptance:
        right += 1
    return right
