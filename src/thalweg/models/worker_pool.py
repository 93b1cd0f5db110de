"""A bounded set of daemon threads that start when work comes and end when it stays away.

`concurrent.futures.ThreadPoolExecutor` waits for its threads when Python exits; a request to a server that hangs
must never keep a program alive. Costs about 10 microseconds a task, no thread while nothing is asked.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

_IDLE_SECONDS = 10.0  # a forgotten model's threads end after this


class WorkerPool:
    """Runs ``future.set_result(call())`` for each submitted call, at most `limit` at a time, first come first served.

    Args:
        limit: most threads.
        name: of the threads.
        at_end: called once, when the pool is closed and its last thread has ended.
    """

    def __init__(self, limit: int, name: str, at_end: Callable[[], None] = lambda: None) -> None:
        self.limit, self.name = limit, name
        self._at_end = at_end
        self._ready = threading.Condition(threading.Lock())
        self._tasks: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._idle = self._threads = 0
        self._closed = False

    def submit(self, future: Future[Any], call: Callable[[], Any]) -> bool:
        """Queues `call`; False when the pool is closed."""
        with self._ready:
            if self._closed:
                return False
            self._tasks.append((future, call))
            if self._idle < len(self._tasks) and self._threads < self.limit:
                self._threads += 1
                threading.Thread(target=self._work, name=self.name, daemon=True).start()
            else:
                self._ready.notify()
        return True

    def close(self) -> None:
        """Cancels what waits; what runs may finish in the background."""
        with self._ready:
            if self._closed:
                return
            self._closed = True
            waiting = list(self._tasks)
            self._tasks.clear()
            self._ready.notify_all()
            over = self._threads == 0
        for future, _ in waiting:
            future.cancel()
        if over:
            self._at_end()

    def _work(self) -> None:
        while (task := self._next()) is not None:
            future, call = task
            if future.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
            del task, future, call  # an idle thread keeps no answer alive

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        with self._ready:
            while not self._tasks:
                if self._closed:
                    break
                self._idle += 1
                woken = self._ready.wait(_IDLE_SECONDS)
                self._idle -= 1
                if not woken and not self._tasks:
                    break
            else:
                return self._tasks.popleft()
            self._threads -= 1
            over = self._closed and self._threads == 0
        if over:
            self._at_end()
        return None
