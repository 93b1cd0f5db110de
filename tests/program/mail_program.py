"""A small program that several tests run: two learned functions and a flow over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

import thalweg as tw

Short = Annotated[str, Field(min_length=1, max_length=12)]


@dataclass
class Refund:
    order: Short


@dataclass
class Complaint:
    topic: Literal["delivery", "quality", "staff"]
    severity: Annotated[int, Field(ge=1, le=5)]


@dataclass
class Ticket:
    queue: Literal["billing", "escalate", "inbox"]
    about: str


@tw.learned
def urgent(mail: str) -> bool:
    """Does this mail need an answer today?"""


@tw.learned
def read(mail: str) -> Refund | Complaint:
    """Read a customer's e-mail."""


@tw.flow
def triage(mail: str) -> Ticket:
    match read(mail):
        case Refund(order=order):
            return Ticket("billing", order)
        case Complaint(severity=severity, topic=topic) if severity > 3 or urgent(mail):
            return Ticket("escalate", topic)
        case Complaint(topic=topic):
            return Ticket("inbox", topic)


MAILS = [
    "My order 8812 never came, I want my money back.",
    "The driver was rude to my daughter, twice!",
    "The soap smells of fish.",
]
