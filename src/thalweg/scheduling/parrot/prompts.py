"""From a call of a graph and the values of its variables to the `Request` a model answers.

The call's text goes through the model's own chat template (or stands as it is), cut into the fixed beginning and the
rest. Special tokens inside system text, template and values lose their power. Cost: some 50 microseconds a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thalweg.models.chat import escape_special, render_chat
from thalweg.models.request import NO_HINT, Hint, Message, Request
from thalweg.scheduling.parrot.graph import Call
from thalweg.scheduling.parrot.prefixes import Prefixes

_SYSTEM, _USER = "\u2983system\u2984", "\u2983user\u2984"


def request_for(
    call: Call, values: Mapping[str, str], model: Any, hint: Hint = NO_HINT, prefixes: Prefixes | None = None
) -> Request:
    """What `model` is asked.

    Args:
        values: of (at least) the variables that the call reads.
        prefixes: counts the fixed beginning; without, every one counts as shared by many.
    """
    text = "".join(values[part] if is_variable else part for part, is_variable in call.parts)
    messages = (*((Message("system", call.system),) if call.system else ()), Message("user", text))
    tokenizer = getattr(model, "tokenizer", None)
    prefix = suffix = ""
    if tokenizer is not None:
        prefix, suffix = _prompt(call, text, tokenizer)
        if prefixes is not None and not prefixes.note(call.system and prefix):
            prefix, suffix = "", prefix + suffix
    return Request(messages, call.format, call.sampling, prefix, suffix, stop=call.stop, hint=hint)


def _prompt(call: Call, text: str, tokenizer: Any) -> tuple[str, str]:
    """The prompt in two parts, cut behind the last special token before the user's text, which can be tokenised
    apart."""
    specials = [one for one in tokenizer.control_texts if one]
    text, system = escape_special(text, specials), escape_special(call.system, specials)
    if not call.chat:
        return "", f"{system}\n\n{text}" if system else text
    marked = [Message("user", _USER)]
    if system:
        marked.insert(0, Message("system", _SYSTEM))
    rendered = render_chat(marked, tokenizer.chat_template, tokenizer.special_tokens)
    before, _, after = rendered.rpartition(_USER)
    before = before.replace(_SYSTEM, system, 1)
    cut = max((before.rfind(one) + len(one) for one in specials if one in before), default=0)
    return before[:cut], before[cut:] + text + after
