"""A text in its chat template as tokens, and which characters each of its tokens stands for.

Template and text are tokenised apart, so that special tokens written inside the text have no power and every token of
it has a place in it. Source: own. Cost: tokenising.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from thalweg.errors import UnsupportedByBackend
from thalweg.models.chat import render_chat
from thalweg.models.request import Message

_MARK = "\u2983text\u2984"


class Span(NamedTuple):
    """A passage that was read: ``text[start:end]`` of the input, and the highest score in it."""

    start: int
    end: int
    text: str
    score: float


@dataclass(frozen=True)
class Laid:
    """A prompt: `head` and `tail` come from the template, `body` from the text.

    `edges` are byte offsets in the text: token i of the body covers ``edges[i]`` to ``edges[i + 1]``.
    """

    text: str
    template: str  # the text of `head`
    head: list[int]
    body: list[int]
    tail: list[int]
    edges: list[int]

    @property
    def tokens(self) -> list[int]:
        return self.head + self.body + self.tail

    def spans(self, kept: list[int], scores: list[float]) -> list[Span]:
        """Passages of neighbouring kept tokens of the body (ascending indices), `scores` being those of `kept`."""
        data = self.text.encode()
        found: list[Span] = []
        at = 0
        while at < len(kept):
            end = at + 1
            while end < len(kept) and kept[end] == kept[end - 1] + 1:
                end += 1
            first, last = _widened(data, self.edges[kept[at]], self.edges[kept[end - 1] + 1])
            start = len(data[:first].decode())
            passage = data[first:last].decode()
            if found and start < found[-1].end:  # both touch one character: it is read once
                start, passage = found[-1].end, passage[found[-1].end - start :]
            if passage:
                found.append(Span(start, start + len(passage), passage, max(scores[at:end])))
            at = end
        return found

    def question(self, most: int) -> int:
        """How many of the body's last tokens are the last line that is not empty, with the break before it; at most
        `most`."""
        stripped = self.text.rstrip()
        before = stripped[: max(0, stripped.rfind("\n"))].rstrip()
        line = len(before.encode())
        return min(most, sum(edge > line for edge in self.edges[1:]))


def lay_out(text: str, tokenizer: Any) -> Laid:
    """`text` as a user's message in the model's own template, ready for the answer.

    Raises:
        UnsupportedByBackend: the tokenizer changes the text, so that its tokens have no place in it.
    """
    rendered = render_chat([Message("user", _MARK)], tokenizer.chat_template, tokenizer.special_tokens)
    before, _, after = rendered.rpartition(_MARK)
    bos = [tokenizer.bos] if tokenizer.adds_bos else []
    head = bos + tokenizer.encode(before, special=True)
    if bos and head[1:2] == bos:  # the template wrote it too
        del head[0]
    body = tokenizer.encode(text)
    edges = _edges(text.encode(), [tokenizer.pieces[token] for token in body])
    return Laid(text, before, head, body, tokenizer.encode(after, special=True), edges)


def _edges(data: bytes, pieces: list[bytes]) -> list[int]:
    """Where each piece begins in `data`, and its end. Bytes a vocabulary has no token for go with the piece before."""
    edges, at = [], 0
    for piece in pieces:
        start = at if data.startswith(piece, at) else data.find(piece, at)
        if start < 0:
            raise UnsupportedByBackend(
                "The model's tokenizer does not give the text back as it was.",
                "Use a model with a byte-level tokenizer.",
            )
        edges.append(start if edges else 0)
        at = start + len(piece)
    return [*edges, len(data)]


def _widened(data: bytes, first: int, last: int) -> tuple[int, int]:
    """The same range, moved outwards to the edges of characters."""
    while first > 0 and data[first] & 0xC0 == 0x80:
        first -= 1
    while last < len(data) and data[last] & 0xC0 == 0x80:
        last += 1
    return first, last
