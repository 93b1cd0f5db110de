"""Log-probabilities of tokens: those of the constrained distribution, whatever the sampling and the guesses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walking import LAST, logits_after
from written_again import VOCABULARY, Guesser, plainly, request, with_guesses

from thalweg.decoding.constraints import constraint_for
from thalweg.errors import UnsupportedByBackend
from thalweg.models.request import Answer, Format, Message, Request, Sampling

FORMATS = {
    "text": Format("text", max_chars=25),
    "choices": Format("choices", choices=("a", "ab", "abab", "b.'", "b..")),
    "regex": Format("regex", pattern=r"(ab|a1)(a|b){1,6}\.{3}"),
}
SAMPLING = st.builds(
    Sampling, temperature=st.sampled_from([0.0, 0.7, 1.5]), top_p=st.sampled_from([1.0, 0.6]),
    seed=st.integers(0, 99), max_tokens=st.just(30),
)  # fmt: skip


def law(asked: Request, written: list[int], salt: int) -> dict[int, float]:
    """By another way than the code under test: log P(token) of every allowed token behind `written`, in float64."""
    state = constraint_for(asked.format, VOCABULARY).start()
    forced = state.forced()
    for token in written:
        if forced:
            assert forced.pop(0) == token
            continue
        state.advance(token)
        forced = state.forced()
    if forced:
        return {}
    allowed = state.allowed()
    ids = np.flatnonzero(allowed) if allowed.dtype == np.bool_ else allowed
    logits = logits_after([LAST, *written], VOCABULARY.size, salt).astype(np.float64)[ids]
    return dict(zip(ids.tolist(), (logits - np.logaddexp.reduce(logits)).tolist(), strict=True))


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(FORMATS)), SAMPLING, st.integers(0, 6), st.integers(0, 10**6))
def test_every_token_has_its_log_probability_and_the_likeliest(name: str, sampling: Any, most: int, salt: int) -> None:
    asked = request(FORMATS[name], sampling, logprobs=most)
    answer = plainly(asked, salt)
    assert [one.token for one in answer.token_logprobs] == list(answer.tokens)
    for i, one in enumerate(answer.token_logprobs):
        right = law(asked, list(answer.tokens[:i]), salt)
        if not right:
            assert one.logprob == 0.0 and one.top == ()
            continue
        assert one.logprob == pytest.approx(right[one.token], abs=1e-5)
        assert len(one.top) == min(most, len(right))
        assert [value for _, value in one.top] == pytest.approx(sorted(right.values(), reverse=True)[:most], abs=1e-5)
        assert all(value == pytest.approx(right[token], abs=1e-5) for token, value in one.top)
        if sampling.temperature == 0 and most:
            assert one.top[0] == (one.token, one.logprob)
    if answer.finish == "complete":
        end = law(asked, list(answer.tokens), salt).get(VOCABULARY.end, 0.0) if name != "regex" else 0.0
        drawn = math.fsum(one.logprob for one in answer.token_logprobs)
        assert answer.logprob == pytest.approx(drawn + end, abs=1e-4)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(FORMATS)), SAMPLING, st.integers(0, 10**6))
def test_guesses_and_the_question_itself_change_nothing(name: str, sampling: Any, salt: int) -> None:
    asked = request(FORMATS[name], sampling, logprobs=3)
    answer = plainly(asked, salt)
    guessed = with_guesses(asked, salt, answer.tokens)
    assert guessed.token_logprobs == answer.token_logprobs
    without = plainly(replace(asked, logprobs=-1), salt)
    assert without.token_logprobs == ()
    assert replace(answer, token_logprobs=()) == without


@pytest.fixture(scope="module")
def tree(model_path: Any) -> Iterator[Any]:
    from thalweg.models.llama_tree import LlamaTree
    from thalweg.scheduling import Engine

    engine = Engine(LlamaTree(model_path, streams=1, context=512, threads=1))
    yield engine
    engine.close()


class Knowing:
    """A drafter that proposes what it was told, with wrong branches beside."""

    name = "knowing"

    def __init__(self, right: Sequence[int]) -> None:
        self.right = list(right)

    def start(self, prompt: Sequence[int], scorer: Any) -> Any:
        return Guesser([*[0] * (len(prompt) - 1), *self.right], seed=1)


def test_on_the_model_speculation_reports_the_values_of_plain_decoding(tree: Any) -> None:
    text = "Write about the sea, the sun and the sand."
    prompt = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    asked = Request(
        (Message("user", text),), Format("text", max_chars=300), Sampling(max_tokens=40), suffix=prompt, logprobs=4
    )  # fmt: skip
    plain: Answer = tree.submit(asked).result(60)
    tree.use_drafter(Knowing(plain.tokens), size=8)
    guessed: Answer = tree.submit(replace(asked, decoder="knowing")).result(60)
    assert guessed.usage.accepted_tokens > 5
    assert guessed.text == plain.text
    assert guessed.token_logprobs == plain.token_logprobs
    assert len(plain.token_logprobs) == len(plain.tokens) > 10
    for one in plain.token_logprobs:
        values = [value for _, value in one.top]
        if one.top:  # else it closed the answer
            assert len(values) == 4 and values == sorted(values, reverse=True) and values[0] <= 0
            assert one.top[0] == (one.token, one.logprob)


@pytest.mark.parametrize(
    "change", [{"sampling": Sampling(temperature=1.0, sampler="aligned")}, {"want": "score", "target": "a"}]
)
def test_they_are_refused_where_there_are_none(change: dict[str, Any]) -> None:
    asked = replace(request(FORMATS["text"], Sampling(), logprobs=0), **change)
    with pytest.raises(UnsupportedByBackend, match="leave out `logprobs`"):
        plainly(asked, 1)
