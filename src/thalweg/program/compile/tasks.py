"""Threads for flow bodies, tools and calls whose inputs come later: work that anybody waiting for it may do itself.

A bounded pool would deadlock when every thread waits for work that has no thread. So a task that nobody has begun is
run by whoever needs its result (`Task.help`), and a pool of any size makes progress. Threads start as they are needed
and end when idle. Cost: about 30 microseconds to hand a task to a waiting thread.
"""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

IDLE_SECONDS = 10.0


class Task:
    """A function to be run once, by the pool or by whoever waits for its result.

    Args:
        function: what to run; its result or exception settles `future`.
        needs: futures that must have succeeded before it may run.
        alone: it starts an event loop, so that only the pool's own threads can run it.
    """

    __slots__ = ("_context", "_function", "_unclaimed", "alone", "future", "needs")

    def __init__(
        self, function: Callable[[], Any], needs: tuple[Future[Any], ...] = (), *, alone: bool = False
    ) -> None:
        self.future: Future[Any] = Future()
        self.alone = alone
        self.needs = needs
        self._function = function
        self._context = contextvars.copy_context()
        self._unclaimed = [True]  # popping it is atomic

    def claim(self) -> bool:
        try:
            return self._unclaimed.pop()
        except IndexError:
            return False

    def run(self) -> None:
        """Run what `claim` gave."""
        try:
            self.future.set_result(self._context.run(self._function))
        except BaseException as error:
            self.future.set_exception(error)
        finally:
            self._function = _nothing

    def help(self) -> None:
        """Run the task here if nobody has begun it and nothing it needs is missing."""
        if (
            self._unclaimed
            and not self.alone
            and all(one.done() and one.exception() is None for one in self.needs)
            and self.claim()
        ):
            self.run()

    def start(self, pool: Pool) -> None:
        """Hand the task to `pool` once what it needs is there; an error there is its error."""
        if not self.needs:
            pool.add(self)
            return
        left = [len(self.needs)]
        lock = threading.Lock()

        def arrived(one: Future[Any]) -> None:
            with lock:
                left[0] -= 1
                last = left[0] == 0
            if last:
                error = next((e for need in self.needs if (e := need.exception()) is not None), None)
                if error is None:
                    pool.add(self)
                elif self.claim():
                    self.future.set_exception(error)

        for need in self.needs:
            need.add_done_callback(arrived)


class Pool:
    """At most `limit` daemon threads taking tasks in order."""

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self._waiting: deque[Task] = deque()
        self._wake = threading.Condition()
        self._threads = self._idle = 0

    def add(self, task: Task) -> None:
        with self._wake:
            self._waiting.append(task)
            if self._idle >= len(self._waiting):
                self._wake.notify()
                return
            if self._threads >= self.limit:
                return
            self._threads += 1
        threading.Thread(target=self._work, name=self.name, daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._waiting:
                    self._idle += 1
                    woken = self._wake.wait(IDLE_SECONDS)
                    self._idle -= 1
                    if not woken and not self._waiting:
                        self._threads -= 1
                        return
                task = self._waiting.popleft()
            if task.claim():
                task.run()
            del task  # an idle thread holds nothing


def _nothing() -> None:
    return None


BODIES = Pool("thalweg flow", 256)
LATER = Pool("thalweg call", 1)  # calls whose inputs have just come: they never wait, so one thread serves all
