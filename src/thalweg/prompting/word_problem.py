"""A word problem taken apart: its conditions and its question. `split_problem`.

Sentences are cut at full stops, question and exclamation marks (not in numbers or after common abbreviations); one with
more than one number is cut again at commas, so that a condition holds at most one quantity where commas allow it.
Source: the preparation of I3C (see `i3c.py`). Cost: microseconds; joining the parts gives every word back, in order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thalweg.errors import DataError

NUMBER = re.compile(r"\d+(?:[,.]\d+)*")
_END = re.compile(r"""[.!?]+["'”’)\]]*(?=\s)""")
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Prof|Jr|Sr|vs|etc|approx|No|e\.g|i\.e)\.$")
_DOTTED = re.compile(r"\b[A-Za-z]\.[A-Za-z]\.$")
_CLAUSE = re.compile(r"[,;](?=\s)")


@dataclass(frozen=True)
class WordProblem:
    """Conditions in order, the question, and before which condition it stands (their number: after all of them)."""

    conditions: tuple[str, ...]
    question: str
    at: int

    @property
    def text(self) -> str:
        """All parts in their order, one space between them."""
        return " ".join((*self.conditions[: self.at], self.question, *self.conditions[self.at :]))


def split_problem(text: str) -> WordProblem:
    """Conditions and question of a text.

    The question is the last sentence with a question mark, else the last sentence; of a text of one sentence it is the
    last clause, and the clauses before it are the conditions.

    Raises:
        DataError: the text is blank.
    """
    sentences = _cut(text, _END)
    if not sentences:
        raise DataError("A problem without any text has no question.", "Leave blank rows out.")
    if len(sentences) == 1:
        clauses = _cut(sentences[0], _CLAUSE)
        return WordProblem(_of_one_quantity(clauses[:-1]), clauses[-1], len(_of_one_quantity(clauses[:-1])))
    asking = [index for index, one in enumerate(sentences) if "?" in one]
    chosen = asking[-1] if asking else len(sentences) - 1
    before = [part for one in sentences[:chosen] for part in conditions_of(one)]
    after = [part for one in sentences[chosen + 1 :] for part in conditions_of(one)]
    return WordProblem((*before, *after), sentences[chosen], len(before))


def conditions_of(sentence: str) -> tuple[str, ...]:
    """A sentence as conditions of at most one number each, where commas allow it."""
    return _of_one_quantity(_cut(sentence, _CLAUSE))


def problem_of(inputs: Mapping[str, Any], name: str = "") -> str:
    """The text of the problem among the inputs: that of this name, else the longest text.

    Raises:
        DataError: there is no text.
    """
    texts = {key: value for key, value in inputs.items() if isinstance(value, str) and name in ("", key)}
    if not texts:
        raise DataError(
            f"No text is among the inputs {', '.join(map(repr, inputs))}{f' under {name!r}' if name else ''}.",
            "Name the input that holds the problem, which must be a str.",
        )
    return max(texts.values(), key=len)


def _cut(text: str, ends: re.Pattern[str]) -> list[str]:
    """Stripped pieces of a text, each ending with what `ends` matches."""
    pieces, start = [], 0
    for match in ends.finditer(text):
        before = text[start : match.end()]
        if match[0] == "." and _ABBREVIATION.search(before):
            continue
        if _DOTTED.search(before) and text[match.end() :].lstrip()[:1].islower():  # "at 4 p.m. sharp"
            continue
        pieces.append(text[start : match.end()])
        start = match.end()
    pieces.append(text[start:])
    return [" ".join(piece.split()) for piece in pieces if piece.strip()]


def _of_one_quantity(clauses: list[str]) -> tuple[str, ...]:
    """Neighbouring clauses joined as long as they hold at most one number together."""
    joined: list[str] = []
    for clause in clauses:
        if joined and len(NUMBER.findall(f"{joined[-1]} {clause}")) <= 1:
            joined[-1] = f"{joined[-1]} {clause}"
        else:
            joined.append(clause)
    return tuple(joined)
