"""`Frame`: one execution of a flow's body - issue out of order, commit in order.

Compiled code asks its frame to make every call. Calls of learned functions, of flows and of reading tools are *issued*
at once and leave a `Pending`; what could be noticed from outside *commits* in program order: an effect (a writing
tool, plain Python that is not known to be pure) waits until everything before it, in this frame and in the frames
around it, has succeeded, and of several errors the first in program order is raised, where the eager program would
have raised it. Calls made beyond a failure never happened: their records leave the journal (their answers stay in the
cache). Source: out-of-order issue with in-order commit, Smith and Pleszkun 1985, "Implementation of precise interrupts
in pipelined processors"; futures, Baker and Hewitt 1977. Cost: about 20 microseconds a call.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from types import MethodType
from typing import Any

from thalweg.program.compile.lazy import (
    SCALARS,
    NotData,
    Pending,
    PendingTuple,
    is_immutable,
    is_plain_dataclass,
    leaves,
    materialise,
    snapshot,
)
from thalweg.program.compile.tasks import LATER, Task
from thalweg.program.journal import GATE, Scope, Ticket
from thalweg.program.purity import reads_state, why_impure, why_impure_call


class Abandoned(BaseException):
    """Unwinds a flow that was begun beyond a failure: in the eager program it never ran."""


class Frame:
    """One execution of a flow's body.

    Args:
        scope: where its calls are journalled. parent, position: the frame around it, and its place there.
    """

    def __init__(self, scope: Scope, parent: Frame | None = None, position: int = 0) -> None:
        self.scope = scope
        scope.frame = self
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.parent = parent
        self.position = position
        self.abandoned = False
        self.count = 0  # positions given so far
        self.open: deque[Pending] = deque()  # in program order, not yet known to have succeeded
        self.begun: list[tuple[Ticket, str]] = []  # places taken while something was open, with what is called there
        self.written: list[tuple[int, str]] = []  # (position, path) of what was journalled while it could be undone
        self.inner: set[Frame] = set()
        self.holders: dict[int, Any] = {}  # containers that may hold pendings, by identity
        self.escaped: dict[int, Any] = {}  # containers that plain code may have kept
        self.kept: set[int] = set()  # of those, the ones that code with effects may have kept
        self.lazy = False  # some container may hold a pending now
        self._lock = threading.RLock()

    Abandoned = Abandoned

    # -- values ---------------------------------------------------------------------------------------------------

    def force(self, value: Any) -> Any:
        """What ordinary Python sees of a variable."""
        kind = type(value)
        if kind in SCALARS:
            return value
        if kind is Pending:
            return self._result(value)
        if kind is PendingTuple:
            self._fill(value, set())
            return materialise(value)
        if self.lazy and (kind is tuple or id(value) in self.holders):
            self._fill(value, set())
            return materialise(value) if kind is tuple else value
        return value

    def escape(self, value: Any) -> Any:
        """`force`, for values that plain code may keep: no pending is ever put into them again."""
        value = self.force(value)
        if type(value) not in SCALARS:
            self._escape(value)
        return value

    def held(self, container: Any) -> Any:
        """A container just made by the flow."""
        kind = type(container)
        if kind is list:
            parts: Iterable[Any] = container
        elif kind is dict:
            parts = container.values()
        else:
            parts = (getattr(container, one.name) for one in dataclasses.fields(container))
        for one in parts:
            kind = type(one)
            if kind in SCALARS:
                continue
            if kind is Pending or kind is PendingTuple:
                self.lazy = True
            self.holders[id(container)] = container
        return container

    def tuple(self, *parts: Any) -> Any:
        if any(type(one) is Pending or type(one) is PendingTuple for one in parts):
            return PendingTuple(parts)
        return parts

    def iterate(self, value: Any) -> Any:
        """What a loop runs over: lists the flow made are not waited for, their elements may be pending."""
        if type(value) is list:
            return value
        value = self.force(value)
        return value if type(value) in _ITERABLES else self._guarded(value)

    def iterate_unpacked(self, value: Any) -> Iterator[Any]:
        """`iterate`, for elements that are taken apart at once: the parts of a tuple are not touched by that."""
        for one in self.iterate(value):
            if type(one) is tuple:
                yield one
            elif type(one) is PendingTuple:
                yield one.parts
            else:
                yield self.force(one)

    def pairs(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """`zip` or `enumerate` right in the head of a loop."""
        if function is zip or function is enumerate:
            return _Pairs(function(*[self.iterate(one) for one in args], **kwargs))
        return self._plain(function, args, kwargs, True)

    def iterate_forced(self, value: Any) -> Iterator[Any]:
        for one in self.iterate(value):
            yield self.escape(one)

    def iterate_settled(self, value: Any) -> Iterator[Any]:
        """`iterate_forced`, where setting the loop's name must not run ahead of a failure."""
        for one in self.iterate(value):
            self.settle()
            yield self.escape(one)

    def settled(self, value: Any) -> Any:
        """`escape`, once nothing before it can fail."""
        value = self.escape(value)
        self.settle()
        return value

    def generated(self, generator: Any) -> Iterator[Any]:
        """A generator expression: what it does when it is asked for an element waits its turn."""
        return self._guarded(generator)

    def unpacked(self, value: Any) -> Any:
        """A value about to be taken apart into names."""
        value = self.escape(value)
        if type(value) not in _ITERABLES:
            self.effects()
        return value

    def set_of(self, parts: list[Any]) -> set[Any]:
        return {self.force(one) for one in parts}

    def iterate_acting(self, value: Any) -> Iterator[Any]:
        """`iterate_forced`, where setting the loop's target is an effect."""
        for one in self.iterate(value):
            self.effects()
            yield self.keep(one)

    def global_value(self, value: Any) -> Any:
        """A value on its way into a global name."""
        self._keep(value)
        self.effects()
        return value

    def before_update(self, value: Any) -> None:
        """Before ``name op= ...`` of a value that others may hold: changing it in place is an effect."""
        if not is_immutable(value):
            self.effects()

    def failed_now(self) -> None:
        self.failed(sys.exc_info()[1])  # type: ignore[arg-type]

    slice = slice

    def item(self, container: Any, key: Any) -> Any:
        """``container[key]``: of a container the flow made, the element as it is."""
        kind = type(container)
        if kind is PendingTuple and type(key) is int:
            return container.parts[key]
        if kind is list or (kind is dict and self.lazy):
            found = container[key]
            return self.held(found) if type(key) is slice else found
        return self.force(container)[key]

    def field(self, value: Any, name: str) -> Any:
        """``value.name``: of a data class the flow made, the field as it is."""
        if self.lazy and id(value) in self.holders and name in getattr(type(value), "__dataclass_fields__", ()):
            return getattr(value, name)
        return getattr(self.force(value), name)

    def plus(self, left: Any, right: Any) -> Any:
        """``left + right``: lists are joined as they are."""
        if type(left) is list and type(right) is list:
            return self.held(left + right)
        return self.escape(left) + self.escape(right)

    def _guarded(self, value: Any) -> Iterator[Any]:
        found = iter(value)
        while True:
            self.effects()  # the next element may come from code with effects
            try:
                one = next(found)
            except StopIteration:
                return
            yield one

    def _fill(self, value: Any, seen: set[int]) -> None:
        """Put results into a container and those inside it."""
        kind = type(value)
        if kind in SCALARS or id(value) in seen:
            return
        seen.add(id(value))
        if kind is Pending:
            self._result(value)
        elif kind is PendingTuple or kind is tuple:
            for one in value if kind is tuple else value.parts:
                self._fill(one, seen)
        elif id(value) in self.holders:
            if kind is list:
                items: Iterable[tuple[Any, Any]] = list(enumerate(value))
            elif kind is dict:
                items = list(value.items())
            else:
                items = [(one.name, getattr(value, one.name, None)) for one in dataclasses.fields(value)]
            for key, one in items:
                if type(one) in SCALARS:
                    continue
                if type(one) is Pending or type(one) is PendingTuple or type(one) is tuple:
                    made = self.force(one)
                    if made is not one:
                        if kind is list or kind is dict:
                            value[key] = made
                        else:
                            object.__setattr__(value, str(key), made)
                else:
                    self._fill(one, seen)

    def _escape(self, value: Any) -> None:
        kind = type(value)
        if kind in SCALARS or id(value) in self.escaped:
            return
        if kind is tuple:
            for one in value:
                self._escape(one)
        elif id(value) in self.holders or kind is list or kind is dict:
            self.escaped[id(value)] = value
            if kind is list:
                parts: Iterable[Any] = value
            elif kind is dict:
                parts = value.values()
            elif hasattr(kind, "__dataclass_fields__"):
                parts = (getattr(value, one.name, None) for one in dataclasses.fields(value))
            else:
                return
            for one in parts:
                self._escape(one)

    def _result(self, pending: Pending) -> Any:
        error = pending.wait()
        if error is not None:
            raise error
        return pending.future.result()

    # -- containers the flow made ---------------------------------------------------------------------------------

    def keep(self, value: Any) -> Any:
        """`escape`, for values that are stored where others see them: changing them is an effect from now on."""
        value = self.escape(value)
        if type(value) not in SCALARS:
            self._keep(value)
        return value

    def _keep(self, value: Any) -> None:
        kind = type(value)
        if kind in SCALARS or id(value) in self.kept:
            return
        if kind is tuple or kind is list:
            parts: Iterable[Any] = value
        elif kind is dict:
            parts = value.values()
        elif hasattr(kind, "__dataclass_fields__"):
            parts = [getattr(value, one.name, None) for one in dataclasses.fields(value)]
        else:
            return
        if kind is not tuple:
            self.kept.add(id(value))
            self.escaped[id(value)] = value
        for one in parts:
            self._keep(one)

    def before_own(self, container: Any) -> None:
        """Before a container that the flow made is changed: an effect where others may have kept it."""
        if self.kept and id(container) in self.kept:
            self.effects()

    def append(self, container: Any, value: Any) -> None:
        if self.kept and id(container) in self.kept:
            value = self.keep(value)
            self.effects()
        if type(container) is not list or id(container) in self.escaped:
            container.append(self.escape(value))
            return
        container.append(value)
        if type(value) not in SCALARS:
            self.held(container) if id(container) not in self.holders else self._note(value)

    def store(self, value: Any, container: Any, key: Any) -> None:
        if self.kept and id(container) in self.kept:
            value = self.keep(value)
            self.effects()
        if type(container) not in (list, dict) or type(key) is slice or id(container) in self.escaped:
            container[key] = self.escape(value)
            return
        container[key] = value
        if type(value) not in SCALARS:
            self.holders[id(container)] = container
            self._note(value)

    def _note(self, value: Any) -> None:
        if type(value) is Pending or type(value) is PendingTuple:
            self.lazy = True

    # -- calls ----------------------------------------------------------------------------------------------------

    def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Any call of the flow's code."""
        kind = type(function)
        begin = getattr(kind, "__thalweg_begin__", None)
        if begin is not None:
            return begin(function, self, args, kwargs, sys._getframe(1).f_lineno)
        if kind is MethodType and (verb := getattr(function.__func__, "__thalweg_submit__", None)) is not None:
            owner = function.__self__
            return self.issue(owner.name, getattr(owner, verb), args, kwargs, sys._getframe(1).f_lineno)
        if kind is type and (args or kwargs) and is_plain_dataclass(function):
            made = function(*args, **kwargs)
            return self.held(made)
        return self._plain(function, args, kwargs, True)

    def call_own(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """A method of a container that only this flow has: changing it is no effect."""
        if self.kept and id(getattr(function, "__self__", None)) in self.kept:
            return self._plain(function, args, kwargs, True)
        return self._plain(function, args, kwargs, False)

    def _plain(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], may_have_effects: bool) -> Any:
        if function is len and len(args) == 1 and type(args[0]) in (list, dict):
            return len(args[0])
        if id(function) in _KEEP_NOTHING:
            return function(*[self.force(one) for one in args], **{k: self.force(v) for k, v in kwargs.items()})
        args = tuple([self.escape(one) for one in args])
        if kwargs:
            kwargs = {name: self.escape(one) for name, one in kwargs.items()}
        if (kwargs or any(type(one) not in SCALARS for one in args)) and why_impure(function) is not None:
            for one in (*args, *kwargs.values()):
                self._keep(one)
        if self._speculative():
            acts = may_have_effects and why_impure_call(function, args, kwargs) is not None
            if acts or any(map(_may_act, args)) or any(map(_may_act, kwargs.values())):
                self.effects()
            elif reads_state(function) is not None:
                self.reads()
        return function(*args, **kwargs)

    def issue(self, name: str, submit: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any], args: tuple[Any, ...],
              kwargs: dict[str, Any], line: int) -> Any:  # fmt: skip
        """Make a pure call at its place in program order, now or when its inputs have come; gives a `Pending`.

        Args:
            submit: called with (ticket, args, kwargs) when every input is there; gives a `Value`.
        """
        self._go_on()
        try:
            args = tuple([one if type(one) in SCALARS else snapshot(one) for one in args])
            if kwargs:
                kwargs = {key: one if type(one) in SCALARS else snapshot(one) for key, one in kwargs.items()}
            needs = [one for value in (*args, *kwargs.values()) if type(value) not in SCALARS for one in leaves(value)]
            wait = False
        except (NotData, RecursionError):
            args = tuple([self.escape(one) for one in args])
            kwargs = {key: self.escape(one) for key, one in kwargs.items()}
            needs, wait = [], True  # an object that others may change: read before anything goes on
        ticket = self.scope.begin(name)
        ticket.line = line
        if self.scope.sites:
            site = self.scope.sites.get((line, name))
            if site is not None:
                ticket.objective = functools.partial(site.within, app=f"{self.scope.run}/{self.scope.path}")
        late = [one for one in needs if not one.future.done()]
        if late:

            def begin() -> Any:
                ready = tuple([materialise(one) for one in args])
                return submit(ticket, ready, {key: materialise(one) for key, one in kwargs.items()})

            chained: Future[Any] = Future()
            task = Task(begin, tuple(one.future for one in needs))
            task.future.add_done_callback(lambda made: _chain(made, chained))
            task.start(LATER)
            pending = Pending(chained, ticket.position, line, task=task, ticket=ticket)
        else:
            try:
                if needs:
                    args = tuple([materialise(one) for one in args])
                    kwargs = {key: materialise(one) for key, one in kwargs.items()}
                future = submit(ticket, args, kwargs)._future
            except Exception as error:
                future = Future()
                future.set_exception(error)
            pending = Pending(future, ticket.position, line, ticket=ticket)
        return self.add(pending, wait)

    def add(self, pending: Pending, wait: bool = False) -> Any:
        """Enter a call into the program's order."""
        if wait:
            return self._result_or_fail(pending)
        with self._lock:
            while self.open and self._succeeded(self.open[0]):
                self.open.popleft()
            if not self.open:
                self._committed()
            self.open.append(pending)
        return pending

    def _result_or_fail(self, pending: Pending) -> Any:
        error = pending.wait()
        if error is not None:
            raise error
        return pending.future.result()

    # -- order ----------------------------------------------------------------------------------------------------

    def effects(self) -> None:
        """Wait until everything earlier in program order has succeeded."""
        self.settle()
        frame = self
        while (parent := frame.parent) is not None:
            if parent.open and parent.first_failure(frame.position) is not None:
                raise Abandoned
            frame = parent
        if self._is_abandoned():
            raise Abandoned

    def reads(self) -> None:
        """Wait for what may write, earlier in program order: a read sees it."""
        frame: Frame | None = self
        before = self.count
        while frame is not None:
            for one in frame._earlier(before):
                if one.effects:
                    one.wait()
            before, frame = frame.position, frame.parent

    def settle(self) -> None:
        """Wait for every call of this frame. Raises the first error in program order."""
        if self.open:
            error = self.first_failure()
            if error is not None:
                self._undo_after(error)
                raise error.future.exception()  # type: ignore[misc]
            self._committed()

    def failed(self, error: BaseException) -> None:
        """An exception is leaving a block: raise what failed before it in program order, if anything did."""
        if isinstance(error, KeyboardInterrupt) or not self.open:
            return
        first = self.first_failure()
        if first is not None:
            self._undo_after(first)
            cause = first.future.exception()
            if cause is not error and cause is not None:
                cause.__suppress_context__ = True
                raise cause

    def finish(self, result: Any) -> Any:
        """The flow's result, with everything it began done."""
        if type(result) is Pending and self._is_only(result) and result.wait() is None:
            with self._lock:
                self.open.clear()
            self._committed()
            return result.future.result()
        self.settle()
        result = self.force(result)
        if self.lazy:
            self._fill(result, set())
        return result

    def _is_only(self, pending: Pending) -> bool:
        """Whether nothing but this call is open."""
        with self._lock:
            return len(self.open) == 1 and self.open[0] is pending

    def first_failure(self, before: int | None = None) -> Pending | None:
        """The first call in program order that failed; waits for those before it."""
        for one in self._earlier(before):
            if one.wait() is not None:
                return one
        with self._lock:
            while self.open and self._succeeded(self.open[0]):
                self.open.popleft()
        return None

    def _earlier(self, before: int | None) -> list[Pending]:
        with self._lock:
            return [one for one in self.open if before is None or one.position < before]

    @staticmethod
    def _succeeded(one: Pending) -> bool:
        return one.future.done() and one.future.exception() is None

    def _go_on(self) -> None:
        """Before a call is issued: nothing is begun beyond a known failure."""
        if self.abandoned:
            raise Abandoned
        with self._lock:  # a frame inside this one may be taking out what has succeeded
            last = self.open[-1].future if self.open else None
        if last is not None and last.done() and last.exception() is not None:
            self.settle()

    def _speculative(self) -> bool:
        """Whether something earlier in program order may still fail."""
        frame: Frame | None = self
        while frame is not None:
            if frame.open:
                return True
            frame = frame.parent
        return False

    def _is_abandoned(self) -> bool:
        frame: Frame | None = self
        while frame is not None:
            if frame.abandoned:
                return True
            frame = frame.parent
        return False

    def _committed(self) -> None:
        """Everything of this frame so far has succeeded."""
        self.begun.clear()
        if self.written and not self._speculative():
            self.written.clear()

    def _undo_after(self, failure: Pending) -> None:
        """Take back what was begun after a failure: it never happened."""
        position = failure.position
        with GATE, self._lock:
            for one in self.open:
                if one.position > position:
                    one.abandon()
            for ticket, function in self.begun:
                if ticket.position > position:
                    ticket.abandoned = True
                    self.scope.give_back(function)
            self.scope.forget([path for at, path in self.written if at > position])
            self.written = [(at, path) for at, path in self.written if at <= position]
            self.open.clear()
            self.begun.clear()

    def abandon(self) -> None:
        """This frame's flow was begun beyond a failure: nothing of it counts."""
        with GATE, self._lock:
            self.abandoned = True
            for one in self.open:
                one.abandon()
            for frame in list(self.inner):
                frame.abandon()
            self.scope.forget([path for _, path in self.written])
            self.written.clear()

    def close(self) -> None:
        """The flow has ended: what of it may still be undone is undone with its place in the frame around it."""
        parent = self.parent
        if parent is not None:
            with GATE:
                parent.written += [(self.position, path) for _, path in self.written]
                parent.inner.discard(self)


