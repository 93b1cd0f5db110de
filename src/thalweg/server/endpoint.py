"""`Endpoint`: a program as HTTP sees it: JSON schemas made from its signature, reading a body, packing a result.

Outputs use the house's type plans, so the schema is exactly what a model may answer. Inputs are read by the same plan
first (which knows how unions are told apart) and then, for what an answer could not be but an input may (long texts
and lists), by pydantic over the same annotations, strictly. Cost: about ten microseconds a body.
"""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from thalweg.errors import DataError, Error, TypeNotSupported
from thalweg.program import Learned, Session
from thalweg.program.session import settings
from thalweg.program.types import TypePlan, jsonable, plan

SETTINGS: dict[str, dict[str, Any]] = {  # what a client may set for one call
    "temperature": {"type": "number", "minimum": 0},
    "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    "top_k": {"type": "integer", "minimum": 0},
    "seed": {"type": "integer"},
    "max_tokens": {"type": "integer", "minimum": 1},
}
_INPUT = "Look at the schema in /docs and send what it asks for."


@dataclass(frozen=True)
class Input:
    """One input of a program: how it is read and what its schema is."""

    name: str
    required: bool
    schema: dict[str, Any]
    adapter: TypeAdapter[Any] | None  # None: any JSON
    plan: TypePlan[Any] | None
    text: bool  # a plain str, which needs no reading

    def read(self, item: Any) -> Any:
        """The value of its JSON form. Raises `DataError` naming the input."""
        if self.text and isinstance(item, str):
            return item
        if self.plan is not None:
            try:
                return self.plan.from_json(item)
            except Error:
                pass  # not what a model could answer, which an input need not be
        if self.adapter is None:
            return item
        try:
            return self.adapter.validate_json(json.dumps(item), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            place = ".".join(map(str, (self.name, *first["loc"])))
            raise DataError(f"The input `{place}`: {first['msg']}.", _INPUT, column=self.name) from None


@dataclass(frozen=True)
class Endpoint:
    """A flow or learned function behind an address."""

    name: str
    program: Any
    description: str
    inputs: tuple[Input, ...]
    output: TypePlan[Any] | None
    definitions: dict[str, Any]  # classes that the inputs' schemas refer to

    @classmethod
    def of(cls, name: str, program: Any) -> Endpoint:
        """Read the signature. Raises `TypeNotSupported` for an input that JSON cannot carry."""
        function = program.function
        try:
            hints = typing.get_type_hints(function, include_extras=True)
        except (NameError, TypeError):
            hints = {}
        inputs, definitions = [], {}
        for one in inspect.signature(function).parameters.values():
            if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
                raise TypeNotSupported(
                    f"`{name}` takes `{one}`, but an endpoint's inputs are named one by one.",
                    "Give the program a parameter of its own for each, or serve the others by name.",
                )
            made, own = _input(name, one, hints.get(one.name, Any))
            inputs.append(made)
            definitions |= own
        output = program.signature.output if isinstance(program, Learned) else _planned(hints.get("return", Any))
        return cls(name, program, inspect.cleandoc(program.__doc__ or ""), tuple(inputs), output, definitions)

    def read(self, body: Any) -> tuple[dict[str, Any], Session]:
        """Arguments by name and settings, of a body. Raises `DataError`."""
        if not isinstance(body, dict):
            raise DataError(f"The body of `{self.name}` is no JSON object but {_kind(body)}.", _INPUT)
        known = {one.name: one for one in self.inputs}
        said = Session()
        if "settings" in body and "settings" not in known:
            said = read_settings(body["settings"])
            body = {name: item for name, item in body.items() if name != "settings"}
        for name in body:
            if name not in known:
                takes = ", ".join(known) or "nothing"
                raise DataError(f"`{self.name}` has no input `{name}`; it takes {takes}.", _INPUT, column=name)
        for one in self.inputs:
            if one.required and one.name not in body:
                raise DataError(f"The input `{one.name}` of `{self.name}` is missing.", _INPUT, column=one.name)
        return {name: known[name].read(item) for name, item in body.items()}, said

    def pack(self, value: Any) -> Any:
        """The JSON form of a result."""
        if self.output is not None:
            try:
                return self.output.to_json(value)
            except Error:
                pass  # flows are plain Python: they may return what they did not declare
        return jsonable(value)

    # -- schemas ----------------------------------------------------------------------------------------------

    @property
    def input_schema(self) -> dict[str, Any]:
        """JSON schema of the inputs, classes inline under ``$defs``."""
        schema = _object({one.name: one.schema for one in self.inputs}, [i.name for i in self.inputs if i.required])
        return {**schema, "$defs": self.definitions} if self.definitions else schema

    @property
    def output_schema(self) -> dict[str, Any]:
        """JSON schema of the value; of anything where it is not declared."""
        return {} if self.output is None else self.output.json_schema

    @property
    def body_schema(self) -> dict[str, Any]:
        """JSON schema of a request: the inputs, and settings."""
        schema = dict(self.input_schema)
        if all(one.name != "settings" for one in self.inputs):
            schema["properties"] = {**schema["properties"], "settings": settings_schema()}
        return schema


def read_settings(item: Any) -> Session:
    """Settings of one call. Raises `DataError`."""
    unknown = sorted(set(item) - set(SETTINGS)) if isinstance(item, dict) else []
    if not isinstance(item, dict) or unknown:
        told = f"`settings` has no {unknown[0]!r}" if unknown else f"`settings` is {_kind(item)}"
        raise DataError(f"{told}; it is an object with any of {', '.join(SETTINGS)}.", _INPUT, column="settings")
    for name, value in item.items():
        if isinstance(value, bool):
            raise DataError(f"`settings.{name}` is {_kind(value)}.", "Give a number.", column="settings")
    try:
        return settings(**item)
    except ValueError as error:
        raise DataError(f"`settings`: {error}.", _INPUT, column="settings") from None


def settings_schema() -> dict[str, Any]:
    """JSON schema of the settings of one call."""
    return _object(SETTINGS, []) | {"description": "How tokens are drawn for this call; greedy by default."}


def _input(program: str, parameter: inspect.Parameter, annotation: Any) -> tuple[Input, dict[str, Any]]:
    required = parameter.default is parameter.empty
    if annotation in (Any, object):
        return Input(parameter.name, required, {}, None, None, False), {}
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=_config(annotation))
        schema = adapter.json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise TypeNotSupported(
            f"The input `{parameter.name}` of `{program}` cannot come as JSON ({str(error).splitlines()[0]}).",
            "Annotate it with a data class, a pydantic model or plain types.",
        ) from None
    definitions = schema.pop("$defs", {})
    if not required and isinstance(parameter.default, str | int | float | bool | None):
        schema["default"] = parameter.default
    made = Input(parameter.name, required, schema, adapter, _planned(annotation), annotation is str)
    return made, definitions


def _config(annotation: Any) -> ConfigDict | None:
    """Other keys are mistakes; classes that say so themselves keep their own configuration."""
    return None if hasattr(annotation, "__pydantic_config__") or inspect.isclass(annotation) else ConfigDict()


def _planned(annotation: Any) -> TypePlan[Any] | None:
    if annotation in (Any, object, inspect.Parameter.empty):
        return None
    try:
        return plan(annotation)
    except Error:
        return None


def _object(properties: Mapping[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object", "properties": dict(properties), "required": required, "additionalProperties": False
    }  # fmt: skip


def _kind(item: Any) -> str:
    kinds = (
        (dict, "an object"),
        (list, "an array"),
        (str, "a text"),
        (bool, "a truth value"),
        (int | float, "a number"),
    )
    return next((name for kind, name in kinds if isinstance(item, kind)), "null")
