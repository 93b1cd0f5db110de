"""How answers are drawn: a body's settings as `Sampling`, limits and stop texts.

The model is followed for at most `max_tokens` tokens. Free text then ends at once; a constrained answer is closed by
the shortest way to a valid one, which takes a few tokens more. So what is answered is always a member of its format.
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from thalweg.decoding.stops import stoppable
from thalweg.errors import RequestRefused
from thalweg.models.request import Format, Hint, Message, Request, Sampling
from thalweg.server.openai.errors import unsupported
from thalweg.server.openai.wire import GenerationBody

DEFAULT_TOKENS = 512  # of a chat answer where the body says nothing
_CHARACTER = 4  # tokens that may end a character which the limit would cut in two
_CLOSING = 128  # most tokens that closing a constrained answer may take
HINT = Hint(app="openai", objective="latency")


def check_supported(body: GenerationBody) -> None:
    """Refuse what changes answers and is not done here.

    Raises:
        RequestRefused: naming the parameter.
    """
    for name in ("frequency_penalty", "presence_penalty"):
        if getattr(body, name):
            raise unsupported(name, "Leave it out or set it to 0.")
    if body.logit_bias:
        raise unsupported("logit_bias", "Say what is allowed with response_format, grammar or regex.")
    if len(stop_texts(body)) > 4 or not all(stop_texts(body)):
        raise RequestRefused(
            "'stop' must be up to 4 texts, none empty.", "Correct it.", param="stop", code="invalid_value"
        )
    if body.stream_options and not body.stream:
        raise RequestRefused("'stream_options' needs stream=true.", "Leave it out.", param="stream_options")
    for name in ("audio", "function_call", "functions", "prediction", "reasoning_effort", "verbosity",
                 "web_search_options", "suffix"):  # fmt: skip
        if getattr(body, name, None) is not None:
            raise unsupported(name)


def stop_texts(body: GenerationBody) -> tuple[str, ...]:
    stop = body.stop or ()
    return (stop,) if isinstance(stop, str) else tuple(stop)


def requests_of(
    body: GenerationBody,
    messages: tuple[Message, ...],
    format: Format,
    *,
    prefix: str,
    suffix: str,
    tokens: int,
    logprobs: int,
) -> list[Request]:
    """The `n` requests of one prompt: seeds that follow each other, from a random one where the body gives none.

    Args:
        tokens: for which the model is followed.
        logprobs: as in `Request`.
    """
    free, stop = stoppable(format), stop_texts(body)
    closing = _CHARACTER if free else _CLOSING
    if stop and not free:
        raise RequestRefused(
            "'stop' cannot be used with a constrained answer: it would no longer be valid.",
            "Leave out stop, or the tools, response_format, grammar or regex.", param="stop",
        )  # fmt: skip
    seed = secrets.randbits(31) if body.seed is None else body.seed
    sampling = Sampling(
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=body.top_k or 0,
        max_tokens=tokens + closing if suffix else tokens,  # other engines end where they are told to
    )
    first = Request(
        messages,
        format,
        sampling,
        prefix=prefix,
        suffix=suffix,
        reserve=closing,
        stop=stop,
        logprobs=logprobs,
        hint=HINT,
    )
    return [replace(first, sampling=replace(sampling, seed=seed + i)) for i in range(body.n or 1)]
