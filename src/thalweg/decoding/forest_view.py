"""A picture of speculation: every pass with the tree it scored, what was accepted, and what the model said instead.

`watch` runs one request with a drafter and keeps what each pass did; `to_svg` and `to_html` draw it. For people who
want to see why a drafter wins or loses on their text. Cost: a run of the request, and a few kilobytes a pass.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.decoding.budget import Budget, Guesses
from thalweg.decoding.constraints import constraint_for
from thalweg.decoding.drafters.draft import Drafter, Verified
from thalweg.decoding.drive import drive
from thalweg.decoding.speculate import Speculation, speculate
from thalweg.models.request import Request
from thalweg.models.scorer import SOFT


@dataclass(frozen=True)
class Pass:
    """One pass: the guesses scored (`parents` -1: behind the last known token), and what was written."""

    tokens: tuple[str, ...]  # texts of the guessed tokens
    parents: tuple[int, ...]
    weights: tuple[float, ...]
    accepted: frozenset[int]
    written: tuple[str, ...]


@dataclass(frozen=True)
class Watched:
    """A finished answer with its passes. `after` is the end of the prompt, for the reader."""

    text: str
    after: str
    drafter: str
    passes: tuple[Pass, ...]
    counts: Speculation


def watch(request: Request, prompt: list[int], scorer: Any, drafter: Drafter, *, size: int = 0) -> Watched:
    """Answer `request` behind `prompt` on `scorer`, whose thread this must be.

    Args:
        size: a fixed number of guesses a pass; 0 lets the budget decide.
    """
    passes: list[Pass] = []
    pieces = scorer.tokenizer.pieces

    def shown(token: int) -> str:
        return "soft" if token == SOFT else pieces[token].decode("utf-8", "replace")

    def record(one: Verified) -> None:
        draft = one.draft
        passes.append(
            Pass(
                tuple(map(shown, draft.tokens)), tuple(draft.parents), tuple(draft.weights), frozenset(one.accepted),
                tuple(map(shown, one.tokens)),
            )
        )  # fmt: skip

    counts = Speculation()
    budget = Budget(scorer.cost, max_rows=scorer.capabilities.max_rows, size=size)
    scorer.cost(1)
    decoder = speculate(
        prompt,
        constraint_for(request.format, scorer.tokenizer),
        request.sampling,
        end=scorer.tokenizer.end,
        limit=min(request.sampling.max_tokens, scorer.capabilities.context - len(prompt) - 4),
        reserve=request.reserve,
        guesses=Guesses(drafter.start(prompt, scorer), budget),
        record=record,
        speculation=counts,
    )
    prefix = scorer.open(prompt[:-1])
    try:
        made = drive(decoder, scorer, prefix)
    finally:
        scorer.close(prefix)
    text = scorer.tokenizer.decode(made.tokens)
    return Watched(text, scorer.tokenizer.decode(prompt[-6:]), drafter.name, tuple(passes), counts)


# -- drawing --------------------------------------------------------------------------------------------------

_ROW, _COLUMN, _LEFT, _WIDEST = 26, 96, 70, 12
_ACCEPTED, _REJECTED, _MODEL, _LINE = "#0f766e", "#e5e7eb", "#d97706", "#9ca3af"


def to_svg(watched: Watched, *, limit: int = 40) -> str:
    """An SVG of the first `limit` passes, one below the other."""
    rows, top, number = [], 64, 0
    while number < min(limit, len(watched.passes)):
        plain = 0
        while number + plain < len(watched.passes) and not watched.passes[number + plain].tokens:
            plain += 1
        if plain > 1:
            drawn, height = _plain(watched.passes[number : number + plain], number + 1, top)
            number += plain
        else:
            drawn, height = _pass(watched.passes[number], number + 1, top)
            number += 1
        rows.append(drawn)
        top += height + 14
    counts = watched.counts
    depth = max((_depth(one) for one in watched.passes[:limit]), default=0)
    width = _LEFT + (depth + 2) * _COLUMN + 40
    head = (
        f"{watched.drafter}: {counts.tokens} tokens in {counts.passes} passes, {counts.mean_accepted:.2f} a pass; "
        f"{counts.accepted} of {counts.drafted} guesses accepted"
    )
    left = len(watched.passes) - number
    foot = f'<text x="16" y="{top + 8}" fill="#6b7280">{left} more passes</text>' if left > 0 else ""
    legend = "".join(
        f'<rect x="{16 + 130 * i}" y="34" width="12" height="12" rx="3" fill="{color}"/>'
        f'<text x="{34 + 130 * i}" y="44" fill="#6b7280">{name}</text>'
        for i, (color, name) in enumerate(
            ((_ACCEPTED, "accepted"), (_REJECTED, "rejected"), (_MODEL, "the model's own"))
        )
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{max(width, 640)}" height="{top + 20}" '
        f'viewBox="0 0 {max(width, 640)} {top + 20}" font-family="ui-monospace, monospace" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/><text x="16" y="22" font-weight="bold">{html.escape(head)}'
        f"</text>{legend}{''.join(rows)}{foot}</svg>"
    )


def to_html(watched: Watched, *, limit: int = 400) -> str:
    """A page with the answer, every pass, and the guesses' weights as tooltips."""
    return (
        "<!doctype html><meta charset='utf-8'><title>Forest</title>"
        "<style>body{font:14px system-ui;margin:24px;max-width:1100px}pre{white-space:pre-wrap;background:#f3f4f6;"
        "padding:12px;border-radius:6px}div{overflow-x:auto}</style>"
        f"<h1>Forest of one answer</h1><pre>{html.escape(watched.text)}</pre><div>{to_svg(watched, limit=limit)}</div>"
    )


