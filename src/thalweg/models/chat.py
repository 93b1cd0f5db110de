"""From messages to the prompt text a local model reads: its own chat template, or a plain form for base models.

Templates come from the model file, so they are data of unknown origin: they run in Jinja's immutable sandbox.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from thalweg.errors import ModelError
from thalweg.models.request import Message


@functools.lru_cache(maxsize=16)
def _compile(template: str) -> Any:
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment.globals["raise_exception"] = raise_exception
    return environment.from_string(template)


def render_chat(messages: Sequence[Message], template: str, special_tokens: dict[str, str]) -> str:
    """Prompt text that ends where the assistant's answer begins."""
    if not template:
        return render_base(messages)
    from jinja2 import TemplateError

    def run(messages: Sequence[Message]) -> str:
        plain = [{"role": message.role, "content": message.content} for message in messages]
        return _compile(template).render(messages=plain, add_generation_prompt=True, **special_tokens)

    try:
        return run(messages)
    except TemplateError:
        # Some families know no system role: its text then opens the first user turn.
        if len(messages) < 2 or messages[0].role != "system":
            raise
        head, first, *rest = messages
        merged = Message(first.role, f"{head.content}\n\n{first.content}")
        try:
            return run([merged, *rest])
        except TemplateError as error:
            raise ModelError(
                f"The model's chat template cannot render this conversation ({error}).",
                "Use the base-model form (`chat=False`) or another model.",
            ) from error


def render_base(messages: Sequence[Message]) -> str:
    """The form for models that were only trained to continue text: instruction, worked examples, then the case."""
    parts = []
    for message in messages:
        if message.role == "system":
            parts.append(message.content + "\n\n")
        elif message.role == "user":
            parts.append(f"Input:\n{message.content}\nAnswer: ")
        else:
            parts.append(f"{message.content}\n\n")
    return "".join(parts)


def escape_special(text: str, special: Sequence[str]) -> str:
    """Take the power from special tokens written inside user text (a mail may contain ``<|im_end|>``)."""
    for token in special:
        if token and token in text:
            text = text.replace(token, token[0] + "\u200b" + token[1:])
    return text
