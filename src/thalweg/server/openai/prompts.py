"""From OpenAI's messages to what a model reads: turns of this house, and the prompt text of local models.

Texts of messages cannot hold special tokens: they are defused. Results of tools become user turns and calls of tools
become the JSON the model wrote, since chat templates of small models know neither. The prompt is cut where the
conversation begins, behind the system part, which requests of one application share.
"""

from __future__ import annotations

import json
import os.path
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from thalweg.errors import Error, RequestRefused
from thalweg.models.chat import escape_special, render_chat
from thalweg.models.request import Message
from thalweg.server.openai.wire import ChatMessage


def turns_of(messages: Sequence[ChatMessage], instruction: str = "") -> tuple[Message, ...]:
    """The conversation, its system messages at the start joined, `instruction` behind them.

    Raises:
        RequestRefused: a part is no text, or a turn has nothing in it.
    """
    called = {call.id: call.function.name for one in messages for call in one.tool_calls or ()}
    turns: list[Message] = []
    for index, one in enumerate(messages):
        role, text = one.role, _text_of(one, index)
        if one.role == "tool":
            name = called.get(one.tool_call_id or "", "the tool")
            role, text = "user", f"Result of {name}: {text}"
            if index and messages[index - 1].role == "tool":  # several results are one turn
                turns[-1] = replace(turns[-1], content=f"{turns[-1].content}\n{text}")
                continue
        if one.role == "developer":
            role = "system"
        if role == "system" and turns and all(turn.role == "system" for turn in turns):
            turns[-1] = replace(turns[-1], content=f"{turns[-1].content}\n\n{text}")
            continue
        turns.append(Message(role, text))  # type: ignore[arg-type]
    if instruction:
        if turns[0].role == "system":
            turns[0] = replace(turns[0], content=f"{turns[0].content}\n\n{instruction}")
        else:
            turns.insert(0, Message("system", instruction))
    return tuple(turns)


def _text_of(message: ChatMessage, index: int) -> str:
    content, param = message.content, f"messages.{index}.content"
    if isinstance(content, str):
        text = content
    else:
        texts: list[str] = []
        for part in content or ():
            said = part.text if part.type == "text" else part.refusal if part.type == "refusal" else None
            if said is None:
                raise RequestRefused(
                    f"A part of type {part.type!r} cannot be read; this server reads text.",
                    "Send parts of type text.", param=param, code="unsupported_content",
                )  # fmt: skip
            texts.append(said)
        text = "".join(texts)
    calls = [
        f'{{"name": {json.dumps(call.function.name)}, "arguments": {call.function.arguments}}}'
        for call in message.tool_calls or ()
    ]
    if content is None and not calls:
        raise RequestRefused(f"Message {index} has no content.", "Give it a text.", param=param)
    return "\n".join([text, *calls]) if text else "\n".join(calls)


def rendered(turns: Sequence[Message], tokenizer: Any) -> tuple[str, str]:
    """(prefix, suffix) of the prompt text; the prefix is the system part and ends behind a special token.

    Raises:
        RequestRefused: the model's template cannot render the conversation.
    """
    special = [text for text in tokenizer.control_texts if text]
    safe = [Message(turn.role, escape_special(turn.content, special)) for turn in turns]
    first = next((i for i, turn in enumerate(safe) if turn.role != "system"), len(safe))
    try:
        text = render_chat(safe, tokenizer.chat_template, tokenizer.special_tokens)
        if first == len(safe):
            return "", text
        other = [*safe[:first], Message(safe[first].role, f"\u2983{safe[first].content}"), *safe[first + 1 :]]
        shared = os.path.commonprefix([text, render_chat(other, tokenizer.chat_template, tokenizer.special_tokens)])
    except Error:
        raise
    except Exception as error:  # a template raises what it likes
        raise RequestRefused(
            f"The model's chat template cannot render this conversation ({error}).",
            "Let user and assistant take turns, after at most one system message.", param="messages",
        ) from error  # fmt: skip
    cut = max((at + len(one) for one in special if (at := shared.rfind(one)) >= 0), default=0)
    return text[:cut], text[cut:]
