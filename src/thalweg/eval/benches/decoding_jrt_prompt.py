"""Does showing the inputs twice help, and what does it cost? Read once, RE2 (question again), read twice.

Two small tasks of ours: fields of a record that stands in a page of prose, and which of the library's errors has a
given meaning, read from the reference of errors. The same questions in all arms, so differences are paired; the
interval is a bootstrap over questions. The published gain is for recurrent models; this one is a Transformer, which
can look back, so little is expected here.
"""

from __future__ import annotations

import inspect
import random
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import thalweg as tw
from thalweg import errors
from thalweg.decoding.longcontext.needles import dull
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models import load
from thalweg.prompting import ReadTwice, ReRead
from thalweg.scheduling import Engine

NAME = "decoding.jrt_prompt"
ARMS = ("once", "RE2", "twice")

FIELDS: dict[str, tuple[str, ...]] = {
    "customer": ("Ines Braun", "Tom Okafor", "Mei Lindqvist", "Paul Duarte", "Rosa Keller", "Omar Haddad"),
    "item": ("desk lamp", "oak shelf", "wool rug", "garden hose", "tea kettle", "bicycle bell"),
    "colour": ("red", "green", "grey", "black", "white", "yellow"),
    "city": ("Porto", "Leipzig", "Turin", "Bergen", "Ghent", "Tampere"),
    "carrier": ("Northline", "Swift Post", "Railway Parcel", "Blue Van", "Harbour Freight", "Dove Express"),
}


VALUES = tuple(value for values in FIELDS.values() for value in values)


@tw.learned
def field(document: str, question: str) -> Literal[VALUES]:  # type: ignore[valid-type]
    """Answer the question about the order described in the document."""
    ...


@dataclass(frozen=True)
class Question:
    """One call of a learned function and its right answer."""

    inputs: tuple[str, str]
    answer: str


def benchmark(quick: bool) -> Benchmark:
    question = "Does showing the inputs twice help a small Transformer, and what does it cost?"
    return Benchmark(NAME, question, lambda: list(_run(quick)))


def _run(quick: bool) -> Iterator[Figure]:
    engine = Engine(load(streams=2, context=4096), workers=1)
    try:
        with tempfile.TemporaryDirectory() as folder, tw.using(
            model=engine, store=folder, cache=False, journal=False, progress=False, max_tokens=24
        ):  # fmt: skip
            yield from _task("fields of a record", field, _records(2 if quick else 10, 8 if quick else 75))
            yield from _task("questions about our errors", *_reference(8 if quick else None))
    finally:
        engine.close()


def _task(what: str, function: tw.Learned[..., Any], questions: Sequence[Question]) -> Iterator[Figure]:
    arms = {"once": function, "RE2": ReRead(function), "twice": ReadTwice(function)}
    right: dict[str, list[int]] = {}
    tokens: dict[str, float] = {}
    for name in ARMS:
        answers = arms[name].map([question.inputs for question in questions])
        right[name] = [_same(answer, question.answer) for answer, question in zip(answers, questions, strict=True)]
        sizes = [len(arms[name].render(*question.inputs).tokens) for question in questions]
        tokens[name] = statistics.mean(sizes)
    base = statistics.mean(right["once"])
    for name in ARMS[1:]:
        value = statistics.mean(right[name])
        low, high = _interval([a - b for a, b in zip(right[name], right["once"], strict=True)])
        note = f"difference {value - base:+.3f}, 95 % from {low:+.3f} to {high:+.3f} (paired bootstrap)"
        ratio = value / base if base else None
        yield Figure(
            NAME, f"{what}: right answers, {name} against once", value, base, ratio, "share", len(questions), note
        )  # fmt: skip
        yield Figure(NAME, f"{what}: prompt tokens, {name} against once", tokens[name], tokens["once"],
                     tokens["once"] / tokens[name], "tokens", len(questions), "mean of a call")  # fmt: skip


def _same(answer: Any, expected: str) -> int:
    return int(str(answer).strip().rstrip(".").lower() == expected.lower())


def _interval(differences: list[int]) -> tuple[float, float]:
    rng = random.Random(0)
    means = sorted(statistics.mean(rng.choices(differences, k=len(differences))) for _ in range(2000))
    return means[50], means[-51]


def _records(documents: int, lines: int) -> list[Question]:
    """Every document holds one record in the midst of `lines` sentences, and is asked for each field."""
    made = []
    for number in range(documents):
        rng = random.Random(number)
        record = {name: rng.choice(values) for name, values in FIELDS.items()}
        told = [f"The {name} of order {4000 + number} is {value}." for name, value in record.items()]
        prose = dull(lines, seed=number)
        for sentence in told:
            prose.insert(rng.randrange(len(prose) + 1), sentence)
        document = " ".join(prose)
        made += [
            Question((document, f"What is the {name} of order {4000 + number}?"), value)
            for name, value in record.items()
        ]
    return made


def _reference(count: int | None) -> tuple[tw.Learned[..., Any], list[Question]]:
    """The reference of errors as one document, its meanings as questions, and a function that answers with a name."""
    found = {
        name: " ".join((inspect.getdoc(one) or "").split("\n\n")[0].split())
        for name, one in vars(errors).items()
        if inspect.isclass(one) and issubclass(one, errors.Error) and one is not errors.Error
    }
    names = list(found)[:count]
    document = "\n".join(f"{name}: {found[name]}" for name in names)

    def which(reference: str, meaning: str): ...

    which.__doc__ = "Which error of the reference has this meaning?"
    which.__annotations__ |= {"reference": str, "meaning": str, "return": Literal[tuple(names)]}
    return tw.learned(which), [Question((document, found[name]), name) for name in names]
