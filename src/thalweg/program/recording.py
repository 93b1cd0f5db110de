"""What a durable run had recorded when this process took it up, and whether the program still agrees with it.

Every call says its place (`take`) and is answered from here where the run has it (`recall`). The program is another one
than the one that was recorded when a place holds another call, when an effect comes while recorded calls before it were
not made, or when it ends without them; all three are `NonDeterminism`, which no `except` of the program can swallow.
Two kinds of records may go when they do not fit: those made ahead of a failure that has shown since (a process that is
killed cannot take them back), and those made after the failure that ended the run, which is tried again. Cost: nothing
once everything recorded is reached.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from thalweg.errors import EffectUnknown, NonDeterminism, StoreError
from thalweg.program import run_store
from thalweg.program.failure_record import failure_from_json, failure_to_json
from thalweg.program.store import Call, Store

SAME_PROGRAM = "Resume it with the program that began it, or start a new run under another id."


class Recording:
    """The recorded calls of a run.

    `stop`: raised by whatever the program does next: the run was cancelled, or is another program's.
    """

    def __init__(self, store: Store, run: str) -> None:
        self.store = store
        self.run = run
        self.stop: BaseException | None = None
        self._failures = run_store.failures(store, run)
        self.known: set[str] = set()
        self.left: dict[str, int] = {}  # path -> position, of what the program has not reached yet
        self._places: dict[tuple[str, int], str] = {}
        self._ahead: set[str] = set()  # recorded while something before it could still fail
        orders: dict[str, int] = {}
        again: list[str] = []  # what the run failed by
        for path, position, kind, failed in run_store.places(store, run):
            order, ahead = divmod(-2 if position is None else position, 2)
            orders[path] = order
            if failed and path not in self._failures:
                if kind not in ("flow", "strategy"):
                    again.append(path)
                continue
            self.known.add(path)
            if position is not None:
                self.left[path] = order
                if ahead:
                    self._ahead.add(path)
                if order >= 0:
                    self._places[path.rpartition("/")[0], order] = path
        self._optional = {one for path in again for one in _after(path, self.left, orders)}
        self.intents = run_store.intents(store, run)
        self.replayed: set[str] = set()  # failures that were raised again
        self._raised: dict[int, tuple[BaseException, set[str]]] = {}
        self._moved: dict[str, str] = {}  # path -> what is recorded at its place
        self._undone: set[str] = set()
        self._begun: set[str] = set()  # places reached while something recorded was left
        self._ended: set[str] = set()  # flows among them that have ended
        self._lock = threading.Lock()
        self._changes = threading.Condition()
        self._writing = 0  # effects and records under way
        self._over = False

    # -- the program's way through it -------------------------------------------------------------------------------

    def take(self, scope: Any, path: str, order: int) -> None:
        """The program makes a call at `path`, the `order`-th of its scope."""
        if self.stop is not None:
            raise self.stop
        if not self.left:
            return
        with self._lock:
            self._begun.add(path)
            at = self.left.pop(path, None)
            if not scope.ordered:
                return
            there = self._places.get((scope.path[:-1], order))
            if there is not None and there != path and there in self.left:
                moved = there
            elif at is not None and at >= 0 and at != order:
                moved = path
            else:
                return
            if not self._may_go(scope, moved):
                self._moved[path] = moved

    def same_flow(self, scope: Any, path: str, function: str) -> None:
        """A flow begins at `path`. Raises `NonDeterminism` where another call is recorded there."""
        if path in self._moved:
            raise self.diverged(scope, path, self._moved[path], function, None)

    def pass_below(self, path: str) -> None:
        """The call at `path` is answered by its record: what it called is not called again."""
        if self.left:
            with self._lock:
                for one in [one for one in self.left if one.startswith(f"{path}/")]:
                    del self.left[one]

    def flow_ended(self, path: str) -> None:
        if self.left:
            self._ended.add(path)

    def recall(
        self, scope: Any, path: str, key: str, function: str, inputs: Callable[[], str], line: int
    ) -> tuple[Call | None, BaseException | None]:
        """The record of a call, and the failure to raise again if it failed. Raises `NonDeterminism`."""
        if path in self._moved:
            raise self.diverged(scope, path, self._moved[path], function, inputs(), line)
        if path not in self.known:
            return None, None
        call = self.store.call(self.run, path)
        if call is None:
            return None, None
        if call.key != key:
            if self._may_go(scope, path):
                with self._lock:
                    self._drop([path])
                return None, None
            raise self.diverged(scope, path, path, function, inputs(), line, call)
        if path not in self._failures:
            return call, None
        error = failure_from_json(self._failures[path])
        with self._lock:
            self.replayed.add(path)
            self._remember(path, error)
        return call, error

    def before_effect(self, scope: Any, path: str, function: str, inputs: str, line: int) -> None:
        """A new effect is about to happen: what was recorded before it must have been reached. Flows that were
        submitted go their own way."""
        if not self.left:
            return
        with self._lock:
            start = len(scope.path)
            missing = next(
                (
                    one
                    for one in self.left
                    if one.startswith(scope.path)
                    and scope.path + one[start:].partition("/")[0] not in self._begun
                    and not self._may_go(scope, one)
                ),
                None,
            )
        if missing is not None:
            raise self.diverged(scope, path, missing, function, inputs, line)

    def finish(self) -> None:
        """The program has ended well. Raises `NonDeterminism` if it did not make every recorded call."""
        if self.stop is not None:
            raise self.stop
        stale = [path for path in self.left if path in self._ahead and path.startswith(tuple(self._undone))]
        self._drop(stale)
        missing = [path for path in self.left if path not in self._optional and not self._is_under_way(path)]
        if missing:
            calls = [call for path in missing[:5] if (call := self.store.call(self.run, path)) is not None]
            named = "; ".join(f"{call.path}, {shown(call.function, call.inputs)}" for call in calls)
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            self.stop = NonDeterminism(
                f"The run {self.run} ended without making calls it has recorded: {named}{more}.", SAME_PROGRAM
            )
            raise self.stop

    def _may_go(self, scope: Any, path: str) -> bool:
        """Whether the record of a call may be dropped when it does not fit."""
        return path in self._optional or (scope.undone and path in self._ahead)

    def _is_under_way(self, path: str) -> bool:
        """Whether a flow around a place has begun and not ended: it was submitted and nobody waited for it."""
        parts = path.split("/")
        around = ("/".join(parts[:end]) for end in range(1, len(parts)))
        return any(one in self._begun and one not in self._ended for one in around)

    # -- the end ----------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[bool]:
        """Around an effect or a record of the run: it does not end meanwhile. False where it has ended already."""
        with self._changes:
            going = not self._over
            self._writing += going
        try:
            yield going
        finally:
            with self._changes:
                self._writing -= going
                self._changes.notify_all()

    def close(self, stop: BaseException, wake: Callable[[], None]) -> None:
        """The run has failed or was interrupted, and may be resumed at once: flows that it submitted and did not wait
        for stop at their next call, and what they write now is written before this returns.

        Args:
            stop: what unwinds them. wake: lets those that wait for a person look again.
        """
        with self._changes:
            self._over = True
            self.stop = self.stop or stop
        wake()
        with self._changes:
            while self._writing:
                self._changes.wait()

    # -- failures ---------------------------------------------------------------------------------------------------

    def failed(self, path: str, error: BaseException) -> str:
        """Note that a call failed. Returns the record of its failure."""
        with self._lock:
            self._remember(path, error)
        return failure_to_json(error)

    def _remember(self, path: str, error: BaseException) -> None:
        self._raised.setdefault(id(error), (error, set()))[1].add(path)

    def blamed(self, error: BaseException | None) -> set[str]:
        """Paths of the calls whose failure this is, or which it was raised from."""
        if isinstance(error, NonDeterminism | EffectUnknown | StoreError):
            return set()
        for _ in range(100):
            if error is None:
                break
            if id(error) in self._raised:
                return self._raised[id(error)][1]
            error = error.__cause__ or error.__context__
        return set()

    # -- taking back ------------------------------------------------------------------------------------------------

    def undone(self, scope: Any, paths: list[str]) -> None:
        """Calls of a scope were made ahead of a failure that has shown."""
        with self._lock:
            self._undone.add(scope.path)
            for path in paths:
                self.known.discard(path)
                self.left.pop(path, None)

    def _drop(self, paths: list[str]) -> None:
        for path in paths:
            self.known.discard(path)
            self.left.pop(path, None)
        if paths:
            self.store.forget_calls(self.run, paths)

    # -- saying it --------------------------------------------------------------------------------------------------

    def diverged(self, scope: Any, path: str, recorded: str, function: str, inputs: str | None, line: int = 0,
                 call: Call | tuple[str, str] | None = None) -> NonDeterminism:  # fmt: skip
        """The error of a program that is not the recorded one; from here on it is raised by every call."""
        call = call or self.store.call(self.run, recorded)
        if isinstance(call, Call):
            call = call.function, call.inputs
        was = shown(*call) if call is not None else recorded
        now = shown(function, inputs)
        if was == now:
            now += " with another model, other settings or another contract"
        self.stop = NonDeterminism(
            f"At {path}{scope.place(line)} the run {self.run} recorded {was}, and the program now calls {now}.",
            SAME_PROGRAM,
        )
        return self.stop


def _after(path: str, others: Iterable[str], orders: Mapping[str, int]) -> Iterator[str]:
    """What a program did after a call had failed, in the flows around it: not done if the call succeeds this time."""
    parts = path.split("/")
    for depth in range(1, len(parts)):
        scope, place = "/".join(parts[:depth]) + "/", "/".join(parts[: depth + 1])
        order = orders.get(place, -1)
        for one in others:
            if one.startswith(scope):
                there = scope + one[len(scope) :].partition("/")[0]
                if there != place and (order < 0 or orders.get(there, -1) > order):
                    yield one


def shown(function: str, inputs: str | None) -> str:
    """A call in a message: its function and the beginning of its inputs."""
    if inputs is None:
        return f"`{function}`"
    return f"`{function}` of {inputs if len(inputs) <= 160 else inputs[:157] + '...'}"
