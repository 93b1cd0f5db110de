"""Formats by hand: the `tw.grammar` door. Each function gives a `Format`, compiled before it is given.

`lark` and `gbnf` take context-free grammars, `regex` a pattern that the text matches as a whole, `json_schema` a JSON
Schema, `choice` a list of texts. Use them where a type does not say it: in a query's hole, a request, a constraint.
Grammars are checked at once, over the 256 bytes as a vocabulary, so that a mistake shows where it is made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.decoding.constraints.productive import check_productive
from thalweg.errors import TypeNotSupported, UnsatisfiableConstraint
from thalweg.models.request import Format

_CORRECT = "Correct the grammar; https://github.com/guidance-ai/llguidance documents the notation."


def lark(text: str) -> Format:
    """Texts of a context-free grammar in Lark notation; it begins at ``start``.

    Raises:
        TypeNotSupported: the grammar cannot be compiled.
        UnsatisfiableConstraint: it has no finite text.
    """
    from thalweg.models.format_check import byte_matcher

    check_productive(text)
    _satisfiable(byte_matcher(text))
    return Format("lark", grammar=text)


def gbnf(text: str) -> Format:
    """Texts of a grammar in the notation of llama.cpp (GBNF), which begins at ``root``."""
    from llguidance.gbnf_to_lark import any_to_lark

    try:
        converted = any_to_lark(text)
    except Exception as error:  # its parser raises what it likes
        raise TypeNotSupported(f"The GBNF grammar cannot be read: {error}.", _CORRECT) from None
    return lark(converted)


def regex(pattern: str, *, max_chars: int = 0) -> Format:
    """Texts that match `pattern` as a whole. No lookaround, no back references."""
    from llguidance import LLMatcher

    from thalweg.models.format_check import byte_matcher

    _satisfiable(byte_matcher(LLMatcher.grammar_from_regex(pattern), ready=True))
    return Format("regex", max_chars=max_chars, pattern=pattern)


def json_schema(schema: Mapping[str, Any] | str) -> Format:
    """Compact JSON valid under a JSON Schema (an object, or its text)."""
    from llguidance import LLMatcher

    from thalweg.decoding.constraints.grammar import SEPARATORS
    from thalweg.models.format_check import byte_matcher

    try:
        text = json.dumps(json.loads(schema) if isinstance(schema, str) else schema)
        made = LLMatcher.grammar_from_json_schema(text, overrides=SEPARATORS)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise TypeNotSupported(f"The schema is not JSON: {error}.", "Give a JSON Schema.") from None
    _satisfiable(byte_matcher(made, ready=True))
    return Format("json", schema=text)


def choice(texts: Sequence[str]) -> Format:
    """One of a list of texts, all different, none empty."""
    listed = (texts,) if isinstance(texts, str) else tuple(texts)
    if not listed or any(not text for text in listed) or len(set(listed)) < len(listed):
        raise UnsatisfiableConstraint(
            f"Choices must be different and not empty: {listed!r:.120}.", "Give at least one text, each once."
        )
    return Format("choices", choices=listed)


def _satisfiable(matcher: Any) -> None:
    matcher = matcher.deep_copy()
    mask = matcher.compute_bitmask()
    if matcher.is_error() or not any(mask):
        raise UnsatisfiableConstraint("No text satisfies the grammar.", "Loosen it: some parts exclude each other.")
