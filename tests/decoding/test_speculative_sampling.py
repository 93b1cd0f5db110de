"""Speculative sampling writes what plain sampling writes, in distribution, for every drafter."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paired_toys import SIZE, Anything, blurred, chi_square, law, table
from walking import chi_square_limit

from thalweg.decoding import samplers
from thalweg.decoding.drafters import Draft
from thalweg.decoding.verifiers import Proposal, speculative_sampling
from thalweg.decoding.verifiers.speculative_sampling import (
    accept_or_correct,
    distribution,
    draw,
    draw_without_replacement,
    keyed_number,
)
from thalweg.decoding.writing import Writing
from thalweg.models.request import Sampling

N = 7
WEIGHTS = st.lists(st.one_of(st.just(0.0), st.floats(0.01, 1.0)), min_size=N, max_size=N).filter(any)


def normal(weights: list[float]) -> np.ndarray:
    return np.array(weights) / np.sum(weights)


def once(p: np.ndarray, q: np.ndarray, width: int, seed: int) -> tuple[int, Proposal]:
    numbers = np.random.default_rng(seed)
    proposal = draw_without_replacement(q, width, lambda _: float(numbers.random()))
    return accept_or_correct(p, proposal, lambda _: float(numbers.random())), proposal


@settings(max_examples=25, deadline=None)
@given(WEIGHTS, WEIGHTS, st.integers(1, 4), st.integers(0, 10**6))
def test_any_proposal_leaves_the_distribution_as_it_is(p: Any, q: Any, width: int, seed: int) -> None:
    p, q = normal(p), normal(q)
    draws = 1500
    seen = np.bincount([once(p, q, width, seed * draws + i)[0] for i in range(draws)], minlength=N)
    statistic, degrees = chi_square(seen, draws * p)
    assert statistic < chi_square_limit(degrees) * 1.3  # 25 examples a run, and many runs


@pytest.mark.parametrize("width", [1, 3])
def test_20000_draws_have_the_frequencies_of_the_target(width: int) -> None:
    p, q = law(table(1))[3], law(blurred(table(1), 1.5))[3]
    q = np.where(q < np.quantile(q, 0.3), 0, q)  # a drafter that gives nothing to a third of the tokens
    q /= q.sum()
    seen, kept = np.zeros(SIZE), 0
    for i in range(20_000):
        token, proposal = once(p, q, width, i)
        seen[token] += 1
        kept += token in proposal.tokens
    statistic, degrees = chi_square(seen, 20_000 * p)
    assert statistic < chi_square_limit(degrees)
    overlap = np.minimum(p, q).sum()
    if width == 1:
        assert kept / 20_000 == pytest.approx(overlap, abs=0.015)  # the most any rule can keep
    else:
        assert kept / 20_000 > overlap + 0.02  # siblings are worth something


@given(WEIGHTS, WEIGHTS, st.integers(1, 5), st.integers(0, 10**6))
def test_nothing_impossible_is_written(p: Any, q: Any, width: int, seed: int) -> None:
    p, q = normal(p), normal(q)
    token, proposal = once(p, q, width, seed)
    assert p[token] > 0
    assert len(set(proposal.tokens)) == len(proposal.tokens)
    assert all(q[guess] > 0 for guess in proposal.tokens)


def test_a_token_that_was_not_drawn_from_q_is_not_tried() -> None:
    p, q = normal([1, 1, 0, 0]), normal([0, 0, 1, 1])
    drawn = [accept_or_correct(p, Proposal((0,), q), lambda _, i=i: (i + 0.5) / 100) for i in range(100)]
    assert drawn.count(0) == drawn.count(1) == 50  # as if nothing was proposed


def test_equal_distributions_keep_every_guess() -> None:
    q = law(table(2))[5]
    for i in range(300):
        token, proposal = once(q, q, 1, i)
        assert token == proposal.tokens[0]


@settings(deadline=None)
@given(
    st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=40),
    st.one_of(st.just(0.0), st.floats(0.01, 3.0)),
    st.floats(0.05, 1.0),
    st.integers(0, 50),
    st.integers(0, 10**6),
)
def test_the_distribution_is_that_of_plain_sampling(
    raw: list[float], temperature: float, top_p: float, top_k: int, seed: int
) -> None:
    logits = np.array(raw, np.float32)
    sampling = Sampling(temperature, top_p, top_k, seed)
    probabilities = distribution(logits, sampling)
    assert probabilities.sum() == pytest.approx(1)
    assert (probabilities >= 0).all()
    token, _ = samplers.pick(np.arange(len(logits)), logits, sampling, 0)
    number = samplers.uniform_number(seed, 0)
    edges = np.cumsum(probabilities)
    if np.abs(edges - number).min() > 1e-9:  # else rounding may decide
        assert draw(probabilities, number) == token


def _texts(
    p: np.ndarray, q: np.ndarray, rule: Anything, draws: int, *, width: int, cut: bool, temperature: float = 1.0
) -> np.ndarray:
    """Counts [first token, second token] of texts of two tokens behind token 1, written with guesses."""
    seen = np.zeros((SIZE, SIZE))
    for seed in range(draws):
        writing = Writing(rule, Sampling(temperature, seed=seed), limit=10, reserve=1)
        draft, proposals = Draft(), {}
        path: tuple[int, ...] = ()
        node, last = -1, 1
        for position in range(2):
            guessed = draw_without_replacement(
                distribution(q[last], writing.sampling), width, partial(keyed_number, seed, position)
            )
            proposals[path] = guessed
            kept = guessed.tokens[1:] if cut and seed % 3 == 0 else guessed.tokens  # a budget that drops the first
            children = {token: draft.add(token, parent=node) for token in kept}
            if guessed.tokens[0] not in children:
                break
            node, last = children[guessed.tokens[0]], guessed.tokens[0]
            path += (last,)
        while not writing.done:
            at = writing.out[-1] if writing.out else 1
            speculative_sampling(writing, draft, p[at], [p[token] for token in draft.tokens], proposals)
            draft, proposals = Draft(), {}
        seen[tuple(writing.out)] += 1
    return seen


@pytest.mark.parametrize(
    ("width", "cut", "forbid", "temperature"),
    [(1, False, 0, 1.0), (1, True, 20, 0.7), (3, False, 20, 1.0), (3, True, 0, 1.3)],
)
def test_texts_of_two_tokens_have_the_joint_distribution(
    width: int, cut: bool, forbid: int, temperature: float
) -> None:
    p = table(4, sharp=3.0)
    rule = Anything(2, forbid=forbid)
    draws = 5000
    seen = _texts(p, blurred(p, 1.0), rule, draws, width=width, cut=cut, temperature=temperature)
    step = law(p, temperature=temperature, rule=rule)
    statistic, degrees = chi_square(seen, draws * step[1][:, None] * step)
    assert statistic < chi_square_limit(degrees)


def test_at_temperature_zero_it_writes_the_greedy_tokens() -> None:
    p, rule = table(6), Anything(3, forbid=10)
    writing = Writing(rule, Sampling(), limit=10, reserve=1)
    plain, last = [], 1
    for _ in range(3):
        last = int(np.where(rule.mask(last), p[last], -np.inf).argmax())
        plain.append(last)
    draft = Draft.of([plain[:2], [plain[0], 9]])
    accepted, written, pending = speculative_sampling(writing, draft, p[1], [p[token] for token in draft.tokens], {})
    assert written == plain
    assert [draft.tokens[node] for node in accepted] == plain[:2]
    assert pending == plain[2:]
