"""Tokens and constraints as people read them: text of prompts with their control tokens, formats in words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from thalweg.models.request import Format

ROLES = frozenset(("system", "user", "assistant", "model", "tool"))


@lru_cache(maxsize=4)
def control_tokens(tokenizer: Any) -> dict[int, str]:
    """The text of each control token, which `decode` leaves out."""
    found = {}
    for text in getattr(tokenizer, "control_texts", ()):
        tokens = tokenizer.encode(text, special=True) if text else []
        if len(tokens) == 1:
            found[tokens[0]] = text
    return found


def written(tokenizer: Any, tokens: Sequence[int], *, control: bool = True) -> str:
    """The text of `tokens`, control tokens as they are written in a template or left out."""
    names = control_tokens(tokenizer) if control else {}
    parts: list[str] = []
    start = 0
    for at, token in enumerate(tokens):
        if token in names:
            parts += [tokenizer.decode(tokens[start:at]), names[token]]
            start = at + 1
    parts.append(tokenizer.decode(tokens[start:]))
    return "".join(parts)


def gist(tokenizer: Any, tokens: Sequence[int], most: int) -> str:
    """One line of at most `most` characters: how the text of `tokens` begins, up to the next turn of the chat."""
    names = control_tokens(tokenizer)
    kept: list[int] = []
    for token in tokens[: most + 8]:
        if token in names:
            if one_line(_said(tokenizer.decode(kept))):
                break
            kept = []
        else:
            kept.append(token)
    return one_line(_said(tokenizer.decode(kept)))[:most]


def _said(text: str) -> str:
    """A turn without the name of who speaks."""
    role, line, rest = text.partition("\n")
    return rest if line and role in ROLES else text


def one_line(text: str) -> str:
    return " ".join(text.split())


def pieces(tokenizer: Any, tokens: Sequence[int]) -> list[str]:
    """The text of each token; bytes that are no text on their own as ``\\xNN``."""
    names, raw = control_tokens(tokenizer), getattr(tokenizer, "pieces", None)

    def piece(token: int) -> str:
        if token in names:
            return names[token]
        if raw is not None:
            return bytes(raw[token]).decode(errors="backslashreplace")
        return tokenizer.decode([token])

    return [piece(token) for token in tokens]


def in_words(format: Format) -> dict[str, Any]:
    """What a format allows: a sentence, and the choices, schema, pattern or grammar it speaks of."""
    if format.kind == "choices":
        return {"words": f"exactly one of {len(format.choices)} texts", "choices": list(format.choices[:200])}
    if format.kind == "json":
        return {"words": "JSON that is valid under this schema", "schema": format.schema_object()}
    if format.kind == "regex":
        limit = f", at most {format.max_chars} characters" if format.max_chars else ""
        return {"words": f"a text that matches this pattern as a whole{limit}", "source": format.pattern}
    if format.kind == "lark":
        return {"words": "a text of this grammar", "source": format.grammar}
    if format.kind == "where":
        return {"words": "what the query allows in this hole", "source": format.grammar}
    return {"words": f"free text of 1 to {format.max_chars:,} characters"}
