"""Speculative sampling: keep a guess with probability min(1, p / q), else draw from what p has more than q.

What is written is distributed as the model's own draws (p: under temperature, cuts and constraint), for every q. Choose
it at temperatures where the drafter draws too; there it keeps sum(min(p, q)) of the guesses, the most any rule can. At
temperature 0, and for drafters that do not draw, it is the rule of `speculate`: draw, then compare.

Several guesses behind one node, drawn without replacement, are tried in the order of drawing: after a refusal p becomes
the normalised positive part of p - q, and q loses the token. A guess is tried whether or not it was scored, so that a
budget may cut drafts by any rule without harm.

Sources: Leviathan et al. 2023, "Fast Inference from Transformers via Speculative Decoding"; Chen et al. 2023,
"Accelerating Large Language Model Decoding with Speculative Sampling"; without replacement: Jeon et al. 2024,
"Recursive Speculative Decoding". Cost: a few passes over the vocabulary a token (about 1 ms for 49k tokens).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg.decoding.constraints import restrict
from thalweg.decoding.drafters.draft import Draft
from thalweg.decoding.writing import Writing
from thalweg.models.request import Sampling
from thalweg.models.scorer import Logits

Probabilities = NDArray[np.float64]  # [vocabulary], sums to 1


@dataclass(frozen=True)
class Proposal:
    """Tokens drawn behind one node, in the order of drawing, and what the first of them was drawn from.

    The second is drawn from the same distribution without the first token, and so on (`draw_without_replacement`).
    """

    tokens: tuple[int, ...]
    probabilities: Probabilities


def speculative_sampling(
    writing: Writing,
    draft: Draft,
    root: Logits,
    logits: Sequence[Logits],
    proposals: Mapping[tuple[int, ...], Proposal],
) -> tuple[list[int], list[int], list[int]]:
    """Write tokens as long as the tree holds them.

    Args:
        writing: the answer; its sampling and constraint make p.
        root: raw logits behind the last known token.
        logits: the same behind each node of `draft`; may be shorter than it: behind a node without, the step ends.
        proposals: what was drawn behind the node at a path of tokens, () for the root. Behind a node that has none,
            the next token is drawn as without guesses.

    Returns:
        The accepted nodes, all tokens written, and those of them that are not computed yet.
    """
    accepted: list[int] = []
    written: list[int] = []
    node = -1
    while True:
        proposal = proposals.get(tuple(written))
        new = _write(writing, root if node < 0 else logits[node], proposal)
        written += new
        for i, token in enumerate(new):
            child = draft.child(node, token)
            if child < 0:
                return accepted, written, new[i:]
            accepted.append(child)
            node = child
        if writing.done or node >= len(logits):
            return accepted, written, []


def _write(writing: Writing, logits: Logits, proposal: Proposal | None) -> list[int]:
    """Write the next token and what is forced behind it. Returns these tokens."""
    sampling, position = writing.sampling, len(writing.out)
    if proposal is None or sampling.temperature <= 0 or writing.closing:
        return writing.draw(logits)
    ids, kept = restrict(logits, writing.state.allowed())
    target = np.zeros(len(logits))
    target[ids] = distribution(kept, sampling)
    token = accept_or_correct(target, proposal, lambda purpose: keyed_number(sampling.seed, position, purpose))
    top = float(kept.max())
    logprob = float(logits[token]) - top - float(np.log(np.exp(kept - top).sum(dtype=np.float64)))
    return writing.write(token, logprob, ids, kept)


def accept_or_correct(target: Probabilities, proposal: Proposal, number: Callable[[str], float]) -> int:
    """A token distributed as `target`, one of the proposal's where that is possible.

    Args:
        number: a number in [0, 1) for each purpose, independent of those the proposal was drawn with.
    """
    p, q = target, proposal.probabilities
    for rank, token in enumerate(proposal.tokens):
        if q[token] <= 0:  # was not drawn from q, so nothing is known of it
            continue
        if number(f"accept {rank}") * q[token] < p[token]:
            return token
        rest = np.maximum(p - q, 0.0)
        total = rest.sum()
        if total > 0:  # else p and q are equal but for rounding
            p = rest / total
        q = without(q, token)
    return draw(p, number("correct"))


def draw_without_replacement(probabilities: Probabilities, count: int, number: Callable[[str], float]) -> Proposal:
    """Draw `count` different tokens, or as many as have a probability."""
    tokens: list[int] = []
    rest = probabilities
    for rank in range(count):
        if rank:
            rest = without(rest, tokens[-1])
        if not rest.any():
            break
        tokens.append(draw(rest, number(f"guess {rank}")))
    return Proposal(tuple(tokens), probabilities)


def distribution(logits: Logits, sampling: Sampling) -> Probabilities:
    """What `samplers.pick` draws from, given raw logits of the allowed tokens: float64, aligned, sums to 1."""
    temperature = np.float32(sampling.temperature)
    if temperature <= 0:
        chosen = np.zeros(len(logits))
        chosen[int(logits.argmax())] = 1.0
        return chosen
    scaled = (logits - logits.max()) / temperature
    weights = np.exp(scaled.astype(np.float64))
    if 0 < sampling.top_k < len(weights):
        weights[weights < np.partition(weights, -sampling.top_k)[-sampling.top_k]] = 0
    if sampling.top_p < 1:
        order = np.argsort(-weights, kind="stable")
        mass = np.cumsum(weights[order])
        weights[order[int(np.searchsorted(mass, sampling.top_p * mass[-1])) + 1 :]] = 0
    return weights / weights.sum()


def draw(probabilities: Probabilities, number: float) -> int:
    """The token at `number` in [0, 1) of the cumulated `probabilities`; never one of probability 0."""
    mass = np.cumsum(probabilities)
    at = int(np.searchsorted(mass, number * mass[-1], side="right"))
    return at if at < len(mass) else int(np.flatnonzero(probabilities)[-1])


def without(probabilities: Probabilities, token: int) -> Probabilities:
    """The distribution given that it is not `token`; all zero if nothing is left."""
    rest = probabilities.copy()
    rest[token] = 0.0
    total = rest.sum()
    return rest / total if total > 0 else rest


def keyed_number(seed: int, position: int, purpose: str) -> float:
    """A number in [0, 1) that depends on its arguments alone: same position, same number, whoever asks when."""
    digest = hashlib.blake2b(f"{seed}:{position}:{purpose}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53
