"""Judgement: is this answer right? Asked of a function that checks it, or of the model itself; yes or no.

`Hybrid` and `DynamicWorkflow` stop by it. A check that computes (arithmetic, tests, a prover) is worth more than any
question: a small model's yes is close to a coin's. Cost: a check costs no call, a question one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.errors import TypeNotSupported
from thalweg.program.journal import inside, scope_in_force
from thalweg.program.learned import Learned
from thalweg.program.procedure import derived
from thalweg.program.score import Score, Verdict

if TYPE_CHECKING:
    from thalweg.program.journal import Scope

RIGHT = "Check the answer step by step against what was asked. Is it right?"

Verify = Callable[[Mapping[str, Any], Any], Any] | Learned[..., bool] | str


@dataclass(frozen=True)
class Judged:
    """What was said of an answer, with the reason where one was given."""

    yes: bool
    why: str = ""


def judge(verify: Verify, ask: Learned[..., Any], inputs: Mapping[str, Any], value: Any) -> Judged:
    """Whether `value` answers `inputs`.

    Args:
        verify: a function ``check(inputs, value)`` that gives a bool, a `Score` (above 0 is yes) or a `Verdict`
            (`tested` and `proved` are yes: what nobody knows has not been verified); a learned yes/no function of some
            of the inputs and one more, the answer; or a question as text.
        ask: the function that was asked; a question as text is put by its strategy.

    Raises:
        TypeNotSupported: a learned function that does not take the answer, or a check that gives something else.
    """
    if isinstance(verify, str):
        asked = _instruction(ask, verify)
        question = derived(ask, "verify", instruction=asked, output=bool, more={"answer": str})
        return Judged(question(**inputs, answer=ask.signature.output.encode(value)))
    if isinstance(verify, Learned):
        return Judged(bool(verify(**_answering(verify, inputs, value))))
    found = verify(inputs, value)
    if isinstance(found, Verdict):
        return Judged(found.at_least("tested"), found.evidence)
    if isinstance(found, Score):
        return Judged(bool(found), found.feedback)
    if isinstance(found, bool | int | float):
        return Judged(found > 0)
    raise TypeNotSupported(
        f"The check {getattr(verify, '__name__', verify)!r} gave {type(found).__name__}, neither yes nor no.",
        "Return a bool, a Score or a Verdict.",
    )


def costs_calls(verify: Verify) -> bool:
    """Whether a judgement asks a model."""
    return isinstance(verify, str | Learned)


def _instruction(ask: Learned[..., Any], question: str) -> str:
    task = ask.parameters.instruction
    return f"Somebody was asked: {task}\n\n{question}" if task else question


def _answering(verify: Learned[..., bool], inputs: Mapping[str, Any], value: Any) -> dict[str, Any]:
    names = [one.name for one in verify.signature.inputs]
    new = [name for name in names if name not in inputs]
    if len(new) != 1:
        raise TypeNotSupported(
            f"`{verify.name}` takes {', '.join(names)}, and shall judge an answer to {', '.join(inputs)}.",
            "Give it inputs of the judged function by their names, and exactly one more: the answer.",
        )
    return {**{name: inputs[name] for name in names if name in inputs}, new[0]: value}


@dataclass
class Part:
    """What a part of a strategy has used, however its calls were answered (a replayed run tells the same)."""

    calls: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0

    def to_json(self) -> dict[str, int]:
        return {"calls": self.calls, "prompt_tokens": self.prompt_tokens, "output_tokens": self.output_tokens}


@contextmanager
def part(name: str, counts: Part) -> Iterator[Scope]:
    """Work at a place of its own in the run ("read#0/NAME#0/"), and add to `counts` what is used there."""
    scope = scope_in_force(None)
    place = scope.child(scope.next(name))
    place.answers = []
    try:
        with inside(place):
            yield place
    finally:
        scope.answers.extend(place.answers)
        for _, answer in place.answers:
            counts.calls += 1
            counts.prompt_tokens += answer.usage.prompt_tokens
            counts.output_tokens += answer.usage.output_tokens
