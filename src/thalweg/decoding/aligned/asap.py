"""ASAp: samples of a grammar that approach the model's own distribution over it, the more the longer one samples.

Masking alone (`trie=None`) spoils the distribution: it walks into beginnings that are likely but hard to finish. ASAp
draws the next token in proportion to P(v|x) c~(xv), with bounds c~ learned from everything drawn before, and converges
to P conditioned on the grammar; with estimates instead of bounds (`Trie("mean")`, ours) it is never far behind masking
on the way. Choose it where one prompt and grammar are sampled many times.
Source: Park, Wang, Berg-Kirkpatrick, Polikarpova, D'Antoni 2024, "Grammar-Aligned Decoding".
Cost: one row a token (two in engines that pad lone rows), also for forced tokens; one row more for the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from thalweg.decoding.aligned.drawing import Floats, Ints, Sample, chain, choose, close, ids_of, log_sum, logprobs
from thalweg.decoding.aligned.trie import Trie
from thalweg.decoding.constraints import Constraint
from thalweg.decoding.fragment import Decoder
from thalweg.decoding.samplers import uniform_number
from thalweg.models.request import Sampling
from thalweg.models.scorer import Logits


def asap(
    last: int,
    constraint: Constraint,
    sampling: Sampling,
    trie: Trie | None,
    *,
    end: int,
    limit: int,
    reserve: int = 0,
    observe: Callable[[list[int]], None] | None = None,
) -> Decoder[Sample]:
    """Draw one sample behind a prompt whose last token, `last`, is not computed yet; its `text` is left empty.

    Args:
        trie: what is known, updated by this path; None draws by the mask alone (grammar-constrained decoding).
        limit: most tokens. A path that reaches it incomplete is *cut*: c~ = 0 there, so that the target is the
            model conditioned on the grammar *and* the limit; the sample is then closed the shortest way.
        reserve: how many tokens before the limit a path counts as cut, so that closing it has room.
        observe: called with the new tokens after every step.
    """
    state = constraint.start()
    path = [trie.root] if trie is not None else []
    pending: list[int] = [last]
    out: list[int] = []
    logits: Logits | None = None
    logprob = log_q = 0.0
    told = forced_count = rows = 0

    def take(ids: Ints, law: Floats, pick: Callable[[Floats], int]) -> int | None:
        """The next token, None where the law and the bounds leave nothing."""
        nonlocal logprob, log_q
        if trie is None:
            scores = law[ids]
            total = log_sum(scores)
            if total == -math.inf:
                return None
            at = pick(scores - total)
            token, step = int(ids[at]), float(scores[at] - total)
        elif (drawn := trie.step(path, ids, law, pick, end=end)) is not None:
            token, step = drawn
        else:
            return None
        logprob += float(law[token])
        log_q += step
        return token

    while True:
        forced = state.forced()
        out += forced
        forced_count += len(forced)
        if observe and len(out) > told:
            observe(out[told:])
            told = len(out)
        done, ended = state.done, bool(out) and out[-1] == end
        if done and ended and not forced:
            cut = False
            break
        if not done and len(out) + reserve >= limit:
            cut, pending, logits = True, pending + forced, None
            break
        tokens = pending + (forced[:-1] if ended else forced)
        rows += len(tokens)
        found = yield chain(tokens, len(tokens) - len(pending) + 1)
        laws = [logprobs(one, sampling) for one in found]
        pending, logits = [], found[-1]
        targets = [*forced, end] if done and not ended else forced
        cut = any(
            take(np.array([target]), law, lambda scores: 0) is None for target, law in zip(targets, laws, strict=False)
        )
        if done or cut:
            break
        token = take(ids_of(state.allowed()), laws[-1], _pick(sampling, len(out)))
        if token is None:
            cut = True
            break
        state.advance(token)
        out.append(token)
        pending = [token]
    if cut:
        if trie is not None:
            trie.cut(path)
        rows += yield from close(state, pending, logits, out, limit)
    if out and out[-1] == end:
        out.pop()
    log_weight = -math.inf if cut else logprob - log_q
    return Sample("", tuple(out), logprob, log_weight, cut, forced_count, rows)


def _pick(sampling: Sampling, place: int) -> Callable[[Floats], int]:
    if sampling.temperature <= 0:
        return lambda scores: int(scores.argmax())
    return lambda scores: choose(scores, uniform_number(sampling.seed, place))
