"""Types of every form, for tests that hold for all of them."""

# ruff: noqa: UP045 (users spell optional types both ways)

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Optional, TypedDict

from pydantic import BaseModel, Field


class Color(Enum):
    RED = "red"
    DEEP_BLUE = "deep blue"


@dataclass
class Refund:
    order: str
    amount: Decimal


@dataclass
class Complaint:
    topic: Literal["delivery", "quality", "staff"]
    severity: Annotated[int, Field(ge=1, le=5)]


class Address(TypedDict):
    street: str
    number: int


class Person(BaseModel):
    name: Annotated[str, Field(min_length=2, max_length=30)]
    age: Annotated[int, Field(ge=0, le=120)]
    born: date
    tags: list[Color]


TYPES: dict[str, Any] = {
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "literal": Literal["spam", "ham", "eggs"],
    "enum": Color,
    "date": date,
    "time": time,
    "datetime": datetime,
    "decimal": Decimal,
    "list": list[int],
    "set": set[Color],
    "dict": dict[str, float],
    "tuple": tuple[int, str, bool],
    "optional": Optional[int],
    "union": Refund | Complaint | None,
    "dataclass": Complaint,
    "typed dict": Address,
    "pydantic": Person,
    "nested": dict[str, list[Refund | Complaint]],
    "range": Annotated[int, Field(ge=17, le=93_000)],
    "pattern": Annotated[str, Field(pattern=r"[A-Z]{2}-[0-9]{4}")],
    "short text": Annotated[str, Field(min_length=3, max_length=12)],
    "list of texts": Annotated[list[str], Field(min_length=1, max_length=3)],
}
