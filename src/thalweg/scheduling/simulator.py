"""A discrete-event simulation of several engines under one policy: time is modelled, nothing is computed.

Choose it to ask what a policy would do with more engines than are at hand. Each engine is a seat with streams, cells
and a cache of its own; a turn of it reads the prompts admitted, writes one token of every running request, and takes
the time that a cost function says. The policy is the same object that a real engine runs. Deterministic: equal input
gives equal output. Every result says `simulated`, and whatever reports it must say so too. Cost: about 20 microseconds
a simulated turn and request.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from thalweg.errors import GraphError
from thalweg.models.bounds import common
from thalweg.models.request import NO_HINT, Format, Hint, Request, Sampling
from thalweg.scheduling.policy import Policy, Seat, Waiting

Cost = Callable[[int, int, int], float]  # (prompt tokens read, rows written, cells held) -> seconds
_TEXT = Format("text", max_chars=1)


@dataclass(frozen=True)
class SimulatedCall:
    """One call of a simulated workload.

    Args:
        id: names it. arrival: seconds; a call with `needs` comes when the last of them has ended, if that is later.
        prompt: token ids. output: tokens it writes. hint: what the policy is told.
        needs: ids of calls that it reads. delay: seconds between the last of them and it (a client's round trip).
    """

    id: str
    arrival: float
    prompt: tuple[int, ...]
    output: int
    hint: Hint = NO_HINT
    needs: tuple[str, ...] = ()
    delay: float = 0.0


@dataclass(frozen=True)
class SimulatedEnd:
    """When and where a call came, was admitted and ended; seconds. `read`: prompt tokens that were not cached."""

    call: SimulatedCall
    engine: int
    came: float
    admitted: float
    ended: float
    read: int

    @property
    def seconds(self) -> float:
        return self.ended - self.came


@dataclass(frozen=True)
class Simulation:
    """What a simulated workload came to. `seconds`: when its last call ended."""

    ends: dict[str, SimulatedEnd]
    seconds: float
    turns: int
    simulated: bool = True


@dataclass(eq=False)
class _Job:
    waiting: Waiting
    call: SimulatedCall
    came: float
    left: int
    admitted: float = 0.0
    read: int = 0


@dataclass(eq=False)
class _Engine:
    index: int
    streams: int
    budget: int
    running: list[_Job] = field(default_factory=list)
    recent: deque[list[int]] = field(default_factory=deque)
    admitted: int = 0
    busy: bool = False

    def seat(self) -> Seat:
        cells = sum(one.waiting.cells for one in self.running)
        return Seat(
            self.index,
            tuple(one.waiting for one in self.running),
            tuple(self.recent),
            self.admitted,
            cells,
            self.budget,
        )


def simulate(
    calls: Sequence[SimulatedCall], policy: Policy, cost: Cost, *, engines: int = 4, streams: int = 16,
    cells: int = 32_768,
) -> Simulation:  # fmt: skip
    """Run a workload to its end.

    Args:
        policy: fresh; orders one queue for all engines.
        cost: seconds of a turn, for example `thalweg.models.simulated.Device().seconds`.
        streams, cells: of each engine.

    Raises:
        GraphError: calls wait for each other or for one that is not there.
    """
    return _Simulator(calls, policy, cost, engines, streams, cells).run()


class _Simulator:
    def __init__(
        self, calls: Sequence[SimulatedCall], policy: Policy, cost: Cost, engines: int, streams: int, cells: int
    ) -> None:
        self.policy, self.cost = policy, cost
        self.engines = [_Engine(i, streams, cells, recent=deque(maxlen=streams)) for i in range(engines)]
        self.calls = {one.id: one for one in calls}
        self.left = {one.id: len(set(one.needs)) for one in calls}
        self.readers: dict[str, list[str]] = {}
        for one in calls:
            for needed in set(one.needs):
                self.readers.setdefault(needed, []).append(one.id)
        self.jobs: dict[int, _Job] = {}
        self.ends: dict[str, SimulatedEnd] = {}
        self.events: list[tuple[float, int, Callable[[float], None]]] = []  # the number keeps equal times in order
        self.numbers, self.order = itertools.count(1), itertools.count()
        self.turns = 0

    def run(self) -> Simulation:
        for one in self.calls.values():
            if not self.left[one.id]:
                self._at(one.arrival, lambda now, one=one: self._comes(one, now))
        last = 0.0
        while self.events:
            last = self.events[0][0]
            while self.events and self.events[0][0] == last:
                heapq.heappop(self.events)[2](last)
            for engine in sorted(self.engines, key=lambda one: (len(one.running), one.index)):
                if not engine.busy:
                    self._turn(engine, last)
        if len(self.ends) < len(self.calls):
            missing = ", ".join(sorted(self.calls.keys() - self.ends.keys())[:5])
            raise GraphError(f"These calls never ran: {missing}.", "Let every call need only calls that can run.")
        return Simulation(self.ends, last, self.turns)

    def _at(self, when: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self.events, (when, next(self.order), event))

    def _comes(self, call: SimulatedCall, now: float) -> None:
        request = Request((), _TEXT, Sampling(max_tokens=call.output), hint=call.hint)
        waiting = Waiting(next(self.numbers), request, Future(), submitted=now, prompt=list(call.prompt))
        self.jobs[waiting.number] = _Job(waiting, call, now, call.output)
        self.policy.push(waiting)

    def _turn(self, engine: _Engine, now: float) -> None:
        """Admit what the policy names, then compute: prompts are read, every running request writes a token."""
        read = 0
        while len(engine.running) < engine.streams and len(self.policy):
            seats = [one.seat() for one in self.engines]
            waiting = self.policy.choose(seats[engine.index], seats)
            if waiting is None:
                break
            self.policy.remove(waiting)
            job = self.jobs.pop(waiting.number)
            cached = max((common(one, waiting.prompt) for one in engine.recent), default=0)
            job.admitted, job.read = now, len(waiting.prompt) - min(cached, len(waiting.prompt) - 1)
            read += job.read
            engine.running.append(job)
            engine.recent.append(waiting.prompt)
            engine.admitted += 1
        if not engine.running:
            return
        cells = sum(len(one.call.prompt) + one.call.output - one.left for one in engine.running)
        engine.busy = True
        self.turns += 1
        self._at(now + self.cost(read, len(engine.running), cells), lambda end: self._ends(engine, end))

    def _ends(self, engine: _Engine, now: float) -> None:
        engine.busy = False
        for job in engine.running:
            job.left -= 1
            if job.left <= 0:
                self.ends[job.call.id] = SimulatedEnd(job.call, engine.index, job.came, job.admitted, now, job.read)
                for reader in self.readers.get(job.call.id, ()):
                    self.left[reader] -= 1
                    if not self.left[reader]:
                        call = self.calls[reader]
                        self._at(max(call.arrival, now + call.delay), lambda then, call=call: self._comes(call, then))
        engine.running = [one for one in engine.running if one.left > 0]
