"""A program whose calls nest: learned functions, a tool, flows in flows, a plain function, recursion."""

from __future__ import annotations

from typing import Any, Literal

import thalweg as tw

TONES = ("calm", "prompt", "kind")


@tw.learned
def summarize(text: str) -> str:
    """Sum it up."""


@tw.learned
def urgent(text: str) -> bool:
    """Is it urgent?"""


@tw.learned
def reply(summary: str, tone: Literal["calm", "prompt"]) -> str:
    """Write a reply."""


@tw.tool(effect="read")
def search(query: str, k: int = 3) -> list[str]:
    """Look it up."""
    return [query] * k


@tw.tool(effect="write")
def send(text: str) -> None:
    """Send it."""


@tw.flow
def handle(mail: str) -> str:
    summary = summarize(mail)
    match urgent(mail):
        case True:
            return reply(summary, tone="prompt")
        case False:
            return reply(summary, tone="calm")


@tw.flow
def triage(mails: list[str]) -> list[str]:
    return [handle(mail) for mail in mails]


@tw.flow
def chat(mails: list[str]) -> list[str]:
    done = []
    for mail in mails:
        history = ""
        for _ in range(3):
            history = summarize(history + mail)
        done.append(history)
    return done


def helped(text: str) -> list[str]:
    return summarize.sample(text, n=5) + summarize.map(["a", "b"])


@tw.flow
def wide(text: str) -> list[Any]:
    parts = [reply(text, tone) for tone in TONES]
    return parts + helped(text) + search(text) if text else []


@tw.flow
def again(text: str) -> str:
    if urgent(text):
        return again(summarize(text))
    return text


@tw.flow
def posts(mails: list[str]) -> None:
    for mail in mails:
        send(summarize(mail))


@tw.flow
def odd(text: str, how: Any) -> Any:
    import json

    del json
    with open(text) as file:
        text = how(file.read())
    f = tw.gather
    f(text)
    return text
