"""PEARL writes what the target alone writes, whatever the draft says, and both models give back what they took."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paired_toys import SIZE, Anything, ToyScorer, blurred, chi_square, law, table
from walking import chi_square_limit

from thalweg.decoding import constraint_for, drive, generate
from thalweg.decoding.pearl import MOST, ROOM, Pearl
from thalweg.decoding.pearl_simulation import best_gamma, simulate
from thalweg.errors import ContextOverflow, ModelError, TokenizerMismatch, UnsupportedByBackend
from thalweg.models.request import Format, Sampling

P = table(11)


def pair(noise: float = 1.0, gamma: Any = 4, **draft: Any) -> tuple[Pearl, ToyScorer, ToyScorer]:
    target, small = ToyScorer(P, name="large"), ToyScorer(blurred(P, noise), name="small", **draft)
    return Pearl(target, small, gamma=gamma), target, small


def write(pearl: Pearl, length: int, *, rule: Anything | None = None, **options: Any) -> tuple[int, ...]:
    answer = pearl.generate([2, 1], constraint=rule or Anything(length), max_tokens=length + 10, reserve=1, **options)
    assert answer.finish == "complete"
    assert answer.stats.tokens <= len(answer.tokens) == length
    return answer.tokens


def greedy(length: int, rule: Anything) -> tuple[int, ...]:
    state, last, tokens = rule.start(), 1, []
    while not state.done:
        forced = state.forced()
        tokens += forced
        if forced:
            last = forced[-1]
            continue
        last = int(np.where(state.allowed(), P[last], -np.inf).argmax())
        state.advance(last)
        tokens.append(last)
    return tuple(tokens)


# -- what is written ----------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 5), st.integers(1, MOST), st.integers(1, 60), st.integers(0, 30), st.integers(0, 5), st.booleans())
def test_greedy_tokens_are_those_of_the_target_for_any_draft(
    noise: float, gamma: int, length: int, forbid: int, every: int, masked: bool
) -> None:
    rule = Anything(length, forbid=forbid, force_every=every)
    target, small = ToyScorer(P), ToyScorer(blurred(P, noise))
    with Pearl(target, small, gamma=gamma, mask_draft=masked) as pearl:
        assert write(pearl, length, rule=rule) == greedy(length, rule)
    assert not target.open_prefixes
    assert not small.open_prefixes


@pytest.mark.parametrize(("noise", "forbid", "texts"), [(0.7, 0, 20), (2.0, 25, 80)])
def test_20000_sampled_transitions_have_the_law_of_the_target(noise: float, forbid: int, texts: int) -> None:
    rule = Anything(250, forbid=forbid)
    seen = np.zeros((SIZE, SIZE))
    with pair(noise, gamma=4)[0] as pearl:
        for seed in range(texts):
            tokens = [1, *write(pearl, 250, rule=rule, temperature=0.8, seed=seed)]
            np.add.at(seen, (tokens[:-1], tokens[1:]), 1)
    assert seen.sum() == 250 * texts  # 20,000 of them in one case
    expected = seen.sum(axis=1, keepdims=True) * law(P, temperature=0.8, rule=rule)
    statistic, degrees = chi_square(seen, expected)
    assert statistic < chi_square_limit(degrees)


def test_first_tokens_of_texts_have_the_law_of_the_target() -> None:
    """Each text from a seed of its own: nothing is carried from one answer to the next that bends the second."""
    seen = np.zeros(SIZE)
    with pair(1.0, gamma="auto")[0] as pearl:
        for seed in range(2000):
            seen[write(pearl, 1, temperature=1.0, seed=seed)[0]] += 1
    statistic, degrees = chi_square(seen, 2000 * law(P)[1])
    assert statistic < chi_square_limit(degrees)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, MOST), st.integers(1, MOST), st.integers(0, 10**6), st.integers(0, 20))
def test_a_seed_writes_one_text_whatever_gamma_is(one: int, other: int, seed: int, forbid: int) -> None:
    """Draws belong to positions: how many guesses were made at once leaves no trace."""
    rule = Anything(30, forbid=forbid)
    texts = []
    for gamma in (one, other):
        with pair(1.0, gamma=gamma)[0] as pearl:
            texts.append(write(pearl, 30, rule=rule, temperature=1.0, top_p=0.9, seed=seed))
    assert texts[0] == texts[1]


def test_an_answer_is_closed_in_time_when_tokens_run_out() -> None:
    with pair()[0] as pearl:
        answer = pearl.generate([2, 1], constraint=Anything(30), max_tokens=31, reserve=5)
    assert answer.finish == "closed"
    assert answer.tokens[:25] == greedy(25, Anything(25))


# -- how it is written --------------------------------------------------------------------------------------------


def test_a_draft_that_is_always_right_gives_a_block_a_tick() -> None:
    with pair(0.0, gamma=5)[0] as pearl:
        answer = pearl.generate([2, 1], constraint=Anything(101), max_tokens=200, reserve=1)
    stats = answer.stats
    assert stats.pre == 1
    assert stats.ticks == 1 + 100 / 5
    assert stats.acceptance == 1.0


def test_a_draft_that_is_always_wrong_costs_no_pass_of_the_target() -> None:
    target, small = ToyScorer(P), ToyScorer(-P)
    with Pearl(target, small, gamma=3) as pearl:
        stats = pearl.generate([2, 1], constraint=Anything(40), max_tokens=60, reserve=1).stats
    assert stats.post == stats.accepted == 0
    assert stats.pre == len(target.passes) == 40
    assert set(target.passes) == {1}


def test_the_draft_reads_the_prompt_once_and_catches_up_in_one_pass() -> None:
    pearl, _, small = pair(0.8, gamma=4)
    with pearl:
        stats = pearl.generate([2, 1], constraint=Anything(200), max_tokens=300, reserve=1).stats
    assert small.read == 1
    assert len(small.passes) == stats.drafted
    assert max(small.passes) <= 2  # behind a refusal: the corrected token; behind a block: its last token


def test_auto_leaves_the_target_alone_where_the_draft_does_not_pay() -> None:
    target = ToyScorer(P, costs=lambda rows: float(rows))  # eight rows cost eight times one
    with Pearl(target, ToyScorer(blurred(P, 1.0), costs=lambda rows: 0.9), gamma="auto") as pearl:
        stats = pearl.generate([2, 1], constraint=Anything(200), max_tokens=300, reserve=1).stats
    assert [tick.gamma for tick in stats.log].count(0) >= 170


def test_auto_takes_blocks_as_long_as_the_ratio_of_speeds() -> None:
    target = ToyScorer(P, costs=lambda rows: 5.0)  # a device on which rows cost nothing
    with Pearl(target, ToyScorer(blurred(P, 0.2), costs=lambda rows: 1.0), gamma="auto") as pearl:
        stats = pearl.generate([2, 1], constraint=Anything(200), max_tokens=300, reserve=1).stats
    assert {tick.gamma for tick in stats.log} <= {0, 5}
    assert len(stats.log) < 50


def test_both_models_work_at_the_same_time() -> None:
    """Passes that wait for each other would take the sum of both."""

    class Slow(ToyScorer):
        def score(self, forest: Any) -> Any:
            time.sleep(0.004)  # stands in for a computation that leaves the interpreter's lock
            scores = super().score(forest)
            scores.seconds = 0.004
            return scores

    target, small = Slow(P, threaded=True), Slow(P, threaded=True)
    with Pearl(target, small, gamma=1) as pearl:
        stats = pearl.generate([2, 1], constraint=Anything(40), max_tokens=60, reserve=1).stats
    assert stats.target_idle + stats.draft_idle < 0.8


# -- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize("side", ["target", "draft"])
@pytest.mark.parametrize("at", [0, 1, 7])
def test_a_model_that_fails_ends_the_answer_and_both_caches_are_given_back(side: str, at: int, threaded: bool) -> None:
    target = ToyScorer(P, fail_at=at if side == "target" else -1, threaded=threaded)
    small = ToyScorer(blurred(P, 0.5), fail_at=at if side == "draft" else -1, threaded=threaded)
    pearl = Pearl(target, small, gamma=3)
    with pytest.raises(ModelError, match="broke"):
        pearl.generate([2, 1], constraint=Anything(60), max_tokens=99, reserve=1)
    assert not target.open_prefixes
    assert not small.open_prefixes
    target.fail_at = small.fail_at = -1
    assert write(pearl, 20) == greedy(20, Anything(20))  # and the pair can go on
    pearl.close()


def test_a_prompt_that_does_not_fit_is_refused_before_anything_is_computed() -> None:
    target, small = ToyScorer(P, context=ROOM + 20), ToyScorer(P)
    with Pearl(target, small) as pearl, pytest.raises(ContextOverflow):
        pearl.generate([1] * 30)
    assert not target.passes
    assert not target.open_prefixes
    assert not small.open_prefixes


def test_the_context_ends_in_the_middle_of_a_block() -> None:
    """The answer is closed where the target's context ends; a draft with less room stops guessing, no more."""
    target, small = ToyScorer(P, context=ROOM + 50), ToyScorer(P, context=23)
    with Pearl(target, small, gamma=7) as pearl:
        answer = pearl.generate([2, 1], constraint=Anything(48), max_tokens=500, reserve=1)
    assert answer.finish == "closed"
    assert answer.tokens[:-1] == greedy(47, Anything(47))
    assert not target.open_prefixes
    assert not small.open_prefixes


