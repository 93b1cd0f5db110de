"""When the next request to a server may leave: a rate limit, waits between retries, and the server's own wishes.

`Pace` is a token bucket of one token (no bursts, so no window of a minute holds more than the limit and one);
`retry_delay` is exponential backoff with jitter (Brooker 2015, "Exponential backoff and jitter"); `retry_after` reads
the header of RFC 9110, section 10.2.3. Pure arithmetic; all waiting ends early when the model is closed.
"""

from __future__ import annotations

import random
import threading
import time
from email.utils import parsedate_to_datetime

LONGEST_WAIT_SECONDS = 60.0  # of one Retry-After
_LONGEST_BACKOFF_SECONDS = 8.0


class Pace:
    """Gives every caller the earliest free time slot and waits for it.

    Args:
        requests_per_minute: most slots a minute; None: no limit.
        closed: set when nobody shall wait any more.
    """

    def __init__(self, requests_per_minute: float | None, closed: threading.Event) -> None:
        self._interval = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._closed = closed
        self._lock = threading.Lock()
        self._free = 0.0  # monotonic time of the next free slot

    def wait(self) -> float:
        """Waits for a slot; returns the seconds waited."""
        now = time.monotonic()
        with self._lock:
            slot = max(now, self._free)
            self._free = slot + self._interval
        if slot > now:
            self._closed.wait(slot - now)
        return slot - now

    def pause(self, seconds: float) -> None:
        """Nobody leaves for `seconds` from now on: the server asked for it."""
        with self._lock:
            self._free = max(self._free, time.monotonic() + seconds)


def retry_delay(attempt: int, timeout: float) -> float:
    """Seconds to wait after the failed attempt number `attempt` (from 1): doubling, half of it random."""
    base = min(0.25, timeout / 8)  # who expects answers in milliseconds does not want to wait for seconds
    return min(_LONGEST_BACKOFF_SECONDS, base * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header (seconds or a date) asks to wait, 0 to 60; None when absent or unreadable."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if seconds != seconds else min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
