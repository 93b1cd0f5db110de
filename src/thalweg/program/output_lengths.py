"""How long answers are expected to be: what the journal has seen of a function, else a guess by its type.

Only tokens that a model draws count; what a constraint forces costs no pass. Cost: one query a function.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from thalweg.models.request import Format
from thalweg.models.request_codec import answer_from_json
from thalweg.program.store import Store

LATEST = 200  # calls looked at
UNKNOWN = 16  # tokens of an answer of unlimited length


class Length(NamedTuple):
    """Tokens drawn for an answer; `seen`: how many answers of the journal it is the mean of, 0 for a guess."""

    tokens: float
    seen: int


def expected_length(function: str, format: Format, store: Store | None, tokenizer: Any = None) -> Length:
    """The expected length of an answer of `function`."""
    if store is not None:
        drawn = [
            usage.output_tokens - usage.forced_tokens
            for text in store.answers_of(function, LATEST)
            if (usage := answer_from_json(text).usage).output_tokens
        ]
        if drawn:
            return Length(sum(drawn) / len(drawn), len(drawn))
    return Length(guessed_length(format, tokenizer), 0)


def guessed_length(format: Format, tokenizer: Any = None) -> float:
    """By the type alone: of a choice one token decides, other texts have a quarter of their characters as tokens."""
    if format.kind == "choices":
        return 1.0
    return float(min(UNKNOWN, max(1, (format.max_chars or 4 * UNKNOWN) // 4)))
