"""A draft model guesses what a smaller model would write; its cache follows the text through every refusal."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from hypothesis import given, settings
from hypothesis import strategies as st
from paired_toys import SIZE, Anything, ToyScorer, blurred, chi_square, law, table
from walking import chi_square_limit

from thalweg.decoding import Budget, Guesses, Speculation, constraint_for, drive, generate, speculate
from thalweg.decoding.drafters.draft_model import DraftModel, Follower
from thalweg.decoding.verifiers import speculative_sampling
from thalweg.decoding.writing import Writing
from thalweg.errors import ContextOverflow, TokenizerMismatch, UnsupportedByBackend
from thalweg.models.request import Format, Sampling

P = table(21)
PROMPT = [3, 1]


def write(
    model: DraftModel,
    target: ToyScorer,
    length: int,
    *,
    sampling: Sampling | None = None,
    size: int = 8,
    forbid: int = 0,
) -> tuple[list[int], Speculation]:
    """A text written with guesses, verified by the model's own draw."""
    sampling, counts = sampling or Sampling(), Speculation()
    guesses = Guesses(model.start(PROMPT, target, sampling=sampling), Budget(target.cost, max_rows=63, size=size))
    prefix = target.open(PROMPT[:-1])
    decoder = speculate(
        PROMPT, Anything(length, forbid=forbid), sampling, end=0, limit=length + 9, reserve=1,
        speculation=counts, guesses=guesses,
    )  # fmt: skip
    made = drive(decoder, target, prefix)
    target.close(prefix)
    return made.tokens, counts


def plain(target: ToyScorer, length: int, *, sampling: Sampling | None = None, forbid: int = 0) -> list[int]:
    prefix = target.open(PROMPT[:-1])
    constraint = Anything(length, forbid=forbid)
    made = drive(
        generate(PROMPT[-1], constraint, sampling or Sampling(), end=0, limit=length + 9, reserve=1), target, prefix
    )
    target.close(prefix)
    return made.tokens


@settings(max_examples=30, deadline=None)
@given(
    st.floats(0, 4),
    st.integers(1, 9),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.9]),
    st.integers(0, 999),
    st.integers(0, 20),
)
def test_the_text_is_that_of_plain_decoding_for_any_draft(
    noise: float, length: int, width: int, temperature: float, seed: int, forbid: int
) -> None:
    target, small = ToyScorer(P), ToyScorer(blurred(P, noise))
    sampling = Sampling(temperature, seed=seed)
    model = DraftModel(small, length=length, width=width)
    tokens, _ = write(model, target, 40, sampling=sampling, forbid=forbid)
    assert tokens == plain(target, 40, sampling=sampling, forbid=forbid)
    assert not small.open_prefixes


def test_a_perfect_draft_is_accepted_whole() -> None:
    _, counts = write(DraftModel(ToyScorer(P), length=4), ToyScorer(P), 100)
    assert counts.accepted == counts.drafted
    assert counts.passes == 100 / 5


def test_a_draft_that_draws_with_the_models_numbers_is_accepted_more_often() -> None:
    sampling = Sampling(1.0, seed=7)
    _, drawn = write(DraftModel(ToyScorer(blurred(P, 0.3)), length=4), ToyScorer(P), 400, sampling=sampling)

    class Greedy(DraftModel):
        def start(self, prompt: Any, scorer: Any, **_: Any) -> Any:
            return super().start(prompt, scorer)

    _, likeliest = write(Greedy(ToyScorer(blurred(P, 0.3)), length=4), ToyScorer(P), 400, sampling=sampling)
    assert drawn.mean_accepted > likeliest.mean_accepted + 0.5


def test_siblings_cost_no_pass_and_are_accepted_at_times() -> None:
    small = ToyScorer(blurred(P, 1.5))
    _, narrow = write(DraftModel(small, length=3), ToyScorer(P), 300, size=16)
    once = len(small.passes) / narrow.passes
    small = ToyScorer(blurred(P, 1.5))
    _, wide = write(DraftModel(small, length=3, width=4), ToyScorer(P), 300, size=16)
    assert len(small.passes) / wide.passes == pytest.approx(once, abs=0.05)
    assert wide.mean_accepted > narrow.mean_accepted


def test_the_cache_reads_the_prompt_once_and_what_was_accepted_in_one_pass() -> None:
    small = ToyScorer(blurred(P, 1.0))
    _, counts = write(DraftModel(small, length=4), ToyScorer(P), 200)
    assert small.read == len(PROMPT) - 1
    assert max(small.passes) <= 2  # the corrected token, behind the last guess where all were right
    assert len(small.passes) <= 4 * counts.passes


def test_the_follower_gives_the_logits_of_any_text_that_shares_a_beginning() -> None:
    scorer = ToyScorer(P)
    follower = Follower(scorer)
    for text in ([1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 9], [1, 2], [1, 2], [7, 8, 9]):
        assert np.array_equal(follower.logits(text), P[text[-1]])
    assert len(scorer.open_prefixes) == 1
    follower.close()
    follower.close()
    assert not scorer.open_prefixes


# -- auto ---------------------------------------------------------------------------------------------------------


def auto(noise: float, cost: Any, seconds: float) -> Speculation:
    model = DraftModel(ToyScorer(blurred(P, noise), costs=lambda rows: seconds), length="auto")
    return write(model, ToyScorer(P, costs=cost), 300, size=16)[1]


