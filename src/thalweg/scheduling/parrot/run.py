"""Running a graph inside the engine: a call starts the moment its inputs exist, without a round trip to anybody.

The answer of one call is handed on by the future's own callback, on whatever thread settles it: no thread waits for a
call, and however many callbacks come at once, one of them does the work (so chains of any length need no stack).
Only what a `get` needs is run. A failure, or the end of the run, reaches everything that depends on it.

Source: Lin et al. 2024, "Parrot: Efficient Serving of LLM-based Applications with Semantic Variable". Cost: about 100
microseconds a call, most of it the prompt's text.
"""

from __future__ import annotations

import inspect
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any, Literal

from thalweg.errors import GraphError
from thalweg.models.request import NO_HINT, Answer, Hint
from thalweg.scheduling.parrot.deduce import Criteria, deduce, needed
from thalweg.scheduling.parrot.graph import Call, Graph, Node, Transform
from thalweg.scheduling.parrot.prefixes import Prefixes
from thalweg.scheduling.parrot.prompts import request_for
from thalweg.scheduling.parrot.transforms import checked, transformed

State = Literal["idle", "waiting", "running", "done", "failed"]


class GraphRun:
    """A graph that grows and runs over a model.

    Args:
        model: anything with ``submit(Request) -> Future[Answer]``; an `Engine` is also watched while it writes.
        app: names the run to the scheduler.
        partition: whose cached prompts its calls may share.
        prefixes: counts of fixed beginnings, shared by all runs of one engine.
    """

    def __init__(self, model: Any, *, app: str = "", partition: str = "", prefixes: Prefixes | None = None) -> None:
        self.model, self.app, self.partition = model, app, partition
        self.prefixes = prefixes if prefixes is not None else Prefixes()
        self.graph = Graph()
        self.values: dict[str, str] = {}
        self.errors: dict[str, BaseException] = {}
        self.hints: dict[str, Hint] = {}  # of activated calls
        self.answers: dict[str, Answer] = {}
        self._activated: set[str] = set()
        self._started: set[str] = set()
        self._left: dict[str, int] = {}  # of activated nodes: inputs that are not there yet
        self._gets: dict[str, list[Future[str]]] = {}
        self._running: dict[str, Future[Answer]] = {}
        self._observers: dict[str, list[Callable[[str], None]]] = {}
        self._events: deque[Callable[[], None]] = deque()
        self._asked = 0
        self._working = self._closed = False
        self._lock = threading.RLock()
        self._watchable = "observe" in inspect.signature(model.submit).parameters

    # -- what a program says --------------------------------------------------------------------------------------

    def add(self, nodes: Iterable[Node], values: Mapping[str, str] | None = None) -> None:
        """More calls and values. Nothing runs before it is asked for.

        Raises:
            GraphError: they do not fit the graph there is; it stays as it was.
        """
        nodes, values = list(nodes), dict(values or {})
        for node in nodes:
            if isinstance(node, Transform):
                checked(node)
        with self._lock:
            self._open()
            self.graph = self.graph.extended(nodes, values)
            self.values.update(values)

    def get(self, variable: str, criteria: Criteria = "latency") -> Future[str]:
        """The value of a variable, for which everything that it needs now runs.

        Args:
            criteria: ``latency`` where somebody waits for it, ``throughput`` where only the whole counts.

        Raises:
            GraphError: no such variable or criterion, or the run is over.
        """
        future: Future[str] = Future()
        with self._lock:
            self._open()
            there = self._activated | self.values.keys()
            found = deduce(self.graph, variable, criteria, activated=there)
            self._gets.setdefault(variable, []).append(future)
            if found:
                self._asked += 1  # each question is an application of its own: its place in the order is when it came
            for name, one in found.items():
                self.hints[name] = one.hint(f"{self.app}#{self._asked}", self.partition)
            for name in needed(self.graph, variable, there):
                self._activate(self.graph.producers[name])
            if variable in self.values or variable in self.errors:
                self._events.append(lambda: self._resolve(variable))
        self._work()
        return future

    def state(self, variable: str) -> State:
        """How far a variable is; ``idle`` where nobody has asked for it."""
        with self._lock:
            if variable in self.values:
                return "done"
            if variable in self.errors:
                return "failed"
            if variable in self._running:
                return "running"
            return "waiting" if variable in self._activated else "idle"

    def watch(self, variable: str, observe: Callable[[str], None]) -> Callable[[], None]:
        """Call `observe` with the text written so far, on a thread of the model; gives what ends it."""
        with self._lock:
            self._observers.setdefault(variable, []).append(observe)

        def end() -> None:
            with self._lock:
                if observe in self._observers.get(variable, ()):
                    self._observers[variable].remove(observe)

        return end

    def cancel(self) -> None:
        """End the run: what has not begun never will, and whoever waits is told."""
        with self._lock:
            self._closed = True
            running = list(self._running.values())
            waiting = [one for futures in self._gets.values() for one in futures]
            self._gets.clear()
            self._events.clear()
        for one in running:
            one.cancel()
        for one in waiting:
            one.cancel()

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        with self._lock:
            return bool(self._running)

    def _open(self) -> None:
        if self._closed:
            raise GraphError("This graph's run is over.", "Begin a new one.")

    # -- what happens -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        """Deal with what has happened, unless another thread, or a caller of this one, is doing that."""
        while True:
            with self._lock:
                if self._working or not self._events:
                    return
                self._working = True
            try:
                while True:
                    with self._lock:
                        if not self._events:
                            break
                        event = self._events.popleft()
                    event()
            finally:
                with self._lock:
                    self._working = False

    def _activate(self, node: Node) -> None:
        self._activated.add(node.output)
        self._left[node.output] = sum(name not in self.values for name in node.inputs)
        failed = next((name for name in node.inputs if name in self.errors), None)
        if failed is not None:
            self._events.append(lambda: self._settle(node.output, error=_because(node.output, self.errors[failed])))
            return
        if not self._left[node.output]:
            self._events.append(lambda: self._start(node))

    def _start(self, node: Node) -> None:
        """Run a node whose inputs are there."""
        name = node.output
        with self._lock:
            if self._closed or name in self._started or name in self.errors:
                return
            self._started.add(name)
        try:
            if isinstance(node, Transform):
                self._settle(name, transformed(node, self.values))
                return
            request = request_for(node, self.values, self.model, self.hints.get(name, NO_HINT), self.prefixes)
            if self._watchable:
                future = self.model.submit(request, lambda text: self._told(name, text))
            else:
                future = self.model.submit(request)
        except Exception as error:
            self._settle(name, error=error)
            return
        with self._lock:
            self._running[name] = future
            closed = self._closed
        if closed:
            future.cancel()
        future.add_done_callback(lambda done: self._answered(node, done))

    def _answered(self, node: Call, future: Future[Answer]) -> None:
        def event() -> None:
            try:
                answer = future.result()
            except CancelledError:
                self._settle(node.output, error=GraphError(f"{node.output!r} was cancelled.", "Send it again."))
            except BaseException as error:
                self._settle(node.output, error=error)
            else:
                self.answers[node.output] = answer
                self._settle(node.output, answer.text)

        with self._lock:
            self._running.pop(node.output, None)
            if self._closed:
                return
            self._events.append(event)
        self._work()

    def _settle(self, name: str, value: str = "", error: BaseException | None = None) -> None:
        """A variable has its value, or never will."""
        with self._lock:
            if self._closed or name in self.errors or name in self.values:
                return
            if error is None:
                self.values[name] = value
            else:
                self.errors[name] = error
            self._observers.pop(name, None)
            for node in self.graph.consumers(name):
                if node.output not in self._activated or node.output in self._started:
                    continue
                if error is not None:
                    self._events.append(
                        lambda output=node.output, cause=error: self._settle(output, error=_because(output, cause))
                    )
                    continue
                self._left[node.output] -= 1
                if not self._left[node.output]:
                    self._events.append(lambda node=node: self._start(node))
        self._resolve(name)

    def _resolve(self, name: str) -> None:
        with self._lock:
            waiting = self._gets.pop(name, [])
        for one in waiting:
            if not one.set_running_or_notify_cancel():
                continue
            if name in self.errors:
                one.set_exception(self.errors[name])
            else:
                one.set_result(self.values[name])

    def _told(self, name: str, text: str) -> None:
        with self._lock:
            observers = tuple(self._observers.get(name, ()))
        for observe in observers:
            observe(text)


def _because(name: str, cause: BaseException) -> BaseException:
    """What a variable fails with when something it needs has failed: the first failure, kept as the cause."""
    root = cause.__cause__ if isinstance(cause, GraphError) and cause.__cause__ is not None else cause
    said = getattr(root, "what", None) or str(root) or type(root).__name__
    error = GraphError(f"{name!r} cannot be had, because what it needs failed: {said}", "Correct that call.")
    error.__cause__ = root
    return error
