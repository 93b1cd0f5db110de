"""What a proposer is, what one that reflects is shown, and how their texts are cleaned."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from thalweg.optimizing.example import Example
from thalweg.optimizing.search import Search

LONGEST = 800  # characters of an instruction
_OPENING = re.compile(
    r"^(?:(?:sure|certainly|okay|ok|here (?:is|are)[^:\n]*|(?:the |a |new |better |improved |revised )*"
    r"(?:instruction|prompt|rule)s?)\s*[:!.]\s*)+",
    re.IGNORECASE,
)


class Proposer(Protocol):
    """Writes instructions for one learned function."""

    @property
    def name(self) -> str: ...

    def propose(self, search: Search, path: str, n: int) -> list[str]:
        """At most `n` instructions for the function at `path`, the likeliest first; none is the one in force."""
        ...


@dataclass(frozen=True)
class Failing:
    """A run that went wrong, for those who reflect.

    Args:
        inputs, output: of the function that is to be improved, as JSON data (its last call; None: it was not called).
        answer: of the program. score, feedback: the metric's.
    """

    example: Example
    inputs: Any
    output: Any
    answer: Any
    score: float
    feedback: str = ""


class Reflector(Protocol):
    """Rewrites an instruction from what went wrong under it."""

    @property
    def name(self) -> str: ...

    def reflect(self, search: Search, path: str, instruction: str, failing: Sequence[Failing], turn: int) -> list[str]:
        """Better instructions, the likeliest first. `turn` counts the questions, so that equal ones may differ."""
        ...


def cleaned(texts: Iterable[Any], *, known: Sequence[str] = ()) -> list[str]:
    """Texts that can be instructions, in order: without quotes and polite openings, not empty, not endless, no two
    alike, none of `known`."""
    seen = {_key(one) for one in known}
    found: list[str] = []
    for one in texts:
        text = tidy(one) if isinstance(one, str) else ""
        key = _key(text)
        if text and len(text) <= LONGEST and re.search(r"[^\W\d_]{2}", text) and key not in seen:
            seen.add(key)
            found.append(text)
    return found


def tidy(text: str) -> str:
    """The first paragraph of what a model wrote, without decoration; a cut last sentence is dropped."""
    paragraphs = [_OPENING.sub("", one.strip("`*\"' \n")).strip() for one in re.split(r"\n\s*\n", text.strip())]
    shown = next((one for one in paragraphs if one), "")
    if not shown:
        return ""
    shown = re.sub(r"^(?:[-*•]|\d+[.)])\s+", "", shown).strip("`*\"' \n")
    shown = re.sub(r"[ \t]+", " ", shown)
    if len(shown) > 80 and shown[-1] not in ".!?:)" and (end := max(shown.rfind(mark) for mark in ".!?")) > 20:
        shown = shown[: end + 1]
    return shown


def in_force(search: Search, path: str) -> str:
    """The instruction of the best program so far."""
    fitting = [one for one in search.trials if f"{path}/instruction" in one.genome.space]
    best = max(fitting, key=lambda trial: (trial.score, -trial.number))
    return best.genome[f"{path}/instruction"]


def _key(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().casefold()
