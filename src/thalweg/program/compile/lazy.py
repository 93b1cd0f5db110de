"""Results under way inside a compiled flow, and the containers that hold them.

`Pending` stands for a result in the variables of a compiled flow; no code but the compiled one ever sees it. Lists,
dicts and data classes made by the flow may hold pendings; they keep their identity and are filled in place when
ordinary Python touches them. Tuples cannot be filled, so `PendingTuple` becomes the tuple when it is touched.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import pathlib
import re
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from thalweg.program.compile.tasks import Task

SCALARS: frozenset[type] = frozenset(
    {
        str, int, float, bool, type(None), bytes, complex, type(...), range, slice, type(NotImplemented),
        datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone, decimal.Decimal,
        fractions.Fraction, uuid.UUID, pathlib.PosixPath, pathlib.PurePosixPath, pathlib.PureWindowsPath,
        pathlib.WindowsPath, re.Pattern, re.Match,
    }
)  # fmt: skip


class Pending:
    """A result under way. `position` is its place in its frame's program order, `frame` the sub-flow it runs."""

    __slots__ = ("effects", "frame", "future", "line", "position", "task", "ticket")

    def __init__(self, future: Future[Any], position: int, line: int, *, task: Task | None = None,
                 ticket: Any = None, frame: Any = None, effects: bool = False) -> None:  # fmt: skip
        self.future = future
        self.position = position
        self.line = line
        self.task = task
        self.ticket = ticket
        self.frame = frame
        self.effects = effects  # may write somewhere: reads wait for it

    def wait(self) -> BaseException | None:
        """Wait for the end, working on it if nobody is. Returns its error."""
        future = self.future
        task = self.task
        if task is not None and not future.done():
            for need in task.needs:
                _wait(need)
            task.help()  # unless a thread has begun it
        return _wait(future)

    def abandon(self) -> None:
        """It was begun beyond a failure: nothing of it is to be written down."""
        if self.ticket is not None:
            self.ticket.abandoned = True
        if self.frame is not None:
            self.frame.abandon()


class PendingTuple:
    """A tuple with pending parts. Becomes one tuple, the same whenever it is asked for."""

    __slots__ = ("made", "parts")

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts
        self.made: tuple[Any, ...] | None = None


def _wait(future: Future[Any]) -> BaseException | None:
    return future.exception()


def is_immutable(value: Any) -> bool:
    """Whether nothing reachable from a value can change (as far as its type tells)."""
    kind = type(value)
    if kind in SCALARS:
        return True
    if kind is tuple or kind is frozenset:
        return all(map(is_immutable, value))
    if isinstance(value, enum.Enum | type):
        return True
    parameters = getattr(kind, "__dataclass_params__", None)
    if parameters is not None and parameters.frozen:
        return all(is_immutable(getattr(value, one.name)) for one in dataclasses.fields(value))
    if isinstance(value, tuple):  # a named tuple
        return all(map(is_immutable, value))
    return callable(value) and getattr(value, "__thalweg_pure__", False) is True


def is_plain_dataclass(kind: Any) -> bool:
    """A data class whose construction does nothing but set its fields."""
    own = kind.__dict__ if type(kind) is type else {}
    parameters = own.get("__dataclass_params__")
    if (
        parameters is None
        or not parameters.init
        or hasattr(kind, "__post_init__")
        or kind.__new__ is not object.__new__
    ):
        return False
    made = getattr(kind.__init__, "__code__", None)  # generated code has no file
    plain_set = parameters.frozen or kind.__setattr__ is object.__setattr__
    return made is not None and made.co_filename == "<string>" and plain_set


def leaves(value: Any) -> Iterator[Pending]:
    """The pendings inside a lazy value."""
    kind = type(value)
    if kind is Pending:
        yield value
    elif kind is PendingTuple:
        for part in value.parts:
            yield from leaves(part)
    elif kind is list or kind is tuple:
        for part in value:
            if type(part) not in SCALARS:
                yield from leaves(part)
    elif kind is dict:
        for part in value.values():
            if type(part) not in SCALARS:
                yield from leaves(part)
    elif hasattr(kind, "__dataclass_fields__"):
        for one in dataclasses.fields(value):
            part = getattr(value, one.name, None)
            if type(part) not in SCALARS:
                yield from leaves(part)


class NotData(Exception):
    """A value that cannot be copied as data."""


def snapshot(value: Any) -> Any:
    """A copy of plain data that later changes do not reach; pendings stay. Raises `NotData` for other objects."""
    kind = type(value)
    if kind in SCALARS or kind is Pending:
        return value
    if kind is list:
        return [snapshot(one) for one in value]
    if kind is dict:
        return {key: snapshot(one) for key, one in value.items()}
    if kind is tuple:
        return tuple(snapshot(one) for one in value)
    if kind is PendingTuple:
        return PendingTuple(tuple(snapshot(one) for one in value.parts))
    if kind is set or kind is frozenset:
        return copy.copy(value) if all(map(is_immutable, value)) else _refuse(value)
    if is_immutable(value):
        return value
    if is_plain_dataclass(kind):
        made = copy.copy(value)
        for one in dataclasses.fields(value):
            object.__setattr__(made, one.name, snapshot(getattr(value, one.name)))
        return made
    if hasattr(kind, "model_fields") and hasattr(value, "model_copy"):
        return value.model_copy(deep=True)
    return _refuse(value)


def _refuse(value: Any) -> Any:
    raise NotData(type(value).__name__)


def materialise(value: Any) -> Any:
    """Put results into a snapshot, in place. Every pending must be done."""
    kind = type(value)
    if kind in SCALARS:
        return value
    if kind is Pending:
        return value.future.result()
    if kind is PendingTuple:
        if value.made is None:
            value.made = tuple(materialise(one) for one in value.parts)
        return value.made
    if kind is list:
        for index, one in enumerate(value):
            if type(one) not in SCALARS:
                value[index] = materialise(one)
    elif kind is dict:
        for key, one in value.items():
            if type(one) not in SCALARS:
                value[key] = materialise(one)
    elif kind is tuple:
        return value if all(type(one) in SCALARS for one in value) else _tuple(value)
    elif hasattr(kind, "__dataclass_fields__") and is_plain_dataclass(kind):
        for one in dataclasses.fields(value):
            part = getattr(value, one.name, None)
            if type(part) not in SCALARS:
                object.__setattr__(value, one.name, materialise(part))
    return value


def _tuple(value: tuple[Any, ...]) -> tuple[Any, ...]:
    made = tuple(materialise(one) for one in value)
    same = all(a is b for a, b in zip(made, value, strict=True))
    return value if same else made
