"""Irrelevant sentences put into word problems, to measure whether a program ignores them. `distracted`.

Three properties, as in GSM-IC: on the topic of the problem or not, about a person of the problem or a new one, with a
number in the range of the problem's numbers or far out of it. Choose it to calibrate `IgnoreIrrelevant` and to test any
program on problems. Source: Shi et al., 2023, "Large language models can be easily distracted by irrelevant context"
(the design; sentences are our own). Cost: microseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from thalweg.prompting.word_problem import NUMBER, split_problem

NAMES = ("Oswald", "Petra", "Quentin", "Rosalind", "Tobias", "Ulrike", "Viktor", "Winifred")
RELATIVES = ("brother", "sister", "uncle", "neighbour", "cousin", "grandmother")
ON_TOPIC = (
    "Last winter {who} counted {n} {things} in a catalogue.", "{who} once gave away {n} {things} to a museum.",
    "Ten years ago {who} dreamed of owning {n} {things}.", "{who} read a book about {n} {things} as a child.",
)  # fmt: skip
OFF_TOPIC = (
    "{who} lives {n} kilometres from the nearest lighthouse.", "{who} can hold a breath for {n} seconds.",
    "The piano of {who} was built with {n} keys.", "{who} has watched the same film {n} times.",
    "The telephone number of {who} ends with {n}.", "{who} climbs {n} steps to reach the attic.",
)  # fmt: skip
_NOT_NAMES = frozenset(
    "A After All Also An And As At Before But By During Each Every First For From He Her His How However If In It Its "
    "Last My Of On One She So Some Sunday Saturday Friday Thursday Wednesday Tuesday Monday That The Their Then There "
    "These They This To Today Tomorrow Two Three Four Five Six What When While Who With Yesterday You Your".split()
)
_THINGS = re.compile(r"\d\s+((?:[a-z]+\s)?[a-z]{2,}s)\b")


@dataclass(frozen=True)
class Distracted:
    """A problem with an irrelevant sentence: the new text, the sentence, and what kind it is."""

    text: str
    sentence: str
    on_topic: bool
    known_person: bool
    in_range: bool


def distracted(
    text: str, random: Random, *, on_topic: bool | None = None, known_person: bool | None = None,
    in_range: bool | None = None,
) -> Distracted:  # fmt: skip
    """Put one irrelevant sentence among the conditions of a problem; kinds that are not said are drawn.

    A problem without a recognisable name or thing gets "the shopkeeper" and "boxes". The number is never one of the
    problem's own. Raises `DataError` for a blank text.
    """
    on_topic, known_person, in_range = (
        random.random() < 0.5 if one is None else one for one in (on_topic, known_person, in_range)
    )
    problem = split_problem(text)
    numbers = [float(one.replace(",", "")) for one in NUMBER.findall(text) if one.count(".") < 2]
    names = [one for one in re.findall(r"\b[A-Z][a-z]+\b", text) if one not in _NOT_NAMES]
    if known_person:
        person = f"{names[0]}'s {random.choice(RELATIVES)}" if names else "The shopkeeper"
    else:
        person = random.choice([one for one in NAMES if one not in names])
    things = _THINGS.findall(text)
    high = max(int(max(numbers, default=20)), 10)
    taken = {int(one) for one in numbers}
    span = range(2, high + 1) if in_range else range(100 * high, 120 * high)
    number = random.choice([one for one in span if one not in taken] or [high + 1])
    sentence = random.choice(ON_TOPIC if on_topic else OFF_TOPIC).format(
        who=person, n=number, things=random.choice(things) if things else "boxes"
    )
    sentence = sentence[0].upper() + sentence[1:]
    at = random.randint(0, problem.at)
    parts = [*problem.conditions[:at], sentence, *problem.conditions[at : problem.at], problem.question]
    if at and parts[at - 1][-1:] in ",;":  # not into the middle of a sentence: before it
        while at and parts[at - 1][-1:] in ",;":
            parts[at - 1], parts[at] = parts[at], parts[at - 1]
            at -= 1
    return Distracted(" ".join((*parts, *problem.conditions[problem.at :])), sentence, on_topic, known_person, in_range)
