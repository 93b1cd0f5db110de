"""Are sampled values always valid? Twelve types at temperature 1.0; baseline: the same prompts, free text, parsed."""

from __future__ import annotations

import datetime
import decimal
import enum
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Optional, TypedDict

from pydantic import BaseModel, Field

import thalweg as tw
from thalweg.errors import Error
from thalweg.eval.benches.samples import mails
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models.request import Format
from thalweg.program.session import current, model_in_force


class Mood(enum.Enum):
    CALM = "calm"
    ANGRY = "angry"
    HAPPY = "happy"


@dataclass
class Person:
    name: Annotated[str, Field(min_length=1, max_length=30)]
    age: Annotated[int, Field(ge=0, le=120)]


@dataclass
class Company:
    name: Annotated[str, Field(min_length=1, max_length=30)]
    founded: datetime.date


class Price(BaseModel):
    amount: Annotated[float, Field(ge=0, le=10_000)]
    currency: Literal["USD", "EUR", "GBP"]


class Place(TypedDict):
    city: Annotated[str, Field(max_length=30)]
    country: Annotated[str, Field(pattern=r"[A-Z]{2}")]


TYPES: dict[str, Any] = {
    "bool": bool,
    "int 0..100": Annotated[int, Field(ge=0, le=100)],
    "float": Annotated[float, Field(ge=-1, le=1)],
    "Literal": Literal["spam", "ham", "unsure"],
    "Enum": Mood,
    "date": datetime.date,
    "Decimal": decimal.Decimal,
    "list[str]": Annotated[list[Annotated[str, Field(max_length=20)]], Field(min_length=1, max_length=4)],
    "Optional[int]": Optional[Annotated[int, Field(ge=0, le=9999)]],  # noqa: UP045 - Annotated | None fails at run time
    "dataclass union": Person | Company,
    "pydantic model": Price,
    "TypedDict with pattern": Place,
}


def benchmark(quick: bool) -> Benchmark:
    return Benchmark("typed", "Are values sampled at temperature 1.0 always valid?", lambda: _run(60 if quick else 500))


def _run(calls: int) -> Sequence[Figure]:
    rows = mails("dev")
    each = [calls // len(TYPES) + (i < calls % len(TYPES)) for i in range(len(TYPES))]
    valid = parsed = 0
    seconds = [0.0, 0.0]
    failures: list[str] = []
    for (name, annotation), count in zip(TYPES.items(), each, strict=True):
        function = _function(annotation)
        with tw.using(cache=False, journal=False, temperature=1.0):
            session, model = current(), model_in_force(current())
            requests = []
            for i in range(count):
                inputs = {"mail": rows[i % len(rows)]["mail"][:300]}
                requests.append(function._request(inputs, replace(session, seed=i), model))
            started = time.perf_counter()
            answers = [model.submit(request) for request in requests]
            good = 0
            for answer in answers:
                try:
                    function.signature.output.decode(answer.result().text)
                    good += 1
                except Error as error:
                    failures.append(f"{name}: {error.what[:60]}")
            seconds[0] += time.perf_counter() - started
            valid += good
            free = Format("text", max_chars=400)
            started = time.perf_counter()
            loose = [
                model.submit(replace(one, format=free, sampling=replace(one.sampling, max_tokens=96), reserve=4))
                for one in requests
            ]
            parsed += sum(_parses(function, one.result().text) for one in loose)
            seconds[1] += time.perf_counter() - started
    note = "; ".join(failures[:3])
    return [
        Figure(
            "typed", "share of valid values", valid / calls, parsed / calls, _ratio(valid, parsed), "share", calls, note
        ),
        Figure(
            "typed",
            "calls per second",
            calls / seconds[0],
            calls / seconds[1],
            seconds[1] / seconds[0],
            "calls/s",
            calls,
            "baseline writes free text of at most 96 tokens, then parses",
        ),  # fmt: skip
    ]


def _function(annotation: Any) -> tw.Learned[..., Any]:
    def invent(mail: str): ...

    invent.__doc__ = "Read the e-mail and make up a fitting answer of the wanted form."
    invent.__annotations__["return"] = annotation
    invent.__annotations__["mail"] = str
    return tw.learned(invent)


def _parses(function: tw.Learned[..., Any], text: str) -> bool:
    """As a careful user would: the text itself, or the first JSON in it, or in a code fence."""
    candidates = [text.strip(), text.strip().strip("`").removeprefix("json").strip()]
    for opening, closing in ("{}", "[]"):
        if opening in text and closing in text:
            candidates.append(text[text.index(opening) : text.rindex(closing) + 1])
    for candidate in candidates:
        try:
            function.signature.output.decode(candidate)
            return True
        except Error:
            continue
    return False


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None
