"""`Actor`: a worker with private state that answers one message at a time.

Choose it for a step that remembers: a coder with its attempts, a critic with its standards, a person with a desk. What
an actor does is plain Python over learned functions, tools, flows, people and other actors; composing actors is
composing calls, so that sequential, circular, parallel and tree compositions are ordinary code. Messages and replies
are copied on their way, so that nothing is shared; the journal keeps every message with its reply and the state after
it, so that a resumed run continues with the same state and sends nothing twice. A person takes an actor's place, or a
model a person's, by giving another actor with the same `on`. Source: Josifoski et al. 2023, "Flows: building blocks of
reasoning and collaborating AI"; Hewitt et al. 1973. Cost: two copies and one transaction a message.
"""

from __future__ import annotations

import copy
import hashlib
import json
import threading
import time
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from thalweg.errors import DataError, Error, NonDeterminism
from thalweg.program.compile import BODIES, Abandoned, Frame, Task
from thalweg.program.journal import Scope, Ticket, inside, scope_in_force, user_line
from thalweg.program.session import current, store_in_force
from thalweg.program.store import Call, Store
from thalweg.program.types import jsonable
from thalweg.program.value import Value
from thalweg.program.written import read, write


@dataclass(frozen=True)
class Exchange:
    """One message and what came back.

    `path` is its place in the run, `parent` the place it was sent from; `state` is the actor's state after it. Fields
    named in the actor's `private` read "***".
    """

    path: str
    parent: str
    actor: str
    message: Any
    reply: Any
    error: str | None
    state: dict[str, Any]


