"""Budgets: what is counted, what is free, and that a part's meter counts in the whole."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mail_program import MAILS, urgent

import thalweg as tw
from thalweg.models.scripted import ScriptedModel
from thalweg.program.budget import Budget, Ledger, Spent, metered
from thalweg.program.journal import Meter, Scope, inside, scope_in_force
from thalweg.program.session import current, store_in_force

SPENT = st.builds(Spent, st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))


@given(SPENT, st.tuples(*[st.none() | st.integers(0, 99)] * 4))
@settings(deadline=None)
def test_a_budget_is_spent_out_exactly_when_a_limit_is_reached(spent: Spent, limits: tuple[int | None, ...]) -> None:
    budget = Budget(*limits)
    used = (spent.calls, spent.tokens, spent.seconds, spent.evaluations)
    reached = [limit is not None and used >= limit for used, limit in zip(used, limits, strict=True)]
    names = ("calls", "tokens", "seconds", "evaluations")
    assert budget.spent_out(spent) == next(itertools.compress(names, reached), None)
    for name, limit, use in zip(names, limits, used, strict=True):
        assert budget.left(name, spent) == (math.inf if limit is None else max(0, limit - use))  # type: ignore[arg-type]


@given(SPENT, SPENT)
@settings(deadline=None)
def test_what_was_spent_adds_up_and_survives_json(a: Spent, b: Spent) -> None:
    assert a + b - b == a
    assert Spent.from_json(a.to_json()) == a


def test_limits_are_numbers_from_zero() -> None:
    for wrong in (-1, math.nan, "10"):
        with pytest.raises(ValueError, match="tokens"):
            Budget(tokens=wrong)  # type: ignore[arg-type]


def test_a_budget_says_whether_it_pays_for_several_steps() -> None:
    step = Spent(calls=4, evaluations=1)
    assert Budget(calls=12).pays_for(step, times=3)
    assert not Budget(calls=11).pays_for(step, times=3)
    assert not Budget(calls=12, evaluations=2).pays_for(step, times=3)


def test_calls_answered_by_the_cache_are_free(model: Any) -> None:
    with tw.using(model=model):
        ledger = Ledger(scope_in_force(store_in_force(current())).meter)
        urgent(MAILS[0])
        first = ledger.read()
        assert first.calls == 1
        assert first.tokens == len(urgent.render(MAILS[0]).tokens) + first_output_tokens()
        urgent(MAILS[0])
        assert ledger.read().calls == 1
        assert ledger.read().tokens == first.tokens
        urgent(MAILS[1])
        assert ledger.read().calls == 2
        assert ledger.read().seconds > first.seconds > 0


def first_output_tokens() -> int:
    (call,) = store_in_force(current()).calls()
    return json.loads(call.answer or "")["usage"]["output_tokens"]


def test_a_part_counts_its_own_calls_and_the_whole_counts_all() -> None:
    whole = Scope("run", "", meter=Meter())
    answer = ScriptedModel(lambda request: "true", identity="yes")
    with tw.using(model=answer, journal=True, cache=False):
        store_in_force(current()).begin("run", "p", "", {})
        with inside(whole), metered(whole, whole.next("a")) as (_, first):
            urgent("x")
            urgent("y")
            here = scope_in_force(None)
            with metered(here, here.next("inner")) as (_, inner):
                urgent("z")
        with inside(whole), metered(whole, whole.next("b")) as (_, second):
            urgent("x")
        paths = [call.path for call in store_in_force(current()).calls("run")]
    assert (first.calls, inner.calls, second.calls, whole.meter.calls) == (3, 1, 1, 4)
    assert paths == ["a#0/urgent#0", "a#0/urgent#1", "a#0/inner#0/urgent#0", "b#0/urgent#0"]


def test_a_restored_ledger_goes_on_from_what_was_spent() -> None:
    meter = Meter()
    ledger = Ledger(meter)
    ledger.evaluate()
    ledger.restore(Spent(calls=7, tokens=70, seconds=100.0, evaluations=3))
    meter.calls += 2
    meter.reused += 1
    ledger.evaluate()
    spent = ledger.read()
    assert (spent.calls, spent.tokens, spent.evaluations) == (8, 70, 4)
    assert 100 <= spent.seconds < 101
