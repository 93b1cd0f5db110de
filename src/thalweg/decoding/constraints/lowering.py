"""The regular part of a hole's constraint as one grammar for llguidance; what is left over, and where the hole ends.

Membership, substrings, regular expressions and stop phrases are regular, so their conjunctions, disjunctions and
complements are one terminal: its masks look ahead and know no dead ends. Counts and user predicates are left to
`finality.py`; so are formulas that mix them with the rest by `|` or `~`. Counts of characters are regular too, but as a
product with the rest they cost one lexer state a character (400 microseconds a mask, measured; 5 without).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from thalweg.decoding.constraints.where import Where, leaves
from thalweg.errors import TypeNotSupported

ANY = r"[^\x00-\x08\x0b-\x1f\x7f]"  # one character: no control characters but line breaks and tabs
_SLASH = re.compile(r"(?<!\\)((?:\\\\)*)\\?/")  # a slash would end the pattern in a grammar
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ")


@dataclass(frozen=True)
class Lowered:
    """A hole's constraint, taken apart.

    Args:
        terminal: the regular part as a terminal of a Lark grammar.
        free: it allows every text.
        rest: what must be evaluated, None for nothing.
        at, before: phrases that end the hole, kept and dropped.
    """

    terminal: str
    free: bool
    rest: Where | None
    at: tuple[str, ...]
    before: tuple[str, ...]

    @property
    def grammar(self) -> str:
        return f"start: T\nT: {self.terminal}\n"


def lower(where: Where) -> Lowered:
    """Take a hole's constraint apart.

    Raises:
        TypeNotSupported: a stop phrase stands under `|` or `~`.
    """
    regular: list[Where] = []
    rest: list[Where] = []
    at: list[str] = []
    before: list[str] = []
    for part in where.parts if where.op == "and" else (where,):
        if part.op in ("stops_at", "stops_before"):
            (at if part.op == "stops_at" else before).extend(part.data[0])
            continue
        if any(leaf.op in ("stops_at", "stops_before") for leaf in leaves(part)):
            raise TypeNotSupported(
                f"{part} makes the end of a hole depend on other constraints.",
                "Join stops_at and stops_before by & only, and give them several phrases for alternatives.",
            )
        if part.op != "any":
            (regular if is_regular(part) else rest).append(part)
    constraints = [terminal_of(part) for part in regular]
    left = None if not rest else rest[0] if len(rest) == 1 else Where("and", parts=tuple(rest))
    phrases = tuple(dict.fromkeys((*at, *before)))
    if not phrases:
        return Lowered(_and(f"/{ANY}+/", *constraints), not constraints, left, (), ())
    if len(phrases) == 1 and len(phrases[0]) == 1 and not constraints:
        simple = f"/[^\\x00-\\x08\\x0b-\\x1f\\x7f{quoted(phrases[0])}]*{quoted(phrases[0])}/"
        return Lowered(simple, True, left, tuple(at), tuple(before))
    ends = []
    if at:
        ends.append(_and(f"(/{ANY}*/ {_any_of(tuple(at))})", *constraints))
    if before:
        body = _and(f"/{ANY}*/", *constraints, *[f"~(/(?s:.*)/ {_any_of((one,))} /(?s:.*)/)" for one in phrases])
        ends.append(f"({body}) {_any_of(tuple(before))}")
    once = f"~(/(?s:.*)/ {_any_of(phrases)} /(?s:.+)/)"
    either = " | ".join(f"({one})" for one in ends)
    return Lowered(f"({either}) & {once}", not constraints, left, tuple(at), tuple(before))


def is_regular(where: Where) -> bool:
    return all(leaf.op in ("one_of", "contains", "matches", "any") for leaf in leaves(where))


def terminal_of(where: Where) -> str:
    """The texts of a regular expression of constraints, as a terminal of a Lark grammar."""
    if where.op == "and":
        return _and(*map(terminal_of, where.parts))
    if where.op == "or":
        return "(" + " | ".join(map(terminal_of, where.parts)) + ")"
    if where.op == "not":
        return f"~({terminal_of(where.parts[0])})"
    if where.op == "one_of":
        return _any_of(where.data[0])
    if where.op == "contains":
        return f"/(?s:.*){quoted(where.data[0])}(?s:.*)/"
    if where.op == "matches":
        return "/(?:" + _SLASH.sub(r"\1\\x2f", where.data[0]) + ")/"
    return "/(?s:.*)/"


def quoted(text: str) -> str:
    """`text` as a regular expression that matches it alone, safe inside slashes and brackets."""
    return "".join(char if char in _PLAIN else f"\\x{{{ord(char):x}}}" for char in text)


def _any_of(texts: tuple[str, ...]) -> str:
    return "/(?:" + "|".join(map(quoted, texts)) + ")/"


def _and(*parts: str) -> str:
    return parts[0] if len(parts) == 1 else "(" + " & ".join(parts) + ")"
