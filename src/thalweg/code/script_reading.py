"""Where the end of a JavaScript or TypeScript text is: in code, a string, a template or a comment; in which brackets.

A reading never changes and is continued by any piece of text. Regular expression literals are read as code, so a quote
in one can mislead until the line ends. Cost: about half a microsecond a character.
"""

from __future__ import annotations

import re
import string

NAME_CHARACTERS = string.ascii_letters + string.digits + "_$"

_OPEN = {"(": ")", "[": "]", "{": "}"}
_NO_VALUES = frozenset(
    "await break case catch const continue debugger default delete do else export extends finally for function if in "
    "instanceof let new of return switch throw try typeof var void while with yield".split()
)
_TAIL = 200  # characters kept to look back at
_DEREFERENCE = re.compile(r"(?:([\w$]+)|[)\]}\"'`])\s*[?!]?\.((?!\d)[\w$]+)?$")
_HIDDEN = re.compile(r"\.\s*[^\W\d]|\.\$|\.\s+$")
_HIDDEN_IN_STRING = re.compile(r"[\"'`}/\n].*(?:\.\s*[^\W\d]|\.\$|\.\s+$)", re.DOTALL)


class ScriptReading:
    """The reading of the empty text; `read` continues it."""

    __slots__ = ("_escaped", "_last", "_mode", "_open", "_tail")

    def __init__(self) -> None:
        self._open: tuple[str, ...] = ()  # brackets; "`" for a template whose braces we are in
        self._mode = ""  # a quote, "`", "//" or "/*"; empty in code
        self._escaped = False
        self._last = ""  # the character before, where two make a sign
        self._tail = ""

    def read(self, text: str) -> ScriptReading:
        new = ScriptReading()
        new._open, new._mode, new._escaped, new._last = self._open, self._mode, self._escaped, self._last
        for character in text:
            new._step(character)
        new._tail = (self._tail + text)[-_TAIL:]
        return new

    def _step(self, now: str) -> None:
        last, self._last = self._last, now
        if not self._mode:
            if last == "/" and now in "/*":
                self._mode, self._last = "/" + now, ""
            elif now in "\"'`":
                self._mode = now
            elif now in _OPEN:
                self._open += (now,)
            elif self._open and now in ")]}":
                inner = self._open[-1]
                if inner == "`" and now == "}":
                    self._open, self._mode = self._open[:-1], "`"
                elif _OPEN.get(inner) == now:
                    self._open = self._open[:-1]
        elif self._mode == "//":
            self._mode = "" if now == "\n" else "//"
        elif self._mode == "/*":
            self._mode = "" if last == "*" and now == "/" else "/*"
        elif self._escaped:
            self._escaped, self._last = False, ""
        elif now == "\\":
            self._escaped = True
        elif now == self._mode or (now == "\n" and self._mode != "`"):
            self._mode = ""
        elif self._mode == "`" and last == "$" and now == "{":
            self._open, self._mode = (*self._open, "`"), ""
        if not self._mode and now == "/" and last == "*":
            self._last = ""

    @property
    def code(self) -> bool:
        return not self._mode

    @property
    def typed(self) -> str | None:
        """What is written of a member's name behind a dereference of a value; None elsewhere."""
        found = _DEREFERENCE.search(self._tail) if self.code else None
        if found is None:
            return None
        word = found[1]
        if word and (word[0].isdigit() or word in _NO_VALUES):
            return None
        return found[2] or ""

    @property
    def closers(self) -> str:
        """What closes all that is open."""
        return "" if self._mode else "".join("}`" if one == "`" else _OPEN[one] for one in reversed(self._open))


def hides(piece: str, code: bool) -> bool:
    """Whether a token so written can hold a dereference and what follows it."""
    return bool((_HIDDEN if code else _HIDDEN_IN_STRING).search(piece)) if "." in piece else False
