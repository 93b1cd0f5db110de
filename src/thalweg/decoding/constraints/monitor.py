"""Monitor: where the text comes to a name that an analyser knows all candidates of, only those may be written.

Choose it for code, in whose repository a static analyser can tell which members a value has; text elsewhere stays
free. The analyser is asked at such places alone, on a thread of its own while the model computes, and is given up when
it crashes or hangs. Source: Agrawal, Kanade, Goyal, Lahiri and Rajamani 2023, "Guiding Language Models of Code with
Global Context using Monitors". Cost: microseconds a token, a query where a name begins, under 1 ms in a name.
"""

from __future__ import annotations

import codecs
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Collection
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import AnalyserError
from thalweg.models.scorer import Logits

Mask = NDArray[np.bool_]
PATIENCE = 3  # queries that may fail in a row before a monitor asks no more


class Reading(Protocol):
    """What the end of a text is, lexically. Never changes; `read` gives the reading of a longer text."""

    @property
    def code(self) -> bool:
        """The text ends in code: not inside a string or a comment."""
        ...

    @property
    def typed(self) -> str | None:
        """What is written of a name that the analyser knows the candidates of; None where there is no such name."""
        ...

    def read(self, text: str) -> Self: ...


class Analyser(Protocol):
    """Knows a language and, by whatever means, which names may stand where. May be asked from any thread."""

    @property
    def name_characters(self) -> str:
        """ASCII characters of names; what is not ASCII counts as one."""
        ...

    def begin(self, text: str) -> Reading:
        """The reading of `text`."""
        ...

    def hides(self, piece: str, code: bool) -> bool:
        """Whether a token so written, in code or in a string or comment, can hold a place to ask at and what is
        behind it: such tokens are not allowed, so that no place is missed."""
        ...

    def suggest(self, text: str, typed: str) -> Collection[str]:
        """All names, whole, that may stand at the end of `text`, where `typed` is written of them. Empty: not known."""
        ...


@dataclass
class MonitorUsage:
    """What a monitor did for one answer. `seconds` inside the analyser, `waited` of them with decoding held up."""

    queries: int = 0
    masked_steps: int = 0  # tokens drawn from a narrowed set
    seconds: float = 0.0
    waited: float = 0.0
    failures: int = 0
    failure: str = ""  # the last one's message


class Monitor:
    """Constraint to text whose names, where `analyser` knows the candidates, are candidates. One per answer.

    Args:
        analyser: what is asked.
        tokenizer: the model's vocabulary (`pieces`, `size`, `end`).
        before: the text in front of the answer.
        timeout: seconds a query may take.
        on_failure: what a crash or a hang of the analyser means: ``unconstrained`` goes on without a constraint there,
            with one warning; ``error`` raises `AnalyserError`.
    """

    uniform = False

    def __init__(
        self,
        analyser: Analyser,
        tokenizer: Any,
        *,
        before: str = "",
        timeout: float = 10.0,
        on_failure: Literal["unconstrained", "error"] = "unconstrained",
    ) -> None:
        self.analyser = analyser
        self.names = names_of(tokenizer, analyser)
        self.before = before
        self.timeout = timeout
        self.on_failure = on_failure
        self.usage = MonitorUsage()
        self._failed_in_a_row = 0

    def start(self) -> MonitorState:
        return MonitorState(self)

    def ask(self, text: str, typed: str) -> _Query | None:
        if self._failed_in_a_row >= PATIENCE:
            return None
        self.usage.queries += 1
        return _Query(lambda: self.analyser.suggest(text, typed))

    def answer(self, query: _Query, typed: str) -> frozenset[bytes] | None:
        """What may still be written of the name; None where nothing is known of it."""
        if query.settled:  # a fork of the same state was here
            return query.rest
        query.settled = True
        started = time.perf_counter()
        failure = query.wait(self.timeout)
        self.usage.waited += time.perf_counter() - started
        self.usage.seconds += query.seconds
        if failure is None:
            self._failed_in_a_row = 0
            rest = frozenset(name[len(typed) :].encode() for name in query.found if name.startswith(typed))
            query.rest = rest or None
            return query.rest
        self._failed_in_a_row += 1
        self.usage.failures += 1
        self.usage.failure = failure
        if self.on_failure == "error":
            raise AnalyserError(
                f"The analyser that watches the text {failure}.",
                'Restart it, raise `timeout`, or go on without it where it fails (`on_failure="unconstrained"`).',
            ) from query.error
        if self.usage.failures == 1:
            warnings.warn(f"a monitor's analyser {failure}; the text is not constrained there", RuntimeWarning)
        return None


