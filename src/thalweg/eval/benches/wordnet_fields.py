"""A task for searches over prompts: which of four kinds of thing a definition of WordNet is of."""

from __future__ import annotations

import random
from typing import Literal

import thalweg as tw
from thalweg.eval.benches.wordnet import nouns
from thalweg.optimizing import Example

FIELDS = {"05": "animal", "06": "artifact", "13": "food", "20": "plant"}  # lexical fields of WordNet


@tw.learned
def kind(definition: str) -> Literal["animal", "artifact", "food", "plant"]:
    """What does this definition describe?"""
    ...


def field_examples(*counts: int) -> list[list[Example]]:
    """Disjoint parts of so many definitions, the four kinds in equal shares of all."""
    rng = random.Random(4)
    by_field: dict[str, list[Example]] = {name: [] for name in FIELDS.values()}
    for one in nouns().values():
        if one.field in FIELDS and 4 <= len(one.gloss.split()) <= 20:
            label = FIELDS[one.field]
            by_field[label].append(Example({"definition": one.gloss}, label))
    each = -(-sum(counts) // len(FIELDS))
    drawn = [example for members in by_field.values() for example in rng.sample(members, each)]
    rng.shuffle(drawn)
    rows = iter(drawn)
    return [[next(rows) for _ in range(count)] for count in counts]
