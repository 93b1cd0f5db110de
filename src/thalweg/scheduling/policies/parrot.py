"""Application-aware admission: what somebody waits for first, then applications one after the other, upstream first.

Among waiting requests: latency-critical ones, then those of a goal that is waited for, then those of which only
throughput is asked; within that, the task groups and prefix sets that this worker is at already; then the application
that came first, and of it the call that most others wait for. A latency-critical request bounds the cells of its
worker, so it does not join a worker full of throughput work while another loses less, and throughput work fills other
workers first; a worker with nothing to do takes whatever waits. Choose it where programs of several calls share an
engine.

Source: Lin et al. 2024, "Parrot: Efficient Serving of LLM-based Applications with Semantic Variable" (the bound of
2,048 tokens is its published code's). Cost: some microseconds for each of the first requests waiting.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from thalweg.scheduling.policies.queue import Queue
from thalweg.scheduling.policy import Seat, Waiting, emptiest, fits

LATENCY_CELLS = 2048  # of a worker that runs latency-critical work
SHARED_FROM = 32  # tokens in common from which requests are a prefix set
REMEMBERED = 4096  # applications whose place is known


class Parrot(Queue):
    """Applications stay in order, task groups and prefix sets together.

    Args:
        latency_cells: cells of a worker up to which throughput work may join latency-critical work.
        whole_groups: leave the members of a task group to the worker that has begun it while others have work of
            their own. Pays where one more request in a batch costs little (a GPU); on a CPU a group ends sooner when
            all workers share it.
    """

    name = "parrot"
    reads_prompts = True

    def __init__(self, *, latency_cells: int = LATENCY_CELLS, whole_groups: bool = False) -> None:
        self.latency_cells, self.whole_groups = latency_cells, whole_groups
        super().__init__()
        self._apps: OrderedDict[str, int] = OrderedDict()  # app -> number of its first request

    def push(self, waiting: Waiting) -> None:
        super().push(waiting)
        if app := waiting.request.hint.app:
            self._apps.setdefault(app, waiting.number)
            self._apps.move_to_end(app)
            if len(self._apps) > REMEMBERED:
                self._apps.popitem(last=False)

    def choose(self, seat: Seat, seats: Sequence[Seat]) -> Waiting | None:
        if not len(self):
            return None
        overdue = self.overdue()
        if overdue is not None:
            return overdue if fits(overdue, seat) else None
        rivals = [other for other in seats if other is not seat and not _full(other)]
        here = {one.request.hint.group for one in seat.running} - {""}
        elsewhere: set[str] = set()
        if self.whole_groups:
            elsewhere = {one.request.hint.group for other in rivals for one in other.running} - {""}
        best: tuple[int, ...] | None = None
        found: Waiting | None = None
        for waiting in self.first():
            own = self.shared(seat, waiting)
            key = self._key(waiting, own, seat, seats, here, elsewhere)
            if (best is None or key > best) and self._belongs(waiting, own, seat, rivals):
                best, found = key, waiting
        return found

    def _key(
        self, waiting: Waiting, own: int, seat: Seat, seats: Sequence[Seat], here: set[str], elsewhere: set[str]
    ) -> tuple[int, ...]:
        """How much `waiting` is wanted at `seat` now; larger first."""
        hint = waiting.request.hint
        ahead = own - max((self.shared(other, waiting) for other in seats if other is not seat), default=0)
        return (
            hint.objective == "latency",
            -hint.rank,
            (hint.group in here) - (hint.group in elsewhere),
            (ahead >= SHARED_FROM) - (ahead <= -SHARED_FROM),
            -self._apps.get(hint.app, waiting.number),
            hint.depth,
            hint.expected,
            -waiting.number,
        )

    def _belongs(self, waiting: Waiting, own: int, seat: Seat, rivals: Sequence[Seat]) -> bool:
        """Whether `seat` may take the request now."""
        if not seat.running:
            return True
        return fits(waiting, seat, shared=own) and loses_least(waiting, seat, rivals, self.latency_cells)


def loses_least(waiting: Waiting, seat: Seat, rivals: Sequence[Seat], latency_cells: int) -> bool:
    """Whether `seat` should take the request rather than one of `rivals`: none of them loses less by it, and of those
    that lose as little none is emptier by more than one request."""
    mine = _loss(waiting, seat, latency_cells)
    if mine is None:
        return False
    equals = []
    for other in rivals:
        loss = _loss(waiting, other, latency_cells)
        if loss is not None and loss < mine:
            return False
        if loss == mine:
            equals.append(other)
    return emptiest(seat, equals)


def _loss(waiting: Waiting, seat: Seat, latency_cells: int) -> int | None:
    """Cells beyond the bound of latency-critical work, if `seat` took the request; None where it may not."""
    critical = any(one.request.hint.objective == "latency" for one in seat.running)
    beyond = max(0, seat.cells + waiting.cells - latency_cells)
    if waiting.request.hint.objective == "latency":
        return 0 if critical else beyond
    return None if critical and beyond else 0


def _full(seat: Seat) -> bool:
    """Whether all streams of a seat are taken. Of prompts it remembers as many as it has streams."""
    return seat.admitted > len(seat.recent) and len(seat.running) >= len(seat.recent)
