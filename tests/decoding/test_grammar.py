"""Formats of all types on the real vocabulary: what is written decodes, what is forced was forced, it always ends."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kinds import TYPES, Complaint, Refund
from walking import LAST, drive

from thalweg.decoding import Choices, Grammar, constraint_for, generate, score
from thalweg.errors import BudgetExceeded, TypeNotSupported, UnsatisfiableConstraint
from thalweg.models.request import Format, Sampling
from thalweg.program.types import plan

LAWS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
KINDS = st.sampled_from(sorted(TYPES))


def write(scorer: Any, kind: str, sampling: Sampling, reserve: int, salt: int) -> Any:
    constraint = constraint_for(plan(TYPES[kind]).format, scorer.tokenizer)
    decoder = generate(LAST, constraint, sampling, end=scorer.tokenizer.end, limit=sampling.max_tokens, reserve=reserve)
    return drive(decoder, scorer.tokenizer.size, salt)


@LAWS
@given(KINDS, st.integers(0, 10**6))
def test_every_text_that_is_drawn_is_a_value_of_the_type(scorer: Any, kind: str, salt: int) -> None:
    made = write(scorer, kind, Sampling(temperature=1.0, seed=salt, max_tokens=160), 100, salt)
    output = plan(TYPES[kind])
    text = scorer.tokenizer.decode(made.tokens)
    assert output.encode(output.decode(text)) is not None
    assert scorer.tokenizer.end not in made.tokens


@LAWS
@given(KINDS, st.integers(8, 40), st.integers(0, 10**6))
def test_any_limit_ends_with_a_valid_value_or_says_that_the_budget_is_spent(
    scorer: Any, kind: str, limit: int, salt: int
) -> None:
    output = plan(TYPES[kind])
    reserve = min(128, len(output.minimal.encode()) + 8)
    try:
        made = write(scorer, kind, Sampling(temperature=1.0, seed=salt, max_tokens=limit), reserve, salt)
    except BudgetExceeded as error:
        assert "max_tokens" in error.remedy
        assert not isinstance(constraint_for(output.format, scorer.tokenizer), Choices), "choices always close"
        return
    output.decode(scorer.tokenizer.decode(made.tokens))


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_with_its_reserve_a_value_is_closed_within_the_limit(scorer: Any, kind: str) -> None:
    output = plan(TYPES[kind])
    reserve = min(128, len(output.minimal.encode()) + 8)
    for salt in range(4):
        made = write(scorer, kind, Sampling(temperature=1.0, seed=salt, max_tokens=reserve + 12), reserve, salt)
        output.decode(scorer.tokenizer.decode(made.tokens))
        assert len(made.tokens) <= reserve + 12 + made.forced


@LAWS
@given(KINDS, st.integers(0, 10**6))
def test_forced_tokens_are_allowed_by_the_masks_they_skip(scorer: Any, kind: str, seed: int) -> None:
    constraint = constraint_for(plan(TYPES[kind]).format, scorer.tokenizer)
    if isinstance(constraint, Choices):
        return
    quick, slow = constraint.start(), constraint.start()
    dice = np.random.default_rng(seed)
    for _ in range(60):
        for token in quick.forced():
            assert slow.allowed()[token]
            slow.advance(token)
        assert quick.done == slow.done
        if quick.done:
            break
        allowed = quick.allowed()
        assert (allowed == slow.allowed()).all()
        assert allowed.any()
        token = int(dice.choice(np.flatnonzero(allowed)))
        quick.advance(token)
        slow.advance(token)


SCORED = [
    (Refund | Complaint, Refund("A 12 – café 🙂", Decimal("7.50"))),
    (Refund | Complaint, Complaint("quality", 4)),
    (str, "Zwölf 🙃 Boxkämpfer\n\tjagen don't 12345"),
    (int, -17), (float, 0.25), (list[str], ["é", "日本", ""]), (dict[str, int], {"ключ": 3}),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "value"), SCORED, ids=str)
def test_every_member_has_a_log_probability_and_its_tokens_spell_it(scorer: Any, annotation: Any, value: Any) -> None:
    output = plan(annotation)
    constraint = constraint_for(output.format, scorer.tokenizer)
    text = output.encode(value)
    logprob, tokens, _ = drive(score(LAST, constraint, text, scorer.tokenizer), scorer.tokenizer.size)
    assert scorer.tokenizer.decode(tokens) == text
    assert -500 < logprob < 0


@LAWS
@given(KINDS, st.integers(0, 10**6))
def test_what_was_written_can_be_scored(scorer: Any, kind: str, salt: int) -> None:
    """Any text the decoder writes is a member for `score`; equal tokens have the same log-probability."""
    made = write(scorer, kind, Sampling(temperature=0.7, seed=salt, max_tokens=160), 100, salt)
    constraint = constraint_for(plan(TYPES[kind]).format, scorer.tokenizer)
    text = scorer.tokenizer.decode(made.tokens)
    logprob, tokens, _ = drive(score(LAST, constraint, text, scorer.tokenizer), scorer.tokenizer.size, salt)
    if tokens == made.tokens and not made.closed:
        assert logprob == pytest.approx(made.logprob, abs=1e-3)


def test_what_is_no_member_cannot_be_scored(scorer: Any) -> None:
    cases = [(Format("regex", pattern="[0-9]{3}", max_chars=3), "12a"), (Format("text", max_chars=5), "123456"),
             (plan(Complaint).format, '{"topic": "other", "severity": 1}')]  # fmt: skip
    for format, text in cases:
        with pytest.raises(UnsatisfiableConstraint, match="declared type"):
            constraint = constraint_for(format, scorer.tokenizer)
            drive(score(LAST, constraint, text, scorer.tokenizer), scorer.tokenizer.size)


def test_free_text_has_no_control_characters_and_keeps_its_bound(scorer: Any) -> None:
    constraint = constraint_for(Format("text", max_chars=30), scorer.tokenizer)
    for salt in range(12):
        sampling = Sampling(temperature=1.5, seed=salt, max_tokens=80)
        made = drive(
            generate(LAST, constraint, sampling, end=scorer.tokenizer.end, limit=80, reserve=4),
            scorer.tokenizer.size, salt,
        )  # fmt: skip
        text = scorer.tokenizer.decode(made.tokens)
        assert 1 <= len(text) <= 30
        assert text[0].strip()
        assert all(char >= " " or char in "\n\t" for char in text)
        assert "\ufffd" not in text, "no answer ends inside a character"


def test_a_pattern_that_cannot_be_compiled_says_so(scorer: Any) -> None:
    for format in (Format("regex", pattern="("), Format("json", schema='{"type": "object", "patternProperties": 3}')):
        with pytest.raises(TypeNotSupported, match="cannot be compiled"):
            Grammar(format, scorer.tokenizer)


def test_the_observer_sees_every_token_once_and_in_order(scorer: Any) -> None:
    constraint = constraint_for(plan(Complaint).format, scorer.tokenizer)
    seen: list[list[int]] = []
    decoder = generate(
        LAST, constraint, Sampling(temperature=1.0, seed=3), end=scorer.tokenizer.end, limit=80, reserve=40,
        observe=seen.append,
    )  # fmt: skip
    made = drive(decoder, scorer.tokenizer.size)
    told = [token for tokens in seen for token in tokens if token != scorer.tokenizer.end]
    assert told == made.tokens
