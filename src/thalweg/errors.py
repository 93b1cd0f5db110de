"""Every error Thalweg raises, one class per thing a user can do about it.

A message says what happened, where (model, function, row, column) and, as its last sentence, the remedy.
Pass the remedy separately so that no error can be written without one.
"""

from __future__ import annotations


class Error(Exception):
    """Base of all errors of this library.

    Args:
        what: what happened and where, one or two sentences.
        remedy: what the reader can do about it, one sentence.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} {remedy}")
        self.what = what
        self.remedy = remedy

    def __reduce__(self):
        return (_rebuild, (type(self), self.what, self.remedy, self.__dict__))


def _rebuild(cls: type[Error], what: str, remedy: str, state: dict) -> Error:
    error = cls.__new__(cls)
    Exception.__init__(error, f"{what} {remedy}")
    error.__dict__.update(state)
    return error


class ModelError(Error):
    """A model could not be loaded or failed while answering."""


class ModelNotFound(ModelError):
    """No model of that name or path is here, or the file is not a model."""


class ContextOverflow(ModelError):
    """The prompt, with room for the answer, does not fit the model's context."""


class EndpointError(ModelError):
    """A remote endpoint was unreachable, hung, refused, or answered what cannot be used."""

    def __init__(self, what: str, remedy: str, *, fault: str = "server", retry_after: float | None = None) -> None:
        """`fault` is ``connection`` where nobody took the connection, ``settings`` where the address, the key or the
        model's name is wrong, ``server`` where another replica might do better, ``answer`` where what came was not
        acceptable; `retry_after` the seconds after which the server wants to be asked again."""
        super().__init__(what, remedy)
        self.fault, self.retry_after = fault, retry_after


class UnsupportedByBackend(ModelError):
    """The chosen model cannot do what was asked of it (see its `capabilities`)."""


class TypeNotSupported(Error):
    """A type of a signature has no text form, or the verb needs another kind of type."""


class UnsatisfiableConstraint(Error):
    """No text satisfies the declared type and its constraints."""


class BudgetExceeded(Error):
    """A declared limit (tokens, calls, seconds) was reached before the answer was complete."""


class NonDeterminism(Error):
    """A resumed run asked for another call than the one recorded at the same place."""


class FlowError(Error):
    """A flow cannot be compiled, or its calls wait for each other."""


class ToolError(Error):
    """A tool hung, or left in a way that is no exception."""


class EffectUnknown(Error):
    """A run stopped between a write effect and its record: whether it happened is not known."""


class RunBusy(Error):
    """Another process is working on this run."""


class FlowViolation(Error):
    """A value reached a sink that does not accept its label."""


class StateMismatch(Error):
    """Saved parameters do not fit the program they are loaded into."""


class StoreError(Error):
    """The project's store (journal and cache) cannot be read or written."""


class DataError(Error):
    """A table, a row or a cell cannot be used.

    `row` is the zero-based index in the input (None when the whole table is meant), `column` the column's name.
    """

    def __init__(self, what: str, remedy: str, *, row: int | None = None, column: str | None = None) -> None:
        super().__init__(what, remedy)
        self.row = row
        self.column = column


class LabelError(Error):
    """A label, or labels of inputs, that do not fit: an unknown source, a wrong number, or nothing to choose by."""


class SandboxUnavailable(Error):
    """This machine cannot isolate generated code as strongly as was required, or an isolating layer failed."""


class GeneratedCodeError(Error):
    """Generated code raised, ended without a result, or gave back what cannot be used.

    `kind` is the exception's type name (or "exit", "result", "syntax"), `line` the line of the source (None where
    there is none), `traceback` the traceback with the source's own line numbers.
    """

    def __init__(self, what: str, remedy: str, *, kind: str = "", line: int | None = None, traceback: str = "") -> None:
        super().__init__(what, remedy)
        self.kind = kind
        self.line = line
        self.traceback = traceback


class Unverified(Error):
    """No candidate of a search reached the grade that was required of it."""


class ContractViolation(Error):
    """A learned function was given, or gave, what its contract refuses.

    `condition` names what does not hold, `kind` is "require" (of the inputs) or "ensure" (of the output), `path` the
    call, `value` the last output (None for inputs), `tries` how many answers were tried.
    """

    def __init__(
        self, what: str, remedy: str, *, condition: str = "", kind: str = "ensure", path: str = "",
        value: object = None, tries: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(what, remedy)
        self.condition = condition
        self.kind = kind
        self.path = path
        self.value = value
        self.tries = tries


class RecordedError(Error):
    """A failure of an earlier life of a run whose class cannot be made again; see `recorded_class`, `recorded_text`."""

    recorded_class: str = ""
    recorded_text: str = ""


class SpaceError(Error):
    """A choice left open in a program cannot be read from its text, or an assignment does not fit the program."""


class DeadEnd(UnsatisfiableConstraint):
    """A text that was begun cannot be completed under its constraints; `tokens` are those written so far."""

    def __init__(self, what: str, remedy: str, *, tokens: tuple[int, ...] = ()) -> None:
        super().__init__(what, remedy)
        self.tokens = list(tokens)  # as a record gives it back


class AnalyserError(Error):
    """A static analyser or its language server could not be started, crashed, hung, or answered what cannot be used."""


class TokenizerMismatch(ModelError):
    """Two models that must read the same tokens do not: a draft model and the model it drafts for."""


class Overloaded(Error):
    """A server has as much under way as it accepts; `retry_after` is when to come back, in seconds."""

    def __init__(self, what: str, remedy: str, *, retry_after: int = 1) -> None:
        super().__init__(what, remedy)
        self.retry_after = retry_after


class ServerClosing(Error):
    """A server is being stopped and takes no new requests."""


class TookTooLong(Error):
    """A request was not answered within the server's time-out."""


class GraphError(Error):
    """A graph of calls is malformed, or a variable in it cannot be had."""


class RequestRefused(Error):
    """A body sent to the server asks for what it cannot give; `param` is the field, `code` a word, `status` HTTP's."""

    def __init__(self, what: str, remedy: str, *, param: str = "", code: str = "", status: int = 400) -> None:
        super().__init__(what, remedy)
        self.param, self.code, self.status = param, code, status


class ClusterError(Error):
    """A cluster cannot be reached or started, or its workers die again and again."""


class SearchError(Error):
    """A search over programs cannot begin or go on: no examples, a program that always fails."""
