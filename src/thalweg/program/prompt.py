"""From a signature, its parameters and inputs to the exact prompt, cut where calls of one function stop being equal.

The conversation comes from the strategy; local models read it through their own chat template (or the base-model form
where there is none). The template is run once per parameters: inputs are put where a marker stood, so a call costs two
string joins. Special tokens inside inputs are defused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thalweg.errors import UnsupportedByBackend
from thalweg.models.request import Format, Message, Request
from thalweg.program.signature import Signature
from thalweg.program.strategy import Parameters, Strategy, show_inputs
from thalweg.program.types import render_value

_MARK = "\u2983inputs\u2984"
_KEPT = 32  # templates kept per function


@dataclass(frozen=True)
class Rendered:
    """What a model sees for one call.

    Args:
        text: the prompt; tokens: its ids (empty for remote models); shared: how many of the leading characters every
            call of the function shares.
        constraint: the texts that may be answered, in words of the format.
    """

    text: str
    tokens: tuple[int, ...]
    shared: int
    messages: tuple[Message, ...]
    format: Format
    model: str

    @classmethod
    def of(cls, request: Request, model: Any) -> Rendered:
        text = request.prefix + request.suffix
        tokens = tuple(model.prompt_tokens(request)) if hasattr(model, "prompt_tokens") else ()
        if not text:
            text = "\n\n".join(f"[{message.role}]\n{message.content}" for message in request.messages)
        return cls(text, tokens, len(request.prefix), request.messages, request.format, model.name)

    @property
    def constraint(self) -> str:
        format = self.format
        if format.kind == "choices":
            shown = ", ".join(repr(choice) for choice in format.choices[:20])
            return f"one of {len(format.choices)} texts: {shown}{', ...' if len(format.choices) > 20 else ''}"
        if format.kind == "json":
            return f"JSON under the schema {format.schema}"
        if format.kind == "regex":
            return f"a text that matches {format.pattern}"
        if format.kind in ("lark", "where"):
            return f"a text of {'the grammar' if format.kind == 'lark' else 'what the hole allows'}: {format.grammar}"
        return f"free text of 1 to {format.max_chars} characters"

    def __str__(self) -> str:
        size = f"{len(self.tokens)} tokens, " if self.tokens else ""
        return (
            f"model       {self.model}\nprompt      {size}{len(self.text)} characters, "
            f"the first {self.shared} shared by all calls\nconstraint  {self.constraint}\n\n{self.text}"
        )


class Prompter:
    """Builds the prompts of one signature."""

    again: Any = None  # shows something a second time (see `prompting/read_twice.py`)

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self._templates: dict[tuple[int, int, int], tuple[Any, tuple[Message, ...], str, str, str]] = {}
        self._plain = all(field.annotation is str for field in signature.inputs)
        self._reserve: tuple[Any, int] = (None, 0)

    def of(self, signature: Signature) -> Prompter:
        """One that shows the inputs of another signature in the same way."""
        return Prompter(signature)

    def reserve(self, model: Any) -> int:
        """Tokens kept back for closing a value early: those of its shortest text and a few more, within reason."""
        tokenizer = getattr(model, "tokenizer", None)
        known, count = self._reserve
        if known is not tokenizer or not count:
            output = self.signature.output
            text = output.minimal.encode() if tokenizer is None else tokenizer.encode(output.minimal)
            count = min(128, len(text) + (4 if output.format.kind == "json" else 1))
            self._reserve = tokenizer, count
        return count

    def prompt(
        self, strategy: Strategy, parameters: Parameters, inputs: Mapping[str, Any], model: Any
    ) -> tuple[tuple[Message, ...], str, str]:
        """(messages, prefix, suffix); the texts are empty for models that render their own template."""
        tokenizer = getattr(model, "tokenizer", None)
        texts = {name: value if isinstance(value, str) else render_value(value) for name, value in inputs.items()}
        key = (id(strategy), id(parameters), id(model))
        found = self._templates.get(key)
        if found is None:
            found = self._template(strategy, parameters, tokenizer, list(inputs))
            if len(self._templates) >= _KEPT:
                self._templates.clear()
            found = (strategy, parameters, model), *found  # type: ignore[assignment]
            self._templates[key] = found
        _, head, prefix, before, after = found
        shown = show_inputs(texts)
        messages = (*head, Message("user", shown))
        if tokenizer is None:
            return messages, "", ""
        return messages, prefix, before + _defuse(shown, tokenizer) + after

    def _template(
        self, strategy: Strategy, parameters: Parameters, tokenizer: Any, names: list[str]
    ) -> tuple[tuple[Message, ...], str, str, str]:
        messages = list(strategy.messages(self.signature, parameters, dict.fromkeys(names, _MARK)))
        marked = show_inputs(dict.fromkeys(names, _MARK))
        if not messages or messages[-1].content != marked:
            raise UnsupportedByBackend(
                f"The strategy {strategy.name!r} does not end with the inputs of `{self.signature.name}`.",
                "Let its last message be `show_inputs(inputs)`.",
            )
        head = tuple(messages[:-1])
        if tokenizer is None:
            return head, "", "", ""
        from thalweg.models.chat import render_chat

        safe = [Message(one.role, _defuse(one.content, tokenizer)) for one in head]
        text = render_chat([*safe, Message("user", _MARK)], tokenizer.chat_template, tokenizer.special_tokens)
        start, _, after = text.rpartition(_MARK)  # the last: instruction and examples may hold one too
        cut = max((match.end() for match in _specials(tokenizer).finditer(start)), default=0)
        return head, start[:cut], start[cut:], after


def _specials(tokenizer: Any) -> re.Pattern[str]:
    pattern = getattr(tokenizer, "_special_pattern", None)
    if pattern is None:
        texts = sorted(filter(None, tokenizer.control_texts), key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, texts)) or r"(?!)")
        tokenizer._special_pattern = pattern
    return pattern


def _defuse(text: str, tokenizer: Any) -> str:
    """A mail may contain ``<|im_end|>``; a zero-width space takes its power away."""
    return _specials(tokenizer).sub(lambda match: match[0][0] + "\u200b" + match[0][1:], text)
