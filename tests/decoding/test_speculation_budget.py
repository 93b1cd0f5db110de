"""The budget takes guesses only where they pay, and learns whom to believe."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from thalweg.decoding.budget import Budget
from thalweg.decoding.drafters import Draft

FLAT = Budget(lambda rows: 1.0 + rows / 1000, max_rows=63)


def chain(weights: list[float]) -> Draft:
    draft, node = Draft(), -1
    for i, weight in enumerate(weights):
        node = draft.add(100 + i, parent=node, weight=weight)
    return draft


@given(st.lists(st.floats(0, 1), max_size=30), st.lists(st.floats(0.1, 3), min_size=64, max_size=64))
def test_what_is_taken_never_promises_less_a_second_than_a_plain_pass(weights: list[float], steps: list[float]) -> None:
    costs = [sum(steps[: rows + 1]) for rows in range(64)]
    budget = Budget(lambda rows: costs[rows], max_rows=63)
    draft = chain(sorted(weights, reverse=True))
    taken = budget.fit(draft, 1, depth=40)
    if len(taken):
        gain = (1 + sum(taken.weights)) / costs[1 + len(taken)]
        assert gain >= 1 / costs[1]


def test_a_machine_that_computes_rows_one_after_the_other_gets_no_guesses() -> None:
    budget = Budget(lambda rows: float(rows), max_rows=63)
    assert budget.most(1) == 0
    assert len(budget.fit(chain([0.99] * 10), 1, depth=10)) == 0


def test_where_rows_are_free_all_that_is_likely_is_taken() -> None:
    assert len(FLAT.fit(chain([0.9, 0.8, 0.7, 0.6]), 1, depth=10)) == 4


def test_nothing_deeper_than_the_answer_may_be() -> None:
    assert len(FLAT.fit(chain([0.9] * 10), 1, depth=3)) == 3
    assert len(FLAT.fit(chain([0.9] * 10), 1, depth=0)) == 0


def test_a_drafter_that_promises_too_much_is_believed_less_until_it_keeps_its_word() -> None:
    budget = Budget(lambda rows: 1.0 + rows, max_rows=63)
    draft = chain([0.9] * 8)
    assert len(budget.fit(draft, 1, depth=20)) == 8
    for _ in range(20):
        budget.observe(draft, [])
    assert budget.trust < 0.1
    assert len(budget.fit(draft, 1, depth=20)) == 0
    for _ in range(200):
        budget.observe(draft, range(8))
    assert len(budget.fit(draft, 1, depth=20)) == 8


def test_a_drafter_nobody_believes_is_tried_now_and_then() -> None:
    budget = Budget(lambda rows: 1.0 + rows, max_rows=63)
    for _ in range(50):
        budget.observe(chain([0.9] * 8), [])
    sizes = [len(budget.fit(chain([0.9] * 8), 1, depth=20)) for _ in range(100)]
    assert 1 <= sum(size > 0 for size in sizes) <= 5


def test_a_fixed_size_is_kept() -> None:
    budget = Budget(lambda rows: float(rows), max_rows=10, size=5)
    assert budget.most(1) == 5 and len(budget.fit(chain([0.1] * 8), 1, depth=20)) == 5
    assert budget.most(8) == 2 and len(budget.fit(chain([0.1] * 8), 8, depth=20)) == 2
