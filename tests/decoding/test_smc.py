"""Populations: unbiased masses, weighted draws that approach the true conditional, one seed one answer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toys import EVEN, SALTS, TEXTS, Letters, drive, log_text, toy, truth
from walking import LAST

from thalweg.decoding.aligned import GrammarAligned, Population, masked, rejected, smc
from thalweg.decoding.samplers import uniform_number
from thalweg.errors import UnsupportedByBackend
from thalweg.models.request import Format, Sampling

LAWS = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
TEXTS_HERE, SALT = ["ab", "abc", "ba", "bb", "c", "dd", "dddd"], 11
PROPOSE = {"masked": masked, "rejected": rejected}


def populate(
    texts: list[str], salt: int, seed: int = 0, particles: int = 6, propose: Any = masked, limit: int = 64,
    sampling: Sampling = EVEN, threshold: float = 0.5,
) -> Population:  # fmt: skip
    sampling = Sampling(sampling.temperature, sampling.top_p, sampling.top_k, seed)
    decoder = smc(
        LAST, toy(texts), sampling, end=Letters.end, limit=limit, particles=particles, threshold=threshold,
        propose=propose,
    )  # fmt: skip
    return drive(decoder, Letters.size, salt)


@LAWS
@given(TEXTS, SALTS, st.integers(0, 99), st.sampled_from(sorted(PROPOSE)), st.integers(1, 9), st.floats(0, 1))
def test_every_sample_is_of_the_grammar_and_reports_its_probability(
    texts: list[str], salt: int, seed: int, propose: str, particles: int, threshold: float
) -> None:
    found = populate(texts, salt, seed, particles, PROPOSE[propose], threshold=threshold)
    assert len(found.samples) == particles
    for one in found.samples:
        text = Letters().decode(one.tokens)
        assert text in texts
        assert one.logprob == pytest.approx(log_text(text, salt), abs=1e-9)
    assert found.contexts <= found.rows
    assert found.draw(uniform_number(seed, 0)) in found.samples


@LAWS
@given(TEXTS, SALTS, st.integers(0, 99))
def test_without_resampling_a_weight_is_probability_over_proposal(texts: list[str], salt: int, seed: int) -> None:
    """The masked proposal has a closed form: the product of the masses, P(w) / Q_masked(w)."""
    language = truth(toy(texts), salt)
    masked_q = dict(
        zip([language.spelling(leaf)[:-1] for leaf in language.leaves], language.induced(None), strict=True)
    )
    for one in populate(texts, salt, seed, threshold=0.0).samples:
        assert one.log_weight == pytest.approx(one.logprob - masked_q[one.tokens], abs=1e-9)


@pytest.mark.parametrize("propose", sorted(PROPOSE))
@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_the_mean_weight_is_an_unbiased_estimate_of_the_mass(propose: str, threshold: float) -> None:
    mass = math.exp(truth(toy(TEXTS_HERE), SALT).log_c[0])
    found = [populate(TEXTS_HERE, SALT, seed, 4, PROPOSE[propose], threshold=threshold) for seed in range(300)]
    estimates = np.exp([one.log_mass for one in found])
    error = estimates.std() / math.sqrt(len(estimates))
    assert abs(estimates.mean() - mass) < 4 * error
    assert error < 0.1 * mass


@pytest.mark.parametrize("propose", sorted(PROPOSE))
def test_weighted_samples_estimate_expectations_of_the_true_conditional(propose: str) -> None:
    """Unbiased: E[mean of weight x f] = sum over the grammar of P f, here f = the text is "bb" (masking: a sixth)."""
    expected = math.exp(log_text("bb", SALT))
    sums = []
    for seed in range(400):
        found = populate(TEXTS_HERE, SALT, seed, 4, PROPOSE[propose])
        hits = [math.exp(one.log_weight) for one in found.samples if Letters().decode(one.tokens) == "bb"]
        sums.append(sum(hits) / len(found.samples))
    error = np.std(sums) / math.sqrt(len(sums))
    assert abs(np.mean(sums) - expected) < 4 * error
    assert error < 0.2 * expected


def test_more_particles_bring_draws_nearer_to_the_true_conditional() -> None:
    language = truth(toy(TEXTS_HERE), SALT)
    spelled = [Letters().decode(language.spelling(leaf)[:-1]) for leaf in language.leaves]
    q = np.exp(language.log_q())

    def distance(particles: int, draws: int = 300) -> float:
        drawn = dict.fromkeys(spelled, 0.0)
        for seed in range(draws):
            found = populate(TEXTS_HERE, SALT, seed, particles)
            drawn[Letters().decode(found.draw(uniform_number(seed, -1)).tokens)] += 1 / draws
        return 0.5 * float(np.abs(np.array(list(drawn.values())) - q).sum())

    masks_alone = 0.5 * float(np.abs(np.exp(language.induced(None)) - q).sum())
    one, many = distance(1), distance(16)
    assert many < 0.5 * one
    assert one == pytest.approx(masks_alone, abs=0.1)  # a population of one is masking


@LAWS
@given(TEXTS, SALTS, st.integers(0, 99), st.sampled_from(sorted(PROPOSE)))
def test_equal_seeds_give_equal_populations(texts: list[str], salt: int, seed: int, propose: str) -> None:
    first, again = (populate(texts, salt, seed, propose=PROPOSE[propose]) for _ in range(2))
    assert first == again


@LAWS
@given(TEXTS, SALTS, st.integers(2, 5), st.sampled_from(sorted(PROPOSE)))
def test_what_reaches_the_limit_has_weight_zero(texts: list[str], salt: int, limit: int, propose: str) -> None:
    language = truth(toy(texts), salt, limit=limit)
    found = populate(texts, salt, 3, propose=PROPOSE[propose], limit=limit)
    complete = {language.spelling(leaf)[:-1] for leaf in language.leaves}
    for one in found.samples:
        assert (one.log_weight > -math.inf) == (one.tokens in complete)


def test_where_all_particles_die_one_is_closed() -> None:
    for salt in range(10):
        found = populate(["abcd", "bacd", "cabd"], salt, sampling=Sampling(temperature=1.0, top_k=1))
        one = found.draw(0.5)
        assert Letters().decode(one.tokens) in ("abcd", "bacd", "cabd")
        assert one.closed == (found.log_mass == -math.inf)


def test_a_scorer_alone_gives_the_samples_of_the_engine(model: Any, scorer: Any) -> None:
    """Also a check of the engine: batch-mates and branches that are read again change nothing."""
    free = scorer.free_lanes
    if not free:
        pytest.skip("the engine of other tests holds all lanes")
    format = Format("choices", choices=("one", "two", "three"))
    for method in ("gcd", "smc"):
        made = [
            GrammarAligned(one, format, method, particles=3).sample("Count: one, two, ", 3) for one in (scorer, model)
        ]
        assert [one.text for one in made[0]] == [one.text for one in made[1]]
        assert [one.log_weight for one in made[0]] == pytest.approx([one.log_weight for one in made[1]], abs=1e-9)
    assert scorer.free_lanes == free


def test_on_the_model_populations_estimate_the_mass_and_stay_in_the_grammar(model: Any) -> None:
    format = Format("regex", pattern="0(0000)|1[01]{4}")
    for method in ("smc", "awrs"):
        gen = GrammarAligned(model, format, method, particles=3)
        drawn = gen.sample("Five random bits: ", 5)
        assert len(drawn) == 5
        assert all(len(one.text) == 5 and set(one.text) <= {"0", "1"} for one in drawn)
        assert gen.rows >= gen.contexts > 0
        with pytest.raises(UnsupportedByBackend, match="closed form"):
            gen.kl_to_exact()
    language = gen.language()
    log_q = dict(zip([language.spelling(leaf)[:-1] for leaf in language.leaves], language.log_q(), strict=True))
    for one in drawn:  # trees score as chains do
        assert one.logprob - language.log_c[0] == pytest.approx(log_q[one.tokens], abs=1e-4)
