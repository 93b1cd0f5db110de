"""A user's Python regular expression, rewritten so that two engines agree on it.

What: parses the pattern with Python's own parser, keeps what is regular, spells every class out in code points and
removes control characters; the text that comes out means the same to Python's `re` and to the constraint engine, and
every match of it is a full match of the user's pattern. When: `Field(pattern=...)`. Cost: under a millisecond per
pattern, 30 ms once when a pattern first uses `\\w`, `\\d`, `\\s` beyond ASCII.
"""

from __future__ import annotations

import re
import re._constants as op  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import sys
from array import array
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Ranges = tuple[tuple[int, int], ...]  # sorted, disjoint, both ends included

LAST = 0x10FFFF
UTF32 = f"utf-32-{sys.byteorder[0]}e"
SURROGATES = (0xD800, 0xDFFF)
WRITABLE: Ranges = ((9, 10), (0x20, 0x7E), (0x80, 0xD7FF), (0xE000, LAST))
CATEGORY = {
    op.CATEGORY_DIGIT: (r"\d", False),
    op.CATEGORY_NOT_DIGIT: (r"\d", True),
    op.CATEGORY_SPACE: (r"\s", False),
    op.CATEGORY_NOT_SPACE: (r"\s", True),
    op.CATEGORY_WORD: (r"\w", False),
    op.CATEGORY_NOT_WORD: (r"\w", True),
}


class NotRegular(Exception):  # noqa: N818 (a signal, always caught)
    """The pattern uses something that is no regular expression, or nothing can match it (`impossible`)."""

    def __init__(self, reason: str, *, impossible: bool = False) -> None:
        super().__init__(reason)
        self.impossible = impossible


@dataclass(frozen=True)
class Chars:
    ranges: Ranges


@dataclass(frozen=True)
class Seq:
    parts: tuple[Expr, ...]


@dataclass(frozen=True)
class Alt:
    parts: tuple[Expr, ...]


@dataclass(frozen=True)
class Rep:
    part: Expr
    low: int
    high: int | None  # None: without end


Expr = Chars | Seq | Alt | Rep


def parse(pattern: str, flags: int = 0) -> Expr:
    """The regular expression that `pattern` means as a full match. Raises `NotRegular`."""
    try:
        tree = parser.parse(pattern, flags)
    except (re.error, RecursionError, OverflowError) as error:
        raise NotRegular(f"it is no valid regular expression ({error})") from None
    expr = _sequence(list(tree), tree.state.flags, True, True)
    if expr is None:
        raise NotRegular("nothing can match it (control characters are never written)", impossible=True)
    return expr


def literal(text: str) -> Expr:
    return Seq(tuple(Chars(((ord(char), ord(char)),)) for char in text))


def width(expr: Expr) -> tuple[int, int | None]:
    """Length of the shortest and of the longest match (None: without end)."""
    match expr:
        case Chars():
            return 1, 1
        case Seq(parts):
            widths = [width(part) for part in parts]
            highs = [high for _, high in widths]
            return sum(low for low, _ in widths), None if None in highs else sum(high or 0 for high in highs)
        case Alt(parts):
            widths = [width(part) for part in parts]
            highs = [high for _, high in widths]
            return min(low for low, _ in widths), None if None in highs else max(high or 0 for high in highs)
        case Rep(part, low, high):
            least, most = width(part)
            if most == 0 or high == 0:
                return least * low, 0
            return least * low, None if most is None or high is None else most * high


def bounded(expr: Expr, longest: int, *, strict: bool) -> Expr | None:
    """`expr` with its repeats cut so that no match is longer than `longest`.

    Without `strict` only endless repeats are cut: a pattern that is long by itself stays. None: impossible.
    """
    low, high = width(expr)
    if high is not None and (high <= longest or not strict):
        return expr
    best = None
    lowest, highest = 0, longest
    while lowest <= highest:
        middle = (lowest + highest) // 2
        cut = _cut(expr, middle, strict)
        most = width(cut)[1]
        if most is not None and most <= longest:
            best, lowest = cut, middle + 1
        else:
            highest = middle - 1
    if best is None and not strict:
        return _cut(expr, 0, False)
    return best


