"""ChainOfThought: the model writes down reasons first, then answers with its reasons before it.

Choose it where the answer takes several steps and the model is large enough to take them; small models and plain
classification often lose by it (measure: `frontier`). The answer keeps its type and its constraint, because reasons and
answer are two questions; they share the prompt up to the inputs' end. Sources: Wei et al. 2022, "Chain-of-thought
prompting elicits reasoning in large language models"; Kojima et al. 2022, "Large language models are zero-shot
reasoners". Cost: two calls, and as many tokens as the reasons have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.models.request import Message
from thalweg.program.procedure import Solved, derived
from thalweg.program.signature import Signature
from thalweg.program.strategy import Demonstration, Parameters, show_inputs
from thalweg.program.types import render_value

if TYPE_CHECKING:
    from thalweg.program.learned import Learned


@dataclass(frozen=True)
class ChainOfThought:
    """Reasons, then the answer given the reasons. `Value.details` has the reasons.

    Demonstrations with an input `field` more (their reasons) show how to reason; those without it show the answer only.

    Args:
        inner: strategy of the two questions (default: one that shows both the same beginning).
        max_tokens: of the reasons. field: what the reasons are called in the prompt.
        instruction: asks for the reasons.
    """

    inner: Any = None
    max_tokens: int = 256
    field: str = "reasoning"
    instruction: str = "Think step by step: first give your reasoning in a few sentences, then the answer."
    name: str = "chain-of-thought"

    def solve(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        reasons, answer = self._reasoned(ask, inputs)
        value = answer.submit(**inputs, **{self.field: reasons})
        return Solved(value.result(), {**value.details, self.field: reasons})

    def distribution(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        """Of the answer given the reasons."""
        reasons, answer = self._reasoned(ask, inputs)
        return Solved(answer.distribution(**inputs, **{self.field: reasons}), {self.field: reasons})

    def _reasoned(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> tuple[str, Learned[..., Any]]:
        signature = ask.signature
        said = ask.parameters.instruction or f"Work out `{signature.name}` from the inputs."
        said = f"{said}\n\n{self.instruction} The answer is {signature.output.describe()}"
        shown = ask.parameters.demonstrations
        think = derived(
            ask, self.field, instruction=said, output=str,
            demonstrations=tuple(
                Demonstration(_without(one.inputs, self.field), one.inputs[self.field])
                for one in shown if self.field in one.inputs
            ),
        )  # fmt: skip
        answer = derived(ask, instruction=said, more={self.field: str}, demonstrations=shown)
        if self.inner is None:
            think, answer = think.using(strategy=_STAGE), answer.using(strategy=_STAGE)
        return think.using(max_tokens=self.max_tokens)(**inputs).strip(), answer


@dataclass(frozen=True)
class _Stage:
    """One of two questions with one beginning: what is to be answered is said in the instruction of both."""

    name: str = "stage"

    def messages(self, signature: Signature, parameters: Parameters, inputs: Mapping[str, str]) -> list[Message]:
        lines = [parameters.instruction]
        described = [f"{one.name}: {one.description}" for one in signature.inputs if one.description]
        if described:
            lines.append("Inputs:\n" + "\n".join(described))
        messages = [Message("system", "\n\n".join(lines))]
        for one in parameters.demonstrations:
            shown = {name: render_value(value) for name, value in one.inputs.items()}
            messages += [Message("user", show_inputs(shown)), Message("assistant", signature.output.encode(one.output))]
        return [*messages, Message("user", show_inputs(inputs))]


_STAGE = _Stage()


def _without(inputs: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {one: value for one, value in inputs.items() if one != name}
