"""Decoding: how tokens are chosen, given scores.

Lives here: constraints (`constraints/`), samplers (`samplers.py`), decoders - coroutines that yield `Fragment`s of a
forest and receive logits (`generate`, `distribution`, `score`, `aligned/`) - and `decoder_for`, which makes one of a
request.
A decoder knows nothing of batching: the engine of the `scheduling` room merges the fragments of many.

To add a method: one file with a coroutine, a constraint or a sampler; nothing else changes. May import `models` only.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from typing import Any

from thalweg.decoding.aligned import Driven, GrammarAligned, aligned_answer
from thalweg.decoding.budget import Budget, Guesses
from thalweg.decoding.constraints import Choices, Constraint, Grammar, constraint_for
from thalweg.decoding.drive import drive
from thalweg.decoding.exact import distribution, score
from thalweg.decoding.fragment import Decoder, Fragment
from thalweg.decoding.generate import generate
from thalweg.decoding.longcontext import GemFilter
from thalweg.decoding.pearl import Pearl
from thalweg.decoding.speculate import Speculation, speculate
from thalweg.decoding.writing import Generated
from thalweg.models.request import Answer, Request, Usage

__all__ = [
    "Budget", "Choices", "Constraint", "Decoder", "Fragment", "GemFilter", "Generated", "Grammar", "GrammarAligned",
    "Guesses", "Pearl", "constraint_for", "decoder_for", "distribution", "drive", "generate", "score", "speculate",
]  # fmt: skip


def decoder_for(
    request: Request,
    prompt: Sequence[int],
    tokenizer: Any,
    *,
    room: int,
    observe: Callable[[str], None] | None = None,
    constraint: Constraint | None = None,
    guesses: Guesses | None = None,
) -> Decoder[Answer]:
    """The decoder of a request behind `prompt`, whose last token is not computed yet.

    Args:
        room: tokens left in the context for the answer.
        observe: called with the text written so far after every step.
        constraint: stands in for the one of the request's format.
        guesses: a drafter at work on this answer, with its budget; None writes one token a pass.
    """
    last = prompt[-1]
    if isinstance(request, Driven):
        return (yield from request.decode(last, tokenizer, room))
    constraint = constraint or constraint_for(request.format, tokenizer)
    if request.want == "distribution":
        assert isinstance(constraint, Choices)
        probabilities = yield from distribution(last, constraint)
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        return Answer(constraint.texts[best], probabilities=tuple(probabilities))
    if request.want == "score":
        logprob, tokens, forced = yield from score(last, constraint, request.target, tokenizer)
        usage = Usage(output_tokens=len(tokens), forced_tokens=forced)
        return Answer(request.target, logprob, tuple(tokens), usage=usage)
    characters = codecs.getincrementaldecoder("utf-8")("replace")  # a token may end inside a character
    written = ""

    def tell(tokens: list[int]) -> None:
        nonlocal written
        assert observe is not None
        written += characters.decode(b"".join(tokenizer.pieces[token] for token in tokens))
        observe(written)

    if request.sampling.sampler != "masked":
        return (yield from aligned_answer(
            request, last, constraint, tokenizer, room=room, observe=tell if observe else None
        ))  # fmt: skip
    settings: dict[str, Any] = {
        "end": tokenizer.end,
        "limit": min(request.sampling.max_tokens, room),
        "reserve": request.reserve,
        "observe": tell if observe else None,
    }
    counts = Speculation()
    if guesses is None:
        made = yield from generate(last, constraint, request.sampling, **settings)
    else:
        made = yield from speculate(
            prompt,
            constraint,
            request.sampling,
            guesses=guesses,
            lossless=request.lossless,
            speculation=counts,
            **settings,
        )
    text = tokenizer.decode(made.tokens)
    usage = Usage(
        output_tokens=len(made.tokens),
        forced_tokens=made.forced,
        drafted_tokens=counts.drafted,
        accepted_tokens=counts.accepted,
        passes=counts.passes,
    )
    return Answer(text, made.logprob, tuple(made.tokens), finish="closed" if made.closed else "complete", usage=usage)
