"""`Where`: what the holes of a query may hold, as an expression of declared constraints joined by `&`, `|` and `~`.

    one_of("MODE", ["Tho", "Act"]) | stops_at("ARG", "'") & (len_tokens("ARG") < 12)

An expression is data: it can be checked on a finished text (`holds`), evaluated on a text that is still growing
(`finality.py`), lowered to a grammar as far as it is regular (`lowering.py`), and written down (`to_data`).
Source: Beurer-Kellner, Fischer and Vechev 2023, "Prompting Is Programming: A Query Language for Large Language Models".
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, Literal

from thalweg.errors import TypeNotSupported

Unit = Literal["chars", "tokens", "words"]
Growth = Literal["var", "inc", "dec"]
WORD = re.compile(rb"[^ \t\n\r\f\v]+")


@dataclass(frozen=True)
class Where:
    """One node. Made by the functions below, joined by operators.

    Args:
        op: ``and``, ``or``, ``not`` (of `parts`), or the kind of a leaf.
        var: the hole a leaf speaks of.
        data: the leaf's arguments.
    """

    op: str
    var: str = ""
    data: tuple[Any, ...] = ()
    parts: tuple[Where, ...] = ()

    def __and__(self, other: Where) -> Where:
        return Where("and", parts=(*_flat(self, "and"), *_flat(other, "and")))

    def __or__(self, other: Where) -> Where:
        return Where("or", parts=(*_flat(self, "or"), *_flat(other, "or")))

    def __invert__(self) -> Where:
        return self.parts[0] if self.op == "not" else Where("not", parts=(self,))

    def __bool__(self) -> bool:
        raise TypeError(
            "a constraint has no truth value while nothing is written: join with &, | and ~, not and/or/not"
        )

    def __str__(self) -> str:
        if self.op == "not":
            return f"~({self.parts[0]})"
        if self.parts:
            return (" & " if self.op == "and" else " | ").join(
                f"({one})" if one.op in ("and", "or") else str(one) for one in self.parts
            )
        if self.op == "count":
            unit, least, most = self.data
            name = f"len_{unit}({self.var!r})"
            if most is None:
                return f"({name} >= {least})"
            return f"({name} <= {most})" if not least else f"({name}.between({least}, {most}))"
        shown = [getattr(one, "__name__", repr(one)) if callable(one) else repr(one) for one in self.data]
        return f"{self.op}({', '.join([repr(self.var), *shown])})"


@dataclass(frozen=True)
class Length:
    """The length of a hole in one unit, to compare with a whole number."""

    var: str
    unit: Unit

    def between(self, least: int, most: int | None) -> Where:
        return Where("count", self.var, (self.unit, max(0, least), most))

    def __lt__(self, bound: int) -> Where:
        return self.between(0, bound - 1)

    def __le__(self, bound: int) -> Where:
        return self.between(0, bound)

    def __gt__(self, bound: int) -> Where:
        return self.between(bound + 1, None)

    def __ge__(self, bound: int) -> Where:
        return self.between(bound, None)

    def __eq__(self, bound: object) -> Where:  # type: ignore[override]
        if not isinstance(bound, int):
            raise TypeError(f"a length is compared with a whole number, not {bound!r}")
        return self.between(bound, bound)

    __hash__ = None  # type: ignore[assignment]


def len_chars(var: str) -> Length:
    """Characters of the hole."""
    return Length(var, "chars")


def len_tokens(var: str) -> Length:
    """Tokens of the hole, as the model writes them."""
    return Length(var, "tokens")


def len_words(var: str) -> Length:
    """Words of the hole: spans between spaces, tabs and line breaks."""
    return Length(var, "words")


def any_text(var: str) -> Where:
    """No restriction; declares the hole."""
    return Where("any", var)


def one_of(var: str, texts: Sequence[str]) -> Where:
    """The hole is one of `texts`."""
    if isinstance(texts, str) or not texts or not all(isinstance(one, str) and one for one in texts):
        raise TypeError(f"one_of({var!r}, ...) takes a list of texts, none empty")
    return Where("one_of", var, (tuple(dict.fromkeys(texts)),))


def stops_at(var: str, *phrases: str) -> Where:
    """The hole ends with the first occurrence of one of `phrases`, which belongs to it."""
    return Where("stops_at", var, (_phrases(var, phrases),))


def stops_before(var: str, *phrases: str) -> Where:
    """The hole ends before the first occurrence of one of `phrases`; the phrase is dropped."""
    return Where("stops_before", var, (_phrases(var, phrases),))


def contains(var: str, text: str) -> Where:
    """`text` occurs in the hole; ``~contains(...)`` for the contrary."""
    return Where("contains", var, (text,))


def integer(var: str, digits: int = 12) -> Where:
    """The hole is a whole number of at most `digits` digits, perhaps with a minus sign."""
    return matches(var, rf"-?[0-9]{{1,{digits}}}")


def matches(var: str, pattern: str) -> Where:
    """The hole as a whole matches the regular expression `pattern` (no lookaround, no back references)."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise TypeNotSupported(f"{pattern!r} is no regular expression: {error}.", "Correct the pattern.") from None
    return Where("matches", var, (pattern,))