def test_auto_guesses_more_where_the_draft_is_right_and_nothing_where_it_does_not_pay() -> None:
    right = auto(0.05, lambda rows: 5.0, 0.5)
    often = auto(1.5, lambda rows: 5.0, 0.5)
    never = auto(6.0, lambda rows: 5.0 * rows, 4.0)
    assert right.drafted / right.passes > 2 * often.drafted / often.passes > 0
    assert right.mean_accepted > 5
    assert never.drafted < 0.2 * never.passes


def test_confidence_follows_what_was_accepted() -> None:
    model = DraftModel(ToyScorer(P))
    assert model.confidence(0.95) == pytest.approx(0.95)
    for _ in range(300):
        model.learn(0.95, False)
    assert model.confidence(0.95) < 0.1
    assert model.confidence(0.55) == pytest.approx(0.55)
    assert model.accepted < 0.1


# -- distribution -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 2])
def test_drawn_drafts_verified_by_speculative_sampling_keep_the_distribution(width: int) -> None:
    """A budget that cuts the draft to three nodes included."""
    target, small = ToyScorer(P), ToyScorer(blurred(P, 1.0), costs=lambda rows: 0.2)
    model = DraftModel(small, length="auto", width=width)
    seen, accepted, drafted, draws = np.zeros((SIZE, SIZE)), 0, 0, 3000
    for seed in range(draws):
        sampling = Sampling(1.0, seed=seed)
        writing = Writing(Anything(2), sampling, limit=9, reserve=1)
        drafting = model.start(PROMPT, target, sampling=sampling, lossless="distribution")
        while not writing.done:
            known = [*PROMPT, *writing.out]
            draft = drafting.propose(known, 8).prune(3)
            took, *_ = speculative_sampling(
                writing, draft, P[known[-1]], [P[token] for token in draft.tokens], drafting.proposals
            )
            accepted, drafted = accepted + len(took), drafted + len(draft)
        drafting.finish([*PROMPT, *writing.out])
        seen[tuple(writing.out)] += 1
    step = law(P)
    statistic, degrees = chi_square(seen, draws * step[1][:, None] * step)
    assert statistic < chi_square_limit(degrees)
    assert accepted > 0.2 * drafted


# -- what goes wrong ----------------------------------------------------------------------------------------------


def test_another_tokenizer_is_refused_when_an_answer_begins() -> None:
    small = ToyScorer(P, name="stranger")
    small.tokenizer.end = 5
    with pytest.raises(TokenizerMismatch, match=r"stranger.*end with token 0 and with token 5"):
        DraftModel(small).start(PROMPT, ToyScorer(P))


def test_a_model_without_logits_is_refused_at_once() -> None:
    with pytest.raises(UnsupportedByBackend):
        DraftModel(object())
    with pytest.raises(ValueError, match="length"):
        DraftModel(ToyScorer(P), length=0)


def test_a_draft_without_room_guesses_nothing() -> None:
    small = ToyScorer(P, context=20)
    tokens, counts = write(DraftModel(small, length=4), ToyScorer(P), 60)
    assert tokens == plain(ToyScorer(P), 60)
    assert 0 < counts.drafted < 40
    with pytest.raises(ContextOverflow):
        Follower(small).logits(list(range(1, 40)))


def test_an_answer_for_which_the_draft_has_no_cache_left_does_without() -> None:
    small = ToyScorer(P, streams=1)
    model = DraftModel(small)
    first, second = model.start(PROMPT, ToyScorer(P)), model.start(PROMPT, ToyScorer(P))
    assert len(first.propose(PROMPT, 4)) == 4
    assert len(second.propose(PROMPT, 4)) == 0
    first.finish(PROMPT)
    assert len(second.propose(PROMPT, 4)) == 4
    second.finish(PROMPT)


def test_the_cache_of_an_answer_that_was_given_up_is_given_back() -> None:
    small = ToyScorer(P)
    model = DraftModel(small)
    drafting = model.start(PROMPT, ToyScorer(P))
    drafting.propose(PROMPT, 4)
    del drafting
    gc.collect()
    other = model.start(PROMPT, ToyScorer(P))
    other.propose(PROMPT, 4)
    assert len(small.open_prefixes) == 1
    other.finish(PROMPT)
    assert not small.open_prefixes


# -- the real model -----------------------------------------------------------------------------------------------


def test_on_the_real_model_answers_are_those_of_plain_decoding(model_path: Path) -> None:
    from thalweg.models.conversion import requantize
    from thalweg.models.llama_tree import LlamaTree

    target = LlamaTree(model_path, name="q8_0", streams=2, context=512, threads=1)
    small = LlamaTree(requantize(model_path, "q4_0"), name="q4_0", streams=1, context=512, threads=1)
    model = DraftModel(small, length=4)
    try:
        for text, sampling in (("Name three colours.", Sampling()), ("A line on rain.", Sampling(0.7, seed=3))):
            prompt = target.tokenizer.encode(
                f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n", special=True
            )
            constraint = constraint_for(Format("text", max_chars=300), target.tokenizer)
            settings: dict[str, Any] = {"end": target.tokenizer.end, "limit": 24, "reserve": 4}
            prefix = target.open(prompt[:-1])
            alone = drive(generate(prompt[-1], constraint, sampling, **settings), target, prefix)
            target.close(prefix)
            counts = Speculation()
            prefix = target.open(prompt[:-1])
            guesses = Guesses(model.start(prompt, target, sampling=sampling), Budget(target.cost, max_rows=63, size=4))
            made = drive(
                speculate(prompt, constraint, sampling, guesses=guesses, speculation=counts, **settings), target, prefix
            )
            target.close(prefix)
            assert made.tokens == alone.tokens
            assert counts.mean_accepted > 1.3
    finally:
        target.free()
        small.free()
