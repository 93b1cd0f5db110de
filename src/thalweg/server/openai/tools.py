"""Calls of tools, drawn as JSON under the tools' own schemas: a call is valid, whatever the model.

A call is the text ``{"name": NAME, "arguments": ARGUMENTS}``. Where a tool must be called, the answer is JSON under the
union of the calls. Where the model may choose (``auto``), the answer is a call or free text that does not begin with
``{``: the first token decides, by the model's own probabilities. One call an answer.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from typing import Any

from thalweg.decoding.constraints.notation import json_schema, lark
from thalweg.errors import RequestRefused
from thalweg.models.request import Format
from thalweg.server.openai.wire import ChatBody, NamedTool, Tool

_TEXT = r"TEXT: /[^\x00-\x20\x7f{][^\x00-\x08\x0b-\x1f\x7f]*/"
_SEPARATORS = {"x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}}
_CALL = re.compile(r'\{"name": "([a-zA-Z0-9_-]{1,64})", "arguments": ')


def offered(body: ChatBody) -> tuple[list[Tool], bool]:
    """The tools that may be called in this answer, and whether one must be.

    Raises:
        RequestRefused: a choice without tools, or of a tool that is not there.
    """
    tools, choice = body.tools or [], body.tool_choice
    if not tools:
        if choice not in (None, "none"):
            raise RequestRefused("'tool_choice' needs 'tools'.", "Give the tools.", param="tool_choice")
        return [], False
    if len({tool.function.name for tool in tools}) < len(tools):
        raise RequestRefused("Two tools have one name.", "Name them differently.", param="tools")
    if choice == "none":
        return [], False
    if isinstance(choice, NamedTool):
        named = [tool for tool in tools if tool.function.name == choice.function.name]
        if not named:
            raise RequestRefused(
                f"There is no tool {choice.function.name!r}.", "Choose one of tools.", param="tool_choice"
            )
        return named, True
    return tools, choice == "required"


def instruction(tools: Sequence[Tool], must: bool) -> str:
    """What the system message says about the tools."""
    listed = "\n".join(
        json.dumps(tool.function.model_dump(exclude_none=True, exclude={"strict"}), ensure_ascii=False)
        for tool in tools
    )
    how = "Call one of these tools" if must else "You may call one of these tools. To call one"
    return f'{how}, answer only with JSON: {{"name": the tool, "arguments": its arguments}}.\nTools:\n{listed}'


def call_format(tools: Sequence[Tool], must: bool, otherwise: Format) -> Format:
    """The texts that are a call of one of `tools`, or, if none must be called, an answer in the format `otherwise`.

    Raises:
        TypeNotSupported, UnsatisfiableConstraint: a tool's schema cannot be followed.
    """
    calls = union([_call_schema(tool) for tool in tools])
    if must:
        return json_schema(calls)
    if otherwise.kind == "json":
        return json_schema(union([*[_call_schema(tool) for tool in tools], otherwise.schema_object()]))
    if otherwise.kind != "text":
        raise RequestRefused(
            "'grammar' and 'regex' cannot be used beside tools.", "Leave one of them out.", param="tools"
        )
    return lark(f"start: TEXT | call\ncall: %json {json.dumps(calls | _SEPARATORS)}\n{_TEXT}\n")


def union(schemas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The schema of what is valid under one of `schemas`; each keeps its own references."""
    names = [f"s{i}" for i in range(len(schemas))]
    moved = {name: _moved(schema, f"#/$defs/{name}") for name, schema in zip(names, schemas, strict=True)}
    return {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names], "$defs": moved}


def _moved(schema: Any, place: str) -> Any:
    """`schema` with the references to its root pointing to `place`."""
    if isinstance(schema, list):
        return [_moved(one, place) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: place + value[1:]
        if key == "$ref" and isinstance(value, str) and value[:1] == "#"
        else _moved(value, place)
        for key, value in schema.items()
    }


def _call_schema(tool: Tool) -> dict[str, Any]:
    parameters = tool.function.parameters
    if not parameters:
        parameters = {"type": "object", "properties": {}}
    if "properties" in parameters:  # what a tool does not name it does not take
        parameters = {"additionalProperties": False} | parameters
    parameters = _moved(parameters, "#/properties/arguments")
    return {
        "type": "object",
        "properties": {"name": {"const": tool.function.name}, "arguments": parameters},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def read_call(text: str, tools: Sequence[Tool]) -> tuple[str, str] | None:
    """(name, arguments as JSON) of the call that `text` is; None if it is none, or its name is not written yet.

    Of a call that is still being written, the arguments are a beginning of those that will be.
    """
    match = _CALL.match(text) if tools else None
    if match is None or match[1] not in [tool.function.name for tool in tools]:
        return None
    return match[1], text[match.end() : -1]  # the last character may be the call's own brace


def new_id() -> str:
    return f"call_{secrets.token_hex(12)}"