def spell(expr: Expr, *, python: bool = False) -> str:
    """The expression as text. With `python`, negated classes also leave out surrogates (other engines have none)."""
    match expr:
        case Chars(ranges):
            return _spell_class(ranges, python)
        case Seq(parts):
            return "".join(
                f"(?:{spell(p, python=python)})" if isinstance(p, Alt) else spell(p, python=python) for p in parts
            )
        case Alt(parts):
            return "|".join(spell(p, python=python) for p in parts)
        case Rep(part, low, high):
            body = spell(part, python=python)
            body = body if isinstance(part, Chars) else f"(?:{body})"
            if (low, high) in ((0, None), (1, None), (0, 1)):
                return body + {(0, None): "*", (1, None): "+", (0, 1): "?"}[low, high]
            return f"{body}{{{low}}}" if low == high else f"{body}{{{low},{'' if high is None else high}}}"


def sample(expr: Expr, shortest: int = 0, longest: int | None = None) -> str | None:
    """A match between the two lengths, among the shortest; None when none was found."""
    for wide in (False, True):
        for extra in range(max(shortest, 1) + 1):
            text = _instance(expr, extra, wide)
            if shortest <= len(text) and (longest is None or len(text) <= longest):
                return text
    return None


def _instance(expr: Expr, extra: int, wide: bool) -> str:
    match expr:
        case Chars(ranges):
            return chr(_pleasant(ranges))
        case Seq(parts):
            return "".join(_instance(part, extra, wide) for part in parts)
        case Alt(parts):
            key = lambda part: width(part)[0]  # noqa: E731
            return _instance((max if wide else min)(parts, key=key), extra, wide)
        case Rep(part, low, high):
            return _instance(part, extra, wide) * (low + extra if high is None else min(high, low + extra))


def _pleasant(ranges: Ranges) -> int:
    for wanted in "a", "0", "A", " ":
        if any(low <= ord(wanted) <= high for low, high in ranges):
            return ord(wanted)
    return next((low for low, _ in ranges if low > 0x20), ranges[0][0])


def _cut(expr: Expr, most: int, strict: bool) -> Expr:
    match expr:
        case Seq(parts):
            return Seq(tuple(_cut(part, most, strict) for part in parts))
        case Alt(parts):
            return Alt(tuple(_cut(part, most, strict) for part in parts))
        case Rep(part, low, high):
            if high is None:
                high = max(low, most)
            elif strict:
                high = max(low, min(high, most))
            return Rep(_cut(part, most, strict), low, high)
    return expr


def _sequence(items: list[tuple[Any, Any]], flags: int, start: bool, end: bool) -> Expr | None:
    parts: list[Expr] = []
    for index, (kind, arg) in enumerate(items):
        first = start and all(k is op.AT for k, _ in items[:index])
        last = end and all(k is op.AT for k, _ in items[index + 1 :])
        part = _item(kind, arg, flags, first, last)
        if part is None:
            return None
        parts.extend(part.parts if isinstance(part, Seq) else (part,))
    return parts[0] if len(parts) == 1 else Seq(tuple(parts))


def _item(kind: Any, arg: Any, flags: int, start: bool, end: bool) -> Expr | None:
    if kind is op.LITERAL:
        return _chars(((arg, arg),), flags)
    if kind is op.NOT_LITERAL:
        return _chars(((arg, arg),), flags, negate=True)
    if kind is op.ANY:
        return _chars(((0, LAST),) if flags & re.DOTALL else ((0, 9), (11, LAST)), 0)
    if kind is op.IN:
        negate = bool(arg) and arg[0][0] is op.NEGATE
        return _chars(_members(arg[negate:], flags, negate), flags, negate=negate)
    if kind is op.BRANCH:
        found = [_sequence(list(branch), flags, start, end) for branch in arg[1]]
        parts = [part for part in found if part is not None]
        return None if not parts else parts[0] if len(parts) == 1 else Alt(tuple(parts))
    if kind is op.SUBPATTERN:
        _, added, removed, inner = arg
        return _sequence(list(inner), (flags | added) & ~removed, start, end)
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
        low, high, inner = arg
        part = _sequence(list(inner), flags, False, False)
        if part is None:
            return Seq(()) if low == 0 else None
        return Rep(part, low, None if high is op.MAXREPEAT else int(high))
    if kind is op.AT:
        if (arg in (op.AT_BEGINNING, op.AT_BEGINNING_STRING) and start) or (
            arg in (op.AT_END, op.AT_END_STRING) and end
        ):
            return Seq(())
        raise NotRegular("it has an anchor or a word boundary (^, $, \\b) inside")
    what = {
        op.GROUPREF: "a back reference",
        op.GROUPREF_EXISTS: "a conditional group",
        op.ASSERT: "a look-around",
        op.ASSERT_NOT: "a look-around",
    }
    raise NotRegular(f"it uses {what.get(kind, str(kind).lower().replace('_', ' '))}")


