"""What `Pearl` answers: the text, and how the two models worked together on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple


class Tick(NamedTuple):
    """One tick: draft passes asked for, rows of the target's pass, and the seconds each model computed."""

    gamma: int
    rows: int
    target_seconds: float
    draft_seconds: float


@dataclass
class PearlStats:
    """What happened while one answer was written. `seconds` are of the ticks; reading the prompt has its own.

    `tested` guesses were compared with the target, `accepted` of them kept; `drafted` includes those lost behind a
    refusal. What was forced is not counted among guesses.
    """

    pre: int = 0
    post: int = 0
    tokens: int = 0
    drafted: int = 0
    tested: int = 0
    accepted: int = 0
    seconds: float = 0.0
    prompt_seconds: float = 0.0
    log: list[Tick] = field(default_factory=list)

    @property
    def ticks(self) -> int:
        return self.pre + self.post

    @property
    def mean_accepted(self) -> float:
        """Tokens written a tick, which is a pass of the target."""
        return self.tokens / self.ticks if self.ticks else 0.0

    @property
    def acceptance(self) -> float:
        """Share of the tested guesses that were kept."""
        return self.accepted / self.tested if self.tested else 0.0

    @property
    def target_idle(self) -> float:
        """Share of `seconds` in which the target computed nothing."""
        return self._idle(sum(tick.target_seconds for tick in self.log))

    @property
    def draft_idle(self) -> float:
        return self._idle(sum(tick.draft_seconds for tick in self.log))

    def _idle(self, busy: float) -> float:
        return max(0.0, 1 - busy / self.seconds) if self.seconds else 0.0


@dataclass(frozen=True)
class PearlAnswer:
    """One answer. `logprob` is of the drawn tokens at temperature 1, under the constraint."""

    text: str
    tokens: tuple[int, ...]
    logprob: float
    finish: Literal["complete", "closed"]
    stats: PearlStats
