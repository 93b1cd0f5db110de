"""Human steps: `ask` and `approve` inside flows, journalled like any call, however long the answer takes.

A step waits until everything before it has succeeded, as an effect does, and asks whoever the session says: a function,
the terminal, or the inbox: the question goes into the store, the run is "waiting", and any process may answer it,
seconds or days later, whether or not the run's process still lives (`answer`, `thalweg answer`). An answer that is not
of the declared type is refused and the question stays. Cost: a transaction to ask and one to record; a waiting run
looks five times a second.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, overload

from thalweg.errors import DataError, NonDeterminism, StoreError
from thalweg.program import run_store
from thalweg.program.compile import BODIES, Frame, Task
from thalweg.program.journal import Scope, Ticket, scope_in_force
from thalweg.program.question import Question, question_of
from thalweg.program.recording import SAME_PROGRAM
from thalweg.program.session import current, store_in_force
from thalweg.program.store import Call, Store
from thalweg.program.value import Value

T = TypeVar("T")
LOOK_EVERY = 0.2  # seconds between two looks at the inbox; an answer given in this process is noticed at once

_news = threading.Condition()
_asking: dict[tuple[str, str, str], Question] = {}  # what this process waits for, by store, run and path
_one_at_a_time = threading.Lock()


class Terminal:
    """Asks on the terminal, again until the answer is of the declared type. One question at a time."""

    def __call__(self, question: Question) -> Any:
        with _one_at_a_time:
            self._say(f"\n{question.text}")
            if question.payload is not None:
                shown = question.payload
                self._say(shown if isinstance(shown, str) else json.dumps(shown, indent=2, ensure_ascii=False))
            while True:
                self._say(f"[{'y/n' if question.is_yes_or_no else question.expects}] ", end="")
                line = sys.stdin.readline()
                if not line:
                    raise DataError(
                        f"The terminal closed before {question.text[:80]!r} was answered.",
                        "Answer on a terminal, or let the run wait: human=Inbox().",
                    )
                try:
                    return question.value(question.read(line.rstrip("\n")))
                except DataError as refusal:
                    self._say(f"{refusal}")

    def _say(self, text: str, end: str = "\n") -> None:
        print(text, end=end, file=sys.stderr, flush=True)


class Inbox:
    """Writes the question into the store and waits there for `answer`, across restarts of a durable run."""

    def wait(self, store: Store, question: Question, stop: Callable[[], BaseException | None]) -> Any:
        """The answer, once somebody has given a valid one. `stop`: an exception to leave with."""
        run, path = question.run, question.path
        asked = run_store.put_question(store, run, path, question.to_json())
        if asked.question != question.to_json():
            raise NonDeterminism(
                f"At {path} the run {run} asked {Question.from_json(run, path, asked.question).text!r}, which was "
                f"answered, and the program now asks {question.text!r}.",
                SAME_PROGRAM,
            )
        with self._asking(store, question):
            while True:
                text = run_store.given(store, run, path)
                if text is not None:
                    try:
                        return question.value(question.read(text))
                    except DataError as refusal:
                        run_store.give(store, run, path, None, f"{refusal}")
                if (leaving := stop()) is not None:
                    raise leaving
                with _news:
                    _news.wait(LOOK_EVERY)

    @contextmanager
    def _asking(self, store: Store, question: Question) -> Iterator[None]:
        key = (str(store.file), question.run, question.path)
        _asking[key] = question
        try:
            yield
        finally:
            _asking.pop(key, None)


class HumanStep:
    """A step that a person answers; `ask` and `approve`."""

    __thalweg_effect__ = "write"  # keeps its place among everything else that can be noticed

    def __init__(self, name: str) -> None:
        self.name = self.__name__ = name

    def __thalweg_begin__(self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any], line: int) -> Any:
        """A call by compiled code."""
        frame._go_on()
        args = tuple([frame.escape(one) for one in args])
        kwargs = {name: frame.escape(one) for name, one in kwargs.items()}
        return self._at(frame.scope, line, *self._arguments(*args, **kwargs))

    def submit(self, *args: Any, **kwargs: Any) -> Value[Any]:
        """Ask in a thread of its own and go on."""
        scope = self._here()
        ticket = self._begin(scope)
        ticket.aside = True
        question, type, payload = self._arguments(*args, **kwargs)
        asked = question_of(scope.run, ticket.path, question, type, payload)
        task = Task(lambda: answered(scope, ticket, self.name, asked))
        task.start(BODIES)
        return Value(task.future, path=ticket.path, before_wait=task.help)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        """The answer, from async code."""
        return await self.submit(*args, **kwargs)

    def _arguments(self, question: str, *args: Any, **kwargs: Any) -> tuple[str, Any, Any]:
        raise NotImplementedError

    def _begin(self, scope: Scope) -> Ticket:
        if isinstance(scope.frame, Frame):
            scope.frame.effects()
        return scope.begin(self.name)

    def _at(self, scope: Scope, line: int, question: str, type: Any, payload: Any) -> Any:
        ticket = self._begin(scope)
        ticket.line = line
        return answered(scope, ticket, self.name, question_of(scope.run, ticket.path, question, type, payload))

    def _here(self) -> Scope:
        session = current()
        return scope_in_force(store_in_force(session) if session.journal is not False else None)


class _Ask(HumanStep):
    @overload
    def __call__(self, question: str) -> str: ...
    @overload
    def __call__(self, question: str, type: type[T], payload: Any = None) -> T: ...
    @overload
    def __call__(self, question: str, type: Any = str, payload: Any = None) -> Any: ...
    def __call__(self, question: str, type: Any = str, payload: Any = None) -> Any:
        """Ask a person for a value of a type (choices, a data class, ...). `payload` is shown with the question.

        Raises `DataError` when a function that answers gives what is not of the type, `TypeNotSupported` for types
        without a text form.
        """
        return self._at(self._here(), 0, question, type, payload)

    def _arguments(self, question: str, type: Any = str, payload: Any = None) -> tuple[str, Any, Any]:
        return question, type, payload


class _Approve(HumanStep):
    def __call__(self, question: str, payload: Any = None) -> bool:
        """Ask a person yes or no. `payload` is shown with the question."""
        return self._at(self._here(), 0, question, bool, payload)

    def _arguments(self, question: str, payload: Any = None) -> tuple[str, Any, Any]:
        return question, bool, payload


ask = _Ask("ask")
approve = _Approve("approve")


def answered(scope: Scope, ticket: Ticket, name: str, question: Question) -> Any:
    """A person's answer at a place in the run: from the journal, or asked for and written down."""
    session = current()
    store = store_in_force(session) if session.journal is not False else None
    inputs = json.dumps({"question": question.text, "payload": question.payload})
    assert question.type is not None
    said = f"{name}\x1f{inputs}\x1f{question.type.digest}"
    key = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    recording = scope.recording
    if scope.replay and store is not None:
        recorded, failure = scope.recall(store, ticket, key, name, lambda: inputs)
        if failure is not None:
            raise failure
        if recorded is not None and recorded.value is not None and not recorded.error:
            return question.type.from_json(json.loads(recorded.value))
        if recording is not None and not ticket.aside:
            recording.before_effect(scope, ticket.path, name, inputs, ticket.line)
    started = time.time()
    error: BaseException | None = None
    value: Any = None
    try:
        value = from_person(question, store, scope)
        return value
    except BaseException as problem:
        error = problem
        raise
    finally:
        if store is not None and (error is None or isinstance(error, Exception)):
            packed = None if error else json.dumps(question.type.to_json(value))
            told = f"{type(error).__name__}: {error}" if error else None
            call = Call(scope.run, ticket.path, "human", name, key, inputs, None, None, packed, told, None, None,
                        started, time.time() - started)  # fmt: skip
            if not isinstance(error, NonDeterminism | StoreError):
                scope.write(store, ticket, call, error=error)


