"""Programs that the server's tests serve, and models that answer them from Python."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Literal

import thalweg as tw
from thalweg.models import ScriptedModel


@dataclass
class Refund:
    order: str


@dataclass
class Complaint:
    topic: Literal["delivery", "quality"]
    severity: int


@tw.learned
def read(mail: str) -> Refund | Complaint:
    """Read a mail."""


@tw.learned
def urgent(mail: str) -> bool:
    """Does it need an answer today?"""


@tw.flow
def triage(mail: str, floor: int = 3) -> str:
    """Where a mail goes."""
    match read(mail):
        case Refund(order=order):
            return f"billing:{order}"
        case Complaint(severity=severity) if severity > floor:
            return "escalate"
    return "inbox"


@tw.flow
def broken(mail: str) -> str:
    """Fails behind its call."""
    if urgent(mail):
        raise LookupError(f"no desk for {mail}")
    return "fine"


FLOWS: dict[str, Any] = {"read": read, "urgent": urgent, "triage": triage, "broken": broken}


def said(request: Any) -> str:
    """What the scripted model says: refunds where the mail says so, else complaints of severity 5."""
    text = request.messages[-1].content
    if request.format.kind == "choices" and "true" in request.format.choices:
        return "true" if "now" in text else "false"
    if "refund" in text:
        return '{"type": "Refund", "order": "8812"}'
    return '{"type": "Complaint", "topic": "quality", "severity": 5}'


def scripted(**more: Any) -> ScriptedModel:
    return ScriptedModel(said, identity="said", max_concurrency=8, **more)


class Gate:
    """A scripted model whose answers wait until `open` is set; `asked` counts the calls that have begun."""

    def __init__(self, streams: int = 2) -> None:
        self.open = threading.Event()
        self.asked = 0

        def script(request: Any) -> str:
            self.asked += 1
            assert self.open.wait(30)
            return said(request)

        self.model = ScriptedModel(script, identity="gate", max_concurrency=streams)

    def wait_for(self, calls: int) -> None:
        until = time.monotonic() + 10
        while self.asked < calls:
            assert time.monotonic() < until, f"{self.asked} calls began, not {calls}"
            time.sleep(0.002)
