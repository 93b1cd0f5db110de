"""Refine: an answer is criticised and asked for again with what is wrong with it, until the critic passes it. `Refine`.

Choose it with a sound critic and a model strong enough to use what it is told; first look, by `feedback_study`, whether
`SampleAndVerify` at the same number of calls does as well, which is what its source found. With `SelfCritique` it stops
when the model likes its answer, right or not. Source: Stechly, Marquez and Kambhampati, 2023, "GPT-4 doesn't know it's
wrong: an analysis of iterative prompting"; compare Madaan et al., 2023, "Self-Refine". Cost: at most `rounds` answers,
each with a longer prompt, and the critic's own calls.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, get_args

from thalweg.errors import ContextOverflow
from thalweg.program import Learned
from thalweg.program.budget import Budget
from thalweg.program.procedure import Solved
from thalweg.program.types import jsonable
from thalweg.prompting.critic import (
    Critic,
    Critique,
    asks_model,
    checked,
    countable,
    counted,
    describe,
    review,
    with_input,
)

Feedback = Literal["none", "first", "all", "random"]
HISTORY = "earlier_answers"  # the input that refining adds


@dataclass(frozen=True)
class Refine:
    """Ask, criticise, ask again with the critique; the whole history stays in the prompt as long as it fits.

    It ends with the first answer that the critic passes, after `rounds` answers, or where `budget` is reached. If none
    passed, the answer of the highest rank is the value, the last of equals. `details` of the value: ``accepted``,
    ``stop`` ("accepted", "rounds", "calls", "tokens" or "evaluations"), ``calls``, ``tokens``, ``checks``, and
    ``tries`` with the value, the verdict and the faults of each, and what was spent when its answer was there.

    Args:
        critic: `check(inputs, value)`, an object with such a method, `SelfCritique()`, or another (see `review`).
        feedback: what is said of a refused answer: ``none`` that it is wrong, the ``first`` fault, ``all`` faults, or
            a ``random`` wrong one from the critic's `mislead`, to see what the content is worth.
        rounds: answers asked for at most, the first included: as many as ``SampleAndVerify(k=rounds)``.
        temperature: of the answers after the first, which is asked for as the function says.
        budget: calls and tokens of answers and critic together, evaluations of a checker; counted as if nothing came
            from a cache, so that a run that is resumed takes the same way.
        inner: the strategy that asks for an answer.

    Raises:
        TypeError: the critic is none. ValueError: a number out of range, no such feedback, a critic that cannot
            mislead, or a budget in seconds.
    """

    critic: Critic
    feedback: Feedback = "first"
    rounds: int = 15
    temperature: float = 0.7
    budget: Budget = field(default_factory=Budget)
    inner: Any = None

    def __post_init__(self) -> None:
        checked(self.critic)
        if self.feedback not in get_args(Feedback):
            raise ValueError(f"feedback={self.feedback!r}; choose one of {', '.join(get_args(Feedback))}")
        if self.rounds < 1:
            raise ValueError(f"rounds={self.rounds}; give at least 1")
        if self.temperature < 0:
            raise ValueError(f"temperature={self.temperature}; give a number from 0 upwards")
        if self.feedback == "random" and not hasattr(self.critic, "mislead"):
            raise ValueError('feedback="random" needs a critic with `mislead(inputs, value, random)`')
        countable(self.budget)

    @property
    def name(self) -> str:
        who = "model" if asks_model(self.critic) else "checker"
        return f"refine({who}, {self.feedback}, {self.rounds})"

    def solve(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        """The first answer that passes, or the best one."""
        tries: list[Try] = []
        history: list[str] = []
        stop = "rounds"
        with counted() as bill:
            while len(tries) < self.rounds:
                if limit := self.budget.spent_out(bill.spent):
                    stop = limit
                    break
                value = self._answer(ask, inputs, history, len(tries))
                spent = bill.spent
                found = review(self.critic, ask, inputs, value)
                bill.checks += not asks_model(self.critic)
                tries.append(Try(value, found, spent.calls, spent.tokens))
                if found.passed:
                    stop = "accepted"
                    break
                history.append(self._remark(ask, inputs, tries[-1], len(tries)))
            if not tries:  # a budget of nothing: the function must answer all the same
                value = self._answer(ask, inputs, [], 0)
                tries.append(Try(value, Critique(False, ()), bill.spent.calls, bill.spent.tokens))
            return solved(ask, tries, stop, bill, last=True)

    def _answer(self, ask: Learned[..., Any], inputs: Mapping[str, Any], history: list[str], number: int) -> Any:
        if not number:
            return ask(**inputs)
        again = ask.using(temperature=self.temperature, seed=seed_of(ask, number))
        asked = with_input(again, HISTORY).using(overflow="error")
        while history:
            said = "\n".join(history) + "\nGive another answer."
            try:
                return asked(**inputs, **{HISTORY: said})
            except ContextOverflow:  # the oldest answer is forgotten first, for good
                del history[0]
        return again(**inputs)

    def _remark(self, ask: Learned[..., Any], inputs: Mapping[str, Any], last: Try, number: int) -> str:
        faults = last.critique.faults
        if self.feedback == "none":
            faults = ()
        elif self.feedback == "first":
            faults = faults[:1]
        elif self.feedback == "random":
            form = ask.signature.output
            key = json.dumps([jsonable(dict(inputs)), form.to_json(last.value), number, seed_of(ask, 0)])
            faults = (describe(self.critic, inputs, last.value, self.critic.mislead(inputs, last.value, Random(key))),)
        shown = ask.signature.output.encode(last.value)
        return f"Answer {number}: {shown}\nIt is wrong{': ' if faults else ''}{'; '.join(faults)}."


@dataclass(frozen=True)
class Try:
    """One answer, what the critic says of it, and what was spent in all when it was there."""

    value: Any
    critique: Critique
    calls: int
    tokens: int


def seed_of(ask: Learned[..., Any], number: int) -> int:
    """The seed of the number-th draw of one call; draws of different numbers or seeds are independent."""
    return (ask._session().seed or 0) * 1_000_003 + number


def solved(ask: Learned[..., Any], tries: list[Try], stop: str, bill: Any, *, last: bool) -> Solved:
    """The value of the tries - the accepted one, else the highest rank - with the account of the loop."""
    best = tries[-1]
    if stop != "accepted":
        ordered = tries[::-1] if last else tries
        best = max(ordered, key=lambda one: one.critique.rank)  # of equals the first in this order
    form = ask.signature.output
    rows = [
        {
            "value": form.to_json(one.value), "passed": one.critique.passed, "faults": list(one.critique.faults),
            "calls": one.calls, "tokens": one.tokens,
        }
        for one in tries
    ]  # fmt: skip
    spent = bill.spent
    details = {
        "accepted": stop == "accepted", "stop": stop, "calls": spent.calls, "tokens": spent.tokens,
        "checks": spent.evaluations, "tries": rows,
    }  # fmt: skip
    return Solved(best.value, details)
