"""Programs and scripted models for tests of optimizers: errors that are deterministic and that demonstrations mend."""

from __future__ import annotations

import re
from typing import Any, Literal

import thalweg as tw
from thalweg.models import ScriptedModel
from thalweg.models.request import Request

ROWS = [
    {"text": f"number {i} {'odd' if i % 2 else 'even'}", "label": "odd" if i % 2 else "even"} for i in range(36)
]  # fmt: skip


@tw.learned
def parity(text: str) -> Literal["odd", "even"]:
    """Say whether the number is odd or even."""
    ...


@tw.learned
def topic(text: str) -> Literal["a", "b", "c"]:
    """Say the topic of the text."""
    ...


@tw.learned
def verdict(subject: str, text: str) -> Literal["odd", "even"]:
    """Say what it comes to."""
    ...


@tw.flow
def two_steps(text: str) -> str:
    subject = topic(text)
    return verdict(subject, text)


def number_in(text: str) -> int:
    found = re.search(r"number (\d+)", text)
    return int(found[1]) if found else 0


def shots(request: Request) -> list[str]:
    """The last questions of the demonstrations that a request shows."""
    return [
        before.content
        for before, one in zip(request.messages, request.messages[1:], strict=False)
        if one.role == "assistant"
    ]


def answer(request: Request) -> str:
    """Right for two numbers of three; for more with more demonstrations or a longer instruction."""
    options = request.format.choices
    shown = request.messages[-1].content
    n = number_in(shown)
    if "a" in options:
        return "abc"[n % 3]
    if not options:
        return f"Be exact about the number {n % 7}."
    told = request.messages[0].content
    skill = len(shots(request)) + ("exact" in told) + ("If it has" in told)
    right = n % 3 != 0 or (n * 7) % 9 < skill
    return ("odd" if n % 2 else "even") if right else ("even" if n % 2 else "odd")


def model(seen: list[Request] | None = None) -> Any:
    def script(request: Request) -> str:
        if seen is not None:
            seen.append(request)
        return answer(request)

    return ScriptedModel(script, name="parity", identity="scripted:parity")