def satisfies(var: str, predicate: Callable[[str], Any], growth: Growth = "var") -> Where:
    """`predicate` of the hole's text is true.

    Args:
        growth: what is known of its value while the text grows: ``dec``: once false it stays false (tokens that make it
            false are masked, at the price of calling it for every token); ``inc``: once true it stays true; ``var``:
            nothing (it is asked when the hole could end).
    """
    if growth not in ("var", "inc", "dec"):
        raise TypeError(f"growth={growth!r}; choose var, inc or dec")
    return Where("satisfies", var, (predicate, growth))


def holds(where: Where, text: str, tokens: int | None = None) -> bool:
    """Whether a finished hole satisfies an expression about it.

    Args:
        tokens: how many tokens it has; needed where the expression counts them.
    """
    if where.op == "and":
        return all(holds(one, text, tokens) for one in where.parts)
    if where.op == "or":
        return any(holds(one, text, tokens) for one in where.parts)
    if where.op == "not":
        return not holds(where.parts[0], text, tokens)
    if where.op == "count":
        unit, least, most = where.data
        if unit == "tokens" and tokens is None:
            raise TypeNotSupported(f"{where} counts tokens, which this model does not show.", "Count characters.")
        count = tokens if unit == "tokens" else len(text) if unit == "chars" else len(WORD.findall(text.encode()))
        assert count is not None
        return least <= count and (most is None or count <= most)
    if where.op == "one_of":
        return text in where.data[0]
    if where.op == "contains":
        return where.data[0] in text
    if where.op == "matches":
        return re.fullmatch(where.data[0], text) is not None
    if where.op == "satisfies":
        return bool(where.data[0](text))
    if where.op == "stops_at":
        return any(text.endswith(one) for one in where.data[0]) and not _stopped_earlier(text, where.data[0])
    if where.op == "stops_before":
        return not any(one in text for one in where.data[0])
    return True  # any


def _stopped_earlier(text: str, phrases: tuple[str, ...]) -> bool:
    return any(one in text[:-1] for one in phrases)


def leaves(where: Where) -> Iterator[Where]:
    """The leaves of an expression, left to right."""
    if not where.parts:
        yield where
    for one in where.parts:
        yield from leaves(one)


def by_hole(*given: Where) -> dict[str, Where]:
    """One expression for each hole that is spoken of, in order of appearance.

    Raises:
        TypeNotSupported: a part that cannot be taken apart speaks of several holes.
    """
    found: dict[str, Where] = {}
    for part in [part for one in given for part in _flat(one, "and")]:
        names = {leaf.var for leaf in leaves(part)}
        if len(names) > 1:
            raise TypeNotSupported(
                f"{part} speaks of several holes ({', '.join(sorted(names))}) that are written one after the other.",
                "Join constraints of different holes by & only; use a variable of Python for what depends on another.",
            )
        name = names.pop()
        found[name] = found[name] & part if name in found else part
    return found


def to_data(where: Where) -> tuple[Any, tuple[Any, ...]]:
    """The expression as JSON values, and the predicates it refers to by number. Equal for equal code."""
    checks: list[Any] = []

    def write(one: Where) -> Any:
        if one.op == "satisfies":
            checks.append(one.data[0])
            return ["satisfies", one.var, len(checks) - 1, one.data[1], code_digest(one.data[0])]
        if one.parts:
            return [one.op, *map(write, one.parts)]
        return [one.op, one.var, *[list(value) if isinstance(value, tuple) else value for value in one.data]]

    return write(where), tuple(checks)


def from_data(data: Any, checks: Sequence[Any] = ()) -> Where:
    """The expression that `to_data` wrote."""
    op, *rest = data
    if op in ("and", "or", "not"):
        return Where(op, parts=tuple(from_data(one, checks) for one in rest))
    if op == "satisfies":
        return Where(op, rest[0], (checks[rest[1]], rest[2]))
    return Where(op, rest[0], tuple(tuple(value) if isinstance(value, list) else value for value in rest[1:]))


def code_digest(function: object) -> str:
    """Equal for functions with equal code and surroundings; unique for what is no plain function."""
    if not isinstance(function, FunctionType):
        return uuid.uuid4().hex[:16]
    cells = [repr(cell.cell_contents) for cell in function.__closure__ or ()]
    parts = [*_code(function.__code__), repr(function.__defaults__), repr(function.__kwdefaults__), *cells]
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _code(code: CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield repr((code.co_names, code.co_varnames, code.co_freevars))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        else:
            yield repr(sorted(map(repr, constant))) if isinstance(constant, frozenset) else repr(constant)


def _flat(where: Where, op: str) -> tuple[Where, ...]:
    return where.parts if where.op == op else (where,)


def _phrases(var: str, phrases: tuple[str, ...]) -> tuple[str, ...]:
    if not phrases or not all(isinstance(one, str) and one for one in phrases):
        raise TypeError(f"the phrases that end the hole {var!r} must be texts, none empty")
    return phrases
