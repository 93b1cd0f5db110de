"""A stop text cuts the answer that would have been written without it: nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from toy_vocabulary import ALPHABET
from written_again import VOCABULARY, plainly, request, with_guesses

from thalweg.decoding import Stops
from thalweg.errors import TypeNotSupported, UnsupportedByBackend
from thalweg.models.request import Format, Message, Request, Sampling

TEXT = Format("text", max_chars=40)
STOPS = st.lists(st.text(st.sampled_from(ALPHABET + "\u00e9"), min_size=1, max_size=3), min_size=1, max_size=3)
SAMPLING = st.builds(Sampling, temperature=st.sampled_from([0.0, 1.0]), seed=st.integers(0, 99), max_tokens=st.just(30))


def expected(text: str, stops: list[str]) -> str:
    """By another way than the code under test: character by character, the longest stop text that ends here."""
    for end in range(1, len(text) + 1):
        for stop in sorted(stops, key=len, reverse=True):
            if text[:end].endswith(stop):
                return text[: end - len(stop)]
    return text


@settings(max_examples=150, deadline=None)
@given(STOPS, SAMPLING, st.integers(0, 10**6))
def test_the_answer_is_the_unstopped_one_up_to_the_first_stop_text(stops: list[str], sampling: Any, salt: int) -> None:
    whole = plainly(request(TEXT, sampling), salt)
    asked = request(TEXT, sampling, stop=tuple(stops), logprobs=1)
    answer = plainly(asked, salt)
    assert answer.text == expected(whole.text, stops)
    assert answer.tokens == whole.tokens[: len(answer.tokens)]
    assert VOCABULARY.decode(answer.tokens).startswith(answer.text)
    assert VOCABULARY.decode(answer.tokens[:-1]) != answer.text or not answer.tokens  # no token too many
    assert len(answer.token_logprobs) == len(answer.tokens) == answer.usage.output_tokens
    if answer.text != whole.text:
        assert answer.finish == "complete"
    guessed = with_guesses(asked, salt, whole.tokens)
    same = ("text", "tokens", "logprob", "finish", "token_logprobs")
    assert [getattr(guessed, name) for name in same] == [getattr(answer, name) for name in same]


@settings(max_examples=60, deadline=None)
@given(STOPS, SAMPLING, st.integers(0, 10**6), st.booleans())
def test_what_is_observed_is_never_taken_back(stops: list[str], sampling: Any, salt: int, guess: bool) -> None:
    asked = request(TEXT, sampling, stop=tuple(stops))
    seen: list[str] = [""]
    right = plainly(request(TEXT, sampling), salt).tokens
    answer = with_guesses(asked, salt, right, seen.append) if guess else plainly(asked, salt, seen.append)
    seen.append(answer.text)
    for before, after in pairwise(seen):
        assert after.startswith(before.rstrip("\ufffd"))


@given(st.text("ab\u00e9", max_size=12), st.lists(st.text("ab\u00e9", min_size=1, max_size=4), min_size=1, max_size=3))
@example("aab", ["aac", "ab"])
def test_settled_text_is_the_most_that_no_continuation_takes_back(text: str, stops: list[str]) -> None:
    found = Stops(stops, []).settled(text)
    assert expected(text, stops).startswith(found)
    endings = [expected(text + more, stops) for stop in stops for more in [stop[i:] for i in range(len(stop))]]
    assert all(ending.startswith(found) for ending in endings)
    apart = not any(one != other and one in other for one in stops for other in stops)  # else the inner ends it first
    if apart and expected(text, stops) == text and found != text:  # what is held back could be taken back
        assert any(len(ending) == len(found) for ending in endings)


def test_a_stop_text_across_tokens_ends_the_generation_there(model: Any) -> None:
    prompt = "<|im_start|>user\nCount from one to twenty in words.<|im_end|>\n<|im_start|>assistant\n"
    asked = Request((Message("user", "."),), Format("text", max_chars=400), Sampling(max_tokens=40), suffix=prompt)
    whole = model.submit(asked).result(60)
    assert len(whole.text) > 20
    middle = len(whole.text) // 2
    stop = whole.text[middle - 4 : middle + 5]  # begins and ends inside tokens
    at = whole.text.find(stop)
    answer = model.submit(replace(asked, stop=("never written", stop))).result(60)
    assert answer.text == whole.text[:at]
    assert answer.finish == "complete"
    assert len(answer.tokens) < len(whole.tokens)
    assert answer.tokens == whole.tokens[: len(answer.tokens)]


@pytest.mark.parametrize(
    "change",
    [
        {"format": Format("choices", choices=("yes", "no"))},
        {"format": Format("json", schema='{"type": "integer"}')},
        {"format": Format("regex", pattern="a+b")},
        {"sampling": Sampling(temperature=1.0, sampler="smc")},
        {"want": "score", "target": "a"},
    ],
)
def test_stop_texts_are_refused_where_they_would_break_the_format(change: dict[str, Any]) -> None:
    asked = replace(request(TEXT, Sampling()), stop=("b",), **change)
    with pytest.raises(UnsupportedByBackend, match="[Ss]top texts end free text.*Leave out `stop`"):
        plainly(asked, 1)


def test_an_empty_stop_text_is_refused() -> None:
    with pytest.raises(TypeNotSupported, match="empty"):
        plainly(request(TEXT, Sampling(), stop=("a", "")), 1)
