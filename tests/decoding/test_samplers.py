"""Draws: greedy is the argmax, cuts keep exactly their sets, seeds decide, frequencies are the softmax."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walking import chi_square_limit

from thalweg.decoding.samplers import pick, uniform_number
from thalweg.models.request import Sampling

IDS = np.arange(100, 112)
LOGITS = np.array([2.0, 1.5, 1.0, 0.7, 0.5, 0.2, 0.0, -0.3, -0.8, -1.0, -1.6, -2.0], np.float32)[::-1].copy()
FLOATS = st.floats(-20, 20, width=32)


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits.astype(np.float64) - float(logits.max()))
    return weights / weights.sum()


def drawn(sampling: Sampling, positions: int = 400) -> set[int]:
    return {pick(IDS, LOGITS, sampling, position)[0] for position in range(positions)}


def test_greedy_takes_the_lowest_id_of_equal_logits() -> None:
    token, logprob = pick(np.array([7, 9, 11]), np.array([1, 3, 3], np.float32), Sampling(), 0)
    assert token == 9
    assert logprob == pytest.approx(np.log(softmax(np.array([1.0, 3, 3]))[1]))


@given(st.lists(FLOATS, min_size=1, max_size=40), st.integers(0, 5))
@settings(deadline=None)
def test_greedy_is_the_argmax_at_every_position_and_seed(values: list[float], seed: int) -> None:
    logits = np.array(values, np.float32)
    ids = np.arange(len(values)) * 3
    for position in (0, 17):
        assert pick(ids, logits, Sampling(seed=seed), position)[0] == 3 * int(logits.argmax())


@given(st.lists(FLOATS, min_size=1, max_size=40), st.integers(0, 10**9), st.floats(0.05, 3), st.integers(0, 300))
@settings(deadline=None)
def test_draws_are_allowed_and_report_their_log_probability(
    values: list[float], seed: int, temperature: float, position: int
) -> None:
    logits = np.array(values, np.float32)
    sampling = Sampling(temperature=temperature, seed=seed)
    token, logprob = pick(np.arange(len(values)), logits, sampling, position)
    assert 0 <= token < len(values)
    assert logprob == pytest.approx(np.log(softmax(logits)[token]), abs=1e-4)
    assert (token, logprob) == pick(np.arange(len(values)), logits, sampling, position)


def test_top_k_draws_exactly_the_k_likeliest() -> None:
    for k in (1, 2, 5):
        assert drawn(Sampling(temperature=2.0, top_k=k)) == set(IDS[-k:].tolist())
    assert drawn(Sampling(temperature=5.0, top_k=0), 3000) == set(IDS.tolist())
    assert drawn(Sampling(temperature=5.0, top_k=99), 3000) == set(IDS.tolist())


@pytest.mark.parametrize("top_p", [0.01, 0.3, 0.5, 0.8, 0.95])
def test_nucleus_draws_exactly_the_smallest_set_of_that_mass(top_p: float) -> None:
    mass = np.cumsum(softmax(LOGITS)[::-1])
    size = int((mass < top_p).sum()) + 1
    assert drawn(Sampling(temperature=1.0, top_p=top_p), 3000) == set(IDS[-size:].tolist())


def test_random_numbers_depend_on_seed_and_position_alone() -> None:
    numbers = {(seed, position): uniform_number(seed, position) for seed in range(40) for position in range(40)}
    assert len(set(numbers.values())) == len(numbers)
    assert all(0 <= number < 1 for number in numbers.values())
    assert abs(np.mean(list(numbers.values())) - 0.5) < 0.03
    assert uniform_number(3, 4) == numbers[3, 4]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_of_20000_draws_are_the_softmax(temperature: float) -> None:
    count = 20_000
    seen = np.zeros(len(IDS))
    for seed in range(count):
        seen[pick(IDS, LOGITS, Sampling(temperature=temperature, seed=seed), seed % 7)[0] - 100] += 1
    expected = count * softmax(LOGITS / temperature)
    assert ((seen - expected) ** 2 / expected).sum() < chi_square_limit(len(IDS) - 1)
