"""Everything about one call: its prompt cut where sharing and the cache end, its constraint in words, its tokens.

Probabilities are not kept for calls that did not ask for them: `with_probabilities` asks the engine again for the
same answer (same seed, greedy or not), with the likeliest tokens at each place. Cost: that of the call, less what is
cached of its prompt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from thalweg.models.request import Answer, TokenLogprob
from thalweg.scheduling import Finished, Waiting
from thalweg.scheduling.worker import Running
from thalweg.server.ui.live import PAGE, Live
from thalweg.server.ui.words import in_words, pieces, written

TOP = 5  # alternatives a token


def details(live: Live, one: Waiting | Running | Finished, tenant: str | None) -> dict[str, Any]:
    """What is known of a call as it is now.

    Args:
        one: what `Live.find` gave.
        tenant: whose picture says with whom the prompt is shared.
    """
    waiting = one if isinstance(one, Waiting) else one.waiting
    request, tokenizer = waiting.request, live.service.model.tokenizer
    picture = live.picture(tenant)
    known = picture["calls"].get(str(waiting.number), {})
    answer = one.answer if isinstance(one, Finished) else None
    prompt: Sequence[int] = (answer.prompt_tokens if answer else ()) or waiting.prompt
    cached = known.get("cached", answer.usage.cached_tokens if answer else 0)
    tokens: Sequence[int] = answer.tokens if answer else ()
    if isinstance(one, Running):
        prompt = one.prompt
        tokens = list(one.prefix.tokens)[len(prompt) :]
    made: dict[str, Any] = {
        **known,
        "number": waiting.number,
        "state": known.get("state", "waiting"),
        "prompt_parts": prompt_parts(tokenizer, prompt, _cuts(picture, known), cached),
        "constraint": in_words(request.format),
        "want": request.want,
        "sampling": {
            "temperature": request.sampling.temperature,
            "top_p": request.sampling.top_p,
            "top_k": request.sampling.top_k,
            "seed": request.sampling.seed,
            "max_tokens": request.sampling.max_tokens,
            "sampler": request.sampling.sampler,
        },
        "decoder": request.decoder,
        "answer": answer.text if answer else written(tokenizer, tokens, control=False),
        "tokens": [{"text": text} for text in pieces(tokenizer, tokens)],
    }
    if not prompt and not (request.prefix or request.suffix):
        text = "\n\n".join(f"[{message.role}]\n{message.content}" for message in request.messages)
        made["prompt_parts"] = [{"text": text, "tokens": 0, "calls": 1, "cached": False}]
    elif not prompt:
        made["prompt_parts"] = [{"text": request.prefix + request.suffix, "tokens": 0, "calls": 1, "cached": False}]
    if isinstance(one, Finished):
        made["error"] = one.error
        if answer is not None:
            made |= _answered(tokenizer, answer, request.format.choices)
    return made


def prompt_parts(
    tokenizer: Any, prompt: Sequence[int], cuts: Sequence[tuple[int, int]], cached: int
) -> list[dict[str, Any]]:
    """The prompt's text in parts that follow each other.

    Args:
        cuts: (end, calls) of each span the prompt goes through, in tokens, outermost first.
        cached: how many leading tokens were found in the cache.

    Returns:
        For each part its text, tokens, how many calls share it, and whether it was cached.
    """
    ends = sorted({end for end, _ in cuts} | {min(cached, len(prompt)), len(prompt)} - {0})
    parts, start = [], 0
    for end in ends:
        if end > start:
            calls = next((calls for reach, calls in cuts if reach >= end), 1)
            text = written(tokenizer, prompt[start:end])
            parts.append({"text": text, "tokens": end - start, "calls": calls, "cached": end <= cached})
            start = end
    return parts


async def with_probabilities(live: Live, one: Finished) -> dict[str, Any]:
    """The tokens of a call that has ended, with the likeliest ones at each; asks the engine again if need be."""
    answer, request, tokenizer = one.answer, one.waiting.request, live.service.model.tokenizer
    if answer is None or request.want != "value":
        return {"tokens": [], "note": "This call drew no tokens."}
    if not answer.token_logprobs:
        if one.waiting.constraint is not None:
            return {"tokens": [], "note": "Written under a monitor, which is gone: it cannot be asked again."}
        hint = replace(request.hint, app=PAGE, group="", objective="latency", depth=0, rank=-1)
        again = await live.service.ask(replace(request, logprobs=TOP, hint=hint))
        if again.tokens != answer.tokens:
            return {"tokens": [], "note": "Asked again, the model wrote another text: this sampler draws anew."}
        if not again.token_logprobs:
            return {"tokens": [], "note": "This model reports no probabilities."}
        answer = again
    texts = pieces(tokenizer, answer.tokens)
    pairs = zip(texts, answer.token_logprobs, strict=True)
    return {"tokens": [_token(tokenizer, text, one) for text, one in pairs], "logprob": _number(answer.logprob)}


def _token(tokenizer: Any, text: str, one: TokenLogprob) -> dict[str, Any]:
    top = zip(pieces(tokenizer, [token for token, _ in one.top]), one.top, strict=True)
    return {
        "text": text,
        "p": round(math.exp(one.logprob), 5),
        "top": [
            {"text": other, "p": round(math.exp(logprob), 5), "drawn": token == one.token}
            for other, (token, logprob) in top
        ],
    }  # fmt: skip


def _cuts(picture: dict[str, Any], known: dict[str, Any]) -> list[tuple[int, int]]:
    cuts, span = [], picture["spans"].get(known.get("span", ""))
    while span is not None:
        cuts.append((span["start"] + span["tokens"], span["calls"]))
        span = picture["spans"].get(span["parent"])
    return cuts[::-1]


def _answered(tokenizer: Any, answer: Answer, choices: Sequence[str]) -> dict[str, Any]:
    usage = answer.usage
    made: dict[str, Any] = {
        "finish": answer.finish,
        "usage": {
            "prompt": usage.prompt_tokens,
            "cached": usage.cached_tokens,
            "output": usage.output_tokens,
            "forced": usage.forced_tokens,
            "drafted": usage.drafted_tokens,
            "accepted": usage.accepted_tokens,
            "seconds": round(usage.seconds, 3),
        },
    }
    if (logprob := _number(answer.logprob)) is not None:
        made["logprob"] = logprob
    if answer.probabilities:
        made["distribution"] = [
            {"text": text, "p": round(p, 5)} for text, p in zip(choices, answer.probabilities, strict=False)
        ]
    return made


def _number(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