def from_person(question: Question, store: Store | None, scope: Scope) -> Any:
    """Ask whoever the session says. Raises `DataError` for an answer that is not of the type."""
    who = current().human or default()
    if isinstance(who, Inbox):
        if store is None:
            raise StoreError(
                f"{question.text[:80]!r} cannot wait for an answer: the journal is off.",
                "Switch it on, or name who answers: human=Terminal(), or a function.",
            )
        recording = scope.recording
        return who.wait(store, question, lambda: recording.stop if recording is not None else None)
    return question.value(question.write(who(question)))


def default() -> Terminal | Inbox:
    """The terminal where there is one, else the inbox."""
    return Terminal() if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() else Inbox()


def answer(run: str, value: Any, path: str | None = None, *, store: Any = None) -> None:
    """Answer what a run asks: with a value of the type, or a text that stands for it.

    Args:
        path: of the question, where the run asks several. store: folder of the store (default: the session's).

    Raises `DataError` when nothing is asked or the answer is not of the type; the question then stays.
    """
    place = _store(store)
    found = run_store.questions(place, run, path)
    waiting = [one for one in found if one.answer is None] or found
    if not waiting:
        where = f" at {path}" if path else ""
        raise DataError(
            f"The run {run} asks nothing{where}.", "List what waits: `tw.questions()`, `thalweg questions`."
        )
    if len(waiting) > 1:
        listed = "; ".join(f"{one.path}: {Question.from_json(run, one.path, one.question).text}" for one in waiting)
        raise DataError(f"The run {run} asks {len(waiting)} things: {listed}.", "Say which: path=...")
    one = waiting[0]
    question = _asking.get((str(place.file), run, one.path)) or Question.from_json(run, one.path, one.question)
    run_store.give(place, run, one.path, question.write(value))
    with _news:
        _news.notify_all()


def questions(run: str | None = None, *, store: Any = None) -> list[Question]:
    """What waits for a person, oldest first; of one run or of all."""
    found = run_store.questions(_store(store), run)
    return [
        Question.from_json(one.run, one.path, one.question, one.asked, one.refused)
        for one in found
        if one.answer is None
    ]


def wake() -> None:
    """Let everything that waits for a person look again."""
    with _news:
        _news.notify_all()


def _store(store: Any) -> Store:
    from thalweg.program.session import settings

    return store_in_force(settings(store=store).over(current()) if store is not None else current())


def settle_effect(tool: Any, scope: Scope, ticket: Ticket, inputs: str) -> tuple[Any] | None:
    """Ask a person about a write that began and was not recorded (see `settling`)."""
    from thalweg.program.settling import settle_effect

    return settle_effect(tool, scope, ticket, inputs)


__all__ = ["HumanStep", "Inbox", "Question", "Terminal", "answer", "approve", "ask", "questions"]
