"""Holes: no token on the way to a text that satisfies the constraint is masked (brute force over a small vocabulary),
whatever is written satisfies it, and dead ends are left."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_finality import has_dot, is_even, no_one
from toy_vocabulary import ALPHABET, ToyVocabulary
from walking import LAST, drive

from thalweg.decoding import constraint_for, generate
from thalweg.decoding.constraints import Hole
from thalweg.decoding.constraints.hole import avoiding, hole_format
from thalweg.decoding.constraints.where import (
    Length,
    Where,
    contains,
    holds,
    integer,
    len_chars,
    len_tokens,
    len_words,
    matches,
    one_of,
    satisfies,
    stops_at,
    stops_before,
)
from thalweg.errors import BudgetExceeded, DeadEnd, TypeNotSupported, UnsatisfiableConstraint
from thalweg.models.request import Sampling

TOY = ToyVocabulary()
LAWS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
TEXTS = ["".join(chars) for length in (1, 2, 3) for chars in product(ALPHABET + "é", repeat=length)]
WORDS = st.text(ALPHABET, min_size=1, max_size=3)

PATTERNS = st.recursive(
    st.sampled_from([*(char if char != "." else r"\." for char in ALPHABET), ".", "[ab]", "[^a]", r"[0-9]", "é"]),
    lambda inner: (
        st.builds(lambda a, b: a + b, inner, inner)
        | st.builds(lambda a, b: f"(?:{a}|{b})", inner, inner)
        | st.builds(lambda a, times: f"(?:{a}){times}", inner, st.sampled_from(["?", "*", "+", "{1,2}", "{2}"]))
    ),
    max_leaves=4,
)
COUNTS = st.builds(
    lambda unit, least, width: Length("A", unit).between(least, least + width),
    st.sampled_from(["chars", "tokens", "words"]),
    st.integers(0, 3),
    st.integers(0, 2),
)
PARTS = (
    st.builds(lambda pattern: matches("A", pattern), PATTERNS)
    | COUNTS
    | st.builds(lambda text: contains("A", text), WORDS)
    | st.sampled_from([
        integer("A"), satisfies("A", no_one, "dec"), satisfies("A", has_dot, "inc"), satisfies("A", is_even)
    ])
)  # fmt: skip
FORMULAS = st.recursive(
    PARTS,
    lambda inner: (
        st.builds(lambda a, b: a & b, inner, inner)
        | st.builds(lambda a, b: a | b, inner, inner)
        | st.builds(lambda a: ~a, inner)
    ),
    max_leaves=3,
)
STOPS = st.none() | st.builds(
    lambda stop, phrases: stop("A", *phrases),
    st.sampled_from([stops_at, stops_before]),
    st.lists(st.sampled_from(["'", ".", "b1", ".'", " a"]), min_size=1, max_size=2, unique=True),
)


def members(where: Where, hole: Hole) -> list[str]:
    """What may be written for the hole, the phrase that ends it included, of the short texts."""
    parts = where.parts if where.op == "and" else (where,)
    kept, dropped = [
        [phrase for part in parts if part.op == op for phrase in part.data[0]] for op in ("stops_at", "stops_before")
    ]
    found = []
    for text in TEXTS:
        value = text
        if kept or dropped:
            if any(phrase in text[:-1] for phrase in (*kept, *dropped)) or not text.endswith((*kept, *dropped)):
                continue
            value = hole.value(text.encode()).decode()
        for length in range(1, 4):  # tokens: texts are short
            if all(holds(part, value, length) for part in parts if part.op not in ("stops_at", "stops_before")):
                found.append(text)
                break
    return found


def satisfied(where: Where, value: str, tokens: int) -> bool:
    parts = where.parts if where.op == "and" else (where,)
    return all(holds(part, value, tokens) for part in parts if part.op not in ("stops_at", "stops_before"))


@LAWS
@given(FORMULAS, STOPS)
def test_no_token_on_a_way_to_a_member_is_masked(formula: Where, stop: Where | None) -> None:
    where = formula if stop is None else formula & stop
    try:
        hole = Hole(hole_format(where), TOY)
    except UnsatisfiableConstraint:
        hole = None
    if hole is None:  # the regular part alone has no text: then no short text is a member either
        assert stop is not None or not [text for text in TEXTS if any(holds(where, text, n) for n in (1, 2, 3))]
        return
    for text in members(where, hole)[:120]:
        for spelling in TOY.spellings(text, 3):
            if not satisfied(where, hole.value(text.encode()).decode(), len(spelling)):
                continue
            state = hole.start()
            for at, token in enumerate(spelling):
                assert not state.done, (str(where), text)
                allowed = state.allowed()
                if not allowed[token]:
                    # Where the characters are forced they keep one spelling, which leads to the same text.
                    (only,) = allowed.nonzero()[0]
                    rest = b"".join(TOY.pieces[one] for one in spelling[at:])
                    assert rest.startswith(TOY.pieces[only]), (str(where), text, [TOY.pieces[one] for one in spelling])
                    break
                state.advance(token)
            else:
                assert state.done or state.allowed()[TOY.end], (str(where), text)


@LAWS
@given(FORMULAS, STOPS, st.integers(0, 10**6))
def test_what_is_written_satisfies_the_constraint_or_an_error_says_that_nothing_was_found(
    formula: Where, stop: Where | None, salt: int
) -> None:
    where = formula if stop is None else formula & stop
    try:
        format = hole_format(where)
        hole = Hole(format, TOY)
        for attempt in range(8):
            hole = Hole(format, TOY)
            decoder = generate(LAST, hole, Sampling(1.0, seed=salt), end=TOY.end, limit=24, reserve=8)
            try:
                made = drive(decoder, TOY.size, salt)
                break
            except DeadEnd as dead:
                if not dead.tokens:
                    return
                format = avoiding(format, dead, 2**attempt)
        else:
            return
    except (UnsatisfiableConstraint, BudgetExceeded):
        return
    value = hole.value(b"".join(TOY.pieces[token] for token in made.tokens)).decode()
    assert satisfied(where, value, len(made.tokens)), (str(where), value)


@LAWS
@given(st.integers(0, 10**6))
def test_forced_tokens_are_those_that_masks_would_have_left(salt: int) -> None:
    where = matches("A", r"(ab1|ab\.)+") & (len_tokens("A") <= 6) & satisfies("A", is_even)
    hole = Hole(hole_format(where), TOY)
    quick, slow = hole.start(), hole.start()
    try:
        for step in range(6):
            for token in quick.forced():
                assert slow.allowed()[token]
                slow.advance(token)
            if quick.done:
                break
            allowed = quick.allowed().nonzero()[0]
            assert allowed.tolist() == slow.allowed().nonzero()[0].tolist()
            token = int(allowed[(salt + step) % len(allowed)])
            quick.advance(token)
            slow.advance(token)
    except DeadEnd:
        pass


def test_the_last_token_of_a_count_ends_the_hole(scorer: Any) -> None:
    tokenizer = scorer.tokenizer
    for bound in (1, 2, 5):
        constraint = constraint_for(hole_format(stops_at("A", "'") & (len_tokens("A") <= bound)), tokenizer)
        for salt in range(5):
            decoder = generate(LAST, constraint, Sampling(1.0, seed=salt), end=tokenizer.end, limit=40, reserve=4)
            made = drive(decoder, tokenizer.size, salt)
            text = tokenizer.decode(made.tokens)
            assert text.endswith("'")
            assert "'" not in text[:-1]
            assert len(made.tokens) <= bound


@pytest.mark.parametrize(
    "where",
    [
        stops_at("A", "'") & (len_chars("A") < 20),
        stops_before("A", "\n", "stop") & (len_words("A") <= 4),
        integer("A") & (len_chars("A") <= 3),
        ~contains("A", "e") & (len_chars("A").between(5, 12)),
        stops_at("A", ".") & ~contains("A", "a") & (len_tokens("A") <= 9),
        matches("A", "[A-Z][a-zé]+") & (len_chars("A") <= 8),
        (len_words("A") == 2) & (len_chars("A") < 30),
        satisfies("A", no_one, "dec") & stops_at("A", ".") & (len_tokens("A") <= 8),
        (contains("A", "x") | (len_tokens("A") <= 3)) & (len_chars("A") <= 25) & (len_tokens("A") <= 8),
    ],
    ids=str,
)
def test_on_the_real_vocabulary_whatever_is_written_satisfies_the_constraint(scorer: Any, where: Where) -> None:
    tokenizer = scorer.tokenizer
    format = hole_format(where)
    hole = constraint_for(format, tokenizer)
    assert isinstance(hole, Hole)
    for salt in range(2):
        here = format
        for attempt in range(8):
            decoder = generate(
                LAST, constraint_for(here, tokenizer), Sampling(1.0, seed=salt), end=tokenizer.end, limit=60, reserve=8
            )
            try:
                made = drive(decoder, tokenizer.size, salt)
                break
            except DeadEnd as dead:
                here = avoiding(here, dead, 2**attempt)
        else:
            pytest.fail("eight ways led into dead ends")
        written = b"".join(tokenizer.pieces[token] for token in made.tokens)
        assert satisfied(where, hole.value(written).decode(), len(made.tokens))


def test_a_dead_end_tells_the_way_and_the_next_attempt_avoids_it() -> None:
    format = hole_format(matches("A", "a|bb") & satisfies("A", is_even))
    state = Hole(format, TOY).start()
    state.advance(TOY.encode("a")[0])
    with pytest.raises(DeadEnd, match="satisfies") as caught:
        _ = state.done
    assert TOY.decode(caught.value.tokens) == "a"
    again = Hole(avoiding(format, caught.value, 1), TOY).start()
    assert not again.allowed()[TOY.encode("a")[0]]


def test_constraints_that_cannot_be_lowered_say_what_to_write_instead() -> None:
    with pytest.raises(TypeNotSupported, match="by & only"):
        hole_format(stops_at("A", "'") | integer("A"))
    with pytest.raises(TypeNotSupported, match="by & only"):
        hole_format(~stops_at("A", "'"))
    with pytest.raises(UnsatisfiableConstraint):
        Hole(hole_format(integer("A") & one_of("A", ["a", "b"])), TOY)


def test_equal_constraints_have_equal_formats_and_others_do_not() -> None:
    assert hole_format(integer("A")).digest == hole_format(integer("A")).digest
    assert hole_format(integer("A")).digest != hole_format(integer("A") & (len_chars("A") < 3)).digest
    assert hole_format(satisfies("A", no_one)).digest != hole_format(satisfies("A", is_even)).digest
