"""VERTEX: 1 for a reference sample, 0 for a random walk, and lower the more steps leave the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import DataError
from thalweg.eval.trajectory import FACTOR, KERNELS, vertex

# Chains from a thing to ever wider kinds: (reference, the same in other words).
CHAINS = [
    [
        ("a small dog kept as a pet in a house", "a little pet dog that lives indoors"),
        ("a dog, the tame animal that barks", "a domestic animal that barks, man's best friend"),
        ("a mammal that eats meat and has sharp teeth", "a meat-eating mammal with pointed teeth"),
        ("an animal that can move and must eat to live", "a living being that moves and has to eat"),
        ("a living thing that can grow and reproduce", "anything alive, which grows and multiplies"),
    ],
    [
        ("a violin played by a member of an orchestra", "the violin of an orchestra musician"),
        ("a stringed instrument played with a bow", "an instrument whose strings are bowed"),
        ("a device that is made to produce music", "something built for making music"),
        ("an object made by people for a purpose", "a thing that humans manufactured for some use"),
        ("a physical object that can be touched", "something material, which one can touch"),
    ],
]
RANDOM = [
    ["a tax on goods brought into a country", "the day after tomorrow", "a shade of deep blue"],
    ["to cross a river by boat", "a sudden loss of money", "the chemistry of iron"],
    ["a rule of grammar", "an illness of the lungs", "a very long war"],
    ["a meeting of bishops", "the price of wheat", "a bridge of ropes"],
    ["a song about the sea", "an error in a proof", "half of a circle"],
]


@pytest.fixture(scope="module")
def embedder():
    pytest.importorskip("safetensors")
    from thalweg.models.minilm import MiniLM

    return MiniLM()


@pytest.mark.parametrize("chain", CHAINS)
def test_other_words_score_high_and_replaced_steps_lower_it_one_by_one(chain, embedder):
    reference = [[one] for one, _ in chain]
    floor = [step[:2] for step in RANDOM]
    itself = vertex(reference, reference, floor, embedder=embedder)
    assert itself.score == pytest.approx(itself.self_score) and itself.of_self == pytest.approx(1)
    in_other_words = vertex([[one] for _, one in chain], reference, floor, embedder=embedder)
    assert 0.4 < in_other_words.of_self < 1
    scores = [
        vertex([[RANDOM[i][2]] if i < k else one for i, one in enumerate(reference)], reference, floor,
               embedder=embedder).score for k in range(6)
    ]  # fmt: skip
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == 6
    assert scores[5] < 0.1


def test_the_score_is_the_formula(embedder):
    rng = np.random.default_rng(0)
    made, known, other = (rng.normal(size=(1, n, 4)) for n in (3, 4, 5))
    points = np.concatenate([known[0], other[0]])
    squared = ((points[:, None] - points[None]) ** 2).sum(-1)
    width = squared.sum() / (9 * 8)

    def mean(a, b, skip=False):
        values = [
            np.mean([np.exp(-((x - y) ** 2).sum() / (width * FACTOR**i)) for i in range(-2, 3)])
            for n, x in enumerate(a) for m, y in enumerate(b) if not (skip and n == m)
        ]  # fmt: skip
        return np.mean(values)

    assert KERNELS == 5
    z = mean(known[0], known[0], skip=True)
    expected = np.clip(mean(made[0], known[0]) / z - mean(other[0], known[0]) / z, 0, 1)
    found = vertex(made, known, other)
    assert found.score == pytest.approx(expected) and found.bandwidth == pytest.approx(width)
    assert float(found) == found.score == found.steps[0]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4))
def test_scores_lie_in_the_unit_interval_and_do_not_depend_on_order_scale_or_place(seed, steps, samples):
    rng = np.random.default_rng(seed)
    made, known, other = (rng.normal(size=(steps, samples, 6)) for _ in range(3))
    found = vertex(made, known, other)
    assert 0 <= found.score <= 1 and 0 <= found.self_score <= 1 and len(found.steps) == steps
    assert found.score == pytest.approx(vertex(made[:, ::-1], known, other).score)
    shift = rng.normal(size=6)
    moved = vertex(3 * made + shift, 3 * known + shift, 3 * other + shift)
    assert moved.score == pytest.approx(found.score, abs=1e-9)
    assert vertex(other, known, other).score == 0


def test_a_fresh_sample_of_the_reference_scores_as_the_reference_itself():
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(4, 1, 16))
    known, fresh = (centres + 0.3 * rng.normal(size=(4, 60, 16)) for _ in range(2))
    other = 1.5 * rng.normal(size=(4, 60, 16))
    assert vertex(fresh, known, other).of_self == pytest.approx(1, abs=0.05)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match="2, 1 and 1 steps"):
        vertex([[[0.0]]] * 2, [[[0.0]]], [[[1.0]]])
    with pytest.raises(DataError, match="at least one"):
        vertex([], [], [])
    with pytest.raises(DataError, match="no sample"):
        vertex([[]], [[[0.0]]], [[[1.0]]])
    with pytest.raises(DataError, match="dimensions"):
        vertex([[[0.0, 1.0]]], [[[0.0]]], [[[1.0]]])
    with pytest.raises(DataError, match="are equal"):
        vertex([[[0.0]]], [[[1.0]]], [[[1.0]]])