def test_a_draft_that_cannot_even_read_the_prompt_leaves_the_target_alone() -> None:
    target, small = ToyScorer(P), ToyScorer(P, context=5)
    with Pearl(target, small, gamma=3) as pearl:
        answer = pearl.generate([1] * 9, constraint=Anything(20), max_tokens=30, reserve=1)
    assert answer.tokens == greedy(20, Anything(20))
    assert answer.stats.drafted == 0


def test_another_tokenizer_is_refused_and_the_message_says_what_differs() -> None:
    small = ToyScorer(P, name="stranger")
    small.tokenizer.pieces = [*small.tokenizer.pieces]
    small.tokenizer.pieces[17] = b"other"
    with pytest.raises(TokenizerMismatch, match=r"stranger.*token 17 is b'A' and b'other'"):
        Pearl(ToyScorer(P), small)
    small.tokenizer.size = 65
    with pytest.raises(TokenizerMismatch, match="64 tokens and 65"):
        Pearl(ToyScorer(P), small)


def test_a_model_without_logits_and_a_wrong_gamma_are_refused() -> None:
    with pytest.raises(UnsupportedByBackend):
        Pearl(ToyScorer(P), object())
    with pytest.raises(ValueError, match="gamma"):
        Pearl(ToyScorer(P), ToyScorer(P), gamma=MOST + 1)
    with pair()[0] as pearl, pytest.raises(ModelError, match="two tokens"):
        pearl.generate([1])
    with pytest.raises(ModelError, match="closed"):
        pearl.generate([1, 2])


