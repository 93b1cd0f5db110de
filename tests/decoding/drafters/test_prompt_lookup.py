"""Prompt lookup: finds the longest match, continues it, and its weights are the measured rates."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings
from passes import SCORER, check, write

from thalweg.decoding.drafters.prompt_lookup import Occurrences, PromptLookup

TEXTS = st.lists(st.integers(1, 4), min_size=1, max_size=60)


@given(TEXTS, st.integers(1, 8))
def test_matches_are_those_of_brute_force_longest_first(text: list[int], longest: int):
    def shared(position: int) -> int:
        count = 0
        while count < min(longest, position) and text[position - 1 - count] == text[len(text) - 1 - count]:
            count += 1
        return count

    places = Occurrences(longest, candidates=1000)
    places.follow(text)
    brute = sorted(((shared(at), at) for at in range(1, len(text)) if shared(at)), reverse=True)
    if not brute:
        assert places.matches(5) == []
        return
    if longest >= 3:
        assert places.matches(1) == brute[:1]
        least = min(3, brute[0][0])
        assert places.matches(1000) == [match for match in brute if match[0] >= least]


@given(TEXTS, st.lists(st.integers(1, 4), max_size=20))
def test_a_text_taken_in_piece_by_piece_is_found_as_one_taken_in_at_once(text: list[int], more: list[int]):
    whole, pieces = Occurrences(), Occurrences()
    whole.follow(text + more)
    for end in range(len(text), len(text) + len(more) + 1):
        pieces.follow((text + more)[:end])
    assert whole.matches(9) == pieces.matches(9)


@settings(max_examples=50)
@given(TEXTS, st.integers(0, 40))
def test_what_is_proposed_is_a_chain_within_the_bound(text: list[int], most: int):
    draft = PromptLookup(draft=31).start(text, SCORER).propose(text, most)
    check(draft)
    assert len(draft) <= min(most, 31)
    assert draft.parents == list(range(-1, len(draft) - 1))


def test_a_text_that_repeats_itself_is_continued_past_its_end():
    draft = PromptLookup().start([9, 1, 2, 1, 2], SCORER).propose([9, 1, 2, 1, 2], 7)
    assert draft.tokens == [1, 2, 1, 2, 1, 2, 1]


def test_a_copy_is_written_in_long_runs_and_noise_is_not():
    numbers = np.random.default_rng(1)
    passage = [int(token) for token in numbers.integers(1, 500, 200)]
    assert write(PromptLookup(), passage, passage[50:170]) > 15
    assert write(PromptLookup(), passage, [int(token) for token in numbers.integers(1, 500, 100)]) < 1.3


def test_weights_become_the_rates_of_this_answer():
    numbers = np.random.default_rng(2)
    passage = [int(token) for token in numbers.integers(1, 500, 300)]
    drafter = PromptLookup()
    for _ in range(3):
        write(drafter, passage, passage[:250])
    draft = drafter.start(passage, SCORER).propose([*passage, *passage[:40]], 8)
    assert draft.tokens == passage[40:48]
    assert draft.weights[-1] > 0.8
