"""Sample and verify: independent answers are drawn until a critic passes one. `SampleAndVerify` (best of n, pass@k).

Choose it whenever a sound checker is there and a right answer is likely enough within k draws: with chance p a draw,
1 - (1 - p)^k. It is the control that any loop of feedback has to beat at equal calls. Sources: Stechly, Marquez and
Kambhampati, 2023, "GPT-4 doesn't know it's wrong"; Cobbe et al., 2021, "Training verifiers to solve math word
problems".
Cost: at most `k` answers of equal prompts, which share their prefix, and the critic's own calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from thalweg.program import Learned
from thalweg.program.budget import Budget
from thalweg.program.procedure import Solved
from thalweg.prompting.critic import Critic, Critique, asks_model, checked, countable, counted, review
from thalweg.prompting.refine import Try, seed_of, solved


@dataclass(frozen=True)
class SampleAndVerify:
    """Draw up to `k` answers, one after the other; the first that the critic passes is the value.

    If none passes, the answer of the highest rank is the value, the first of equals. `details` are those of `Refine`.

    Args:
        critic: `check(inputs, value)`, an object with such a method, `SelfCritique()`, or another (see `review`).
        k: draws at most. temperature: of every draw; above 0.
        budget: calls, tokens, evaluations of draws and critic together, counted as if nothing came from a cache.
        inner: the strategy that asks for an answer.

    Raises:
        TypeError: the critic is none. ValueError: a number out of range, or a budget in seconds.
    """

    critic: Critic
    k: int = 15
    temperature: float = 0.7
    budget: Budget = field(default_factory=Budget)
    inner: Any = None

    def __post_init__(self) -> None:
        checked(self.critic)
        if self.k < 1:
            raise ValueError(f"k={self.k}; give at least 1")
        if not self.temperature > 0:
            raise ValueError(f"temperature={self.temperature}; equal draws find nothing new, give a number above 0")
        countable(self.budget)

    @property
    def name(self) -> str:
        return f"sample_and_verify({self.k})"

    def solve(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        """The first draw that passes, or the best one."""
        tries: list[Try] = []
        stop = "rounds"
        with counted() as bill:
            while len(tries) < self.k:
                limit = self.budget.spent_out(bill.spent)
                if limit and tries:
                    stop = limit
                    break
                value = ask.using(temperature=self.temperature, seed=seed_of(ask, len(tries)))(**inputs)
                spent = bill.spent
                if limit:  # a budget of nothing: the function must answer all the same
                    tries.append(Try(value, Critique(False, ()), spent.calls, spent.tokens))
                    stop = limit
                    break
                found = review(self.critic, ask, inputs, value)
                bill.checks += not asks_model(self.critic)
                tries.append(Try(value, found, spent.calls, spent.tokens))
                if found.passed:
                    stop = "accepted"
                    break
            return solved(ask, tries, stop, bill, last=False)
