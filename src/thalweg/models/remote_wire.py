"""The chat-completions wire format: what is sent to an OpenAI-compatible server and what is read from its body.

Pure functions between `Request` and JSON. Structured output is asked for as a strict ``json_schema``; forms that are no
JSON object (choices, regex, unions, lists) travel inside ``{"answer": ...}`` because hosted servers only take objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.models.format_check import AnswerError, describe, read_answer
from thalweg.models.request import Format, Message, Request

LENGTH_FIELDS = ("max_tokens", "max_completion_tokens")  # newer hosted models refuse the first
_OVERFLOW = re.compile(r"context_length_exceeded|(maximum|exceed|available).{0,40}context|context (length|size|window)")


class GarbageError(Exception):
    """A body that is not a chat completion; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of the server; `problem` says why `text` cannot be an answer whatever it is ("" usually)."""

    text: str
    problem: str
    finish: str
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int


def chat_body(
    model: str, request: Request, messages: Sequence[Message], response_format: dict[str, Any] | None, length_field: str
) -> bytes:
    """The JSON body of one request."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in messages],
        "temperature": float(sampling.temperature),
        "top_p": float(sampling.top_p),
        "seed": int(sampling.seed),
        length_field: int(sampling.max_tokens),
    }
    if sampling.top_k:
        body["top_k"] = int(sampling.top_k)  # unknown to OpenAI, known to the others; never dropped silently
    if response_format is not None:
        body["response_format"] = response_format
    return json.dumps(body).encode()


def response_format(format: Format) -> dict[str, Any] | None:
    """The ``response_format`` that makes a server answer in `format`; None for free text and where there is none."""
    if format.kind in ("text", "lark", "where"):
        return None
    if format.kind == "json":
        schema = format.schema_object()
        if _is_wrapped(format):
            definitions = {key: schema.pop(key) for key in ("$defs", "definitions") if key in schema}
            schema = _wrapper(schema) | definitions  # references start at the root
    elif format.kind == "choices":
        schema = _wrapper({"enum": list(format.choices)})
    else:
        schema = _wrapper({"type": "string", "pattern": f"^(?:{format.pattern})$"})
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def _wrapper(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"answer": schema},
        "required": ["answer"],
        "additionalProperties": False,
    }


def _is_wrapped(format: Format) -> bool:
    if format.kind == "json":
        # A schema that refers to its own root would refer to the wrapper.
        return format.schema_object().get("type") != "object" and '"#"' not in format.schema
    return format.kind in ("choices", "regex")


def stated(messages: Sequence[Message], format: Format) -> tuple[Message, ...]:
    """`messages` with the expected form said in the system message (many chat templates allow one, at the start)."""
    sentence = f"Answer with {describe(format)}."
    if messages and messages[0].role == "system":
        return Message("system", f"{messages[0].content}\n\n{sentence}"), *messages[1:]
    return Message("system", sentence), *messages


def repaired(messages: Sequence[Message], text: str, reason: str, format: Format) -> tuple[Message, ...]:
    """`messages`, the answer that cannot be used, and the request for another one."""
    request = f"This answer cannot be used: it {reason}. Answer again, with {describe(format)}."
    return *messages, Message("assistant", text or "(nothing)"), Message("user", request)


def answer_text(completion: Completion, format: Format, structured: bool) -> str:
    """The member of `format` in the completion; raises AnswerError."""
    if completion.problem:
        raise AnswerError(completion.problem)
    if structured and _is_wrapped(format):
        inner = _unwrapped(completion.text, format)
        if inner is not None:
            try:
                return read_answer(inner, format)
            except AnswerError as error:
                inside = error
            try:
                return read_answer(completion.text, format)  # a server that ignored the schema
            except AnswerError:
                raise inside from None
    return read_answer(completion.text, format)


def _unwrapped(text: str, format: Format) -> str | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.keys() != {"answer"}:
        return None
    inner = value["answer"]
    return inner if isinstance(inner, str) and format.kind != "json" else json.dumps(inner)


def read_completion(body: bytes) -> Completion:
    """The first choice of a chat completion; raises GarbageError."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        text = beginning(body.decode(errors="replace"))
        raise GarbageError(f"a body that is not JSON ({len(body)} bytes: {text})") from None
    choices = data.get("choices") if isinstance(data, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise GarbageError(f"a body without choices[0].message ({beginning(error_text(body))})")
    text, refusal = message.get("content"), message.get("refusal")
    if isinstance(text, list):  # parts, as some servers send them
        text = "".join(str(part.get("text", "")) for part in text if isinstance(part, dict))
    problem = ""
    if choice.get("finish_reason") == "content_filter":
        problem = "was stopped by the server's content filter"
    elif refusal:
        problem = f"is a refusal ({beginning(str(refusal))})"
    elif not isinstance(text, str):
        problem = "has no text"
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    prompt = _count(usage.get("prompt_tokens"))
    return Completion(
        text=text if isinstance(text, str) else "",
        problem=problem,
        finish=str(choice.get("finish_reason")),
        prompt_tokens=prompt,
        cached_tokens=min(prompt, _count(details.get("cached_tokens")) if isinstance(details, dict) else 0),
        output_tokens=_count(usage.get("completion_tokens")),
    )


def model_names(body: bytes) -> list[str] | None:
    """The ids of a list of models; None where the body is none."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    rows = data.get("data") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        return None
    return [row["id"] for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]


def _count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


def error_text(body: bytes) -> str:
    """What an error body says: its message where it has the usual shape, else its text."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")
    error = data.get("error", data) if isinstance(data, dict) else data
    if isinstance(error, dict):
        said = [str(error[key]) for key in ("code", "message", "detail") if error.get(key)]
        return ": ".join(said) or json.dumps(error)
    return str(error)


def is_overflow(said: str) -> bool:
    """Whether an error body says that the prompt does not fit the context."""
    return _OVERFLOW.search(said.lower()) is not None


def beginning(text: str, characters: int = 160) -> str:
    """The beginning of `text` on one line, in quotes."""
    return repr(text if len(text) <= characters else text[: characters - 3] + "...")
