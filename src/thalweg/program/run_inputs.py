"""Inputs and results of durable runs as JSON: what is plain JSON as it is, anything else by its declared type.

A value is written so that another process reads an equal one of the same types, or it is refused before anything runs.
"""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Mapping
from typing import Any

from thalweg.errors import DataError, Error
from thalweg.program.types import TypePlan, plan
from thalweg.program.written import exact_json


def write_inputs(flow: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by parameter, as JSON. Raises `TypeError` like the call, `DataError` naming a parameter
    whose value cannot be written down."""
    bound = flow.signature.bind(*args, **kwargs)
    given = set(bound.arguments)
    bound.apply_defaults()
    hints = _hints(flow.function)
    written = {}
    for name, value in bound.arguments.items():
        kind = flow.signature.parameters[name].kind
        try:
            if kind is inspect.Parameter.VAR_POSITIONAL:
                written[name] = [_write(one, hints.get(name)) for one in value]
            elif kind is inspect.Parameter.VAR_KEYWORD:
                written[name] = {key: _write(one, hints.get(name)) for key, one in value.items()}
            else:
                written[name] = _write(value, hints.get(name))
        except (Error, TypeError, ValueError) as error:
            if name not in given:
                continue  # the default is made anew when the run is resumed
            why = error.what if isinstance(error, Error) else "its type has no JSON form"
            raise DataError(
                f"The run of `{flow.name}` cannot be written down: `{name}` is a {type(value).__name__} "
                f"({_short(value)}); {why.rstrip('.')}.",
                f"Pass data (texts, numbers, lists, dicts), or declare the type of `{name}` as one with a JSON form, "
                "such as a data class, and make the object inside the flow.",
            ) from None
    return written


def read_inputs(flow: Any, written: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """(args, kwargs) of the call that was written down. Raises `DataError` where the parameters are others now."""
    hints = _hints(flow.function)
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    by_position = True
    for name, parameter in flow.signature.parameters.items():
        if name not in written:
            by_position = False  # its default is made anew
            continue
        item, hint = written[name], hints.get(name)
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            args += [_read(one, hint) for one in item]
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            kwargs |= {key: _read(one, hint) for key, one in item.items()}
        elif parameter.kind is not inspect.Parameter.KEYWORD_ONLY and by_position:
            args.append(_read(item, hint))
        else:
            kwargs[name] = _read(item, hint)
    unknown = [name for name in written if name not in flow.signature.parameters]
    if unknown:
        raise DataError(
            f"The run was begun with {unknown[0]!r}, which `{flow.name}` does not take now.",
            "Resume it with the program that began it, or start a new run.",
        )
    return tuple(args), kwargs


def write_result(flow: Any, result: Any) -> str | None:
    """The result as JSON; None where its type has no JSON form (a finished run then replays to make it again)."""
    try:
        return json.dumps(_write(result, _hints(flow.function).get("return")))
    except (Error, TypeError, ValueError):
        return None


def read_result(flow: Any, text: str) -> Any:
    return _read(json.loads(text), _hints(flow.function).get("return"))


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which parameters differ, in words; empty where none does."""
    parts = []
    for name in dict.fromkeys((*before, *now)):
        old, new = before.get(name, _MISSING), now.get(name, _MISSING)
        if json.dumps(old, sort_keys=True, default=str) != json.dumps(new, sort_keys=True, default=str):
            parts.append(f"`{name}` was {_told(old)} and is {_told(new)}")
    return "; ".join(parts)


class _Missing:
    def __str__(self) -> str:
        return "not given"


_MISSING = _Missing()


def _write(value: Any, hint: Any) -> Any:
    try:
        return {"json": exact_json(value)}
    except TypeError:
        if hint in (None, Any):
            raise
    return {"typed": _plan(hint).to_json(value)}


def _read(item: Any, hint: Any) -> Any:
    return item["json"] if "json" in item else _plan(hint).from_json(item["typed"])


def _plan(hint: Any) -> TypePlan[Any]:
    return plan(hint)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        return {}


def _told(item: Any) -> str:
    if isinstance(item, dict) and len(item) == 1 and (item.keys() & {"json", "typed"}):
        item = next(iter(item.values()))
    return _short(item)


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, _Missing) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
