"""Conjunctions and grammars: never a token that a member refuses, never a hang, an error that says what to do."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kinds import TYPES
from toy_vocabulary import ToyVocabulary
from walking import LAST, drive

from thalweg.decoding import Choices, Grammar, constraint_for, generate
from thalweg.decoding.constraints import AllOf
from thalweg.decoding.constraints import notation as grammar
from thalweg.decoding.constraints.productive import check_productive
from thalweg.errors import BudgetExceeded, DeadEnd, TypeNotSupported, UnsatisfiableConstraint
from thalweg.models.format_check import AnswerError, read_answer
from thalweg.models.request import Format, Sampling
from thalweg.program.types import plan

LAWS = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
TOY = ToyVocabulary()
SUM = 'start: sum\nsum: term ("+" term)*\nterm: NUMBER | "(" sum ")"\nNUMBER: /[0-9]{1,3}/\n'


def toy(pattern: str) -> Grammar:
    return Grammar(Format("regex", pattern=pattern), TOY)


def write(constraint: Any, tokenizer: Any, salt: int, limit: int = 40, temperature: float = 1.0) -> str:
    sampling = Sampling(temperature, seed=salt)
    decoder = generate(LAST, constraint, sampling, end=tokenizer.end, limit=limit, reserve=8)
    return tokenizer.decode(drive(decoder, tokenizer.size, salt).tokens)


@LAWS
@given(st.integers(0, 10**6))
def test_what_all_of_writes_every_member_accepts(salt: int) -> None:
    members = [toy(r"[ab]{1,6}1?"), toy(r"a[ab1]*"), toy(r"[^1]*1")]
    text = write(AllOf(*members, end=TOY.end), TOY, salt)
    for member in (r"[ab]{1,6}1?", r"a[ab1]*", r"[^1]*1"):
        assert read_answer(text, Format("regex", pattern=member), tolerant=False) == text


@LAWS
@given(st.integers(0, 10**6), st.lists(st.sampled_from(["ab1", "aba", "b.", "1 1", "a b", "ab"]), min_size=1))
def test_choices_and_a_pattern_together_give_the_choices_that_match(salt: int, texts: list[str]) -> None:
    texts = sorted({*texts, "ab1"})
    text = write(AllOf(Choices(texts, TOY), toy(r"a.*"), end=TOY.end), TOY, salt)
    assert text in texts
    assert text.startswith("a")


@LAWS
@given(st.integers(0, 10**6))
def test_a_conjunction_with_everything_is_the_member_itself(scorer: Any, salt: int) -> None:
    kind = sorted(TYPES)[salt % len(TYPES)]
    constraint = constraint_for(plan(TYPES[kind]).format, scorer.tokenizer)
    every = Grammar(Format("regex", pattern=r"(?s:.*)"), scorer.tokenizer)
    both, alone = AllOf(constraint, every, end=scorer.tokenizer.end).start(), constraint.start()
    dice = np.random.default_rng(salt)
    for _ in range(12):
        assert both.forced() == alone.forced()
        assert both.done == alone.done
        if alone.done:
            break
        ids = [np.flatnonzero(mask) if mask.dtype == np.bool_ else np.sort(mask) for mask in
               (both.allowed(), alone.allowed())]  # fmt: skip
        assert ids[0].tolist() == ids[1].tolist()
        token = int(dice.choice(ids[0]))
        both.advance(token)
        alone.advance(token)


def test_a_fork_goes_its_own_way() -> None:
    for constraint in (toy(r"[ab]{3}"), Choices(["aba", "abb"], TOY), AllOf(toy(r"[ab]{3}"), toy("a.*"), end=TOY.end)):
        state = constraint.start()
        twin = state.fork()
        while not twin.done:
            if not twin.forced():
                allowed = twin.allowed()
                twin.advance(int((np.flatnonzero(allowed) if allowed.dtype == np.bool_ else allowed)[0]))
        assert not state.done, "the first one stands where it was"


def test_members_without_a_common_text_end_in_a_dead_end_with_the_tokens_so_far() -> None:
    state = AllOf(toy(r"ab1+"), toy(r"ab\.+"), end=TOY.end).start()
    with pytest.raises(DeadEnd, match="constraint") as caught:
        state.forced()
        state.allowed()
    assert TOY.decode(caught.value.tokens) == "ab"
    with pytest.raises(UnsatisfiableConstraint, match="at least one"):
        AllOf(end=0)


def test_an_end_that_another_member_refuses_is_a_dead_end() -> None:
    state = AllOf(Choices(["ab", "aba"], TOY), toy(r"ab1"), end=TOY.end).start()
    with pytest.raises(DeadEnd):
        while not state.done:
            if not state.forced():
                state.advance(int(state.allowed()[0]))


@pytest.mark.parametrize(
    "text",
    [
        'start: "a" start',
        'start: a b\na: "x"\nb: "y" b | "z" c\nc: b',
        "start: start",
        'start: "a" ("b" | "c") x\nx: "d" x+ | x{2,3}',
    ],
)
def test_a_grammar_that_never_ends_is_refused_at_once(text: str) -> None:
    with pytest.raises(UnsatisfiableConstraint, match="never ends"):
        grammar.lark(text)
    with pytest.raises(UnsatisfiableConstraint, match="never ends"):
        Grammar(Format("lark", grammar=text), TOY)


@pytest.mark.parametrize(
    "text",
    [
        'start: "a" start?',
        'start: "a" start | "b"',
        'start: ("a" start)*',
        "start: [x]\nx: x",
        'start: "a" x{0,3}\nx: x "b"',
        "start: A\nA: /[^/x]+/",
        'start: a // a comment: "\na: "x" | a "y" -> named\n%import common.INT\n',
        "start: TEXT\nTEXT[max_tokens=3]: /(.|\\n)*/",
    ],
)
def test_a_grammar_with_a_finite_text_is_not_taken_for_endless(text: str) -> None:
    check_productive(text)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: grammar.lark("start: ("), TypeNotSupported, "cannot be compiled"),
        (lambda: grammar.lark("start: other"), TypeNotSupported, "other"),
        (lambda: grammar.lark("start: A\nA: /a+/ & /b+/\n"), UnsatisfiableConstraint, "No text"),
        (lambda: grammar.regex("("), TypeNotSupported, "cannot be compiled"),
        (lambda: grammar.regex("(?=a)b"), TypeNotSupported, "cannot be compiled"),
        (lambda: grammar.json_schema("{"), TypeNotSupported, "not JSON"),
        (lambda: grammar.json_schema({"type": "no such type"}), TypeNotSupported, "cannot be compiled"),
        (lambda: grammar.choice([]), UnsatisfiableConstraint, "at least one"),
        (lambda: grammar.choice(["a", "a"]), UnsatisfiableConstraint, "different"),
        (lambda: grammar.gbnf("root ::= ("), TypeNotSupported, "GBNF"),
    ],
)  # fmt: skip
def test_what_cannot_be_compiled_or_satisfied_says_so_when_it_is_declared(make: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        make()


def test_an_unsatisfiable_grammar_never_reaches_a_token(scorer: Any) -> None:
    for tokenizer in (TOY, scorer.tokenizer):
        with pytest.raises(UnsatisfiableConstraint):
            Grammar(Format("lark", grammar="start: A\nA: /a+/ & ~/a+/\n"), tokenizer)


@LAWS
@given(st.integers(0, 10**6))
def test_every_text_of_a_lark_grammar_is_read_back_by_its_own_check(scorer: Any, salt: int) -> None:
    format = grammar.lark(SUM)
    constraint = constraint_for(format, scorer.tokenizer)
    try:
        text = write(constraint, scorer.tokenizer, salt, limit=60)
    except BudgetExceeded:
        return  # parentheses may stay open
    assert read_answer(text, format, tolerant=False) == text
    with pytest.raises(AnswerError):
        read_answer(f"{text}+", format, tolerant=False)


def test_gbnf_and_lark_accept_the_same_texts() -> None:
    formats = [grammar.gbnf('root ::= "a" ( "b" | "1" )+ "."'), grammar.lark('start: "a" ("b" | "1")+ "."')]
    for text in ("ab.", "a1b.", "a.", "ab", "b."):
        verdicts = set()
        for format in formats:
            try:
                read_answer(text, format, tolerant=False)
                verdicts.add(True)
            except AnswerError:
                verdicts.add(False)
        assert len(verdicts) == 1, text


def test_digests_of_the_older_kinds_are_those_of_earlier_records() -> None:
    schema = json.dumps({"type": "integer"})
    formats = (Format("text", max_chars=100), Format("regex", pattern="a+"), Format("json", schema=schema),
               Format("choices", choices=("a", "b")))  # fmt: skip
    for format in formats:
        parts = (format.kind, str(format.max_chars), format.pattern, format.schema, *format.choices)
        assert format.digest == hashlib.blake2b("\x1f".join(parts).encode(), digest_size=12).hexdigest()
    assert Format("lark", grammar="start: A\nA: /a/").digest != Format("lark", grammar="start: A\nA: /b/").digest
