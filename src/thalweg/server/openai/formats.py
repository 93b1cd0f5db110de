"""The set of texts a chat or text completion may be: `response_format`, `tools`, `grammar`, `regex` as one `Format`."""

from __future__ import annotations

from collections.abc import Callable

from thalweg.decoding.constraints.notation import json_schema, lark, regex
from thalweg.errors import Error, RequestRefused
from thalweg.models.request import Format
from thalweg.server.openai import tools as calling
from thalweg.server.openai.wire import ChatBody, GenerationBody, Tool

_CHARACTERS = 64  # no token has more
_OBJECT = {"type": "object"}


def chat_format(body: ChatBody, tools: list[Tool], must: bool, tokens: int) -> Format:
    """What a chat answer may be.

    Args:
        tools: may be called; if `must`, one is.
        tokens: most of the answer.

    Raises:
        RequestRefused: two constraints at once, or one that cannot be followed.
    """
    asked = body.response_format
    constrained = asked is not None and asked.type != "text"
    if constrained and (body.grammar is not None or body.regex is not None):
        raise RequestRefused(
            "'response_format' cannot be used beside 'grammar' or 'regex'.", "Keep one.", param="response_format"
        )
    format = extension(body) or Format("text", max_chars=_CHARACTERS * tokens)
    if asked is not None and asked.type == "json_schema":
        if asked.json_schema is None:
            raise RequestRefused(
                "'response_format' lacks 'json_schema'.", "Give name and schema.", param="response_format.json_schema"
            )
        schema = asked.json_schema.schema_
        format = _compiled("response_format", lambda: json_schema(schema))
    elif constrained:
        format = _compiled("response_format", lambda: json_schema(_OBJECT))
    if not tools:
        return format
    return _compiled("tools", lambda: calling.call_format(tools, must, format))


def extension(body: GenerationBody) -> Format | None:
    """The format of `grammar` or `regex`."""
    if body.grammar is not None and body.regex is not None:
        raise RequestRefused("'grammar' and 'regex' cannot be used together.", "Keep one.", param="grammar")
    if body.grammar is not None:
        text = body.grammar
        return _compiled("grammar", lambda: lark(text))
    if body.regex is not None:
        pattern = body.regex
        return _compiled("regex", lambda: regex(pattern))
    return None


def _compiled(param: str, make: Callable[[], Format]) -> Format:
    try:
        return make()
    except RequestRefused:
        raise
    except Error as error:
        raise RequestRefused(error.what, error.remedy, param=param, code="invalid_constraint") from error
