"""``POST /v1/chat/completions``: messages to answers, whole or as they are written.

The stream's deltas join to exactly what the whole answer would say. Log-probabilities come with a choice's last chunk.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from thalweg.errors import RequestRefused
from thalweg.models.request import Answer, Request
from thalweg.server.openai import tools as calling
from thalweg.server.openai.formats import chat_format
from thalweg.server.openai.identity import Identity
from thalweg.server.openai.logprobs import chat_logprobs, check_logprobs
from thalweg.server.openai.prompts import rendered, turns_of
from thalweg.server.openai.sampling import DEFAULT_TOKENS, check_supported, requests_of
from thalweg.server.openai.streaming import answers, followed, usage_of
from thalweg.server.openai.wire import ChatBody, Tool


@dataclass(frozen=True)
class Conversation:
    """A body made ready.

    Args:
        requests: one for each of the `n` choices.
        tools: that may be called.
    """

    requests: list[Request]
    tools: list[Tool]


def prepared(service: Any, body: ChatBody) -> Conversation:
    """The requests of a body.

    Raises:
        RequestRefused: it asks for what is not done here.
    """
    check_supported(body)
    if body.top_logprobs is not None and not body.logprobs:
        raise RequestRefused("'top_logprobs' needs logprobs=true.", "Set it.", param="top_logprobs")
    if body.logprobs:
        check_logprobs(service.model)
    tools, must = calling.offered(body)
    tokens = body.max_completion_tokens or body.max_tokens or DEFAULT_TOKENS
    turns = turns_of(body.messages, calling.instruction(tools, must) if tools else "")
    tokenizer = getattr(service.model, "tokenizer", None)
    prefix, suffix = ("", "") if tokenizer is None else rendered(turns, tokenizer)
    requests = requests_of(
        body,
        turns,
        chat_format(body, tools, must, tokens),
        prefix=prefix,
        suffix=suffix,
        tokens=tokens,
        logprobs=(body.top_logprobs or 0) if body.logprobs else -1,
    )
    return Conversation(requests, tools)


async def completion(service: Any, body: ChatBody, asked: Conversation, tenant: str, me: Identity) -> dict[str, Any]:
    """The whole answer."""
    found = await answers(service, asked.requests, tenant)
    tokenizer = getattr(service.model, "tokenizer", None)
    choices = [
        {
            "index": index,
            "message": _message(answer, asked.tools),
            "logprobs": _logprobs(answer, asked.tools, tokenizer, body),
            "finish_reason": finish_reason(answer, asked.tools),
        }
        for index, answer in enumerate(found)
    ]
    return {
        "id": me.new_id("chatcmpl"), "object": "chat.completion", "created": int(time.time()), "model": me.name,
        "choices": choices, "usage": usage_of(found), "system_fingerprint": me.fingerprint,
    }  # fmt: skip


async def chunks(
    service: Any, body: ChatBody, asked: Conversation, tenant: str, me: Identity
) -> AsyncGenerator[dict[str, Any]]:
    """The answer as it is written."""
    head: dict[str, Any] = {
        "id": me.new_id("chatcmpl"), "object": "chat.completion.chunk", "created": int(time.time()),
        "model": me.name, "system_fingerprint": me.fingerprint,
    }  # fmt: skip
    with_usage = bool(body.stream_options and body.stream_options.include_usage)
    if with_usage:
        head["usage"] = None
    tokenizer = getattr(service.model, "tokenizer", None)
    choices = [_Choice(index, asked.tools) for index in range(len(asked.requests))]
    found: list[Answer | None] = [None] * len(choices)
    async with aclosing(followed(service, asked.requests, tenant)) as steps:
        async for index, text, answer in steps:
            for delta in choices[index].deltas(text, ended=answer is not None):
                yield head | {"choices": [_piece(index, delta)]}
            if answer is not None:
                found[index] = answer
                last = _piece(index, {}, finish_reason(answer, asked.tools))
                last["logprobs"] = _logprobs(answer, asked.tools, tokenizer, body)
                yield head | {"choices": [last]}
    if with_usage:
        yield head | {"choices": [], "usage": usage_of([answer for answer in found if answer is not None])}


class _Choice:
    """One choice of a stream: what of it has been sent."""

    def __init__(self, index: int, tools: Sequence[Tool]) -> None:
        self.index, self.tools = index, tools
        self.begun = self.named = False
        self.sent = 0  # characters of the content, or of the call's arguments

    def deltas(self, text: str, *, ended: bool) -> list[dict[str, Any]]:
        """What is new in `text`, which grows from call to call."""
        found: list[dict[str, Any]] = []
        if not self.begun:
            self.begun = True
            found.append({"role": "assistant", "content": None if self.tools else "", "refusal": None})
        call = calling.read_call(text, self.tools)
        if call is not None:
            name, arguments = call
            if not self.named:
                self.named = True
                function = {"name": name, "arguments": ""}
                found.append(
                    {"tool_calls": [{"index": 0, "id": calling.new_id(), "type": "function", "function": function}]}
                )
            if len(arguments) > self.sent:
                found.append({"tool_calls": [{"index": 0, "function": {"arguments": arguments[self.sent :]}}]})
                self.sent = len(arguments)
        elif ended or not (self.tools and text.startswith("{")):  # else it may become a call
            text = text if ended else text.rstrip("\ufffd")  # a character that is not complete yet
            if len(text) > self.sent:
                found.append({"content": text[self.sent :]})
                self.sent = len(text)
        return found


def finish_reason(answer: Answer, tools: Sequence[Tool] = ()) -> str:
    """``length`` wherever the limit changed what was written, even if it is valid."""
    if answer.finish == "closed":
        return "length"
    return "tool_calls" if calling.read_call(answer.text, tools) else "stop"


def _message(answer: Answer, tools: Sequence[Tool]) -> dict[str, Any]:
    call = calling.read_call(answer.text, tools)
    if call is None:
        return {"role": "assistant", "content": answer.text, "refusal": None}
    function = {"name": call[0], "arguments": call[1]}
    calls = [{"id": calling.new_id(), "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "refusal": None, "tool_calls": calls}


def _logprobs(answer: Answer, tools: Sequence[Tool], tokenizer: Any, body: ChatBody) -> dict[str, Any] | None:
    if not body.logprobs or calling.read_call(answer.text, tools):
        return None
    return chat_logprobs(answer, tokenizer)


def _piece(index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
