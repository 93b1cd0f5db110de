"""Planted facts: documents of dull sentences with a few facts among them, and a question about one of the facts.

Used to find the layer at which a model looks for what it is asked about (see `calibrate`). Everything is a function of
the seed. Source: Kamradt, 2023, "Needle in a haystack".
"""

from __future__ import annotations

import random
from dataclasses import dataclass

WHO = ("The clerk", "A neighbour", "The miller", "Our cousin", "The guard", "A painter", "The captain", "The baker")
DID = ("walked along", "looked at", "remembered", "described", "measured", "swept", "drew", "waited by")
WHAT = ("the old bridge", "a narrow street", "the market", "some wet stones", "the long wall", "a quiet garden")
WHEN = ("in the morning", "after the rain", "on Tuesday", "before supper", "in early spring", "late at night")
PLACES = (
    "harbour",
    "library",
    "greenhouse",
    "observatory",
    "chapel",
    "stable",
    "bakery",
    "museum",
    "lighthouse",
    "mill",
)


@dataclass(frozen=True)
class Needle:
    """One fact: its sentence, where it begins in the document (characters), and a question with its answer."""

    text: str
    start: int
    question: str
    answer: str

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True)
class Planted:
    """A document and the facts in it, in order."""

    text: str
    needles: tuple[Needle, ...]


def plant(sentences: list[str], depths: list[float], *, seed: int = 0) -> Planted:
    """`sentences` with one fact for each of `depths` (0: the beginning, 1: the end) put between them."""
    rng = random.Random(seed)
    places = rng.sample(PLACES, len(depths))
    facts = [f"The code of the {place} is {rng.randrange(10_000, 100_000)}." for place in places]
    slots = [round(depth * len(sentences)) for depth in depths]
    text, needles = "", []
    for i in range(len(sentences) + 1):
        for slot, place, fact in zip(slots, places, facts, strict=True):
            if slot == i:
                needles.append(Needle(fact, len(text), f"What is the code of the {place}?", fact[-6:-1]))
                text += fact + " "
        if i < len(sentences):
            text += sentences[i] + " "
    return Planted(text, tuple(needles))


def dull(count: int, *, seed: int = 0) -> list[str]:
    """Sentences that hold no fact anyone asks about."""
    rng = random.Random(seed)
    return [f"{rng.choice(WHO)} {rng.choice(DID)} {rng.choice(WHAT)} {rng.choice(WHEN)}." for _ in range(count)]
