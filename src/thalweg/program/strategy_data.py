"""Strategies as data: a learned function's strategy is saved with it as JSON, and read back without running anything.

A strategy is a frozen dataclass; its form is its class and those fields that are not as the class has them by itself.
Reading one back makes objects of classes of Thalweg, and of strategies in modules that the program has imported
already: a file cannot make anything else be imported or called. Cost: microseconds.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Mapping
from enum import Enum
from typing import Any

from thalweg.errors import StateMismatch

_SCALARS = (str, int, float, bool, type(None))


def strategy_to_json(strategy: Any) -> Any:
    """JSON data of a strategy; None for none. Raises `StateMismatch` naming the field that has no form."""
    return None if strategy is None else _packed(strategy, type(strategy).__name__)


def strategy_from_json(data: Any) -> Any:
    """The strategy that `strategy_to_json` wrote. Raises `StateMismatch`."""
    if data is None:
        return None
    made = _unpacked(data)
    if not (hasattr(made, "solve") or hasattr(made, "messages")):
        raise StateMismatch(f"{data!r:.80} is no strategy.", "Give what `strategy_to_json` writes.")
    return made


def _packed(value: Any, where: str) -> Any:
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, Enum):
        return {"class": _place(type(value), where), "member": value.name}
    if isinstance(value, list | tuple):  # an array is a tuple, since most fields of strategies are
        made = [_packed(one, f"{where}[{index}]") for index, one in enumerate(value)]
        return made if isinstance(value, tuple) else {"list": made}
    if isinstance(value, Mapping) and all(isinstance(one, str) for one in value):
        return {"map": {name: _packed(one, f"{where}[{name!r}]") for name, one in value.items()}}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        owner, fields = type(value), {}
        for one in dataclasses.fields(value):
            found = getattr(value, one.name)
            if one.init and not _is_default(one, found):
                fields[one.name] = _packed(found, f"{where}.{one.name}")
        return {"class": _place(owner, where), **({"fields": fields} if fields else {})}
    raise StateMismatch(
        f"{where} is {value!r:.60}, which has no form as data, so that the strategy cannot be saved.",
        "Let strategies hold numbers, texts, lists and other dataclasses; bind what is else with `using`.",
    )


def _unpacked(data: Any) -> Any:
    if isinstance(data, list):
        return tuple(_unpacked(one) for one in data)
    if not isinstance(data, Mapping):
        return data
    if isinstance(data.get("list"), list):
        return [_unpacked(one) for one in data["list"]]
    if isinstance(data.get("map"), Mapping):
        return {name: _unpacked(one) for name, one in data["map"].items()}
    owner = _class(str(data.get("class")))
    given = data.get("fields", {})
    try:
        if issubclass(owner, Enum):
            return owner[data["member"]]
        return owner(**{name: _unpacked(one) for name, one in given.items()})
    except (TypeError, ValueError, KeyError) as error:
        raise StateMismatch(
            f"{data['class']} cannot be made of what was saved ({error}).", "Save the program again with this version."
        ) from error


def _class(name: str) -> Any:
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module) if module.startswith("thalweg.") else sys.modules[module]
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, KeyError, AttributeError, ValueError):
        found = None
    if not (isinstance(found, type) and (dataclasses.is_dataclass(found) or issubclass(found, Enum))):
        raise StateMismatch(
            f"The saved program has the strategy {name!r}, which is not known here.",
            "Import the module that defines it before loading.",
        )
    return found


def _place(owner: type, where: str) -> str:
    if "<locals>" in owner.__qualname__:
        raise StateMismatch(
            f"{where} is of the class {owner.__qualname__}, which no other process can find.",
            "Define the class at the top of a module.",
        )
    return f"{owner.__module__}:{owner.__qualname__}"


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    if field.default is not dataclasses.MISSING:
        default = field.default
    elif field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    else:
        return False
    return type(value) is type(default) and value == default