def test_answers_asked_for_at_once_are_written_one_after_the_other() -> None:
    target, small = ToyScorer(P, threaded=True, streams=1), ToyScorer(blurred(P, 0.5), threaded=True, streams=1)
    with Pearl(target, small, gamma=3) as pearl, ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda _: write(pearl, 30), range(8)))
    assert set(texts) == {greedy(30, Anything(30))}


# -- formula and simulation ---------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(st.floats(0.3, 0.97), st.integers(1, 10), st.floats(1, 8), st.floats(0, 1))
def test_the_formula_agrees_with_the_simulation(alpha: float, gamma: int, ratio: float, slope: float) -> None:
    def target(rows: int) -> float:
        return ratio + slope * (rows - 1)

    played = simulate("pearl", target=target, draft=1.0, acceptance=alpha, gamma=gamma, tokens=20_000)
    pre, post = max(target(1), gamma), max(target(gamma), gamma)
    blocks = 1 / (1 - alpha**gamma)
    written = 1 / alpha + blocks * (1 - alpha**gamma) / (1 - alpha)
    assert played.rate == pytest.approx(written / (pre / alpha + blocks * post), rel=0.06)


@pytest.mark.parametrize("alpha", [0.5, 0.8, 0.95])
def test_the_chosen_blocks_are_the_best_of_all_in_the_simulation(alpha: float) -> None:
    def target(rows: int) -> float:
        return 5.0 + 0.4 * (rows - 1)

    pre, post = best_gamma(target, 1.0, alpha, 12)
    rates = {
        gamma: simulate("pearl", target=target, draft=1.0, acceptance=alpha, gamma=gamma, tokens=6000).rate
        for gamma in range(1, 13)
    }
    assert rates[post] > 0.9 * max(rates.values())
    assert 1 <= pre <= 12


