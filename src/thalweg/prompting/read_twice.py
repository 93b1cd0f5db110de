"""Read twice: the inputs of a call are shown a second time, so that the model knows the question when it reads on.

`ReadTwice` repeats everything (context, question, context, question), `ReRead` the question alone. Made for models
whose memory of what they read is small (recurrent ones); a Transformer looks back anyway, and gains little. Types,
constraints and the other verbs of the function stay as they are.

Sources: Arora et al., 2024, "Just read twice: closing the recall gap for recurrent language models"; Xu et al., 2024,
"Re-reading improves reasoning in large language models" (RE2). Cost: `ReadTwice` doubles the tokens of the inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from thalweg.models.request import Message
from thalweg.program import Learned
from thalweg.program.prompt import Prompter, _defuse
from thalweg.program.signature import Signature
from thalweg.program.strategy import Parameters, Strategy, show_inputs
from thalweg.program.types import render_value

P = ParamSpec("P")
T = TypeVar("T")


def ReadTwice(function: Learned[P, T]) -> Learned[P, T]:  # noqa: N802 - the method's name
    """A copy of `function` whose inputs are shown twice, in order, with nothing between.

    Example:
        >>> answer = ReadTwice(answer)
        >>> answer.render(passage, "When does it open?")
    """
    return _repeating(function, show_inputs)


def ReRead(function: Learned[P, T], question: str = "") -> Learned[P, T]:  # noqa: N802 - the method's name
    """A copy of `function` whose input named `question` (default: the last one) is shown a second time, at the end.

    Raises:
        ValueError: the function has no such input.
    """
    names = [field.name for field in function.signature.inputs]
    name = question or names[-1]
    if name not in names:
        raise ValueError(f"`{function.name}` has no input {name!r}; there are: {', '.join(names)}")
    return _repeating(function, lambda texts: f"Read the question again:\n{show_inputs({name: texts[name]})}")


def _repeating(function: Learned[P, T], again: Callable[[Mapping[str, str]], str]) -> Learned[P, T]:
    if not isinstance(function, Learned):
        raise TypeError(f"a learned function is needed, not {function!r}")
    return function._copy(_prompter=_Repeating(function.signature, again))


class _Repeating(Prompter):
    """Prompts whose last message ends with a second showing. Templates and shared prefixes are those of `Prompter`."""

    def __init__(self, signature: Signature, again: Callable[[Mapping[str, str]], str]) -> None:
        super().__init__(signature)
        self.again = again

    def of(self, signature: Signature) -> Prompter:
        return _Repeating(signature, self.again)

    def prompt(
        self, strategy: Strategy, parameters: Parameters, inputs: Mapping[str, Any], model: Any
    ) -> tuple[tuple[Message, ...], str, str]:
        messages, prefix, suffix = super().prompt(strategy, parameters, inputs, model)
        once = messages[-1]
        texts = {name: value if isinstance(value, str) else render_value(value) for name, value in inputs.items()}
        more = f"\n\n{self.again(texts)}"
        messages = (*messages[:-1], replace(once, content=once.content + more))
        if not suffix:
            return messages, prefix, suffix
        shown = _defuse(once.content, model.tokenizer)
        before, _, after = suffix.rpartition(shown)
        return messages, prefix, before + shown + _defuse(more, model.tokenizer) + after
