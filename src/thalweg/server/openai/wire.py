"""What the bodies of OpenAI's requests may be, as types: checked before anything runs, and shown on the API page.

Fields that OpenAI defines and this server cannot honour are declared, so that they can be refused with a reason unless
they ask for nothing; fields nobody defines are refused as unknown. Inside messages unknown fields are ignored, because
clients send back whole answers.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class ContentPart(_Part):
    """A part of a message. Only texts (and refusals, which are texts of an assistant) can be read here."""

    type: str
    text: str | None = None
    refusal: str | None = None


class CalledFunction(_Part):
    name: str
    arguments: str


class ToolCall(_Part):
    id: str
    function: CalledFunction


class ChatMessage(_Part):
    """A turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class FunctionTool(_Part):
    """A function the model may call; `parameters` is a JSON Schema of an object."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(_Part):
    type: Literal["function"]
    function: FunctionTool


class NamedFunction(_Part):
    name: str


class NamedTool(_Part):
    type: Literal["function"]
    function: NamedFunction


class JsonSchema(_Part):
    model_config = ConfigDict(extra="ignore", strict=True, populate_by_name=True)

    name: str
    description: str | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class ResponseFormat(_Part):
    """``text``, any JSON object, or JSON under a schema (which is always kept to, `strict` or not)."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(_Part):
    include_usage: bool = False
    include_obfuscation: bool = False


class GenerationBody(_Body):
    """What chat and text completions share.

    `grammar` (Lark) and `regex` are extensions: the answer is a text of that grammar, or matches that pattern as a
    whole; `top_k` is one as well.
    """

    model: str
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    grammar: str | None = None
    regex: str | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None


class ChatBody(GenerationBody):
    """``POST /v1/chat/completions``"""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    # Of no effect on an answer:
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: Literal["auto", "default"] | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    modalities: list[Literal["text"]] | None = None
    # Refused:
    audio: Any = None
    function_call: Any = None
    functions: Any = None
    prediction: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    web_search_options: Any = None


class CompletionBody(GenerationBody):
    """``POST /v1/completions``"""

    prompt: str | list[str] | list[int] | list[list[int]]
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    # Refused:
    best_of: int | None = None
    suffix: str | None = None


class EmbeddingBody(_Body):
    """``POST /v1/embeddings``"""

    model: str
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    user: str | None = None
