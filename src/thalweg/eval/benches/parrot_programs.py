"""The programs of `scheduling.parrot`, as graphs: every client-side twin is derived from the same nodes.

Texts are made of a small vocabulary with a fixed seed: about 60 tokens a chunk, answers of at most 16 tokens, as
long as the packaged model on two cores answers in a fraction of a second.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from thalweg.models.request import Format, Sampling
from thalweg.scheduling.parrot import Call, Node

SHORT = Sampling(max_tokens=16)
TEXT = Format("text", max_chars=400)
_THINGS = "river mill bridge market school harbour tower garden road wall field library station well".split()
_DOINGS = "stands beside|was built before|lies behind|is older than|can be seen from|is joined to".split("|")


@dataclass(frozen=True)
class Program:
    """Nodes, given values, and the variable somebody waits for."""

    nodes: tuple[Node, ...]
    values: dict[str, str]
    wanted: str


def text(seed: int, sentences: int = 7) -> str:
    draw = random.Random(seed)
    return " ".join(
        f"The {draw.choice(_THINGS)} {draw.choice(_DOINGS)} the {draw.choice(_THINGS)}." for _ in range(sentences)
    )


def chain(index: int) -> Program:
    """A summary carried over ten chunks."""
    system = "You summarise in one line."
    nodes = [
        Call(f"s{i}", f"Summary so far: {{{{s{i - 1}}}}}\nText: {{{{c{i}}}}}\nNew summary:", system, TEXT, SHORT)
        for i in range(1, 11)
    ]
    values = {f"c{i}": text(1000 * index + i) for i in range(1, 11)}
    return Program(tuple(nodes), values | {"s0": "nothing yet"}, "s10")


def map_reduce(index: int) -> Program:
    """Twelve summaries, and one of them all."""
    maps = [Call(f"m{i}", f"Summarise: {{{{c{i}}}}}", "You summarise in one line.", TEXT, SHORT) for i in range(12)]
    whole = Call("whole", "Put together:\n" + "\n".join(f"{{{{m{i}}}}}" for i in range(12)), "", TEXT, SHORT)
    return Program((*maps, whole), {f"c{i}": text(50_000 + 1000 * index + i) for i in range(12)}, "whole")


def roles(index: int) -> Program:
    """A writer, a reviewer and an editor: a draft, three rounds of review and revision, a last word."""
    writer, reviewer, editor = "You are a writer.", "You are a strict reviewer.", "You are an editor."
    nodes = [Call("d0", "Write one sentence about this:\n{{topic}}", writer, TEXT, SHORT)]
    for i in range(1, 4):
        nodes.append(Call(f"r{i}", f"Say what is wrong here: {{{{d{i - 1}}}}}", reviewer, TEXT, SHORT))
        nodes.append(Call(f"d{i}", f"Draft: {{{{d{i - 1}}}}}\nReview: {{{{r{i}}}}}\nBetter:", writer, TEXT, SHORT))
    nodes.append(Call("final", "Make a title of this: {{d3}}", editor, TEXT, SHORT))
    return Program(tuple(nodes), {"topic": text(90_000 + index, 3)}, "final")


def shared_prompt(index: int) -> Program:
    """One question behind a system prompt of some 600 tokens that all clients have."""
    system = "You answer for the town's office. Know this: " + text(7, 64)
    call = Call("answer", "Question {{number}}: what is beside the {{thing}}?", system, TEXT, SHORT)
    return Program((call,), {"number": str(index), "thing": _THINGS[index % len(_THINGS)]}, "answer")


def single_calls(index: int) -> Program:
    """One call that shares nothing but the template's first tokens."""
    return Program((Call("answer", "{{text}}", "", TEXT, SHORT),), {"text": text(200_000 + index)}, "answer")


# name, program by index, mean seconds between arrivals under load, how many times quicker it must be
PROGRAMS: tuple[tuple[str, Callable[[int], Program], float, float | None], ...] = (
    ("chain of 10 summaries", chain, 1.5, 1.2),
    ("map-reduce of 12", map_reduce, 0.75, 1.5),
    ("writer, reviewer, editor", roles, 1.5, None),
)
