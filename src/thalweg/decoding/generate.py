"""Write one value, left to right, under a constraint: one token a step.

Each step computes the last drawn token together with the tokens that are forced behind it, then draws the next.
Choose `speculate` where one answer is to be fast; this one where many advance side by side.
"""

from __future__ import annotations

from collections.abc import Callable

from thalweg.decoding.constraints import Constraint
from thalweg.decoding.fragment import Decoder, Fragment
from thalweg.decoding.stops import Stops
from thalweg.decoding.writing import Generated, Writing
from thalweg.models.request import Sampling

# Up to so many tokens are computed one a turn, beside other requests' single tokens: a pass of their own costs more.
RIDES = 3


def generate(
    last: int,
    constraint: Constraint,
    sampling: Sampling,
    *,
    end: int,
    limit: int,
    reserve: int,
    observe: Callable[[list[int]], None] | None = None,
    stops: Stops | None = None,
    logprobs: int = -1,
) -> Decoder[Generated]:
    """Decode behind a prompt whose last token, `last`, is not computed yet.

    Args:
        limit: most tokens of the answer.
        reserve: how many of them are kept for closing the value.
        observe: called with the new tokens after every step.
        stops: texts that end the answer.
        logprobs: how many of the likeliest tokens are kept at each drawn one; -1 keeps nothing.
    """
    writing = Writing(constraint, sampling, limit=limit, reserve=reserve, stops=stops, logprobs=logprobs)
    new = writing.follow()
    pending = [last, *new]
    while True:
        if observe and new:
            observe(new)
        if writing.done:
            return writing.generated(end)
        if 1 < len(pending) <= RIDES and not constraint.uniform and len(writing.out) > len(pending):
            for token in pending[:-1]:
                yield Fragment.chain([token], want=False)
            pending = pending[-1:]
        (logits,) = yield Fragment.chain(pending, uniform=constraint.uniform)
        pending = new = writing.draw(logits)