class MonitorState:
    """Free (`_rest` is None), or inside a name with `_rest` the ends that it may still take."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._reading = monitor.analyser.begin(monitor.before)
        self._written = ""
        self._partial = b""  # the beginning of a character
        self._asked = -1  # where the name that was asked about last begins
        self._query: _Query | None = None
        self._typed = ""
        self._rest: frozenset[bytes] | None = None
        self._ended = False
        self._look()

    @property
    def done(self) -> bool:
        return self._ended

    def forced(self) -> list[int]:
        return []

    def allowed(self) -> Mask:
        names = self._monitor.names
        rest = self._known()
        if rest is not None:
            mask = names.mask(rest)
            if mask.any():
                return mask
            self._rest = None  # names that this vocabulary cannot spell
        return names.in_code if self._reading.code else names.anything

    def advance(self, token: int) -> None:
        rest = self._known()
        names = self._monitor.names
        if rest is not None:
            self._monitor.usage.masked_steps += 1
        if token == names.end:
            self._ended = True
            return
        piece = names.pieces[token]
        text = self._decode(piece)
        self._written += text
        self._reading = self._reading.read(text)
        if rest is not None:
            if names.head(piece) == piece:  # still inside the name
                self._rest = frozenset(one[len(piece) :] for one in rest if one.startswith(piece))
                return
            self._rest = None
        self._look()

    def shortest(self, allowed: Mask | NDArray[np.int64], logits: Logits) -> int:
        names = self._monitor.names
        rest = self._known()
        if rest is None or b"" in rest:
            return names.end
        target = min(rest, key=lambda one: (len(one), one))
        for length in range(len(target), 0, -1):
            if tokens := names.inside.get(target[:length]):
                return tokens[0]
        return int(np.where(allowed, logits, -np.inf).argmax())

    def fork(self) -> MonitorState:
        return copy(self)  # every part is replaced, none changed

    def _decode(self, piece: bytes) -> str:
        if not self._partial and piece.isascii():
            return piece.decode("ascii")
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(self._partial + piece)
        self._partial = decoder.getstate()[0]
        return text

    def _look(self) -> None:
        """Ask the analyser if the text has come to a new place to ask at."""
        typed = self._reading.typed
        if typed is None:
            return
        monitor = self._monitor
        begins = len(monitor.before) + len(self._written) - len(typed)
        if begins != self._asked:
            self._asked, self._typed = begins, typed
            self._query = monitor.ask(monitor.before + self._written, typed)

    def _known(self) -> frozenset[bytes] | None:
        if self._query is not None:
            query, self._query = self._query, None
            self._rest = self._monitor.answer(query, self._typed)
        return self._rest


class _Query:
    """One question on a thread of its own, so that a hanging analyser holds up nobody for longer than allowed."""

    def __init__(self, call: Callable[[], Collection[str]]) -> None:
        self.found: Collection[str] = ()
        self.error: BaseException | None = None
        self.seconds = 0.0
        self.settled = False
        self.rest: frozenset[bytes] | None = None
        self._call = call
        self._began = time.perf_counter()
        self._answered = threading.Event()
        threading.Thread(target=self._run, name="analyser query", daemon=True).start()

    def _run(self) -> None:
        try:
            self.found = self._call()
        except BaseException as error:  # whatever it is, it is the analyser's failure and told by `wait`
            self.error = error
        self.seconds = time.perf_counter() - self._began
        self._answered.set()

    def wait(self, timeout: float) -> str | None:
        """None once there is an answer within `timeout` seconds of the question, else what went wrong."""
        if not self._answered.wait(max(0.0, timeout - (time.perf_counter() - self._began))):
            self.seconds = time.perf_counter() - self._began
            return f"did not answer within {timeout:g} s"
        return f"failed: {type(self.error).__name__}: {self.error}"[:400] if self.error is not None else None


class Names:
    """A vocabulary, sorted by what its tokens do inside a name.

    `inside` holds the tokens of name characters alone, `behind` those that begin with a name's end (maybe empty) and go
    on with a character that ends it. No mask ever allows a control token but `end`.
    """

    MASKS = 256  # kept, the least recently used dropped

    def __init__(self, pieces: list[bytes], end: int, characters: str, hides: Callable[[str, bool], bool]) -> None:
        self.pieces = pieces
        self.end = end
        self._name_bytes = bytes(characters, "ascii") + bytes(range(128, 256))
        self.inside: dict[bytes, list[int]] = {}
        behind: dict[bytes, list[int]] = {}
        self.anything = np.zeros(len(pieces), np.bool_)
        self.in_code = np.zeros(len(pieces), np.bool_)
        for token, piece in enumerate(pieces):
            if not piece:
                continue
            text = piece.decode(errors="replace")
            self.anything[token] = not hides(text, False)
            if hides(text, True):
                continue
            self.in_code[token] = True
            head = self.head(piece)
            (self.inside if head == piece else behind).setdefault(head, []).append(token)
        self.anything[end] = self.in_code[end] = True
        self.behind = {head: np.array(tokens) for head, tokens in behind.items()}
        self.anything.flags.writeable = self.in_code.flags.writeable = False
        self._masks: OrderedDict[frozenset[bytes], Mask] = OrderedDict()
        self._lock = threading.Lock()

    def head(self, piece: bytes) -> bytes:
        """The name characters `piece` begins with."""
        return piece[: len(piece) - len(piece.lstrip(self._name_bytes))]

    def mask(self, rest: frozenset[bytes]) -> Mask:
        """The tokens that begin one of `rest`, or end it and go on behind it."""
        with self._lock:
            if rest in self._masks:
                self._masks.move_to_end(rest)
                return self._masks[rest]
        mask = np.zeros(len(self.pieces), np.bool_)
        for beginning in {one[:length] for one in rest for length in range(1, len(one) + 1)}:
            for token in self.inside.get(beginning, ()):
                mask[token] = True
        for one in rest:
            if one in self.behind:
                mask[self.behind[one]] = True
        if b"" in rest:
            mask[self.end] = True
        mask.flags.writeable = False
        with self._lock:
            self._masks[rest] = mask
            if len(self._masks) > self.MASKS:
                self._masks.popitem(last=False)
        return mask


_names: WeakKeyDictionary[Any, dict[tuple[str, type], Names]] = WeakKeyDictionary()


def names_of(tokenizer: Any, analyser: Analyser) -> Names:
    """The vocabulary as `analyser` sees it; sorted once per tokenizer and kind of analyser (some 0.1 s)."""
    kept = _names.setdefault(tokenizer, {})
    key = (analyser.name_characters, type(analyser))
    if key not in kept:
        kept[key] = Names(tokenizer.pieces, tokenizer.end, analyser.name_characters, analyser.hides)
    return kept[key]