def _members(items: list[tuple[Any, Any]], flags: int, negated: bool) -> Ranges:
    found: list[tuple[int, int]] = []
    for kind, arg in items:
        if kind is op.LITERAL:
            found.append((arg, arg))
        elif kind is op.RANGE:
            found.append(arg)
        else:
            text, negate = CATEGORY[arg]
            plain = text != r"\w" and not (negate or negated)  # write ASCII digits and spaces; exclude all of them
            ranges = _category(text, plain or bool(flags & re.ASCII))
            found += _complement(ranges) if negate else ranges
    return _merge(found)


def _chars(ranges: Ranges, flags: int, *, negate: bool = False) -> Chars | None:
    if flags & re.IGNORECASE:
        ranges = _merge(
            [
                *ranges,
                *(
                    (ord(x), ord(x))
                    for low, high in ranges
                    for c in map(chr, range(low, high + 1))
                    for x in (c.lower(), c.upper())
                    if len(x) == 1
                ),
            ]
        )
    if negate:
        ranges = _complement(ranges)
        if flags & re.IGNORECASE:  # Python folds a few letters (long s, Kelvin) onto ASCII: stay on safe ground
            ranges = _intersect(ranges, ((0, 0x7F),))
    ranges = _intersect(ranges, WRITABLE)
    return Chars(ranges) if ranges else None


@lru_cache(maxsize=8)
def _category(text: str, ascii_only: bool) -> Ranges:
    """Code points of `\\w`, `\\d` or `\\s`, as Python's `re` sees them."""
    every = array("I", range(0x80 if ascii_only else LAST + 1)).tobytes().decode(UTF32, "surrogatepass")
    return tuple((m.start(), m.end() - 1) for m in re.finditer(text + "+", every, re.ASCII if ascii_only else 0))


def _merge(ranges: list[tuple[int, int]] | Ranges) -> Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _complement(ranges: Ranges) -> Ranges:
    found, start = [], 0
    for low, high in ranges:
        if start < low:
            found.append((start, low - 1))
        start = high + 1
    return (*found, (start, LAST)) if start <= LAST else tuple(found)


def _intersect(left: Ranges, right: Ranges) -> Ranges:
    return tuple((max(a, c), min(b, d)) for a, b in left for c, d in right if max(a, c) <= min(b, d))


def _spell_class(ranges: Ranges, python: bool) -> str:
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return _spell_char(ranges[0][0])
    negate = ranges[-1][1] == LAST
    if negate:
        ranges = _complement(_merge([*ranges, SURROGATES]))
        ranges = _merge([*ranges, SURROGATES]) if python else ranges
    if not ranges:
        return r"[\u0000-\U0010ffff]"
    body = "".join(
        _spell_char(low) + ("" if low == high else ("-" if high > low + 1 else "") + _spell_char(high))
        for low, high in ranges
    )
    return f"[{'^' if negate else ''}{body}]"


def _spell_char(code: int) -> str:
    char = chr(code)
    if code < 0x80:
        if char.isalnum() or char in " !\"%',:;=@_`<>":
            return char
        return "\\" + char if char.isprintable() else f"\\x{code:02x}"
    return char if char.isprintable() else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
