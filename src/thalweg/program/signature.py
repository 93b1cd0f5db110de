"""`Signature`: the typed contract of a learned function, read from an ordinary Python function.

Parameters are the inputs, the return annotation is the output type, the docstring is the first instruction,
`Annotated[...]` carries descriptions and constraints. Frozen; equal contracts have equal digests whatever the names of
local variables or comments around them.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import textwrap
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from thalweg.errors import DataError, TypeNotSupported
from thalweg.program.types import TypePlan, plan


@dataclass(frozen=True)
class Field:
    """One input."""

    name: str
    annotation: Any
    description: str = ""


@dataclass(frozen=True)
class Signature:
    """Inputs, output type and instruction of a learned function."""

    name: str
    inputs: tuple[Field, ...]
    output: TypePlan[Any]
    instruction: str
    parameters: inspect.Signature

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Signature:
        """Read the signature of `function`. Raises `TypeNotSupported`."""
        parameters = inspect.signature(function)
        name = function.__qualname__.split("<locals>.")[-1]
        if next(iter(parameters.parameters), "") == "self":
            raise TypeNotSupported(
                f"`{name}` is a method, and an object is no input a model could read.",
                "Make it a function of what it needs, or a @staticmethod-like function outside the class.",
            )
        try:
            hints = typing.get_type_hints(function, include_extras=True)
        except NameError as error:
            hints = _hints_with_locals(function, error)
        if "return" not in hints:
            raise TypeNotSupported(
                f"The learned function `{name}` has no return annotation.", f"Write `def {name}(...) -> SomeType:`."
            )
        inputs = []
        for parameter in parameters.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeNotSupported(
                    f"`{name}` takes `{parameter}`, but a learned function's inputs are named one by one.",
                    "Replace it by a list or dict parameter.",
                )
            annotation = hints.get(parameter.name, Any)
            inputs.append(Field(parameter.name, annotation, _description(annotation)))
        instruction = inspect.cleandoc(function.__doc__ or "")
        return cls(name, tuple(inputs), plan(hints["return"], name=f"{name}() ->"), instruction, parameters)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments by name, defaults applied. Raises `TypeError` as Python does."""
        if len(args) == len(self.inputs) and not kwargs:
            return {field.name: value for field, value in zip(self.inputs, args, strict=True)}
        try:
            bound = self.parameters.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}(): {error}") from None
        bound.apply_defaults()
        return dict(bound.arguments)

    @cached_property
    def contract(self) -> dict[str, Any]:
        """The contract as JSON, for saved programs: what must agree for saved parameters to fit."""
        return {
            "inputs": {field.name: _type_name(field.annotation) for field in self.inputs},
            "output": self.output.json_schema,
        }

    @cached_property
    def digest(self) -> str:
        text = json.dumps([self.contract, self.output.digest], sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    def differences(self, other: dict[str, Any]) -> list[str]:
        """What changed from a saved contract to this one, in words."""
        changes = []
        old, new = other.get("inputs", {}), self.contract["inputs"]
        changes += [f"input `{name}` was added" for name in new if name not in old]
        changes += [f"input `{name}` was removed" for name in old if name not in new]
        changes += [
            f"input `{name}` was {old[name]}, is {new[name]}" for name in new if name in old and old[name] != new[name]
        ]
        if other.get("output") != self.contract["output"]:
            was, now = json.dumps(other.get("output")), json.dumps(self.contract["output"])
            changes.append(f"the output was {_short(was)}, is {_short(now)}")
        return changes


def has_body(function: Callable[..., Any]) -> bool:
    """Whether the function does more than carry a docstring, `...` or `pass`."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, IndentationError):
        code = function.__code__
        return len(code.co_code) > 16 or bool(set(code.co_consts) - {None, ..., function.__doc__})
    body = typing.cast(ast.FunctionDef, tree.body[0]).body
    return not all(
        isinstance(node, ast.Pass)
        or (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str | type(...))
        )
        for node in body
    )


def _hints_with_locals(function: Callable[..., Any], error: NameError) -> dict[str, Any]:
    """Annotations naming classes of an enclosing function: look them up in the frames that are defining it."""
    frame = inspect.currentframe()
    names: dict[str, Any] = {}
    while frame is not None:
        names = {**frame.f_locals, **names}
        frame = frame.f_back
    try:
        return typing.get_type_hints(function, localns=names, include_extras=True)
    except NameError:
        raise TypeNotSupported(
            f"An annotation of `{function.__qualname__}` names something undefined ({error}).",
            "Define the class above the function.",
        ) from error


def _description(annotation: Any) -> str:
    for extra in getattr(annotation, "__metadata__", ()):
        if isinstance(extra, str):
            return extra
        description = getattr(extra, "description", None)
        if isinstance(description, str):
            return description
    return ""


def _type_name(annotation: Any) -> str:
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


def _short(text: str) -> str:
    return text if len(text) <= 160 else text[:157] + "..."


def row_inputs(signature_names: list[str], row: Any, index: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of one row of `map`: a dict by name, a tuple by position, anything else as the only argument."""
    if isinstance(row, dict) and row and set(row) <= set(signature_names):
        return (), row
    if isinstance(row, dict) and set(signature_names) <= set(row):
        return (), {name: row[name] for name in signature_names}  # a table's row: other columns do not matter
    if isinstance(row, tuple) and not hasattr(row, "_fields") and len(signature_names) != 1:
        return row, {}
    if len(signature_names) > 1:
        raise DataError(
            f"Row {index} is a {type(row).__name__}, but the function takes {', '.join(signature_names)}.",
            "Give each row as a dict with these keys, or as a tuple in this order.",
            row=index,
        )
    return (row,), {}
