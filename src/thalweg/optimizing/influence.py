"""How much a few words in an instruction move a model's probability of the right label: measured, never guessed.

`Rewards` scores phrases put before or behind an instruction by the mean log-probability of the right labels of some
examples (not accuracy, which hardly moves on so few); `Influence` is what each word alone adds to it. Source: Zhou et
al. 2023, "Survival of the Most Influential Prompts: Efficient Black-Box Prompt Search via Clustering and Pruning".
Cost: one call an example and phrase; calls of one phrase share the prompt up to their inputs.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from thalweg.errors import ContextOverflow, DataError, SearchError
from thalweg.optimizing.example import Example
from thalweg.optimizing.search import Search
from thalweg.program import Learned
from thalweg.program.budget import Limit
from thalweg.program.spaces import Genome
from thalweg.program.types import jsonable

Phrase = tuple[str, ...]
Position = Literal["prefix", "suffix"]

_CALLS_AT_ONCE = 512
_LEAST = 1e-12  # a label that the model holds impossible must not outweigh all others


class NoRoom(Exception):
    """The budget pays for no further phrase and the choice among those found; not an error."""


@dataclass(frozen=True)
class Influence:
    """What each word, alone, does to the mean log-probability of the right label.

    Args:
        without: nats an example without a word. gains: nats that a word adds (or takes), in the order measured.
    """

    without: float
    gains: Mapping[str, float]

    def strongest(self, share: float) -> list[str]:
        """The given share of the words (at least one), those that add most first."""
        ranked = sorted(self.gains, key=lambda word: -self.gains[word])
        return ranked[: max(1, round(share * len(ranked)))]

    def concentration(self, share: float) -> float:
        """The part of all absolute influence that the given share of the words (at least one) holds; even influence
        would give the share itself."""
        sizes = sorted((abs(gain) for gain in self.gains.values()), reverse=True)
        total = sum(sizes)
        return sum(sizes[: max(1, round(share * len(sizes)))]) / total if total else 0.0


class Rewards:
    """Phrases to rewards: the mean natural log-probability of the right label over some examples.

    Args:
        start: the genome whose instruction is added to. examples: with labels of the function's finite type.
        position: `suffix` puts words behind the instruction, so that phrases share its cached beginning; `prefix`
            before it, so that they share nothing.
        reserved: calls to leave in the budget for choosing among what is found.

    Raises:
        SearchError: the program is not one function of a finite type. DataError: a label that is none of its values.
    """

    def __init__(
        self, search: Search, start: Genome, examples: Sequence[Example], position: Position, reserved: int
    ) -> None:
        self.search = search
        self.path = f"{classifier(search).name}/instruction"
        self.known: dict[Phrase, float] = {}
        self._start = start
        self._right = [(example.inputs(search.names), right_index(search.program, example)) for example in examples]
        self._position = position
        self._reserved = reserved
        self._began = search.spent
        if not self._right:
            raise SearchError("There is no labelled example to measure words by.", "Give `train` examples.")

    def genome(self, phrase: Phrase) -> Genome:
        """The start with a phrase added to its instruction."""
        instruction, added = str(self._start[self.path]).strip(), " ".join(phrase)
        parts = [instruction, added] if self._position == "suffix" else [added, instruction]
        return self._start.replace({self.path: " ".join(part for part in parts if part)})

    def __call__(self, phrases: Sequence[Phrase], asked_for: str) -> list[float]:
        """Rewards in order; what was asked before is free. Raises `NoRoom` after what the budget pays for."""
        wanted = [phrase for phrase in dict.fromkeys(phrases) if phrase not in self.known]
        at_once = max(1, _CALLS_AT_ONCE // len(self._right))
        while wanted:
            room = self._room()
            if room < 1:
                raise NoRoom
            count = int(min(at_once, room))
            self._ask(wanted[:count], asked_for)
            wanted = wanted[count:]
        return [self.known[phrase] for phrase in phrases]

    def best(self) -> Phrase:
        """The phrase of the highest reward, the shortest of equals."""
        return max(self.known, key=lambda phrase: (self.known[phrase], -len(phrase)))

    def _ask(self, phrases: Sequence[Phrase], asked_for: str) -> None:
        with self.search.asking(asked_for):
            started: list[list[Any]] = []
            for phrase in phrases:
                function = self.search.bound(self.genome(phrase))
                started.append([function.submit_distribution(**inputs) for inputs, _ in self._right])
            for phrase, values in zip(phrases, started, strict=True):
                total = 0.0
                for value, (_, right) in zip(values, self._right, strict=True):
                    try:
                        total += math.log(max(list(value.result().values())[right], _LEAST))
                    except ContextOverflow:
                        total = -math.inf
                self.known[phrase] = total / len(self._right)

    def _room(self) -> float:
        """How many further phrases the budget pays for."""
        spent = self.search.spent
        calls = spent.calls - self._began.calls
        tokens = (spent.tokens - self._began.tokens) / calls if calls else 0.0
        each: dict[Limit, float] = {"calls": 1.0, "tokens": tokens}
        left = [self.search.budget.left(name, spent) / cost for name, cost in each.items() if cost]
        return (min(left) - self._reserved) // len(self._right)


def influence(rewards: Rewards, words: Sequence[str]) -> Influence:
    """What each word alone adds. Where the budget ends it, of the words until there."""
    without = rewards([()], "influence")[0]
    with contextlib.suppress(NoRoom):
        rewards([(word,) for word in words], "influence")
    gains = {word: rewards.known[(word,)] - without for word in words if (word,) in rewards.known}
    if not gains:
        raise NoRoom
    return Influence(without, gains)


def classifier(search: Search) -> Learned[..., Any]:
    """The program, a learned function of a finite type. Raises `SearchError` saying why it is none."""
    program = search.program
    if not isinstance(program, Learned):
        raise SearchError(
            f"Words are measured by the label probabilities of one learned function, and `{search.space.name}` is a "
            "flow.",
            "Search its function alone, with labelled examples of that step.",
        )
    output = program.signature.output
    if output.values() is None or output.format.kind != "choices":
        raise SearchError(
            f"`{program.name}` returns one of infinitely many values, whose probabilities cannot be compared.",
            "Give it a finite type (bool, Literal, Enum), or use an optimizer that only needs a metric.",
        )
    if f"{program.name}/instruction" not in search.space:
        raise SearchError(
            f"The instruction of `{program.name}` is not open in this space.", "Search the whole space, or select it."
        )
    return program


def right_index(function: Learned[..., Any], example: Example) -> int:
    """Where an example's label stands among the values of the function's type. Raises `DataError`."""
    output = function.signature.output
    label = jsonable(example.label)
    forms = [output.to_json(value) for value in output.values() or ()]
    for index, form in enumerate(forms):
        if form == label and type(form) is type(label):
            return index
    for index, form in enumerate(forms):  # a table of text has its numbers and truth values as text
        if isinstance(label, str) and not isinstance(form, str) and str(form).lower() == label.strip().lower():
            return index
    raise DataError(
        f"The label {example.label!r:.60} of example {example.number} is no value of `{function.name}`, which returns "
        f"one of: {', '.join(map(str, forms))[:200]}.",
        "Correct the label, or the function's type.", row=example.number,
    )  # fmt: skip
