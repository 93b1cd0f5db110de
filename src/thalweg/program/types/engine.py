"""What the constraint engine says to a format, before any model runs.

What: the grammars of `llguidance` for a JSON schema or a regular expression, and its refusals. When: once per type
that is compiled, and once more for a pattern with lengths. Cost: under a millisecond; the engine is imported on first
use (40 ms).
"""

from __future__ import annotations

import json
from typing import Any

SEPARATORS: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def refusal(*, schema: str | dict[str, Any] = "", pattern: str = "") -> str:
    """Why the engine cannot write texts of a schema or of a pattern; empty when it can."""
    from llguidance import LLMatcher

    if pattern:
        return LLMatcher.validate_grammar(LLMatcher.grammar_from_regex(pattern)) or ""
    text = schema if isinstance(schema, str) else json.dumps(schema, ensure_ascii=False)
    return LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(text, overrides=SEPARATORS)) or ""
