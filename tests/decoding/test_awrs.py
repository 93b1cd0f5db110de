"""Adaptive weighted rejection: exact draws from the allowed tokens, weights without bias, few tests, never a mask."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from walking import LAST, chi_square_limit, logits_after

from thalweg.decoding import constraint_for
from thalweg.decoding.aligned import Rejection
from thalweg.models.request import Format

LAWS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
LAW = np.log(np.array([0.30, 0.25, 0.2, 0.1, 0.08, 0.04, 0.03]))
ALLOWED = np.array([2, 4, 6])
MASS = float(np.exp(LAW[ALLOWED]).sum())


def reject(seed: int, law: np.ndarray = LAW, allowed: np.ndarray = ALLOWED, most: int = 32) -> Rejection:
    members = set(allowed.tolist())
    return Rejection(law, members.__contains__, lambda: allowed, np.random.default_rng(seed), most=most)


@pytest.mark.parametrize("most", [1, 2, 3, 32])
def test_weights_are_unbiased_and_tokens_are_exact_draws_whatever_the_weight(most: int) -> None:
    found = [reject(seed, most=most) for seed in range(8000)]
    weights = np.exp([one.log_weight for one in found])
    error = weights.std() / math.sqrt(len(weights))
    assert abs(weights.mean() - MASS) < 4 * error
    for copy in range(3):
        tokens = np.array([one.token(copy) for one in found])
        share = np.exp(LAW[ALLOWED]) / MASS
        seen = np.array([(tokens == token).sum() for token in ALLOWED])
        expected = len(found) * share
        assert ((seen - expected) ** 2 / expected).sum() < chi_square_limit(len(ALLOWED) - 1)
        # Proper weighting: E[weight x indicator of a token] = its probability under the unmasked law.
        for token in ALLOWED:
            products = weights * (tokens == token)
            error = products.std() / math.sqrt(len(products))
            assert abs(products.mean() - math.exp(LAW[token])) < 4 * error


@pytest.mark.parametrize("most", [1, 2, 4, 9])
def test_the_expected_weight_is_the_mass_summed_over_every_course_of_refusals(most: int) -> None:
    """Exactly, no dice: every order of refusals and every place of the acceptances, with its probability."""
    p = np.exp(LAW)
    refusable = [token for token in range(len(p)) if token not in ALLOWED]
    total = expected = 0.0
    for count in range(len(refusable) + 1):
        if count > most:
            break
        for order in itertools.permutations(refusable, count):
            masses = [1.0 - sum(p[list(order[:i])]) for i in range(count + 1)]
            course = math.prod(p[token] / mass for token, mass in zip(order, masses, strict=False))
            if count == most:  # fewer than two acceptances came before the last refusal
                probability = course * (1 + sum(MASS / mass for mass in masses[:count]))
                weight = MASS / (1 + MASS * sum(1 / mass for mass in masses[:count]))
            else:
                probability = course * MASS / masses[-1] * sum(MASS / mass for mass in masses)
                weight = 1 / sum(1 / mass for mass in masses)
            total += probability
            expected += probability * weight
    assert total == pytest.approx(1)
    assert expected == pytest.approx(MASS)


@LAWS
@given(
    st.lists(st.floats(-12, 4), min_size=2, max_size=30), st.integers(0, 2**30), st.integers(0, 999), st.integers(1, 40)
)  # fmt: skip
def test_a_draw_is_allowed_and_its_weight_has_the_closed_form(
    logits: list[float], members: int, seed: int, most: int
) -> None:
    law = np.array(logits) - np.logaddexp.reduce(logits)
    allowed = np.array([token for token in range(len(law)) if members >> token & 1], np.int64)
    one = reject(seed, law, allowed, most)
    assert not set(one.refused) & set(allowed.tolist())
    assert len(set(one.refused)) == len(one.refused) <= most
    if not len(allowed):
        assert one.log_weight == -math.inf
        return
    assert -math.inf < one.log_weight <= 1e-12
    assert one.token(0) in allowed
    assert one.token(5) in allowed
    left = 1 - np.cumsum([0.0, *np.exp(law[one.refused])])
    if len(one.accepted) == 2 and left[-1] > 1e-6:
        assert one.log_weight == pytest.approx(-math.log(sum(1 / left)), rel=1e-6)


def test_where_nearly_all_is_allowed_two_tests_suffice_and_no_mask_is_made() -> None:
    law = np.log(np.full(1000, 1 / 1000))

    def never() -> Any:
        raise AssertionError("a mask was made")

    found = [Rejection(law, lambda token: token != 7, never, np.random.default_rng(seed)) for seed in range(200)]
    assert all(one.tests <= 3 for one in found)
    assert np.mean(np.exp([one.log_weight for one in found])) == pytest.approx(0.999, abs=0.01)


FORMATS = {
    "bits": Format("regex", pattern="0(0000)|1[01]{4}"),
    "open end": Format("regex", pattern="(a|ab)+c?"),
    "json": Format("json", schema='{"type": "object", "properties": {"color": {"enum": ["red", "blue"]}, '
                   '"n": {"type": "integer"}}, "required": ["color", "n"], "additionalProperties": false}'),
    "text": Format("text", max_chars=20),
    "choices": Format("choices", choices=("red", "green", "reddish", "blue")),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_token_is_accepted_exactly_where_the_mask_allows_it(scorer: Any, name: str) -> None:
    tokenizer = scorer.tokenizer
    dice = np.random.default_rng(3)
    state = constraint_for(FORMATS[name], tokenizer).start()
    for _ in range(12):
        state.forced()
        if state.done:
            break
        allowed = state.allowed()
        ids = np.flatnonzero(allowed) if allowed.dtype == np.bool_ else allowed
        members = set(ids.tolist())
        asked = {*range(0, tokenizer.size, 7), *ids[:2000].tolist(), tokenizer.end}
        assert {token for token in asked if state.accepts(token)} == asked & members
        assert (state.allowed() == allowed).all(), "testing changes nothing"
        state.advance(int(dice.choice(ids)))


def test_over_the_real_vocabulary_the_weight_estimates_the_allowed_mass(scorer: Any) -> None:
    tokenizer = scorer.tokenizer
    state = constraint_for(FORMATS["text"], tokenizer).start()
    logits = logits_after([LAST], tokenizer.size).astype(np.float64)
    law = logits - np.logaddexp.reduce(logits)
    ids = np.flatnonzero(state.allowed())
    mass = math.exp(np.logaddexp.reduce(law[ids]))
    found = [Rejection(law, state.accepts, lambda: ids, np.random.default_rng(seed)) for seed in range(300)]
    weights = np.exp([one.log_weight for one in found])
    assert abs(weights.mean() - mass) < 4 * weights.std() / math.sqrt(len(weights))
