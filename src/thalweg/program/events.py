"""Typed events of a stream: what happens while a value is being made.

`Token` carries new text, `Partial` the value as far as it is known (fields still missing are absent), `Done` the value.
A half-made value never poses as a whole one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Started:
    path: str


@dataclass(frozen=True)
class Token:
    path: str
    text: str


@dataclass(frozen=True)
class Partial:
    path: str
    value: Any


@dataclass(frozen=True)
class Finished:
    path: str
    value: Any


@dataclass(frozen=True)
class Done(Generic[T]):
    value: T


Event = Started | Token | Partial | Finished | Done[Any]


def partial_value(text: str, kind: str) -> Any:
    """The JSON form of an unfinished answer; None where nothing can be told yet."""
    if kind != "json":
        return text or None
    from pydantic_core import from_json

    try:
        return from_json(text, allow_partial="trailing-strings")
    except ValueError:
        return None
