"""Does a Lark grammar have a finite text? `check_productive` refuses one that could only be written for ever.

A rule is productive when one of its alternatives consists of terminals and productive rules only; ``start: "a" start``
has none, and a decoder that follows it never ends. The least fixed point over the rules decides it (Hopcroft and
Ullman 1979, section 4.4). Reads as much of Lark's notation as that needs; what it cannot read is left to the engine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from thalweg.errors import UnsatisfiableConstraint

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<comment>//[^\n]*) | (?P<directive>%(?:json|regex|lark)\b|%[a-z_]+[^\n]*) |
        (?P<string>"(?:\\.|[^"\\])*"i?) | (?P<regex>/(?:\\.|[^/\\\n])+/[a-z]*) | (?P<special><[^>\n]*>) |
        (?P<attributes>\[\s*(?:max_tokens|temperature|stop|suffix|capture|lazy)\b[^\]]*\]) |
        (?P<head>[?!]?[A-Za-z_][A-Za-z0-9_]*(?:\.-?[0-9]+)?(?:\[[^\]\n]*\])?\s*:(?!:)) |
        (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:::[A-Za-z_0-9]+)*) | (?P<repeat>\{[^}]*\}|~\s*[0-9]+(?:\s*\.\.\s*[0-9]+)?) |
        (?P<arrow>->\s*[A-Za-z_]+) | (?P<sign>[()\[\]|*+?&~.,])
    )""",
    re.VERBOSE,
)
Item = tuple[str, str]


def check_productive(grammar: str) -> None:
    """Raises `UnsatisfiableConstraint` where no finite text can be derived from ``start``."""
    rules = _rules(grammar)
    if rules is None or "start" not in rules:
        return  # the engine says what is wrong with it
    productive: set[str] = set()
    while True:
        found = {name for name, body in rules.items() if name not in productive and _derives(body, productive, rules)}
        if not found:
            break
        productive |= found
    if "start" not in productive:
        stuck = sorted(set(rules) - productive)
        raise UnsatisfiableConstraint(
            f"The grammar never ends: no finite text can be derived from {', '.join(stuck[:5])}.",
            "Give every recursive rule an alternative without the recursion.",
        )


def _rules(grammar: str) -> dict[str, list[Item]] | None:
    """The items of every rule; None for what cannot be read."""
    rules: dict[str, list[Item]] = {}
    current: list[Item] | None = None
    at = 0
    while grammar[at:].strip():
        match = _TOKEN.match(grammar, at)
        if match is None:
            return None
        at = match.end()
        kind, text = str(match.lastgroup), match[0].strip()
        if kind == "directive":
            if text in ("%json", "%regex", "%lark"):  # an embedded grammar: taken as productive, up to its end
                return None
            current = None
        elif kind == "head":
            name = re.match(r"[?!]?([A-Za-z_][A-Za-z0-9_]*)", text)
            assert name is not None
            current = rules.setdefault(name[1], [])
            if current:
                current.append(("sign", "|"))
        elif kind not in ("comment", "arrow", "attributes"):
            if current is None:
                return None
            current.append((kind, text))
    return rules


def _derives(body: Sequence[Item], productive: set[str], rules: dict[str, list[Item]]) -> bool:
    """Whether an alternative of the body consists of productive items."""
    position = 0

    def alternatives(closing: str) -> bool:
        nonlocal position
        any_productive, this = False, True
        while position < len(body):
            kind, text = body[position]
            if kind == "sign" and text == closing:
                position += 1
                break
            position += 1
            if kind == "sign" and text == "|":
                any_productive, this = any_productive or this, True
                continue
            if kind == "sign" and text in ("(", "["):
                found = alternatives(")" if text == "(" else "]") or text == "["
            elif kind == "name":
                found = text in productive or text not in rules
            else:
                found = True
            if position < len(body) and (
                body[position][1] in ("*", "?") or re.fullmatch(r"\{\s*0?\s*,.*\}|~\s*0.*", body[position][1])
            ):
                found = True
            this = this and found
        return any_productive or this

    return alternatives("")