def _plain(passes: Sequence[Pass], number: int, top: int) -> tuple[str, int]:
    """One line for passes without guesses."""
    text = "".join(token for one in passes for token in one.written)
    shown = _visible(text)
    shown = shown if len(shown) <= 90 else shown[:89] + "\u2026"
    return (
        f'<text x="16" y="{top + 16}" fill="#6b7280">{number}\u2013{number + len(passes) - 1}</text>'
        f'<text x="{_LEFT + 8}" y="{top + 16}" fill="{_MODEL}">{html.escape(shown)}</text>',
        _ROW,
    )


def _visible(text: str) -> str:
    return text.replace("\n", "\\n").replace(" ", "\u00b7")


def _depth(one: Pass) -> int:
    depths: list[int] = []
    for parent in one.parents:
        depths.append(1 if parent < 0 else depths[parent] + 1)
    return max(depths, default=0)


def _pass(one: Pass, number: int, top: int) -> tuple[str, int]:
    """Drawing and height of one pass: the tree to the right, a row a leaf; the model's next token behind the last."""
    children: dict[int, list[int]] = {}
    for node, parent in enumerate(one.parents):
        children.setdefault(parent, []).append(node)
    place: dict[int, tuple[int, int]] = {-1: (0, 0)}
    row = 0
    stack = [(-1, 0)]
    while stack:  # depth first: a node's first child shares its row
        node, depth = stack.pop()
        if node >= 0:
            first = children[one.parents[node]][0] == node
            if not first:
                row += 1
            place[node] = (depth, place[one.parents[node]][1] if first else row)
        stack += [(child, depth + 1) for child in reversed(children.get(node, []))]
    parts = [f'<text x="16" y="{top + 16}" fill="#6b7280">{number}</text>']
    boxes = []
    for node, (depth, at) in place.items():
        if node < 0:
            continue
        parent = place[one.parents[node]]
        kept = node in one.accepted
        parts.append(_edge(parent, (depth, at), top, _ACCEPTED if kept else _LINE))
        note = f"weight {one.weights[node]:.3f}"
        boxes.append(_box(depth, at, top, one.tokens[node], _ACCEPTED if kept else _REJECTED, kept, note))
    own = one.written[len(one.accepted) :]
    last = max(one.accepted, default=-1, key=lambda node: place[node][0])
    depth, at = place[last]
    taken = {spot for node, spot in place.items() if node >= 0}
    spot = (depth + 1, at) if (depth + 1, at) not in taken else (depth + 1, row + 1)
    if own:
        row = max(row, spot[1])
        parts.append(_edge((depth, at), spot, top, _MODEL))
        boxes.append(_box(*spot, top, "".join(own), _MODEL, True, "what the model wrote itself"))
    parts.append(f'<circle cx="{_LEFT - 8}" cy="{top + 12}" r="4" fill="#111827"/>')
    return "".join(parts + boxes), (row + 1) * _ROW


def _edge(start: tuple[int, int], end: tuple[int, int], top: int, color: str) -> str:
    x1, y1 = _LEFT + start[0] * _COLUMN - 8, top + start[1] * _ROW + 12
    x2, y2 = _LEFT + (end[0] - 1) * _COLUMN + 8, top + end[1] * _ROW + 12
    return f'<path d="M{x1} {y1} C{x1 + 12} {y1} {x2 - 14} {y2} {x2} {y2}" fill="none" stroke="{color}"/>'


def _box(depth: int, row: int, top: int, text: str, color: str, light: bool, note: str) -> str:
    shown = _visible(text)
    shown = shown if len(shown) <= _WIDEST else shown[: _WIDEST - 1] + "\u2026"
    x, y = _LEFT + (depth - 1) * _COLUMN + 8, top + row * _ROW
    return (
        f"<g><title>{html.escape(f'{text!r}, {note}')}</title>"
        f'<rect x="{x}" y="{y + 2}" width="{_COLUMN - 16}" height="20" rx="4" fill="{color}"/>'
        f'<text x="{x + 5}" y="{y + 16}" fill="{"white" if light else "#374151"}" font-size="11">{html.escape(shown)}'
        "</text></g>"
    )
