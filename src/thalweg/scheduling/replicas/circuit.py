"""`Circuit`: whether a replica is asked at all. Closed it is, open it is not, half-open a single request tries it.

A few failures in a row open it; each time that the trial fails it stays open twice as long. A server that asks for
time (Retry-After) gets it. Source: Nygard 2007, "Release It!", circuit breaker. Not thread-safe: its owner locks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

OPENS_AFTER = 3  # failures in a row
FIRST_SECONDS, MOST_SECONDS = 0.5, 30.0


@dataclass
class Circuit:
    """One replica's. Times are of `time.monotonic`."""

    failures: int = 0  # in a row
    opened: int = 0  # times in a row that it was opened without an answer between
    until: float = 0.0  # it is open until then
    trying: bool = False  # a trial is under way

    @property
    def state(self) -> str:
        if not self.opened and time.monotonic() >= self.until:
            return "closed"
        return "open" if time.monotonic() < self.until else "half-open"

    def allows(self) -> bool:
        """Whether a request may be sent now."""
        state = self.state
        return state == "closed" or (state == "half-open" and not self.trying)

    def sent(self) -> None:
        if self.state == "half-open":
            self.trying = True

    def succeeded(self) -> None:
        self.failures = self.opened = 0
        self.until, self.trying = 0.0, False

    def failed(self, *, dead: bool = False, retry_after: float | None = None) -> None:
        """A request failed.

        Args:
            dead: nobody listens there, so that one failure is enough.
            retry_after: seconds that the server asked for; it is well, only busy.
        """
        trial, self.trying = self.trying, False
        if retry_after is not None:
            self.until = max(self.until, time.monotonic() + retry_after)
            return
        self.failures += 1
        if trial or dead or self.failures >= OPENS_AFTER:
            self.opened += 1
            self.failures = 0
            seconds = min(MOST_SECONDS, FIRST_SECONDS * 2 ** (self.opened - 1))
            self.until = max(self.until, time.monotonic() + seconds)

    def released(self) -> None:
        """A request ended that says nothing of the replica."""
        self.trying = False
