"""ASAp: bounds that only fall and never below the truth, exact convergence, samples of the grammar, one shared trie."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toys import EVEN, SALTS, TEXTS, Letters, drive, log_text, toy, truth
from walking import LAST, chi_square_limit

import thalweg as tw
from thalweg.decoding.aligned import GrammarAligned, Sample, Trie, asap, divergence, forget
from thalweg.errors import BudgetExceeded, DataError, TypeNotSupported, UnsupportedByBackend
from thalweg.models.request import Format, Message, Request, Sampling
from thalweg.models.request_codec import request_key

LAWS = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
UNSEEN = st.sampled_from(["bound", "mean"])
BINARY = Format("regex", pattern="0(0000)|1[01]{4}")
PROMPT = "Five random bits: "


def draw(
    constraint: Any, trie: Trie | None, seed: int, salt: int, sampling: Sampling = EVEN, limit: int = 64
) -> Sample:  # fmt: skip
    sampling = replace(sampling, seed=seed)
    return drive(asap(LAST, constraint, sampling, trie, end=Letters.end, limit=limit), Letters.size, salt)


# -- the truth ------------------------------------------------------------------------------------------------------


@LAWS
@given(TEXTS, SALTS)
def test_the_exact_conditional_is_the_models_own_probability_renormalised(texts: list[str], salt: int) -> None:
    language = truth(toy(texts), salt)
    spelled = {Letters().decode(language.spelling(leaf)[:-1]): q
               for leaf, q in zip(language.leaves, language.log_q(), strict=True)}  # fmt: skip
    expected = {text: log_text(text, salt) for text in texts}
    mass = np.logaddexp.reduce(list(expected.values()))
    assert spelled == pytest.approx({text: p - mass for text, p in expected.items()}, abs=1e-9)
    assert language.log_c[0] == pytest.approx(mass, abs=1e-9)


@LAWS
@given(TEXTS, SALTS, UNSEEN)
def test_the_induced_distribution_sums_to_one_at_any_time(texts: list[str], salt: int, unseen: Any) -> None:
    constraint, trie = toy(texts), Trie(unseen)
    language = truth(constraint, salt)
    for seed in range(5):
        assert np.exp(language.induced(trie)).sum() == pytest.approx(1)
        draw(constraint, trie, seed, salt)
    assert np.exp(language.induced(None)).sum() == pytest.approx(1)


# -- laws of the trie -----------------------------------------------------------------------------------------------


@LAWS
@given(TEXTS, SALTS, UNSEEN)
def test_bounds_never_fall_below_the_truth_and_only_fall(texts: list[str], salt: int, unseen: Any) -> None:
    constraint, trie = toy(texts), Trie(unseen)
    language = truth(constraint, salt)
    exact_c = {language.spelling(number): language.log_c[number] for number in range(len(language))}
    before: dict[tuple[int, ...], float] = {}
    for seed in range(12):
        draw(constraint, trie, seed, salt)
        for prefix, node in trie.walk():
            assert node.log_bound >= exact_c[prefix] - 1e-9
            assert node.log_bound <= before.get(prefix, 0.0)
            before[prefix] = node.log_bound


@LAWS
@given(TEXTS, SALTS, UNSEEN)
def test_once_all_leaves_were_seen_the_sampler_is_exact(texts: list[str], salt: int, unseen: Any) -> None:
    constraint, trie = toy(texts), Trie(unseen)
    language = truth(constraint, salt)
    log_q = language.log_q()
    wanted = {language.spelling(leaf) for leaf in language.leaves}
    for seed in range(150):
        draw(constraint, trie, seed, salt)
        if seed % 5 == 4 and wanted <= {prefix for prefix, _ in trie.walk()}:
            assert divergence(log_q, language.induced(trie)) == pytest.approx(0, abs=1e-9)
            assert trie.log_mass == pytest.approx(language.log_c[0], abs=1e-9)
            return
    if unseen == "bound":  # what was not seen by then has little probability, and its bound some hundredths
        assert divergence(log_q, language.induced(trie)) < 0.1


@LAWS
@given(TEXTS, SALTS)
def test_with_means_the_first_draw_is_that_of_masking_and_no_string_is_ruled_out(texts: list[str], salt: int) -> None:
    constraint, trie = toy(texts), Trie("mean")
    language = truth(constraint, salt)
    assert language.induced(trie) == pytest.approx(language.induced(None))
    for seed in range(20):
        draw(constraint, trie, seed, salt)
        assert np.isfinite(language.induced(trie)).all()


def test_means_stray_less_from_the_truth_than_bounds_at_first_and_arrive_as_well() -> None:
    texts = ["ab", "abc", "ba", "bb", "c", "dd", "dddd"]
    early = {"bound": 0.0, "mean": 0.0}
    late = {"bound": 0.0, "mean": 0.0}
    for salt in range(12):
        constraint = toy(texts)
        language = truth(constraint, salt)
        log_q = language.log_q()
        for unseen in ("bound", "mean"):
            trie = Trie(unseen)
            for seed in range(60):
                draw(constraint, trie, seed, salt)
                if seed == 0:
                    early[unseen] += divergence(log_q, language.induced(trie)) / 12
            late[unseen] += divergence(log_q, language.induced(trie)) / 12
    assert early["mean"] < early["bound"]
    assert max(late.values()) < 0.05


@LAWS
@given(TEXTS, SALTS, UNSEEN)
def test_what_is_drawn_is_of_the_grammar_and_reports_its_own_probability(
    texts: list[str], salt: int, unseen: Any
) -> None:
    constraint, trie = toy(texts), Trie(unseen)
    for seed in range(6):
        language = truth(constraint, salt)
        spelled = [Letters().decode(language.spelling(leaf)[:-1]) for leaf in language.leaves]
        for known in (trie, None):
            induced = dict(zip(spelled, language.induced(known), strict=True))
            one = draw(constraint, known, seed, salt)
            text = Letters().decode(one.tokens)
            assert one.logprob - one.log_weight == pytest.approx(induced[text], abs=1e-9)
            assert text in texts
            assert one.logprob == pytest.approx(log_text(text, salt), abs=1e-9)
            assert not one.closed


def test_weights_of_masked_draws_and_of_learning_draws_both_estimate_the_mass_without_bias() -> None:
    texts, salt = ["ab", "abc", "ba", "bb", "c", "dddd"], 7
    constraint = toy(texts)
    mass = math.exp(truth(constraint, salt).log_c[0])
    for trie in (None, Trie(), Trie("mean")):
        weights = np.exp([draw(constraint, trie, seed, salt).log_weight for seed in range(900)])
        error = weights.std() / math.sqrt(len(weights))
        assert abs(weights.mean() - mass) < 4 * error + 1e-12
        assert error < 0.15 * mass


def test_draws_follow_the_true_conditional_once_it_is_learned() -> None:
    texts, salt = ["ab", "abc", "ba", "bb", "c", "dd"], 11
    constraint, trie = toy(texts), Trie()
    language = truth(constraint, salt)
    for seed in range(500):
        draw(constraint, trie, seed, salt)
    assert divergence(language.log_q(), language.induced(None)) > 0.01
    seen = dict.fromkeys(texts, 0)
    for seed in range(1000, 3000):
        seen[Letters().decode(draw(constraint, trie, seed, salt).tokens)] += 1
    mass = np.logaddexp.reduce([log_text(text, salt) for text in texts])
    expected = np.array([2000 * math.exp(log_text(text, salt) - mass) for text in texts])
    statistic = ((np.array(list(seen.values())) - expected) ** 2 / expected).sum()
    assert statistic < chi_square_limit(len(texts) - 1)


@LAWS
@given(TEXTS, SALTS, st.integers(1, 5))
def test_a_cut_draw_leaves_the_target_and_is_not_taken_again(texts: list[str], salt: int, limit: int) -> None:
    constraint, trie = toy(texts), Trie()
    language = truth(constraint, salt, limit=limit)
    exact_c = {language.spelling(number): language.log_c[number] for number in range(len(language))}
    for seed in range(30):
        try:
            one = draw(constraint, trie, seed, salt, limit=limit)
        except BudgetExceeded:
            continue
        text = Letters().decode(one.tokens)
        assert text in texts
        assert one.closed == (one.log_weight == -math.inf)
    for prefix, node in trie.walk():
        assert node.log_bound >= exact_c[prefix] - 1e-9


def test_greedy_draws_take_the_likeliest_token_under_the_bounds() -> None:
    texts, salt = ["ab", "abc", "ba", "bb", "c", "dd"], 11
    constraint, trie = toy(texts), Trie()
    for seed in range(300):
        draw(constraint, trie, seed, salt)
    language = truth(constraint, salt)
    induced = dict(zip([language.spelling(leaf) for leaf in language.leaves], language.induced(trie), strict=True))
    one = draw(constraint, trie, 0, salt, Sampling(temperature=0.0))
    prefix: tuple[int, ...] = ()
    while prefix not in induced:  # step by step the likeliest branch
        mass = {n: np.logaddexp.reduce([q for s, q in induced.items() if s[: len(n)] == n])
                for n in {s[: len(prefix) + 1] for s in induced if s[: len(prefix)] == prefix}}  # fmt: skip
        prefix = max(mass, key=lambda n: mass[n])
    assert one.tokens == prefix[:-1]


def test_a_law_that_its_cuts_keep_out_of_the_grammar_closes_the_text() -> None:
    texts = ["abcd", "bacd", "cabd"]
    for salt in range(20):
        for trie in (None, Trie(), Trie("mean")):
            one = draw(toy(texts), trie, 0, salt, Sampling(temperature=1.0, top_k=1))
            assert Letters().decode(one.tokens) in texts
            assert one.closed == (one.log_weight == -math.inf)


@LAWS
@given(TEXTS, SALTS, UNSEEN)
def test_a_saved_trie_is_the_same_trie(tmp_path_factory: Any, texts: list[str], salt: int, unseen: Any) -> None:
    constraint, trie = toy(texts), Trie(unseen)
    for seed in range(8):
        draw(constraint, trie, seed, salt)
    path = tmp_path_factory.mktemp("trie") / "trie.json"
    trie.save(path)
    again = Trie.load(path)
    kept = [
        [(prefix, node.log_bound, node.log_mean, node.unseen) for prefix, node in one.walk()] for one in (again, trie)
    ]
    assert kept[0] == kept[1]
    assert again.size == trie.size
    assert draw(constraint, again, 99, salt) == draw(constraint, trie, 99, salt)


def test_what_is_no_trie_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trie.json"
    for nodes in ("[[0, 0, 0]]", '[[0, 0, 0, {"3": [0, 7]}]]', '[[0, 0, 0, {"3": [0, 0]}]]', "[]", "7"):
        path.write_text('{"unseen": "bound", "nodes": ' + nodes + "}")
        with pytest.raises(DataError, match=r"trie"):
            Trie.load(path)
    for text in ("", "{}", "[]", '{"unseen": "best", "nodes": []}'):
        path.write_text(text)
        with pytest.raises(DataError, match=r"trie"):
            Trie.load(path)


def test_a_full_trie_draws_on_without_growing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thalweg.decoding.aligned.trie.MOST_NODES", 5)
    texts, salt = ["ab", "abc", "ba", "bb", "c", "dd"], 3
    constraint, trie = toy(texts), Trie()
    exact_c = (language := truth(constraint, salt)).log_c
    for seed in range(60):
        assert Letters().decode(draw(constraint, trie, seed, salt).tokens) in texts
    assert trie.size == 5
    known = {language.spelling(number): exact_c[number] for number in range(len(language))}
    assert all(node.log_bound >= known[prefix] - 1e-9 for prefix, node in trie.walk())
    assert np.exp(language.induced(trie)).sum() == pytest.approx(1)


# -- on the model ---------------------------------------------------------------------------------------------------


def test_on_the_model_asap_leaves_masking_behind_and_every_sample_is_of_the_grammar(model: Any, tmp_path: Path) -> None:
    masking, learning = GrammarAligned(model, BINARY, "gcd"), GrammarAligned(model, BINARY, "asap")
    language = masking.language(PROMPT)
    assert len(language.leaves) == 17
    first = masking.kl_to_exact(PROMPT)
    drawn = [*masking.sample(PROMPT, 3), *learning.sample(PROMPT, 28)]
    assert all(one.text == "00000" or (one.text[0] == "1" and set(one.text) <= {"0", "1"}) for one in drawn)
    assert divergence(language.log_q(), language.induced(None)) == pytest.approx(first, abs=1e-9)
    assert first > 0.01
    learned = divergence(language.log_q(), language.induced(learning.trie))
    assert learned < 0.2 * first
    learning.save(tmp_path / "bits.json")
    again = GrammarAligned(model, BINARY, "asap")
    again.load(tmp_path / "bits.json", PROMPT)
    assert divergence(language.log_q(), language.induced(again.trie)) == learned
    known = {language.spelling(number): language.log_c[number] for number in range(len(language))}
    assert all(node.log_bound >= known[prefix] - 1e-6 for prefix, node in learning.trie.walk())
    log_q = dict(zip([language.spelling(leaf)[:-1] for leaf in language.leaves], language.log_q(), strict=True))
    for one in drawn:  # what a draw says of itself is what scoring all strings in trees says
        assert one.logprob - language.log_c[0] == pytest.approx(log_q[one.tokens], abs=1e-4)


def test_messages_are_rendered_in_the_chat_form(model: Any) -> None:
    gen = GrammarAligned(model, BINARY, "asap")
    (one,) = gen.sample([Message("user", "Write five bits.")], 1)
    assert len(one.text) == 5
    assert "<|im_start|>assistant" in gen._prompt


def test_too_large_a_grammar_cannot_be_enumerated(model: Any) -> None:
    with pytest.raises(TypeNotSupported, match="more than"):
        GrammarAligned(model, Format("text", max_chars=40), "asap").kl_to_exact(PROMPT)


# -- in programs ----------------------------------------------------------------------------------------------------


@tw.learned
def mood(text: str) -> bool:
    """Is it friendly?"""


def test_learned_functions_take_a_sampler_by_every_way_settings_come(model: Any) -> None:
    with tw.using(model=model, cache=False):
        for value in (
            mood.using(sampler="aligned")("Hello!"), mood.using(sampler="smc")("Hello!"),
            mood.using(sampler="awrs")("Hello!"),
        ):  # fmt: skip
            assert value in (True, False)
        with tw.using(sampler="aligned"):
            assert set(mood.sample("Hello!", n=6)) <= {True, False}
        tw.configure(sampler="smc")
        assert mood("Hello!") in (True, False)


def test_samplers_that_need_logits_refuse_models_without(model: Any) -> None:
    scripted = tw.models.ScriptedModel(lambda request: "true")
    for sampler in ("aligned", "smc", "awrs"):
        with pytest.raises(UnsupportedByBackend, match="sampler"):
            mood.using(model=scripted, sampler=sampler)("Hello!")
        with pytest.raises(UnsupportedByBackend, match="masked"):
            mood.using(model=model, sampler=sampler).distribution("Hello!")
    assert mood.using(model=scripted, sampler="masked")("Hello!") is True
    with pytest.raises(ValueError, match="aligned"):
        mood.using(sampler="best")


def test_the_sampler_is_part_of_a_calls_key_and_old_keys_stay() -> None:
    plain = Request((Message("user", "x"),), BINARY)
    keys = {
        request_key(Request((Message("user", "x"),), BINARY, Sampling(sampler=sampler)), "m")
        for sampler in ("masked", "aligned", "smc", "awrs")
    }
    assert len(keys) == 4
    assert request_key(plain, "m") in keys


def test_requests_of_one_prompt_share_a_trie_and_populations_depend_on_the_seed_alone(model: Any) -> None:
    def ask(sampler: Any, seed: int) -> str:
        sampling = Sampling(1.0, seed=seed, sampler=sampler)
        request = Request((Message("user", PROMPT),), BINARY, sampling, suffix=PROMPT)
        return model.submit(request).result(60).text

    forget(model.tokenizer)
    from thalweg.decoding.aligned.answering import request_trie

    request = Request((), BINARY, Sampling(1.0, sampler="aligned"), suffix=PROMPT)
    trie = request_trie(request, model.tokenizer, 512)
    assert trie.size == 1
    for seed in range(3):
        ask("aligned", seed)
    assert trie.size > 10
    for sampler in ("smc", "awrs"):
        assert ask(sampler, 1) == ask(sampler, 1)
