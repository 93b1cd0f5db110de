"""Hybrid thinking: a quick answer where it holds, a slow one where it does not; verification decides.

`Hybrid` asks `fast`, lets `verify` look at the answer, tries again, and goes over to `slow` only when every try was
refused. Choose it where most questions are easy, the check is good, and the slow way costs several times the fast one;
with a check that cannot tell right from wrong it is `fast` with a bill. `Hybrid.before` asks which of the two it takes
before it answers. Source: Yao et al., 2024, "HDFlow: Enhancing LLM Complex Problem-Solving with Hybrid Thinking and
Dynamic Workflows". Cost: that of up to `tries` fast answers and their checks, and the slow one where they fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from thalweg.program.procedure import Solved, derived
from thalweg.program.strategy import Direct
from thalweg.program.types import jsonable
from thalweg.prompting.critic import Bill, Critic, Critique, SelfCritique, asks_model, checked, counted, review
from thalweg.prompting.dynamic_workflow import DynamicWorkflow

if TYPE_CHECKING:
    from thalweg.program.learned import Learned

WHICH = (
    "Before anybody answers: can this be answered at once (fast), or does it take a plan, several steps or "
    "calculations (slow)?"
)


@dataclass(frozen=True)
class Hybrid:
    """Answer fast, verify, and answer slowly only where verification says no.

    The call's details hold `mode` ("fast" or "slow"), `tries` (fast answers given), `verified` (None: nobody looked),
    `refused` (what was said of each refused answer), `parts` (calls and tokens of `fast`, `verify` and `slow`) and
    `slow` (the details of the slow strategy, where it was taken).

    Args:
        fast, slow: strategies; both answer the function that is called, with its type.
        verify: any critic, see `review`: a check, a learned yes-or-no function, a question; default `SelfCritique`.
        tries: fast answers at most. The first is the most likely one; later ones are drawn at `temperature`.
        temperature: of the later ones.

    Raises:
        ValueError: tries below 1, or a temperature that draws nothing new. TypeError: the verifier is no critic.

    Example:
        >>> total.using(strategy=Hybrid(verify=adds_up))(invoice)
    """

    fast: Any = field(default_factory=Direct)
    slow: Any = field(default_factory=DynamicWorkflow)
    verify: Critic = field(default_factory=SelfCritique)
    tries: int = 3
    temperature: float = 0.8
    name: str = "hybrid"

    def __post_init__(self) -> None:
        checked(self.verify)
        if self.tries < 1:
            raise ValueError(f"tries={self.tries!r}; give at least 1")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature={self.temperature!r}; give a number above 0, or tries=1")

    @classmethod
    def before(cls, fast: Any = None, slow: Any = None, *, question: str = WHICH) -> HybridBefore:
        """The variant that decides before it answers, by one question, and verifies nothing."""
        return HybridBefore(fast or Direct(), slow or DynamicWorkflow(), question)

    def solve(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        parts = {"fast": Bill(), "verify": Bill(), "slow": Bill()}
        details: dict[str, Any] = {"mode": "fast", "verified": True}
        known: dict[str, Critique] = {}  # an answer that comes again is not judged again
        refused: list[dict[str, Any]] = []
        for number in range(self.tries):
            with counted("fast", parts["fast"]):
                value = varied(ask, number, self.temperature).using(strategy=self.fast)(**inputs)
            shown = ask.signature.output.encode(value)
            found = known.get(shown)
            if found is None:
                found = known[shown] = self._judge(ask, inputs, value, parts)
            if found.passed:
                break
            refused.append({"answer": shown, "why": found.why})
        else:
            details["mode"] = "slow"
            with counted("slow", parts["slow"]):
                call = ask.using(strategy=self.slow).submit(**inputs)
                value = call.result()
            # Free checks look at the slow answer too; a question is not paid for again: the slow way judges itself.
            free = not asks_model(self.verify)
            details["verified"] = self._judge(ask, inputs, value, parts).passed if free else None
            details["slow"] = jsonable(dict(call.details))
        details["tries"] = len(refused) + (details["mode"] == "fast")
        details["refused"] = refused
        details["parts"] = {name: one.to_json() for name, one in parts.items()}
        return Solved(value, details)

    def _judge(self, ask: Learned[..., Any], inputs: Mapping[str, Any], value: Any, parts: dict[str, Bill]) -> Critique:
        with counted("verify", parts["verify"]):
            return review(self.verify, ask, inputs, value)


@dataclass(frozen=True)
class HybridBefore:
    """Ask whether a question needs slow thinking, then answer it one way. Made by `Hybrid.before`."""

    fast: Any
    slow: Any
    question: str = WHICH
    name: str = "hybrid before"

    def solve(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        parts = {"choose": Bill(), "fast": Bill(), "slow": Bill()}
        task = ask.parameters.instruction
        instruction = f"Somebody is asked: {task}\n\n{self.question}" if task else self.question
        with counted("choose", parts["choose"]):
            chosen: Literal["fast", "slow"] = derived(
                ask, "choose", instruction=instruction, output=Literal["fast", "slow"]
            )(**inputs)
        with counted(chosen, parts[chosen]):
            call = ask.using(strategy=getattr(self, chosen)).submit(**inputs)
            value = call.result()
        shown = {name: one.to_json() for name, one in parts.items()}
        return Solved(value, {"mode": chosen, chosen: jsonable(dict(call.details)), "parts": shown})


def varied(ask: Learned[..., Any], number: int, temperature: float) -> Learned[..., Any]:
    """The function for its `number`-th try: the first as it stands, the others drawn, each from a seed of its own."""
    if number == 0:
        return ask
    session = ask._session()
    return ask.using(
        temperature=max(session.temperature or 0.0, temperature), seed=(session.seed or 0) * 1_000_003 + number
    )
