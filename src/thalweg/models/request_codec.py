"""Keys and texts of calls: `request_key` names a request, `answer_to_json` / `answer_from_json` store what came back.

The cache, the journal and recordings all agree through these three functions. A key is a function of what decides
the answer (model identity, prompt text, format, sampling, want, target), equal in every process and on every machine.
Written by hand because they run once a call: 1 to 5 microseconds each, about 13 when an answer holds 170 token ids.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from json.encoder import encode_basestring_ascii as _quote
from typing import Any

from thalweg.errors import StoreError
from thalweg.models.request import Answer, Format, Request, Usage

_REMEDY = "Delete the entry (or the file) and run the call again; the text of an answer comes from `answer_to_json`."
_NO_USAGE: dict[str, Any] = {}
_GUESSES = ("drafted_tokens", "accepted_tokens", "passes")
_NO_GUESSES = (0, 0, 0)


def request_key(request: Request, identity: str) -> str:
    """The 32 hexadecimal digits (blake2b-128) that name `request` asked of the model `identity`.

    The conversation counts, not its rendering: a model's template is part of its identity, and a recording that
    renders nothing must find what a local model was asked.
    """
    sampling = request.sampling
    # Lengths come first, so that no two different conversations spell the same text.
    prompt = "".join([f"\x1f{m.role}\x1f{len(m.content)}\x1f{m.content}" for m in request.messages])
    # float(): 0, 0.0 and numpy's 0.0 are one temperature; + 0.0 turns -0.0 into 0.0.
    text = (
        f"{len(identity)}\x1f{identity}\x1f{_digest(request.format)}\x1f{float(sampling.temperature) + 0.0!r}"
        f"\x1f{float(sampling.top_p) + 0.0!r}\x1f{int(sampling.top_k)}\x1f{int(sampling.seed)}"
        f"\x1f{int(sampling.max_tokens)}\x1f{request.want}\x1f{len(request.target)}\x1f{request.target}{prompt}"
    )
    if sampling.sampler != "masked":  # at the front, where no key of a masked request can be taken for it
        text = f"{sampling.sampler}\x1f{text}"
    if request.lossless == "distribution" and request.decoder != "plain" and sampling.temperature > 0:
        text = f"{request.decoder}\x1f{text}"  # another draw of the same distribution
    if request.stop:
        text = f"stop\x1f{json.dumps(request.stop)}\x1f{text}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@lru_cache(maxsize=4096)
def _digest(format: Format) -> str:
    return format.digest  # computed anew at each access; a workload has few formats


def answer_to_json(answer: Answer) -> str:
    """`answer` as one line of ASCII JSON; nan is null, infinities are ``1e999`` (valid JSON that reads as infinite)."""
    usage = answer.usage
    guesses = ""
    if usage.passes:
        guesses = (
            f'"drafted_tokens": {usage.drafted_tokens:d}, "accepted_tokens": {usage.accepted_tokens:d}, '
            f'"passes": {usage.passes:d}, '
        )
    return (
        f'{{"text": {_quote(answer.text)}, "logprob": {_number(answer.logprob)}, "tokens": {_integers(answer.tokens)}, '
        f'"prompt_tokens": {_integers(answer.prompt_tokens)}, '
        f'"probabilities": [{", ".join([_number(p) for p in answer.probabilities])}], "finish": "{answer.finish}", '
        f'"usage": {{"prompt_tokens": {usage.prompt_tokens:d}, "cached_tokens": {usage.cached_tokens:d}, '
        f'"output_tokens": {usage.output_tokens:d}, "forced_tokens": {usage.forced_tokens:d}, '
        f'{guesses}"seconds": {_number(usage.seconds)}}}, "model": {_quote(answer.model)}}}'
    )


def answer_from_json(text: str | bytes) -> Answer:
    """The answer that `answer_to_json` wrote. Unknown keys are ignored, missing ones take their defaults.

    Raises:
        StoreError: the text is not JSON, not an object, lacks ``text``, or a field has the wrong type.
    """
    try:
        data = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(f"A stored answer is not JSON ({error}): {_beginning(text)}.", _REMEDY) from None
    return answer_from_data(data)


def answer_from_data(data: Any) -> Answer:
    """The answer in an already parsed JSON object; raises StoreError as `answer_from_json` does."""
    try:
        get = data.get
        usage = get("usage", _NO_USAGE)
        counters = usage.get
        prompt, cached = counters("prompt_tokens", 0), counters("cached_tokens", 0)
        output, forced = counters("output_tokens", 0), counters("forced_tokens", 0)
        guesses = tuple(counters(name, 0) for name in _GUESSES) if "passes" in usage else _NO_GUESSES
        answer, finish, model = data["text"], get("finish", "complete"), get("model", "")
        if not (type(answer) is type(model) is str and finish in ("complete", "closed")):
            raise TypeError("text and model must be strings, finish must be complete or closed")
        if not (type(prompt) is type(cached) is type(output) is type(forced) is type(sum(guesses)) is int):
            raise TypeError("the counters of usage must be whole numbers")
        return Answer(
            answer,
            _float(get("logprob")),
            _tuple(get("tokens", ())),
            _tuple(get("prompt_tokens", ())),
            tuple(map(_float, get("probabilities", ()))),
            finish,
            Usage(prompt, cached, output, forced, _float(counters("seconds", 0.0)), *guesses),
            model,
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise StoreError(f"A stored answer cannot be read ({reason}): {_beginning(data)}.", _REMEDY) from None


def _number(value: float) -> str:
    value = float(value)
    if math.isfinite(value):
        return float.__repr__(value)
    return "null" if value != value else "1e999" if value > 0 else "-1e999"


def _integers(values: Sequence[int]) -> str:
    if not values:
        return "[]"
    text = list.__repr__(list(values))
    # numpy's integers print as np.int32(7); booleans never are tokens.
    return list.__repr__([int(value) for value in values]) if "(" in text else text


def _float(value: Any) -> float:
    if type(value) is float:
        return value
    if value is None:
        return math.nan
    if type(value) is not int:
        raise TypeError(f"a number is needed, not {value!r:.40}")
    return float(value)


def _tuple(values: Iterable[int]) -> tuple[int, ...]:
    found = tuple(values)
    if found and type(sum(found)) is not int:  # one pass in C; what is no number raises TypeError itself
        raise TypeError("tokens must be whole numbers")
    return found


def _beginning(data: object) -> str:
    text = repr(data)
    return text if len(text) <= 80 else text[:77] + "..."
