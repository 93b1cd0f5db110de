"""Where the end of a Python text is: in code, a string or a comment; in which brackets; behind a dereference.

A reading never changes and is continued by any piece of text, so that every path of a search has its own. Strings of
all kinds are followed, with the code inside the braces of f-strings. Cost: about half a microsecond a character.
"""

from __future__ import annotations

import keyword
import re
import string
from dataclasses import dataclass, replace

NAME_CHARACTERS = string.ascii_letters + string.digits + "_"

_OPEN = {"(": ")", "[": "]", "{": "}"}
_NO_VALUES = frozenset(keyword.kwlist) - {"None", "True", "False"}
_TAIL = 200  # characters kept to look back at
_DEREFERENCE = re.compile(r"(?:(\w+)|[)\]}\"'])\s*\.([^\W\d]\w*)?$")
_PREFIX = re.compile(r"(?<!\w)[A-Za-z]{1,2}$")
_HIDDEN = re.compile(r"\.\s*[^\W\d]|\.\s+$")
_HIDDEN_IN_STRING = re.compile(r"[\"'}\n].*(?:\.\s*[^\W\d]|\.\s+$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _String:
    """An open string. `run` counts quotes in a row: at its beginning while `opening`, else maybe of its end."""

    quote: str
    formatted: bool
    triple: bool = False
    opening: bool = True
    run: int = 1
    escaped: bool = False
    brace: bool = False  # the last character was a single "{" of an f-string


class PythonReading:
    """The reading of the empty text; `read` continues it."""

    __slots__ = ("_comment", "_open", "_string", "_tail")

    def __init__(self) -> None:
        self._open: tuple[str | _String, ...] = ()  # brackets, and strings whose braces we are in
        self._string: _String | None = None
        self._comment = False
        self._tail = ""

    def read(self, text: str) -> PythonReading:
        new = PythonReading()
        new._open, new._string, new._comment = self._open, self._string, self._comment
        before = self._tail
        for place, character in enumerate(text):
            if new._comment:
                new._comment = character != "\n"
            elif new._string is None or new._leaves_string(character):
                new._take(character, before, text, place)
        new._tail = (before + text)[-_TAIL:]
        return new

    def _leaves_string(self, character: str) -> bool:
        """Go on inside a string; True where `character` is already code behind it."""
        now = self._string
        assert now is not None
        if now.opening:
            if character == now.quote:
                self._string = replace(now, run=now.run + 1, triple=now.run == 2, opening=now.run < 2)
                if now.run == 2:
                    self._string = replace(self._string, run=0)
                return False
            if now.run == 2:  # it was the empty string
                self._string = None
                return True
            now = replace(now, opening=False, run=0)
        if now.escaped:
            self._string = replace(now, escaped=False, run=0)
        elif now.brace and character != "{":
            self._open += (replace(now, brace=False, run=0),)
            self._string = None
            return True
        elif character == "\\":
            self._string = replace(now, escaped=True, run=0)
        elif character == now.quote:
            run = now.run + 1
            self._string = replace(now, run=run) if now.triple and run < 3 else None
        elif character == "\n" and not now.triple:
            self._string = None  # never closed: what follows is code again
        elif now.formatted and character == "{":
            self._string = replace(now, brace=not now.brace, run=0)
        else:
            self._string = now if not now.run else replace(now, run=0)
        return False

    def _take(self, character: str, before: str, text: str, place: int) -> None:
        if character == "#":
            self._comment = True
        elif character in "\"'":
            prefix = _PREFIX.search((before[-3:] + text[max(0, place - 3) : place])[-3:])
            self._string = _String(character, bool(prefix and "f" in prefix[0].lower()))
        elif character in _OPEN:
            self._open += (character,)
        elif character in ")]}" and self._open:
            inner = self._open[-1]
            if isinstance(inner, _String):
                if character == "}":
                    self._open, self._string = self._open[:-1], inner
            elif _OPEN[inner] == character:
                self._open = self._open[:-1]

    @property
    def code(self) -> bool:
        now = self._string
        return not self._comment and (now is None or (now.opening and now.run == 2))

    @property
    def typed(self) -> str | None:
        """What is written of a member's name behind a dereference of a value; None elsewhere."""
        if not self.code:
            return None
        found = _DEREFERENCE.search(self._tail)
        if found is None:
            return None
        word = found[1]
        if word and (word[0].isdigit() or word in _NO_VALUES):
            return None
        return found[2] or ""

    @property
    def closers(self) -> str:
        """What closes all that is open."""
        if self._comment or self._string is not None:
            return ""
        ends = []
        for one in reversed(self._open):
            if isinstance(one, _String):
                ends.append("}" + one.quote * (3 if one.triple else 1))
            else:
                ends.append(_OPEN[one])
        return "".join(ends)


def hides(piece: str, code: bool) -> bool:
    """Whether a token so written can hold a dereference and what follows it."""
    return bool((_HIDDEN if code else _HIDDEN_IN_STRING).search(piece)) if "." in piece else False
