"""Log-probabilities of tokens in the two forms of OpenAI's answers.

They are those of the constrained distribution at temperature 1; a forced token has 0 and no alternatives.
"""

from __future__ import annotations

from typing import Any

from thalweg.errors import RequestRefused
from thalweg.models.request import Answer


def check_logprobs(model: Any) -> None:
    """Refuse where the model tells none.

    Raises:
        RequestRefused
    """
    if getattr(model, "tokenizer", None) is None or model.capabilities.logits != "full":
        raise RequestRefused(
            "'logprobs' needs a local model; this server's tells no log-probabilities of tokens.", "Leave it out.",
            param="logprobs", code="unsupported_parameter",
        )  # fmt: skip


def chat_logprobs(answer: Answer, tokenizer: Any) -> dict[str, Any]:
    """``choices[].logprobs`` of a chat completion."""
    content = [
        {
            **_shown(one.token, one.logprob, tokenizer),
            "top_logprobs": [_shown(token, value, tokenizer) for token, value in one.top],
        }
        for one in answer.token_logprobs
    ]
    return {"content": content, "refusal": None}


def _shown(token: int, logprob: float, tokenizer: Any) -> dict[str, Any]:
    piece: bytes = tokenizer.pieces[token]
    return {"token": piece.decode(errors="replace"), "logprob": logprob, "bytes": list(piece)}


def completion_logprobs(answer: Answer, tokenizer: Any, *, offset: int = 0) -> dict[str, Any]:
    """``choices[].logprobs`` of a text completion.

    Args:
        offset: characters of the text before the answer.
    """
    tokens, offsets, tops = [], [], []
    written = b""
    for one in answer.token_logprobs:
        piece: bytes = tokenizer.pieces[one.token]
        tokens.append(piece.decode(errors="replace"))
        offsets.append(offset + len(written.decode(errors="ignore")))
        top: dict[str, float] = {}
        for token, value in one.top:  # two tokens that look alike: the likelier
            top.setdefault(tokenizer.pieces[token].decode(errors="replace"), value)
        tops.append(top)
        written += piece
    return {
        "tokens": tokens,
        "token_logprobs": [one.logprob for one in answer.token_logprobs],
        "top_logprobs": tops,
        "text_offset": offsets,
    }
