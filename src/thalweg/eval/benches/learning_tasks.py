"""Three tasks with right answers, for benchmarks of what makes a program better: sorting, extracting, choosing.

- `mail`: spam or ham, the real mails of `examples/mail`; asked as the user of a library would first ask it.
- `genus`: the genus term of a definition ("a device for lighting fuel" -> "device"), from WordNet: the name of the
  hypernym where it stands in the gloss.
- `word`: which of four words a definition defines, from WordNet; the other three are from the same lexical field.

Every task has train, dev and test rows that share no definition, drawn with a fixed seed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

import thalweg as tw
from thalweg.eval.benches.samples import mails
from thalweg.eval.benches.wordnet import Synset, nouns
from thalweg.optimizing import Example, exact_match
from thalweg.prompting.choice_shuffle import ChoiceShuffle


@dataclass(frozen=True)
class Task:
    """A program to improve, and the rows to do it with."""

    name: str
    program: Any
    metric: Callable[..., Any]
    train: Sequence[Example]
    dev: Sequence[Example]
    test: Sequence[Example]


@tw.learned
def spam(mail: str) -> Literal["spam", "ham"]:
    """Is this e-mail spam (unwanted advertising, fraud) or ham (a real person or a mailing list)?"""
    ...


@tw.learned
def genus(definition: str) -> Annotated[str, Field(min_length=1, max_length=40)]:
    """Extract the genus term: the word in the definition that names the wider kind of thing."""
    ...


@tw.learned(strategy=ChoiceShuffle("given"))  # the answer is one of the options
def word(definition: str, options: list[str]) -> str:
    """Which word has this definition?"""
    ...


def mail_task(train: int = 40, dev: int = 60, test: int = 200) -> Task:
    """At most 100 mails to learn from and choose by, the whole test split of 200 to measure with."""

    def rows(split: str, count: int) -> list[Example]:
        return [Example({"mail": one["mail"]}, one["label"], number) for number, one in enumerate(mails(split)[:count])]

    return Task("mail", spam, exact_match, rows("train", train), rows("dev", dev), rows("test", test))


def genus_task(train: int = 40, dev: int = 60, test: int = 200) -> Task:
    synsets = nouns()
    found = []
    for one in synsets.values():
        wider = synsets.get(one.hypernym)
        if wider is None or not 5 <= len(one.gloss.split()) <= 20:
            continue
        name = next((name for name in wider.names if re.search(rf"\b{re.escape(name)}\b", one.gloss)), None)
        if name is not None:
            found.append(Example({"definition": one.gloss}, name))
    return Task("genus", genus, same_words, *_drawn(found, train, dev, test))


def word_task(train: int = 40, dev: int = 60, test: int = 200) -> Task:
    fields: dict[str, list[Synset]] = {}
    for one in nouns().values():
        if one.names[0].isascii() and one.names[0].islower() and 5 <= len(one.gloss.split()) <= 20:
            fields.setdefault(one.field, []).append(one)
    rng = random.Random(20)
    found = []
    for members in fields.values():
        if len(members) < 400:
            continue
        for one in rng.sample(members, 40):
            others = [other.names[0] for other in rng.sample(members, 3)]
            options = [one.names[0], *others]
            if len(set(options)) < 4 or any(name in one.gloss for name in options):
                continue
            rng.shuffle(options)
            found.append(Example({"definition": one.gloss, "options": options}, one.names[0]))
    return Task("word", word, exact_match, *_drawn(found, train, dev, test))


TASKS = {"mail": mail_task, "genus": genus_task, "word": word_task}


def same_words(example: Example, output: str) -> tw.Score:
    """1 where the same words were named, whatever case and article they have."""
    wanted, got = (re.sub(r"^(a|an|the) ", "", text.strip().strip(".").lower()) for text in (example.label, output))
    right = wanted == got
    return tw.Score(float(right), "" if right else f"the answer was {got!r}, right is {wanted!r}")


def _drawn(examples: list[Example], *counts: int) -> list[list[Example]]:
    rng = random.Random(10)
    drawn = iter(rng.sample(examples, sum(counts)))
    return [[next(drawn) for _ in range(count)] for count in counts]
