"""Finality: what is final never changes, what only grows only grows, and FOLLOW is EVALUATE of the longer text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_vocabulary import ALPHABET, ToyVocabulary

from thalweg.decoding.constraints.finality import Pieces, Written, at_end, evaluate, follow
from thalweg.decoding.constraints.where import (
    Length,
    Where,
    any_text,
    by_hole,
    contains,
    from_data,
    holds,
    integer,
    len_chars,
    len_tokens,
    len_words,
    matches,
    one_of,
    satisfies,
    stops_at,
    to_data,
)
from thalweg.errors import TypeNotSupported

TOY = ToyVocabulary()
PIECES = Pieces(TOY.pieces)
LAWS = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
TEXTS = st.text(ALPHABET + "é", min_size=1, max_size=3)


def no_one(text: str) -> bool:
    return "1" not in text


def has_dot(text: str) -> bool:
    return "." in text


def is_even(text: str) -> bool:
    return len(text) % 2 == 0


COUNTS = st.builds(
    lambda unit, least, width: Length("A", unit).between(least, None if width is None else least + width),
    st.sampled_from(["chars", "tokens", "words"]),
    st.integers(0, 4),
    st.none() | st.integers(0, 3),
)
LEAVES = (
    COUNTS
    | st.builds(lambda texts: one_of("A", texts), st.lists(TEXTS, min_size=1, max_size=3))
    | st.builds(lambda text: contains("A", text), TEXTS)
    | st.sampled_from([
        integer("A"), matches("A", "[ab]+1?"), any_text("A"), satisfies("A", no_one, "dec"),
        satisfies("A", has_dot, "inc"), satisfies("A", is_even),
    ])
)  # fmt: skip
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(lambda a, b: a & b, inner, inner)
        | st.builds(lambda a, b: a | b, inner, inner)
        | st.builds(lambda a: ~a, inner)
    ),
    max_leaves=5,
)
PATHS = st.lists(st.integers(1, TOY.size - 1), max_size=5)


def after(path: list[int]) -> Written:
    written = Written()
    for token in path:
        written = written.then(TOY.pieces[token])
    return written


@LAWS
@given(EXPRESSIONS, PATHS, PATHS)
def test_what_is_final_stays_whatever_is_written_then(where: Where, path: list[int], more: list[int]) -> None:
    value, finality = evaluate(where, after(path))
    later = after(path + more)
    text = later.data.decode(errors="strict") if _is_whole(later) else None
    if finality == "fin":
        assert evaluate(where, later) == (value, "fin")
        if text is not None:
            assert at_end(where, later) is value
    if finality == "inc" and value and text is not None:
        assert at_end(where, later)
    if finality == "dec" and not value and text is not None:
        assert not at_end(where, later)


@LAWS
@given(EXPRESSIONS, PATHS)
def test_the_value_of_a_whole_text_is_its_value_if_it_ends_there(where: Where, path: list[int]) -> None:
    written = after(path)
    if _is_whole(written):
        assert evaluate(where, written)[0] is holds(where, written.text, written.tokens)


@LAWS
@given(EXPRESSIONS, PATHS)
def test_follow_is_never_more_final_than_evaluate_and_agrees_on_what_is_false(where: Where, path: list[int]) -> None:
    written = after(path)
    every = np.ones(TOY.size, np.bool_)
    value, final = follow(where, written, PIECES, every)
    for token in range(1, TOY.size):
        real, finality = evaluate(where, written.then(TOY.pieces[token]))
        if final[token]:
            assert (bool(value[token]), "fin") == (real, finality), TOY.pieces[token]


@LAWS
@given(COUNTS, PATHS)
def test_follow_of_counts_is_evaluate_after_every_token(where: Where, path: list[int]) -> None:
    written = after(path)
    value, final = follow(where, written, PIECES, np.ones(TOY.size, np.bool_))
    for token in range(1, TOY.size):
        real, finality = evaluate(where, written.then(TOY.pieces[token]))
        assert bool(value[token]) is real, TOY.pieces[token]
        assert bool(final[token]) is (finality == "fin"), TOY.pieces[token]


@LAWS
@given(EXPRESSIONS)
def test_an_expression_comes_back_from_its_data(where: Where) -> None:
    data, checks = to_data(where)
    assert from_data(data, checks) == where


def test_the_finality_of_the_paper_s_examples() -> None:
    open_text = Written(b"abc", 2)
    assert evaluate(len_chars("A") < 10, open_text) == (True, "dec")
    assert evaluate(len_chars("A") < 3, open_text) == (False, "fin")
    assert evaluate(len_chars("A") >= 3, open_text) == (True, "fin")
    assert evaluate(~contains("A", "\n"), open_text) == (True, "dec")
    assert evaluate(~contains("A", "\n"), Written(b"ab\nc", 3)) == (False, "fin")
    assert evaluate((len_tokens("A") < 2) | contains("A", "b"), open_text) == (True, "fin")
    assert evaluate(one_of("A", ["abd"]), open_text) == (False, "fin")
    assert evaluate(len_words("A") == 1, open_text) == (True, "dec")


def test_predicates_with_other_code_or_surroundings_have_other_digests() -> None:
    def make(bound: int):  # noqa: ANN202
        return satisfies("A", lambda text: len(text) < bound)

    assert to_data(make(3))[0] == to_data(make(3))[0]
    assert to_data(make(3))[0] != to_data(make(4))[0]
    assert to_data(satisfies("A", lambda text: "a" in text))[0] != to_data(satisfies("A", lambda text: "b" in text))[0]


def test_an_expression_has_no_truth_value_and_speaks_of_one_hole_at_a_time() -> None:
    with pytest.raises(TypeError, match="not and/or/not"):
        bool(integer("A") and integer("A"))
    found = by_hole(integer("A") & one_of("B", ["x"]) & (len_chars("A") < 3))
    assert list(found) == ["A", "B"]
    assert str(found["A"]) == "matches('A', '-?[0-9]{1,12}') & (len_chars('A') <= 2)"
    with pytest.raises(TypeNotSupported, match="several holes"):
        by_hole(integer("A") | integer("B"))
    with pytest.raises(TypeError, match="list of texts"):
        one_of("A", "abc")
    with pytest.raises(TypeError, match="none empty"):
        stops_at("A")


def _is_whole(written: Written) -> bool:
    return written.data.decode(errors="ignore").encode() == written.data
