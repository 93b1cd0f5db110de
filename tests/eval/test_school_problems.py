"""Templated problems have the answers that their text says."""

from __future__ import annotations

import re

from thalweg.eval.benches.school_problems import templated
from thalweg.prompting.word_problem import split_problem


def test_answers_follow_from_the_steps_and_seeds_repeat() -> None:
    made = templated(200, 5)
    assert made == templated(200, 5) != templated(200, 6)
    for text, answer in made:
        problem = split_problem(text)
        first, *steps = problem.conditions
        who = first.split()[0]
        amount = int(re.findall(r"\d+", first)[0])
        for step in steps:
            (n,) = map(int, re.findall(r"\d+", step))
            taken = step.startswith((f"{who} gives", f"{who} loses"))
            amount += -n if taken else n
        assert str(amount) == answer and 0 <= amount <= 99 and 1 <= len(steps) <= 3


def test_steps_and_numbers_are_bounded() -> None:
    for text, _ in templated(50, 1, most=5, steps=1):
        assert len(split_problem(text).conditions) == 2
        assert all(2 <= int(one) <= 5 for one in re.findall(r"\d+", text))
