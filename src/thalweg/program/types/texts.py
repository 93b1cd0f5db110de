"""Types written as text: str (inside JSON and as a whole answer), date, time, datetime, Decimal.

What: one node class for strings inside JSON, one for a string that is the whole answer, one for values in a fixed
notation. When: leaves of every type. Cost: `dump` and `load` are one full match of a compiled pattern, about a
microsecond for short texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from . import patterns, ranges
from .node import MAX_STRING, MAX_TEXT, Mismatch, Node, Schema, quote, show
from .scalars import between

PLAIN = r"[^\x00-\x1f\x7f]"  # one character of a JSON string
FREE = r"[^\x00-\x08\x0b-\x1f\x7f]"  # one character of a text answer: newline and tab are allowed
_SURROGATES = r"\ud800-\udfff]"


class Text(Node):
    """A string: `low` to `high` characters, or a full match of `expr` of such length.

    Lengths become part of the pattern where that says exactly the same; else the engine intersects the two, unless
    `joined` asks for a pattern alone, which then may leave out a few long matches.
    """

    bare = True

    def __init__(
        self, low: int, high: int | None, expr: patterns.Expr | None, source: str = "", *, joined: bool = False
    ) -> None:
        self.low, self.high, self.expr, self.source = low, high, expr, source
        least, most = (0, None) if expr is None else patterns.width(expr)
        self.longest = max(MAX_STRING, low, least) if high is None else high
        self.inside = None if expr is None else self.join(self.longest) if joined else self._fold()
        if self.inside is not None:
            least, most = patterns.width(self.inside)
        self.short = self.inside is not None and low > least  # the pattern alone also matches shorter texts
        self.long = self.inside is not None and (most is None or (high is not None and most > high))
        plain = f"{PLAIN[:-1]}{_SURROGATES}{{{low},{self.longest}}}"
        self._fits = _matcher(plain if self.inside is None else patterns.spell(self.inside, python=True))

    def _fold(self) -> patterns.Expr | None:
        expr = self.expr
        if _steps(expr):
            return self.join(self.longest)
        return patterns.bounded(expr, self.longest, strict=False) if expr is not None and self.high is None else expr

    def join(self, longest: int) -> patterns.Expr | None:
        """The pattern with the lengths in it. None: one expression cannot say both."""
        expr = self.expr
        step = _steps(expr)
        if step and isinstance(expr, patterns.Rep):
            low, high = max(expr.low, -(-self.low // step)), longest // step
            if expr.high is not None:
                high = expr.high if self.high is None else min(high, expr.high)
            return patterns.Rep(expr.part, low, max(low, high)) if low <= high or self.high is None else None
        cut = None if expr is None else patterns.bounded(expr, longest, strict=self.high is not None)
        return None if cut is None or patterns.width(cut)[0] < self.low else cut

    def schema(self) -> Schema:
        if self.inside is None:
            return {"type": "string", "pattern": f"^{PLAIN}{{{self.low},{self.longest}}}$"}
        schema: Schema = {"type": "string", "pattern": f"^(?:{patterns.spell(self.inside)})$"}
        if self.short:
            schema["minLength"] = self.low
        if self.long:
            schema["maxLength"] = self.longest
        return schema

    def load(self, item: Any) -> str:
        if type(item) is not str:
            if not isinstance(item, str) or type(item).__str__ is not str.__str__:
                raise Mismatch(f"{show(item)} is not text")
            item = str(item)
        if not self._fits(item) or (self.short and len(item) < self.low) or (self.long and len(item) > self.longest):
            raise Mismatch(f"{show(item)} is not {self.sketch()}{self._why(item)}")
        return item

    def pack(self, value: Any) -> str:
        return self.load(value)

    def dump(self, value: Any) -> str:
        return quote(self.load(value))

    def _why(self, text: str) -> str:
        if self.expr is None and len(text) > self.longest:
            return f" of {self.low} to {self.longest} characters (it has {len(text)}; Field(max_length=...) allows it)"
        if self.expr is None and len(text) >= self.low:
            return r" without control characters (a pattern such as Field(pattern=r'[\s\S]{0,500}') allows line breaks)"
        return ""

    def minimal(self) -> str:
        if self.inside is None:
            return quote("x" * self.low)
        return quote(patterns.sample(self.inside, self.low, self.longest if self.long else None) or "")

    def sketch(self, seen: set[str] | None = None) -> str:
        if self.source:
            return f"text matching {self.source}"
        if self.low > 1:
            return f"text of {self.low} to {self.longest} characters"
        return "text" if self.high is None else f"text of at most {self.high} characters"

    def shape(self) -> str:
        return "str"

    def key_pattern(self) -> str | None:
        if self.expr is None:
            return f"{PLAIN}{{{self.low},{self.longest}}}"
        found = self.join(self.longest)
        return None if found is None else patterns.spell(found)


def _steps(expr: patterns.Expr | None) -> int:
    """Characters per round when the whole expression repeats something of fixed width, else 0: lengths are exact."""
    if not isinstance(expr, patterns.Rep):
        return 0
    least, most = patterns.width(expr.part)
    return least if least == most else 0


class FreeText(Node):
    """A string which is the whole answer: line breaks and tabs are allowed, and it is not empty."""

    bare = True

    def __init__(self, inner: Text, expr: patterns.Expr | None) -> None:
        self.low, self.description = max(0 if expr else 1, inner.low), inner.description
        self.special = expr is not None or self.low > 1
        self._words = inner.sketch()
        if expr is None:
            self.longest = max(MAX_TEXT if inner.high is None else inner.high, self.low)
            self.pattern, self.example = f"{FREE}{{{self.low},{self.longest}}}", "x" * self.low
            self._fits = _matcher(f"{FREE[:-1]}{_SURROGATES}{{{self.low},{self.longest}}}")
        else:
            self.longest = patterns.width(expr)[1] or 0
            self.pattern, self.example = patterns.spell(expr), patterns.sample(expr, max(1, self.low)) or ""
            self._fits = _matcher(patterns.spell(expr, python=True))

    def schema(self) -> Schema:
        pattern = {"pattern": f"^(?:{self.pattern})$"} if self.special else {}
        return {"type": "string", **pattern, "minLength": self.low, "maxLength": self.longest}

    def load(self, item: Any) -> str:
        if not isinstance(item, str):
            raise Mismatch(f"{show(item)} is not text")
        if not self._fits(item):
            raise Mismatch(
                f"{show(item)} ({len(item)} characters) is not {self._words} of {self.low} to {self.longest}"
                " characters, without control characters but line breaks and tabs"
            )
        return item

    def pack(self, value: Any) -> str:
        return self.load(value)

    def dump(self, value: Any) -> str:
        return quote(self.load(value))

    def minimal(self) -> str:
        return quote(self.example)

    def sketch(self, seen: set[str] | None = None) -> str:
        return self._words

    def shape(self) -> str:
        return "str"


def _matcher(pattern: str) -> Callable[[str], Any]:
    return re.compile(pattern).fullmatch


class Lexical(Node):
    """A value written in a fixed notation: bare as an answer, quoted inside JSON (dates, times, Decimal)."""

    bare = True

    def __init__(
        self,
        cls: type,
        pattern: str,
        longest: int,
        example: str,
        words: str,
        *,
        parse: Callable[[str], Any],
        form: Callable[[Any], str],
        places: int = 0,
    ) -> None:
        self.cls, self.pattern, self.longest, self.example, self.words = cls, pattern, longest, example, words
        self._parse, self._form = parse, form
        self._fits = _matcher(pattern)

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^(?:{self.pattern})$"}

    def pack(self, value: Any) -> str:
        if not isinstance(value, self.cls) or (self.cls is date and isinstance(value, datetime)):
            raise Mismatch(f"{show(value)} is not a {self.words}")
        text = self._form(value)
        if not self._fits(text):
            raise Mismatch(f"{show(value)} is not a {self.words}")
        return text

    def dump(self, value: Any) -> str:
        return f'"{self.pack(value)}"'

    def load(self, item: Any) -> Any:
        if not isinstance(item, str) or not self._fits(item):
            raise Mismatch(f"{show(item)} is not a {self.words}")
        return self._parse(item)

    def minimal(self) -> str:
        return f'"{self.example}"'

    def sketch(self, seen: set[str] | None = None) -> str:
        return self.words

    def shape(self) -> str:
        return self.cls.__name__


def date_node(low: date, high: date, words: str) -> Lexical:
    return Lexical(
        date, ranges.dates(low, high), 10, low.isoformat(), words, parse=date.fromisoformat, form=date.isoformat
    )


def time_node() -> Lexical:
    return Lexical(time, ranges.TIME, 8, "00:00:00", "time as HH:MM:SS", parse=time.fromisoformat, form=time.isoformat)


def datetime_node() -> Lexical:
    days = ranges.dates(date(1900, 1, 1), date(2099, 12, 31))
    words = "date and time as YYYY-MM-DDTHH:MM:SS (no zone)"
    return Lexical(
        datetime,
        f"(?:{days})T{ranges.TIME}",
        19,
        "2000-01-01T00:00:00",
        words,
        parse=datetime.fromisoformat,
        form=datetime.isoformat,
    )


def decimal_node(low: Decimal | None, high: Decimal | None, places: int, whole: int = 12) -> Lexical:
    most = Decimal(10**whole - 1) + (1 - Decimal(1).scaleb(-places))
    least_ = low if low is not None else min(-most, -most if high is None else high - most)
    most_ = high if high is not None else max(most, least_ + most)

    def form(value: Decimal) -> str:
        if not value.is_finite():
            return ""
        text = f"{value:f}"
        if "." in text and len(text) - text.index(".") - 1 > places:
            text = text.rstrip("0").rstrip(".")
        return text.lstrip("-") if not value else text

    words = between("decimal number", None if low is None else f"{low:f}", None if high is None else f"{high:f}")
    zero = least_ <= 0 <= most_
    example = "0" if zero else min((form(x.normalize()) for x in (least_, most_)), key=len)
    longest = max(len(f"{least_:f}"), len(f"{most_:f}")) + places + 1
    return Lexical(Decimal, ranges.decimals(least_, most_, places), longest, example, words, parse=Decimal, form=form)
