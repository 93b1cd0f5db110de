"""`Policy`: which waiting request a worker admits next. The engine's loop is one; policies are what differs.

A policy sees the queue and the workers' seats, never an engine's cache or weights, so that one policy serves
llama.cpp, torch and the simulated engine alike. It is called under the engine's lock and must be quick (microseconds
a request). Implementations are in `policies/`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from thalweg.models.request import Answer, Request

Observer = Callable[[str], None]


@dataclass(eq=False)
class Waiting:
    """A request in the queue.

    Args:
        number: counts the engine's requests.
        constraint: stands in for the one of the request's format.
        submitted: reading of `time.perf_counter`.
        expected: tokens the answer is likely to have.
        prompt: token ids, where the policy asked for them (`Policy.reads_prompts`); else empty until it is admitted.
    """

    number: int
    request: Request
    future: Future[Answer]
    observe: Observer | None = None
    constraint: Any = None
    submitted: float = 0.0
    expected: int = 0
    prompt: list[int] = field(default_factory=list)

    @property
    def cells(self) -> int:
        """KV cells the request is expected to hold when it ends."""
        return len(self.prompt) + self.expected


@dataclass(frozen=True)
class Seat:
    """A worker as a policy sees it.

    Args:
        worker: its index; a worker has one cache, which no other reads.
        running: requests it advances now.
        recent: the prompts it admitted last, newest last: what its cache still holds begins like these.
        admitted: how many it has admitted so far.
        cells: KV cells its running requests will hold; `budget`: how many it has.
    """

    worker: int
    running: Sequence[Waiting]
    recent: Sequence[list[int]]
    admitted: int
    cells: int
    budget: int


class Policy(Protocol):
    """The queue of an engine, and who is next."""

    name: str
    reads_prompts: bool  # whether requests must be tokenised when they are submitted, on the caller's thread

    def push(self, waiting: Waiting) -> None: ...

    def choose(self, seat: Seat, seats: Sequence[Seat]) -> Waiting | None:
        """The request that `seat` should admit now; None to leave it to another worker, or for later. Changes
        nothing: the same question may be asked again. Must not be None for every seat while nothing runs."""
        ...

    def remove(self, waiting: Waiting) -> None:
        """`waiting`, which `choose` named, was admitted."""
        ...

    def waiting(self) -> list[Waiting]:
        """The queue, in the order of submission."""
        ...

    def __len__(self) -> int: ...


def emptiest(seat: Seat, seats: Sequence[Seat]) -> bool:
    """Whether no other worker is emptier by more than one request: load stays even."""
    return all(len(seat.running) <= len(other.running) + 1 for other in seats)


def fits(waiting: Waiting, seat: Seat, *, shared: int = 0) -> bool:
    """Whether the request can run beside the others of the seat without giving back cells before it ends."""
    return not seat.running or seat.cells + waiting.cells - shared <= seat.budget
