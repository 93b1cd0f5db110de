"""A trie of choices: every text has one spelling, single ways are forced, and all probabilities agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from walking import LAST, chi_square_limit, drive

from thalweg.decoding import Choices, constraint_for, distribution, generate, score
from thalweg.errors import UnsatisfiableConstraint
from thalweg.models.request import Format, Sampling

LAWS = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
WORD = st.text(st.sampled_from(list("abcdefg  13.-'nt") + ["é", "中", "🙂", "\n"]), min_size=1, max_size=10)
TEXTS = st.lists(WORD, min_size=1, max_size=8, unique=True)
HARD = [
    "don't",
    "don",
    "don't know",
    " don",
    "12",
    "123",
    "1234",
    "🙂",
    "🙃",
    "中文",
    "中",
    "  ",
    " ",
    "a\nb",
    "a\n\nb",
]


def leaves(choices: Choices) -> list[tuple[int, list[int]]]:
    found, waiting = [], [(choices.root, [])]
    while waiting:
        node, path = waiting.pop()
        if not node.children:
            found.append((node.value, path))
        waiting += [(child, [*path, token]) for token, child in node.children.items()]
    return sorted(found)


@LAWS
@given(TEXTS)
@example(HARD)
def test_every_text_has_exactly_one_spelling(scorer: Any, texts: list[str]) -> None:
    choices = Choices(texts, scorer.tokenizer)
    paths = leaves(choices)
    assert [index for index, _ in paths] == list(range(len(texts)))
    for index, path in paths:
        assert scorer.tokenizer.decode(path) == texts[index]


@LAWS
@given(TEXTS)
@example(HARD)
def test_forced_spans_are_the_single_ways_and_nothing_else(scorer: Any, texts: list[str]) -> None:
    choices = Choices(texts, scorer.tokenizer)
    for index, path in leaves(choices):
        state, walked = choices.start(), []
        while not state.done:
            forced = state.forced()
            assert forced == path[len(walked) : len(walked) + len(forced)]
            walked += forced
            if state.done:
                break
            assert len(state.allowed()) > 1, "a lone way on is forced"
            assert path[len(walked)] in state.allowed()
            state.advance(path[len(walked)])
            walked.append(path[len(walked)])
        assert walked == path, texts[index]


def test_a_text_that_begins_another_is_told_apart_by_the_end_token(scorer: Any) -> None:
    choices = Choices(["re", "refund", "refund now"], scorer.tokenizer)
    ends = [path[-1] == scorer.tokenizer.end for _, path in leaves(choices)]
    assert ends == [
        any(other != text and other[: len(text)] == text for other in choices.spellings) for text in choices.spellings
    ]
    assert sum(drive(distribution(LAST, choices), scorer.tokenizer.size)) == pytest.approx(1)


def test_what_cannot_be_told_apart_is_refused_with_the_remedy(scorer: Any) -> None:
    for texts in ([], ["a", "b", "a"], ["a", ""]):
        with pytest.raises(UnsatisfiableConstraint, match="choi"):
            Choices(texts, scorer.tokenizer)


@LAWS
@given(TEXTS, st.integers(0, 1000))
@example(HARD, 0)
def test_probabilities_sum_to_one_and_equal_the_score_of_every_text(scorer: Any, texts: list[str], salt: int) -> None:
    size = scorer.tokenizer.size
    choices = Choices(texts, scorer.tokenizer)
    probabilities = drive(distribution(LAST, choices), size, salt)
    assert math.fsum(probabilities) == pytest.approx(1, abs=1e-9)
    for text, probability in zip(texts, probabilities, strict=True):
        logprob, tokens, forced = drive(score(LAST, choices, text, scorer.tokenizer), size, salt)
        assert logprob == pytest.approx(math.log(probability), abs=1e-6)
        assert scorer.tokenizer.decode(tokens) == text
        assert 0 <= forced <= len(tokens) + 1


@LAWS
@given(TEXTS, st.integers(0, 1000))
@example(HARD, 0)
def test_greedy_walks_down_the_likeliest_branch_and_reports_its_probability(
    scorer: Any, texts: list[str], salt: int
) -> None:
    size, end = scorer.tokenizer.size, scorer.tokenizer.end
    choices = Choices(texts, scorer.tokenizer)
    made = drive(generate(LAST, choices, Sampling(), end=end, limit=64, reserve=0), size, salt)
    text = scorer.tokenizer.decode(made.tokens)
    assert text in texts
    probabilities = drive(distribution(LAST, choices), size, salt)
    assert made.logprob == pytest.approx(math.log(probabilities[texts.index(text)]), abs=1e-4)


def test_draws_follow_the_distribution(scorer: Any) -> None:
    texts = ["re", "refund", "refund now", "no", "🙂", "🙃"]
    choices = Choices(texts, scorer.tokenizer)
    size, end = scorer.tokenizer.size, scorer.tokenizer.end
    expected = 600 * np.array(drive(distribution(LAST, choices), size))
    seen = np.zeros(len(texts))
    for seed in range(600):
        sampling = Sampling(temperature=1.0, seed=seed)
        made = drive(generate(LAST, choices, sampling, end=end, limit=64, reserve=0), size)
        seen[texts.index(scorer.tokenizer.decode(made.tokens))] += 1
    assert ((seen - expected) ** 2 / expected).sum() < chi_square_limit(len(texts) - 1)


@LAWS
@given(TEXTS, st.integers(0, 100))
def test_closing_early_takes_the_shortest_way_to_a_choice(scorer: Any, texts: list[str], salt: int) -> None:
    choices = Choices(texts, scorer.tokenizer)
    decoder = generate(LAST, choices, Sampling(), end=scorer.tokenizer.end, limit=64, reserve=64)
    made = drive(decoder, scorer.tokenizer.size, salt)
    least = min(len(path) for _, path in leaves(choices))
    assert scorer.tokenizer.decode(made.tokens) in texts
    assert least - 1 <= len(made.tokens) <= least
    assert made.closed == (len(texts) > 1)


def test_scoring_what_is_no_choice_says_so(scorer: Any) -> None:
    choices = Choices(["red", "green"], scorer.tokenizer)
    for text in ("blue", "gree", "reds", ""):
        with pytest.raises(UnsatisfiableConstraint, match="declared type"):
            drive(score(LAST, choices, text, scorer.tokenizer), scorer.tokenizer.size)


def test_a_format_is_compiled_once_per_tokenizer(scorer: Any) -> None:
    format = Format("choices", choices=("a", "b"))
    assert constraint_for(format, scorer.tokenizer) is constraint_for(
        Format("choices", choices=("a", "b")), scorer.tokenizer
    )
    assert constraint_for(format, scorer.tokenizer) is not constraint_for(
        Format("choices", choices=("b", "a")), scorer.tokenizer
    )
