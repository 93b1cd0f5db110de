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
from thalweg.decoding.stops import CONTINUATION, Stops, stoppable
from thalweg.decoding.writing import Generated
from thalweg.errors import UnsupportedByBackend
from thalweg.models.request import Answer, Request, Usage

__all__ = [
    "Budget", "CONTINUATION", "Choices", "Constraint", "Decoder", "Fragment", "GemFilter", "Generated", "Grammar",
    "GrammarAligned", "Guesses", "Pearl", "Stops", "constraint_for", "decoder_for", "distribution", "drive",
    "generate", "score", "speculate",
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
    stops = _checked(request, tokenizer)
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
        observe(stops.settled(written) if stops else written)

    if request.sampling.sampler != "masked":
        return (yield from aligned_answer(
            request, last, constraint, tokenizer, room=room, observe=tell if observe else None
        ))  # fmt: skip
    settings: dict[str, Any] = {
        "end": tokenizer.end,
        "limit": min(request.sampling.max_tokens, room),
        "reserve": request.reserve,
        "observe": tell if observe else None,
        "stops": stops,
        "logprobs": request.logprobs,
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
    if made.cut >= 0:
        text = b"".join(tokenizer.pieces[token] for token in made.tokens)[: made.cut].decode(errors="replace")
    usage = Usage(
        output_tokens=len(made.tokens),
        forced_tokens=made.forced,
        drafted_tokens=counts.drafted,
        accepted_tokens=counts.accepted,
        passes=counts.passes,
    )
    finish = "closed" if made.closed else "complete"
    return Answer(
        text, made.logprob, tuple(made.tokens), finish=finish, usage=usage, token_logprobs=made.logprobs
    )  # fmt: skip


def _checked(request: Request, tokenizer: Any) -> Stops | None:
    """The request's stop texts.

    Raises:
        UnsupportedByBackend: stop texts or log-probabilities of tokens where there are none.
    """
    plain = request.want == "value" and request.sampling.sampler == "masked" and not isinstance(request, Driven)
    if request.logprobs >= 0 and not plain:
        raise UnsupportedByBackend(
            f"There are no log-probabilities of tokens for want={request.want!r} with the sampler "
            f"{request.sampling.sampler!r}.",
            'Use want="value" with sampler="masked", or leave out `logprobs`.',
        )
    if not request.stop:
        return None
    if not stoppable(request.format) or not plain:
        raise UnsupportedByBackend(
            f"Stop texts end free text that is drawn token by token; this request is for {request.format.kind!r} with "
            f"want={request.want!r} and the sampler {request.sampling.sampler!r}.",
            'Leave out `stop`, or ask for Format("text") with sampler="masked".',
        )
    return Stops(request.stop, tokenizer.pieces)