class Actor:
    """A worker with private state. Subclass it, annotate its state, and write ``def on(self, message) -> Reply``.

    Attributes that are annotated in the class are its state: JSON values, or values of types that learned functions can
    return. Defaults are copied for every actor. Names in `private` are not written down: fields of messages read "***",
    and state of such a name is not kept for a resumed run, which gets it from the actor it is given.

    Example:
        >>> class Counter(Actor):
        ...     seen: int = 0
        ...
        ...     def on(self, message: str) -> int:
        ...         self.seen += 1
        ...         return self.seen
    """

    private: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **state: Any) -> None:
        unknown = sorted(set(state) - set(self._fields()))
        if unknown:
            raise TypeError(f"{type(self).__name__} has no state {unknown[0]!r}; it has: {', '.join(self._fields())}")
        self._mailbox = threading.RLock()
        self._first = {**self._defaults(), **copy.deepcopy(state)}
        self.__dict__.update(copy.deepcopy(self._first))

    def on(self, message: Any) -> Any:
        """What the actor does with a message; the value is its reply."""
        raise NotImplementedError(f"{type(self).__name__} has no `on`")

    # -- sending ----------------------------------------------------------------------------------------------------

    def __call__(self, message: Any) -> Any:
        """Send a message and wait for the reply."""
        scope = _scope()
        if isinstance(scope.frame, Frame):
            scope.frame.effects()  # its state must not see a message that the program then takes back
        return self._exchange(scope, scope.begin(self.name), message)

    def submit(self, message: Any) -> Value[Any]:
        """Send a message and go on. Messages to one actor are answered in the order in which they were sent."""
        scope = _scope()
        if isinstance(scope.frame, Frame):
            scope.frame.effects()
        ticket = scope.begin(self.name)
        sent = copy.deepcopy(message)
        before = self.__dict__.get("_last")
        task = Task(lambda: self._exchange(scope, ticket, sent), (before,) if before is not None else ())
        turn = Task(lambda: None)  # done when this message is, well or badly
        task.future.add_done_callback(lambda _: turn.future.set_result(None))
        self.__dict__["_last"] = turn.future
        task.start(BODIES)
        return Value(task.future, path=ticket.path, before_wait=task.help)

    async def acall(self, message: Any) -> Any:
        """The reply, from async code."""
        return await self.submit(message)

    def __thalweg_begin__(self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any], line: int) -> Any:
        """A message sent by compiled code: state is an effect, so it waits its turn."""
        args = tuple([frame.escape(one) for one in args])
        (message,) = (*args, *[frame.escape(one) for one in kwargs.values()])
        frame.effects()
        ticket = frame.scope.begin(self.name)
        ticket.line = line
        return self._exchange(frame.scope, ticket, message)

    # -- state ------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return type(self).__name__

    def state(self) -> dict[str, Any]:
        """A copy of the state."""
        return {name: copy.deepcopy(getattr(self, name)) for name in self._fields()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state given by `state()`."""
        with self._mailbox:
            self.__dict__.update(copy.deepcopy(state))

    def reset(self) -> None:
        """Back to the state it was made with."""
        self.restore(self._first)

    @classmethod
    def _fields(cls) -> dict[str, Any]:
        found = {}
        for one in reversed(cls.__mro__):
            if issubclass(one, Actor) and one is not Actor:
                hints = typing.get_type_hints(one, include_extras=True)
                own = one.__dict__.get("__annotations__", {})
                found.update({k: hints[k] for k in own if typing.get_origin(hints[k]) is not ClassVar and k[0] != "_"})
        return found

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        return {name: copy.deepcopy(getattr(cls, name)) for name in cls._fields() if hasattr(cls, name)}

    def _packed(self) -> dict[str, Any]:
        packed = {}
        for name, hint in self._fields().items():
            if name in self.private:
                continue  # given anew to the actor of a resumed run
            try:
                packed[name] = write(getattr(self, name), hint)
            except (Error, AttributeError) as error:
                raise DataError(
                    f"The state `{name}` of {self.name} cannot be written down ({error}).",
                    "Keep JSON values in it, or annotate it with a type that a learned function could return.",
                ) from error
        return packed

    def _unpacked(self, packed: dict[str, Any]) -> dict[str, Any]:
        hints = self._fields()
        return {name: read(value, hints[name]) for name, value in packed.items() if name in hints}

    # -- one message ------------------------------------------------------------------------------------------------

    def _exchange(self, scope: Scope, ticket: Ticket, message: Any) -> Any:
        message = copy.deepcopy(message)
        written = json.dumps(jsonable({"message": message}))
        session = current()
        store = store_in_force(session) if session.journal is not False else None
        with self._mailbox:
            before = self._packed()
            key = _digest(self.name, written, before)
            if scope.replay and store is not None:
                recorded = store.call(scope.run, ticket.path)
                if recorded is not None and recorded.key != key:
                    raise NonDeterminism(
                        f"At {ticket.path}{user_line(ticket.line)} the run {scope.run} recorded another message to "
                        f"{recorded.function}, or another state of it.",
                        "Resume it with the program that began it, and with the actor in its first state.",
                    )
                if recorded is not None and recorded.answer and not recorded.error:
                    self.__dict__.update(self._unpacked(json.loads(recorded.answer)))
                    return read(json.loads(recorded.value or "null"), self._reply_type())
            return self._answer(scope, ticket, message, written, key, store)

    def _answer(self, scope: Scope, ticket: Ticket, message: Any, written: str, key: str, store: Store | None) -> Any:
        started = time.time()
        before = self.state()
        error: BaseException | None = None
        packed = state = None
        try:
            with inside(scope.child(ticket.path)):
                reply = copy.deepcopy(self.on(message))
            if store is not None:
                packed = json.dumps(write(reply, self._reply_type()))
                state = json.dumps(self._packed())
            return reply
        except BaseException as problem:
            error = problem
            self.__dict__.update(before)  # a message that failed leaves no trace
            raise
        finally:
            if store is not None and not isinstance(error, Abandoned | KeyboardInterrupt):
                said = f"{type(error).__name__}: {error}" if error else None
                shown, seconds = self._redacted(written), time.time() - started
                call = Call(scope.run, ticket.path, "message", self.name, key, shown, None, state, packed, said, None,
                            None, started, seconds)  # fmt: skip
                scope.write(store, ticket, call)

    @classmethod
    def _reply_type(cls) -> Any:
        try:
            return typing.get_type_hints(cls.on, include_extras=True).get("return", Any)
        except NameError:
            return Any

    def _redacted(self, written: str) -> str:
        if not self.private:
            return written
        return json.dumps(_without(json.loads(written), frozenset(self.private)))


def exchanges(store: Store, run: str, actors: typing.Iterable[Actor] = ()) -> Iterator[Exchange]:
    """The messages of a run in the order in which they were answered; every one has exactly one parent."""
    private = {one.name: frozenset(one.private) for one in actors}
    for call in store.calls(run):
        if call.kind != "message":
            continue
        hidden = private.get(call.function, frozenset())
        message = json.loads(call.inputs)["message"]
        reply = json.loads(call.value) if call.value is not None else None
        state = json.loads(call.answer) if call.answer else {}
        parent = call.path.rpartition("/")[0]
        yield Exchange(call.path, parent, call.function, _without(message, hidden), _without(reply, hidden), call.error,
                       _without(state, hidden))  # fmt: skip


def _without(value: Any, hidden: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {key: "***" if key in hidden else _without(one, hidden) for key, one in value.items()}
    return [_without(one, hidden) for one in value] if isinstance(value, list) else value


def _digest(name: str, written: str, state: dict[str, Any]) -> str:
    text = f"{name}\x1f{written}\x1f{json.dumps(state, sort_keys=True)}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _scope() -> Scope:
    session = current()
    return scope_in_force(store_in_force(session) if session.journal is not False else None)
