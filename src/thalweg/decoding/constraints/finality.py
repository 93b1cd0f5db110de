"""Eager evaluation of a constraint on a hole that is still being written: its value, and whether that is final.

Every expression has a value now and a finality: ``fin`` cannot change any more; ``inc`` can only become true and stay
so; ``dec`` can only become false and stay so; ``var`` can do anything. `follow` says the same of the text after every
token of the vocabulary; a token whose value is finally false is masked. Sound: a token with a continuation that
satisfies the expression is never masked. Not complete: a mask may lead to where nothing is allowed.
Source: Beurer-Kellner, Fischer and Vechev 2023, "Prompting Is Programming" (FINAL and FOLLOW semantics).
Cost: counts are array arithmetic (0.1 ms for 49k tokens); other leaves are evaluated token by token (some 50 ms).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thalweg.decoding.constraints.where import WORD, Where, holds

Finality = Literal["fin", "var", "inc", "dec"]
Bools = NDArray[np.bool_]
_SPACES = b" \t\n\r\f\v"
_CONTRARY: dict[Finality, Finality] = {"fin": "fin", "var": "var", "inc": "dec", "dec": "inc"}


@dataclass(frozen=True)
class Written:
    """A hole under way: its bytes (the last character may be incomplete) and the number of its tokens."""

    data: bytes = b""
    tokens: int = 0

    def then(self, piece: bytes) -> Written:
        return Written(self.data + piece, self.tokens + 1)

    @property
    def text(self) -> str:
        """The complete characters."""
        return self.data.decode(errors="ignore")

    @property
    def chars(self) -> int:
        return sum(byte & 0xC0 != 0x80 for byte in self.data)  # a character begun will be completed

    @property
    def words(self) -> int:
        return len(WORD.findall(self.data))


@dataclass(eq=False)
class Pieces:
    """What the tokens of a vocabulary add to counts, as arrays."""

    pieces: Sequence[bytes]

    def added(self, unit: str, written: Written) -> NDArray[np.int64]:
        """By how much every token raises a count."""
        if unit == "tokens":
            return self._ones
        if unit == "chars":
            return self._chars
        if written.data and written.data[-1] not in _SPACES:
            return self._words - self._starts_inside
        return self._words

    @cached_property
    def texts(self) -> list[str | None]:
        """The characters of every token; None for one that begins or ends inside a character."""
        return [piece.decode() if len(piece.decode(errors="ignore").encode()) == len(piece) else None
                for piece in self.pieces]  # fmt: skip

    @cached_property
    def open_ended(self) -> Bools:
        """Tokens that may end inside a character."""
        return np.array([bool(piece) and piece[-1] >= 0x80 for piece in self.pieces], np.bool_)

    @cached_property
    def _ones(self) -> NDArray[np.int64]:
        return np.ones(len(self.pieces), np.int64)

    @cached_property
    def _chars(self) -> NDArray[np.int64]:
        return np.array([sum(byte & 0xC0 != 0x80 for byte in piece) for piece in self.pieces], np.int64)

    @cached_property
    def _words(self) -> NDArray[np.int64]:
        return np.array([len(WORD.findall(piece)) for piece in self.pieces], np.int64)

    @cached_property
    def _starts_inside(self) -> NDArray[np.int64]:
        return np.array([bool(piece) and piece[0] not in _SPACES for piece in self.pieces], np.int64)


def evaluate(where: Where, written: Written) -> tuple[bool, Finality]:
    """Value and finality of an expression about a hole that is still open."""
    if where.op == "not":
        value, finality = evaluate(where.parts[0], written)
        return not value, _CONTRARY[finality]
    if where.op in ("and", "or"):
        return _joined([evaluate(one, written) for one in where.parts], where.op == "and")
    if where.op == "count":
        unit, least, most = where.data
        return _counted(getattr(written, unit), least, most)
    text = written.text
    if where.op == "any":
        return True, "fin"
    if where.op == "one_of":
        data = written.data
        possible = [one for one in where.data[0] if one.encode().startswith(data)]
        return text in possible, "var" if possible else "fin"
    if where.op == "contains":
        return (True, "fin") if where.data[0] in text else (False, "inc")
    if where.op == "satisfies":
        predicate, growth = where.data
        value = bool(predicate(text))
        if (growth, value) in (("inc", True), ("dec", False)):
            return value, "fin"
        return value, growth
    return holds(where, text, written.tokens), "var"


def _counted(count: int, least: int, most: int | None) -> tuple[bool, Finality]:
    """Counts only grow."""
    if most is not None and count > most:
        return False, "fin"
    value = count >= least
    if most is None:
        return value, "fin" if value else "inc"
    return value, "dec" if value else "var"


def _joined(parts: list[tuple[bool, Finality]], conjunction: bool) -> tuple[bool, Finality]:
    decisive = not conjunction  # true decides a disjunction, false a conjunction
    if any(value is decisive and finality == "fin" for value, finality in parts):
        return decisive, "fin"
    value = all(one for one, _ in parts) if conjunction else any(one for one, _ in parts)
    kinds: set[Finality] = {finality for _, finality in parts if finality != "fin"}
    if not kinds:
        return value, "fin"
    return value, next(iter(kinds)) if len(kinds) == 1 else "var"


def at_end(where: Where, written: Written) -> bool:
    """Value of an expression if the hole ends here."""
    return holds(where, written.text, written.tokens)


def follow(where: Where, written: Written, pieces: Pieces, among: Bools) -> tuple[Bools, Bools]:
    """(value, is it final) after each token; where `among` is false the result does not matter."""
    if where.op == "not":
        value, final = follow(where.parts[0], written, pieces, among)
        return ~value, final
    if where.op in ("and", "or"):
        parts = [follow(one, written, pieces, among) for one in where.parts]
        decisive = where.op == "or"
        decided = np.logical_or.reduce([final & (value == decisive) for value, final in parts])
        final = decided | np.logical_and.reduce([final for _, final in parts])
        join: Any = np.logical_or if decisive else np.logical_and
        value = join.reduce([value for value, _ in parts])
        return np.where(decided, decisive, value), final
    if where.op == "count":
        unit, least, most = where.data
        counts = getattr(written, unit) + pieces.added(unit, written)
        value = counts >= least
        if most is None:
            return value, value
        return value & (counts <= most), counts > most
    if where.op == "any" or (where.op == "satisfies" and where.data[1] == "var"):
        # Nothing such a leaf says now is final: there is no need to ask.
        every = np.ones(len(pieces.pieces), np.bool_)
        return every, every if where.op == "any" else ~every
    value, final = np.zeros(len(pieces.pieces), np.bool_), np.zeros(len(pieces.pieces), np.bool_)
    base = written.text
    whole = len(base.encode()) == len(written.data)
    for token in np.flatnonzero(among).tolist():
        more = pieces.texts[token] if whole else None
        if more is not None and where.op == "satisfies":
            found = bool(where.data[0](base + more))
            value[token], final[token] = found, found is (where.data[1] == "inc")
        elif more is not None and where.op == "contains":
            value[token] = final[token] = where.data[0] in base + more
        else:
            found, finality = evaluate(where, written.then(pieces.pieces[token]))
            value[token], final[token] = found, finality == "fin"
    return value, final
