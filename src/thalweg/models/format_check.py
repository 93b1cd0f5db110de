"""Is a text a member of a `Format`? `read_answer` gives the member it stands for, or says what is wrong with it.

Local models produce members by construction; what a server or a script says must be read. Tolerant reading accepts
what chat models put around a right answer (spaces, code fences, quotes, other case, a thinking preamble) and returns
the canonical text; strict reading accepts members only.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from thalweg.errors import TypeNotSupported
from thalweg.models.request import Format
from thalweg.models.schema_check import violation

_FENCE = re.compile(r"```[\w+-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.DOTALL)
_THINKING = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class AnswerError(ValueError):
    """Why a text is not a member of a format; the message completes "the answer ..."."""


def read_answer(text: str, format: Format, *, tolerant: bool = True) -> str:
    """The member of `format` that `text` stands for.

    JSON comes back compact (", " and ": "), choices as declared. Strict reading (``tolerant=False``) only
    normalises the spaces of JSON.

    Raises:
        AnswerError: no member is meant, with the reason.
        TypeNotSupported: the format's schema has a keyword that cannot be checked.
    """
    if tolerant:
        text = _THINKING.sub("", text, count=1)
    if format.kind == "json":
        return _read_json(text, format, tolerant)
    candidates = _candidates(text) if tolerant else [text]
    if format.kind == "choices":
        return _read_choice(candidates, format)
    if format.kind == "regex":
        return _read_regex(candidates, format)
    if format.kind == "lark":
        return _read_lark(candidates, format)
    if format.kind == "where":
        raise TypeNotSupported("A query's constraint is checked by the query itself.", "Ask a local model.")
    return _read_text(text, format, tolerant)


def describe(format: Format) -> str:
    """The members of `format` in words, to complete "answer with ..."."""
    if format.kind == "choices":
        listed = ", ".join(json.dumps(choice, ensure_ascii=False) for choice in format.choices)
        return f"exactly one of these texts, without quotes, and nothing else: {listed}"
    if format.kind == "json":
        return f"one JSON value that is valid under this JSON Schema, and nothing else: {format.schema}"
    if format.kind == "regex":
        return f"a text that matches this regular expression as a whole, and nothing else: {format.pattern}"
    if format.kind == "lark":
        return f"a text of this grammar (Lark notation), and nothing else:\n{format.grammar}"
    return f"text of at most {format.max_chars} characters" if format.max_chars else "text"


def _candidates(text: str) -> list[str]:
    """What `text` may mean, most literal first."""
    found = [text, text.strip()]
    fenced = _FENCE.fullmatch(found[1])
    if fenced:
        found.append(fenced[1].strip())
    try:
        value = json.loads(found[-1])
    except (ValueError, RecursionError):
        return found
    if isinstance(value, str):
        found.append(value)
    return found


def _read_choice(candidates: list[str], format: Format) -> str:
    for text in candidates:
        if text in format.choices:
            return text
    if len(candidates) > 1:
        for text in candidates:
            folded = text.strip().casefold()
            same = [choice for choice in format.choices if choice.strip().casefold() == folded]
            if len(same) == 1:
                return same[0]
    raise AnswerError(f"is none of the choices {', '.join(map(repr, format.choices[:20]))}")


def _read_regex(candidates: list[str], format: Format) -> str:
    short = [text for text in candidates if not format.max_chars or len(text) <= format.max_chars]
    for text in short:
        if re.fullmatch(format.pattern, text):
            return text
    if not short:
        raise AnswerError(f"has more than {format.max_chars} characters")
    raise AnswerError(f"does not match the regular expression {format.pattern}")


def _read_lark(candidates: list[str], format: Format) -> str:
    grammar = byte_matcher(format.grammar)
    for text in candidates:
        matcher = grammar.deep_copy()
        if matcher.consume_tokens(list(text.encode(errors="replace"))) and matcher.is_accepting():
            return text
    raise AnswerError("is not a text of the grammar")


@lru_cache(maxsize=64)
def byte_matcher(grammar: str, *, ready: bool = False) -> Any:
    """A matcher whose tokens are bytes, of a Lark grammar, or of one that is `ready` for the engine. To be copied.

    Raises:
        TypeNotSupported: the grammar cannot be compiled.
    """
    from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

    made = LLMatcher(
        LLTokenizer(TokenizerWrapper(_Bytes())), grammar if ready else LLMatcher.grammar_from_lark(grammar), log_level=0
    )
    if made.is_error():
        raise TypeNotSupported(f"The grammar cannot be compiled: {made.get_error()[:300]}", "Correct the grammar.")
    return made


class _Bytes:
    """A vocabulary of the 256 bytes and an end."""

    eos_token_id, bos_token_id = 256, None
    tokens = tuple([bytes([byte]) for byte in range(256)] + [b"\xff<end>"])
    special_token_ids = (256,)

    def __call__(self, text: bytes | str) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


def _read_text(text: str, format: Format, tolerant: bool) -> str:
    if tolerant:
        text = text.replace("\r\n", "\n").strip()
    if not text:
        raise AnswerError("is empty")
    if format.max_chars and len(text) > format.max_chars:
        raise AnswerError(f"has {len(text)} characters, more than {format.max_chars}")
    if _CONTROL.search(text) or _SURROGATE.search(text):
        raise AnswerError("has control characters")
    return text


def _read_json(text: str, format: Format, tolerant: bool) -> str:
    value = _parse(text, tolerant)
    reason = violation(value, format.schema_object())
    if reason:
        raise AnswerError(f"is not valid under the schema: {reason}")
    compact = json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
    if _SURROGATE.search(compact):
        raise AnswerError("has half of a surrogate pair, which is no character")
    return compact


def _parse(text: str, tolerant: bool) -> Any:
    text = text.strip()
    if tolerant:
        fenced = _FENCE.search(text) if not text.startswith(("{", "[", '"')) else None
        text = fenced[1] if fenced else text
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise AnswerError("is nested too deeply") from None
    except ValueError as error:
        raise AnswerError(f"is not JSON: {error}") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise ValueError(f"{text[:20]} is too large for a number")
    return value
