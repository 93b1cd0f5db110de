"""The store finds exactly the places brute force finds, crosses no text, and survives saving."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from thalweg.decoding.drafters.suffix_store import GAP, SuffixStore
from thalweg.errors import DataError

TEXTS = st.lists(st.lists(st.integers(0, 3), max_size=30), min_size=1, max_size=6).filter(any)


def brute(store: SuffixStore, context: list[int]) -> tuple[int, list[int]]:
    tokens = store.tokens.tolist()
    for length in range(min(len(context), store.longest), 0, -1):
        key = context[-length:]
        places = [end for end in range(length, len(tokens) + 1) if tokens[end - length : end] == key]
        if places:
            return length, places
    return 0, []


@settings(max_examples=300)
@given(TEXTS, st.lists(st.integers(0, 4), max_size=20), st.sampled_from([1, 2, 3, 7, 32]))
def test_it_finds_what_brute_force_finds(texts: list[list[int]], context: list[int], longest: int):
    store = SuffixStore.build(texts, longest=longest)
    length, places = store.find(context)
    assert (length, places.tolist()) == brute(store, context)


@given(TEXTS, st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_shorter_endings_are_found_too(texts: list[list[int]], context: list[int]):
    store = SuffixStore.build(texts)
    tokens = store.tokens.tolist()
    for length in range(1, len(context) + 1):
        key = context[-length:]
        expected = [end for end in range(length, len(tokens) + 1) if tokens[end - length : end] == key]
        assert store.places(context, length).tolist() == expected


@given(TEXTS, st.integers(0, 100), st.integers(1, 40))
def test_what_follows_ends_with_its_text(texts: list[list[int]], position: int, most: int):
    store = SuffixStore.build(texts)
    position = min(position, len(store))
    piece = store.after(position, most)
    assert GAP not in piece
    assert piece == store.tokens[position : position + len(piece)].tolist()
    end = position + len(piece)
    assert len(piece) == most or end == len(store) or store.tokens[end] == GAP


def test_a_match_below_the_least_length_is_none():
    store = SuffixStore.build([[1, 2, 3]])
    assert store.find([9, 3], shortest=2)[0] == 0
    assert store.find([2, 3], shortest=2)[0] == 2


def test_a_saved_store_answers_as_before_and_is_mapped(tmp_path):
    numbers = np.random.default_rng(0)
    store = SuffixStore.build([numbers.integers(0, 50, 3000), numbers.integers(0, 50, 2000)])
    store.save(tmp_path / "store")
    again = SuffixStore.load(tmp_path / "store")
    assert isinstance(again.order.base, np.memmap) or isinstance(again.order, np.memmap)
    for _ in range(100):
        context = numbers.integers(0, 50, 5).tolist()
        (one, places), (two, same) = store.find(context), again.find(context)
        assert one == two and places.tolist() == same.tolist()


def test_what_cannot_be_a_store_is_refused(tmp_path):
    with pytest.raises(DataError, match="suffix store"):
        SuffixStore.load(tmp_path)
    SuffixStore.build([[1, 2, 3]]).save(tmp_path)
    np.save(tmp_path / "order.npy", np.zeros(7, np.int32))
    with pytest.raises(DataError, match="belong together"):
        SuffixStore.load(tmp_path)
    with pytest.raises(DataError, match="tokenizer"):
        SuffixStore.build(["a text"])
    with pytest.raises(DataError, match="No text"):
        SuffixStore.build([[]])


def test_repetition_is_sorted_in_a_few_rounds():
    store = SuffixStore.build([[5] * 20_000])
    length, places = store.find([5] * 40)
    assert length == 32
    assert places.tolist() == list(range(32, 20_001))
