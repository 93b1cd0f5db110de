"""A program's state: the parameters of its learned functions as flat, readable JSON.

Keys are paths such as ``triage.read/instruction``. A saved file carries a version and each function's contract, and is
refused with the list of changes when the code has moved on. Loading executes nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.errors import DataError, StateMismatch
from thalweg.program.signature import Signature
from thalweg.program.strategy import Demonstration, Parameters

if TYPE_CHECKING:
    from thalweg.program.spaces import Genome

VERSION = 1
_KINDS = ("instruction", "demonstrations", "adapter")
_bound: ContextVar[Mapping[object, Parameters] | None] = ContextVar("thalweg_bound_parameters", default=None)


def bound_parameters(origin: object) -> Parameters | None:
    """What the running flow has bound for a learned function."""
    bound = _bound.get()
    return bound.get(origin) if bound else None


@contextmanager
def binding(parameters: Mapping[object, Parameters]) -> Iterator[None]:
    """Bind parameters by origin for the calls inside; inner flows override outer ones."""
    if not parameters:
        yield
        return
    token = _bound.set({**(_bound.get() or {}), **parameters})
    try:
        yield
    finally:
        _bound.reset(token)


def state_of(functions: Mapping[str, Any]) -> dict[str, Any]:
    """The state of learned functions by path."""
    state: dict[str, Any] = {}
    for path, function in functions.items():
        parameters: Parameters = function.parameters
        state[f"{path}/instruction"] = parameters.instruction
        state[f"{path}/demonstrations"] = [one.to_json(function.signature) for one in parameters.demonstrations]
        state[f"{path}/adapter"] = parameters.adapter
    return state


def parameters_from(path: str, signature: Signature, base: Parameters, state: Mapping[str, Any]) -> Parameters:
    """`base` with what `state` says of `path`. Raises `StateMismatch` for keys that are no parameter."""
    for key in state:
        where, _, kind = key.rpartition("/")
        if where != path or kind not in _KINDS:
            raise StateMismatch(
                f"{key!r} is no parameter of `{path}`.",
                f"There are: {', '.join(f'{path}/{kind}' for kind in _KINDS)}.",
            )
    demonstrations = base.demonstrations
    if f"{path}/demonstrations" in state:
        try:
            demonstrations = tuple(Demonstration.from_json(one, signature) for one in state[f"{path}/demonstrations"])
        except (DataError, KeyError, TypeError) as error:
            raise StateMismatch(
                f"A demonstration of `{path}` does not fit its signature ({error}).", "Correct or remove it."
            ) from error
    return Parameters(
        str(state.get(f"{path}/instruction", base.instruction)),
        demonstrations,
        state.get(f"{path}/adapter", base.adapter),
    )


def save(
    path: str | os.PathLike[str], program: str, functions: Mapping[str, Any], chosen: Genome | None = None
) -> None:
    """Write the state of `functions`, atomically, and the choices of the genome that the program is bound to."""
    content: dict[str, Any] = {
        "thalweg": VERSION,
        "program": program,
        "contracts": {
            name: {"digest": one.signature.digest, **one.signature.contract} for name, one in functions.items()
        },
        "state": state_of(functions),
    }
    if chosen is not None:
        from thalweg.program.saved_choices import choices_json

        content["choices"] = choices_json(chosen)
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(part, target)
    except OSError as error:
        raise StateMismatch(f"{target} cannot be written ({error.strerror}).", "Choose a writable path.") from error


def load(path: str | os.PathLike[str], functions: Mapping[str, Any]) -> dict[str, Any]:
    """The state in a saved file, checked against the contracts of `functions`. Raises `StateMismatch`."""
    return read(path, functions)["state"]


def read(path: str | os.PathLike[str], functions: Mapping[str, Any], choices: Any = None) -> dict[str, Any]:
    """A saved file, checked against the contracts of `functions`. Raises `StateMismatch` saying all that changed.

    Args:
        choices: ``choices(saved) -> [changes]``, asked about the choices in the file.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StateMismatch(
            f"{path} is not a readable saved program ({error}).", "Give a file made by `save`."
        ) from error
    if not _is_saved(content):
        raise StateMismatch(
            f"{path} is not a saved program of version {VERSION}.", "Save it again with this version of Thalweg."
        )
    contracts = content["contracts"]
    changes = [f"`{name}` is not part of the program any more" for name in contracts if name not in functions]
    changes += [f"`{name}` is new" for name in functions if name not in contracts]
    for name, function in functions.items():
        saved = contracts.get(name)
        if saved is not None and saved.get("digest") != function.signature.digest:
            details = function.signature.differences(saved) or ["the types changed in a detail of their classes"]
            changes += [f"`{name}`: {detail}" for detail in details]
    signatures = bool(changes)
    if choices is not None and isinstance(content.get("choices"), dict):
        changes += choices(content["choices"])
    if changes:
        raise StateMismatch(
            f"{path} was saved for other {'signatures' if signatures else 'choices'}: {'; '.join(changes)}.",
            "Load it into the program it was made for, or optimise the new one again.",
        )
    return content


def _is_saved(content: Any) -> bool:
    if not isinstance(content, dict) or content.get("thalweg") != VERSION or not isinstance(content.get("state"), dict):
        return False
    contracts = content.get("contracts")
    return isinstance(contracts, dict) and all(
        isinstance(one, dict) and isinstance(one.get("inputs"), dict) for one in contracts.values()
    )
