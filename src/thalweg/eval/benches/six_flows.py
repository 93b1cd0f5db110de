"""Six flows as people write them: fan-out, map-reduce, tree, pipeline over rows, branchy triage, agent-like loop.

Plain Python throughout: nothing in them says what overlaps. `SIX` gives each with its arguments, made of real mails.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

import thalweg as tw
from thalweg.eval.benches.samples import mails

Line = Annotated[str, Field(min_length=1, max_length=60)]
Kind = Literal["question", "announcement", "discussion", "advertisement"]


@tw.learned
def title(text: str) -> Line:
    """Give the text a title."""
    ...


@tw.learned
def kind(text: str) -> Kind:
    """What kind of e-mail is it?"""
    ...


@tw.learned
def urgent(text: str) -> bool:
    """Does this e-mail need an answer today?"""
    ...


@tw.learned
def summarize(text: str) -> Line:
    """Say in a few words what the text is about."""
    ...


@tw.learned
def merge(first: str, second: str) -> Line:
    """Say in a few words what the two notes are about together."""
    ...


@tw.learned
def reply(summary: str, tone: Literal["calm", "prompt"]) -> Line:
    """Write the first line of a reply."""
    ...


@tw.learned
def next_step(goal: str, notes: list[str]) -> Literal["search", "read", "stop"]:
    """Choose the next step towards the goal."""
    ...


@tw.tool(effect="none")
def search(mails: list[str], word: str) -> list[str]:
    """The mails that contain a word."""
    return [mail for mail in mails if word.lower() in mail.lower()][:2]


@tw.learned
def draft(subject: str) -> Annotated[str, Field(min_length=150, max_length=200)]:
    """Write a short reply to the e-mail with this subject."""
    ...


@tw.flow
def drafts(subjects: list[str]) -> list[str]:
    return [draft(subject) for subject in subjects]


@tw.flow
def fan_out(texts: list[str]) -> list[str]:
    return [summarize(text) for text in texts]


@tw.flow
def map_reduce(texts: list[str]) -> str:
    notes = [summarize(text) for text in texts]
    while len(notes) > 1:
        pairs = [merge(a, b) for a, b in zip(notes[::2], notes[1::2], strict=False)]
        notes = pairs + notes[len(pairs) * 2 :]
    return notes[0]


@tw.flow
def tree(texts: list[str]) -> str:
    if len(texts) == 1:
        return summarize(texts[0])
    middle = len(texts) // 2
    return merge(tree(texts[:middle]), tree(texts[middle:]))


@tw.flow
def enrich(text: str) -> dict[str, Any]:
    about = summarize(text)
    return {"title": title(text), "kind": kind(text), "reply": reply(about, "calm")}


@tw.flow
def pipeline(texts: list[str]) -> list[dict[str, Any]]:
    return [enrich(text) for text in texts]


@tw.flow
def handle(text: str) -> str:
    about = summarize(text)
    match kind(text):
        case "advertisement":
            return "bin"
        case "question" if urgent(text):
            return f"now: {reply(about, 'prompt')}"
        case "question" | "discussion":
            return f"later: {reply(about, 'calm')}"
        case other:
            return f"{other}: {about}"


@tw.flow
def triage(texts: list[str]) -> list[str]:
    return [handle(text) for text in texts]


@tw.flow
def agent(goal: str, texts: list[str]) -> list[str]:
    notes: list[str] = []
    for word in ("list", "help", "free"):
        step = next_step(goal, notes)
        found = search(texts, word)
        if step == "stop" and notes:
            break
        for text in found:
            notes.append(summarize(text))
            notes.append(title(text))
    return notes


def six(count: int = 8, characters: int = 500) -> list[tuple[str, tw.Flow[..., Any], tuple[Any, ...]]]:
    """(name, flow, arguments) of each, over `count` real mails cut to `characters`."""
    texts = [row["mail"][:characters] for row in mails("dev")[:count]]
    subjects = [text.partition("\n")[0][:60] for text in texts]
    return [
        ("fan-out, long answers", drafts, (subjects,)),
        ("fan-out", fan_out, (texts,)),
        ("map-reduce", map_reduce, (texts,)),
        ("tree", tree, (texts,)),
        ("pipeline", pipeline, (texts[: count // 2],)),
        ("triage", triage, (texts,)),
        ("agent", agent, ("find out what the list talks about", texts)),
    ]
