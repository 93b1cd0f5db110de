"""``POST /v1/completions``: texts continued as they are, without a chat template.

A prompt is read as it is written, special tokens included; token ids are read as the text they stand for, if that
text has this spelling. Local models only: other engines take conversations, and a text is none.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from thalweg.decoding.stops import CONTINUATION
from thalweg.errors import RequestRefused
from thalweg.models.request import Answer, Message, Request
from thalweg.server.openai.chat import finish_reason
from thalweg.server.openai.errors import unsupported
from thalweg.server.openai.formats import extension
from thalweg.server.openai.identity import Identity
from thalweg.server.openai.logprobs import check_logprobs, completion_logprobs
from thalweg.server.openai.sampling import check_supported, requests_of
from thalweg.server.openai.streaming import answers, followed, usage_of
from thalweg.server.openai.wire import CompletionBody

DEFAULT_TOKENS = 16
_MOST = 128  # choices of one request


@dataclass(frozen=True)
class Continuations:
    """A body made ready: the texts to continue, and `n` requests for each, side by side."""

    prompts: list[str]
    requests: list[Request]

    def prompt_of(self, index: int) -> str:
        return self.prompts[index * len(self.prompts) // len(self.requests)]


def prepared(service: Any, body: CompletionBody) -> Continuations:
    """The requests of a body.

    Raises:
        RequestRefused: it asks for what is not done here.
    """
    check_supported(body)
    if getattr(service.model, "tokenizer", None) is None:
        raise RequestRefused(
            f"{service.name} answers conversations; it cannot continue a text.", "Use /v1/chat/completions.",
            param="prompt", code="unsupported_parameter",
        )  # fmt: skip
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise unsupported("best_of")
    if body.logprobs is not None:
        check_logprobs(service.model)
        if body.echo:
            raise RequestRefused("'echo' has no log-probabilities here.", "Leave out one of them.", param="logprobs")
    prompts = _prompts(service.model, body.prompt)
    if len(prompts) * (body.n or 1) > _MOST:
        raise RequestRefused(f"More than {_MOST} choices are asked for.", "Split the request.", param="prompt")
    tokens = body.max_tokens or DEFAULT_TOKENS
    format = extension(body) or CONTINUATION
    logprobs = -1 if body.logprobs is None else body.logprobs
    requests = [
        request
        for prompt in prompts
        for request in requests_of(
            body, (Message("user", prompt),), format, prefix="", suffix=prompt, tokens=tokens, logprobs=logprobs
        )
    ]
    return Continuations(prompts, requests)


def _prompts(model: Any, said: str | list[str] | list[int] | list[list[int]]) -> list[str]:
    if isinstance(said, str):
        prompts = [said]
    elif said and isinstance(said[0], int):
        prompts = [_text_of(model, said)]  # type: ignore[arg-type]
    else:
        prompts = [one if isinstance(one, str) else _text_of(model, one) for one in said]  # type: ignore[arg-type]
    if not prompts or not all(prompts):
        raise RequestRefused("A prompt is empty.", "Give a text to continue.", param="prompt")
    return prompts


def _text_of(model: Any, tokens: list[int]) -> str:
    """The text that is read as `tokens`."""
    tokenizer = model.tokenizer
    specials = {tokenizer.encode(text, special=True)[0]: text.encode() for text in tokenizer.control_texts if text}
    if not all(0 <= token < tokenizer.size for token in tokens):
        raise RequestRefused("A prompt has token ids that the model has not.", "Use its tokenizer.", param="prompt")
    given = tokens[1:] if tokenizer.adds_bos and tokens[:1] == [tokenizer.bos] else tokens
    text = b"".join(specials.get(token, tokenizer.pieces[token]) for token in given).decode(errors="replace")
    if tokenizer.encode(text, special=True) != given:
        raise RequestRefused(
            "A prompt's token ids are not how this server reads their text.", "Send the text.", param="prompt"
        )
    return text


async def completion(
    service: Any, body: CompletionBody, asked: Continuations, tenant: str, me: Identity
) -> dict[str, Any]:
    """The whole answer."""
    found = await answers(service, asked.requests, tenant)
    choices = [
        {
            "index": index,
            "text": (asked.prompt_of(index) if body.echo else "") + answer.text,
            "logprobs": _logprobs(answer, service, body),
            "finish_reason": finish_reason(answer),
        }
        for index, answer in enumerate(found)
    ]
    return _head(me) | {"choices": choices, "usage": usage_of(found, len(asked.prompts))}


async def chunks(
    service: Any, body: CompletionBody, asked: Continuations, tenant: str, me: Identity
) -> AsyncGenerator[dict[str, Any]]:
    """The answer as it is written."""
    head = _head(me)
    with_usage = bool(body.stream_options and body.stream_options.include_usage)
    if with_usage:
        head["usage"] = None
    found: list[Answer | None] = [None] * len(asked.requests)
    sent = [0] * len(found)
    if body.echo:
        for index in range(len(found)):
            yield head | {"choices": [_piece(index, asked.prompt_of(index))]}
    async with aclosing(followed(service, asked.requests, tenant)) as steps:
        async for index, text, answer in steps:
            text = text if answer else text.rstrip("\ufffd")  # a character that is not complete yet
            new, sent[index] = text[sent[index] :], max(sent[index], len(text))
            if answer is not None:
                found[index] = answer
                yield head | {"choices": [_piece(index, new, finish_reason(answer), _logprobs(answer, service, body))]}
            elif new:
                yield head | {"choices": [_piece(index, new)]}
    if with_usage:
        done = [answer for answer in found if answer is not None]
        yield head | {"choices": [], "usage": usage_of(done, len(asked.prompts))}


def _head(me: Identity) -> dict[str, Any]:
    return {
        "id": me.new_id("cmpl"), "object": "text_completion", "created": int(time.time()), "model": me.name,
        "system_fingerprint": me.fingerprint,
    }  # fmt: skip


def _piece(index: int, text: str, finish: str | None = None, logprobs: Any = None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}


def _logprobs(answer: Answer, service: Any, body: CompletionBody) -> dict[str, Any] | None:
    return None if body.logprobs is None else completion_logprobs(answer, service.model.tokenizer)