def _may_act(value: Any) -> bool:
    """Whether a function may, by using an argument, run code that has effects."""
    kind = type(value)
    if kind in SCALARS:
        return False
    if kind is list or kind is tuple:
        return any(callable(one) and why_impure(one) is not None for one in value if type(one) not in SCALARS)
    if hasattr(kind, "__next__"):
        return kind not in _ITERABLES
    return callable(value) and why_impure(value) is not None


class _Pairs:
    """What a loop over `zip` or `enumerate` runs over; what they take from is looked at already."""

    __slots__ = ("made",)

    def __init__(self, made: Any) -> None:
        self.made = made

    def __iter__(self) -> Iterator[Any]:
        return iter(self.made)


def _chain(made: Future[Any], into: Future[Any]) -> None:
    """Settle `into` with the result of the `Value` that `made` gives."""
    error = made.exception()
    if error is not None:
        into.set_exception(error)
        return

    def done(inner: Future[Any]) -> None:
        problem = inner.exception()
        into.set_exception(problem) if problem is not None else into.set_result(inner.result())

    made.result()._future.add_done_callback(done)


_ITERABLES: frozenset[type] = frozenset(
    {list, tuple, dict, set, frozenset, str, bytes, range, type({}.keys()), type({}.values()), type({}.items()),
     type(reversed([])), type(iter([])), type(iter(())), type(iter({})), type(iter("")), _Pairs}
)  # fmt: skip
_KEEP_NOTHING: frozenset[int] = frozenset(
    map(id, (len, str, int, float, bool, repr, isinstance, issubclass, abs, round, ord, chr, callable, hash, format))
)


def arguments_may_run_aside(reads_only: Callable[[str, bool], bool], named: dict[str, Any]) -> bool:
    """Whether a flow may run beside its caller with these arguments: each is immutable, or data it only reads."""
    for name, value in named.items():
        if type(value) in SCALARS or is_immutable(value):
            continue
        try:
            snapshot(value)
        except (NotData, RecursionError):
            return False
        parts = value if type(value) in (list, tuple, set) else value.values() if type(value) is dict else None
        flat = parts is not None and all(type(one) in SCALARS for one in parts)
        if not reads_only(name, not flat):
            return False
    return True
