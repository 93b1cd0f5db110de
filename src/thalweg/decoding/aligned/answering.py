"""Answers of requests whose `Sampling.sampler` is ``aligned``, ``smc`` or ``awrs``; and requests that bring a decoder.

``aligned`` draws by ASAp with a trie of means that all requests of one prompt, format and law share. ``smc`` and
``awrs`` write a fixed population for the request alone and draw one of it by weight. At temperature 0 the law is that
of temperature 1; ``aligned`` then takes the likeliest token as far as c is known, the others the likeliest particle.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from thalweg.decoding.aligned.asap import asap
from thalweg.decoding.aligned.drawing import Sample
from thalweg.decoding.aligned.smc import masked, rejected, smc
from thalweg.decoding.aligned.trie import Trie, shared_trie
from thalweg.decoding.constraints import Constraint, constraint_for
from thalweg.decoding.fragment import Decoder
from thalweg.decoding.samplers import uniform_number
from thalweg.errors import UnsupportedByBackend
from thalweg.models.request import Answer, Request, Usage


def _none(last: int, tokenizer: Any, room: int) -> Decoder[Answer]:
    raise ValueError("a Driven request needs a `decode`")


@dataclass(frozen=True)
class Driven(Request):
    """A request for a local engine that brings its own decoder: `decode(last token of the prompt, tokenizer, room)`."""

    decode: Callable[[int, Any, int], Decoder[Answer]] = _none


def aligned_answer(
    request: Request,
    last: int,
    constraint: Constraint,
    tokenizer: Any,
    *,
    room: int,
    observe: Callable[[list[int]], None] | None = None,
) -> Decoder[Answer]:
    """The answer of one request.

    Its `logprob` is the log-probability of the text given the grammar as far as that is known: log P less the log of
    the grammar's estimated mass.

    Args:
        observe: called with new tokens: after every step of ``aligned``, once with all of them for populations.
    """
    sampling = request.sampling
    if request.want != "value":
        raise UnsupportedByBackend(
            f"`{request.want}` looks at the masked distribution, and the sampler is {sampling.sampler!r}.",
            'Use sampler="masked" for it, or draw samples.',
        )
    limit = min(sampling.max_tokens, room)
    if sampling.sampler == "aligned":
        # What stands in for the format's own constraint (a monitor) has another language, and no name to share it by.
        own = constraint is constraint_for(request.format, tokenizer)
        trie = request_trie(request, tokenizer, limit) if own else Trie("mean")
        drawn = yield from asap(
            last, constraint, sampling, trie, end=tokenizer.end, limit=limit, reserve=request.reserve, observe=observe
        )
        return _answer(drawn, trie.log_mass, tokenizer)
    population = yield from smc(
        last,
        constraint,
        sampling,
        end=tokenizer.end,
        limit=limit,
        reserve=request.reserve,
        propose=rejected if sampling.sampler == "awrs" else masked,
    )
    drawn = population.draw(uniform_number(sampling.seed, -1), likeliest=sampling.temperature <= 0)
    if observe:
        observe(list(drawn.tokens))
    return _answer(drawn, population.log_mass, tokenizer)


def request_trie(request: Request, tokenizer: Any, limit: int) -> Trie:
    """What is known of the grammar of `request` behind its prompt; shared by all equal ones over `tokenizer`."""
    sampling = request.sampling
    law = (sampling.temperature or 1.0, sampling.top_p, sampling.top_k, limit - request.reserve)
    return shared_trie(tokenizer, (request.prefix, request.suffix, request.format.digest, *law))


def _answer(drawn: Sample, log_mass: float, tokenizer: Any) -> Answer:
    logprob = math.nan if drawn.closed else min(0.0, drawn.logprob - log_mass)
    usage = Usage(output_tokens=len(drawn.tokens), forced_tokens=drawn.forced)
    finish = "closed" if drawn.closed else "complete"
    return Answer(tokenizer.decode(drawn.tokens), logprob, tuple(drawn.tokens), finish=finish, usage=usage)
