"""`Strategy`: how a call is asked. `Direct` is the plain one: instruction, worked examples, the case.

Richer strategies (chain of thought, ensembles, decomposition) live in the `prompting` room and implement the same verb.
All fixed text comes first and the inputs last, so that calls of one function share the longest possible prefix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from thalweg.errors import DataError
from thalweg.models.request import Message
from thalweg.program.signature import Signature
from thalweg.program.types import jsonable, render_value


@dataclass(frozen=True)
class Demonstration:
    """One worked example: inputs by name and the wanted output, both as Python values."""

    inputs: Mapping[str, Any]
    output: Any

    def to_json(self, signature: Signature) -> dict[str, Any]:
        return {"inputs": jsonable(dict(self.inputs)), "output": signature.output.to_json(self.output)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], signature: Signature) -> Demonstration:
        output = data["output"]
        try:
            return cls(dict(data["inputs"]), signature.output.from_json(output))
        except DataError:
            for keep in (True, False):  # as `jsonable` writes a value: with the names of its classes
                with suppress(DataError):
                    return cls(dict(data["inputs"]), signature.output.from_json(_unmarked(output, keep)))
            raise


@dataclass(frozen=True)
class Parameters:
    """What is learned of a learned function: data, replaced but never changed in place."""

    instruction: str = ""
    demonstrations: tuple[Demonstration, ...] = field(default=())
    adapter: str | None = None


class Strategy(Protocol):
    """How a call is asked in one prompt. One that asks more than once has `solve` instead (see `procedure.py`)."""

    @property
    def name(self) -> str: ...

    def messages(self, signature: Signature, parameters: Parameters, inputs: Mapping[str, str]) -> Sequence[Message]:
        """The conversation for inputs already rendered as text."""
        ...


@dataclass(frozen=True)
class Direct:
    """Instruction and answer form as the system message, each demonstration as a turn, then the inputs."""

    name: str = "direct"

    def messages(self, signature: Signature, parameters: Parameters, inputs: Mapping[str, str]) -> list[Message]:
        lines = [parameters.instruction or f"Work out `{signature.name}` from the inputs."]
        described = [f"{one.name}: {one.description}" for one in signature.inputs if one.description]
        if described:
            lines.append("Inputs:\n" + "\n".join(described))
        lines.append(f"Answer only with {signature.output.describe()}")
        messages = [Message("system", "\n\n".join(lines))]
        for demonstration in parameters.demonstrations:
            shown = {name: render_value(value) for name, value in demonstration.inputs.items()}
            messages.append(Message("user", show_inputs(shown)))
            messages.append(Message("assistant", signature.output.encode(demonstration.output)))
        messages.append(Message("user", show_inputs(inputs)))
        return messages


def _unmarked(item: Any, keep: bool) -> Any:
    """JSON by `jsonable` as a type writes it. `keep`: with the class names, by which members of a union differ."""
    if isinstance(item, list):
        return [_unmarked(one, keep) for one in item]
    if not isinstance(item, dict):
        return item
    if set(item) == {"$type", "$value"}:
        return item["$value"]
    made = {name: _unmarked(one, keep) for name, one in item.items() if name != "$type"}
    return {"type": item["$type"], **made} if keep and "$type" in item else made


def is_procedure(strategy: Any) -> bool:
    """Whether a strategy asks more than once."""
    return hasattr(strategy, "solve")


def show_inputs(inputs: Mapping[str, str]) -> str:
    """Named inputs as text; a value of several lines starts on its own line."""
    if not inputs:
        return "Go ahead."
    return "\n\n".join(f"{name}:\n{text}" if "\n" in text else f"{name}: {text}" for name, text in inputs.items())