def test_the_simulation_keeps_the_known_limits() -> None:
    flat = {"target": lambda rows: 5.0, "draft": 1.0}
    plain = simulate("plain", **flat, acceptance=0.9, gamma=5)
    assert plain.rate == pytest.approx(0.2)
    never = simulate("pearl", **flat, acceptance=0.0, gamma=5)
    assert never.rate == pytest.approx(0.2)  # the worst case is plain decoding
    always = simulate("pearl", **flat, acceptance=1.0, gamma=5)
    assert always.rate == pytest.approx(1.0, rel=0.01)  # the draft's own speed
    assert always.target_idle == pytest.approx(0, abs=0.01)
    guessed = simulate("speculative", **flat, acceptance=1.0, gamma=5)
    assert guessed.rate == pytest.approx(6 / 10)
    assert guessed.target_idle == pytest.approx(0.5)


# -- the real model -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(model_path: Path) -> Any:
    """SmolLM2 as Q8_0, exact in trees, and requantised to four bits as its draft."""
    from thalweg.models.conversion import requantize
    from thalweg.models.llama_tree import LlamaTree

    target = LlamaTree(model_path, name="q8_0", streams=2, context=512, threads=1)
    draft = LlamaTree(requantize(model_path, "q4_0"), name="q4_0", streams=1, context=512, threads=1)
    yield target, draft
    target.free()
    draft.free()


PROMPTS = ("Write a line about a river.", "Name three colours.", "What is 12 and 30?")
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
FORMATS = (Format("text", max_chars=400), Format("json", schema=json.dumps(PERSON)))


@pytest.mark.parametrize(("format", "gamma"), [(FORMATS[0], 4), (FORMATS[1], "auto")], ids=["text", "json"])
def test_on_the_real_model_greedy_answers_are_those_of_plain_decoding(real: Any, format: Format, gamma: Any) -> None:
    target, draft = real
    with Pearl(target, draft, gamma=gamma) as pearl:
        for text in PROMPTS:
            prompt = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
            answer = pearl.generate(prompt, format=format, max_tokens=24, reserve=10)
            tokens = target.tokenizer.encode(prompt, special=True)
            prefix = target.open(tokens[:-1])
            plain = drive(
                generate(tokens[-1], constraint_for(format, target.tokenizer), Sampling(), end=target.tokenizer.end,
                         limit=24, reserve=10),
                target, prefix,
            )  # fmt: skip
            target.close(prefix)
            assert list(answer.tokens) == plain.tokens
            assert answer.logprob == pytest.approx(plain.logprob, abs=1e-4)
    assert target.free_lanes == 2
    assert draft.free_lanes == 1


def test_on_the_real_model_sampled_values_are_valid(real: Any) -> None:
    with Pearl(*real, gamma=3) as pearl:
        for seed in range(3):
            answer = pearl.generate(
                "<|im_start|>user\nInvent a person.<|im_end|>\n<|im_start|>assistant\n",
                format=FORMATS[1], max_tokens=32, reserve=12, temperature=1.0, seed=seed,
            )  # fmt: skip
            assert set(json.loads(answer.text)) == {"name", "age"}
