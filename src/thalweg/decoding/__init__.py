"""Decoding: how tokens are chosen, given scores.

Lives here: constraints (`constraints/`), samplers (`samplers.py`), decoders - coroutines that yield `Fragment`s of a
forest and receive logits (`generate`, `distribution`, `score`) - and `decoder_for`, which turns a request into one.
A decoder knows nothing of batching: the engine of the `scheduling` room merges the fragments of many.

To add a method: one file with a coroutine, a constraint or a sampler; nothing else changes. May import `models` only.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any

from thalweg.decoding.constraints import Choices, Grammar, constraint_for
from thalweg.decoding.exact import distribution, score
from thalweg.decoding.fragment import Decoder, Fragment
from thalweg.decoding.generate import Generated, generate
from thalweg.models.request import Answer, Request, Usage

__all__ = [
    "Choices", "Decoder", "Fragment", "Generated", "Grammar", "constraint_for", "decoder_for", "distribution",
    "generate", "score",
]  # fmt: skip


def decoder_for(
    request: Request, last: int, tokenizer: Any, *, room: int, observe: Callable[[str], None] | None = None
) -> Decoder[Answer]:
    """The decoder of a request behind a prompt whose last token, `last`, is not computed yet.

    Args:
        room: tokens left in the context for the answer.
        observe: called with the text written so far after every step.
    """
    constraint = constraint_for(request.format, tokenizer)
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

    made = yield from generate(
        last,
        constraint,
        request.sampling,
        end=tokenizer.end,
        limit=min(request.sampling.max_tokens, room),
        reserve=request.reserve,
        observe=tell if observe else None,
    )
    text = tokenizer.decode(made.tokens)
    usage = Usage(output_tokens=len(made.tokens), forced_tokens=made.forced)
    return Answer(text, made.logprob, tuple(made.tokens), finish="closed" if made.closed else "complete", usage=usage)
