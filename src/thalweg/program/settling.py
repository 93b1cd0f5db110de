"""Write effects of which nobody knows whether they happened: asked about (`settle_effect`) or settled by hand.

A write's intent is on the disk before it runs and goes when it is recorded, so an intent without a record means that
the process ended in between. Only the world knows more; a person looks and says.
"""

from __future__ import annotations

import json
import time
from typing import Any

from thalweg.errors import DataError, RunBusy
from thalweg.program import run_store
from thalweg.program.human import _store, from_person
from thalweg.program.journal import Scope, Ticket
from thalweg.program.question import question_of
from thalweg.program.run_lock import RunLock
from thalweg.program.session import current, store_in_force
from thalweg.program.store import Call
from thalweg.program.types import TypePlan, plan
from thalweg.program.written import exact_json


def settle_effect(tool: Any, scope: Scope, ticket: Ticket, inputs: str) -> tuple[Any] | None:
    """Ask a person whether a write happened. None: it did not, run it; (value,): it did and gave that."""
    store = store_in_force(current())
    path = ticket.path
    asked = [f"{path} happened", f"{path} gave"]
    output: TypePlan[Any] | None = tool._output
    text = f"The run stopped while `{tool.name}` was at work. Did it happen?"
    if not from_person(question_of(scope.run, asked[0], text, bool, json.loads(inputs)), store, scope):
        run_store.drop_questions(store, scope.run, asked)  # while the intent stands: a crash here asks again
        return None
    value = None
    if output is not None:
        text = f"What did `{tool.name}` give?"
        value = from_person(question_of(scope.run, asked[1], text, output.annotation, json.loads(inputs)), store, scope)
    packed = json.dumps(output.to_json(value) if output is not None else None)
    _, order = scope.durable(ticket)
    store.settle_intent(_call(scope.run, path, tool.name, inputs, packed), position=order)
    run_store.drop_questions(store, scope.run, asked)
    return (value,)


def settle(run: str, path: str, value: Any = None, *, happened: bool = True, store: Any = None) -> None:
    """Say what came of a write effect that a run began and could not record; resuming goes on from there.

    Args:
        path: of the call, as the error says it. value: what the tool gave. happened: False to let it run again.
        store: folder of the store (default: the session's).

    Raises `DataError` when nothing is unknown there or the value has no JSON form, `RunBusy` while the run works.
    """
    place = _store(store)
    lock = RunLock(place.folder, run)
    if not lock.acquire():
        raise RunBusy(f"The run {run} is being worked on.", "Settle it after it has stopped.")
    try:
        begun = run_store.intents(place, run).get(path)
        recorded = place.call(run, path)
        if begun is None and recorded is not None and (recorded.kind, recorded.error, recorded.value) == (
            "tool", None, None,
        ):  # it happened, and what it gave has no JSON form  # fmt: skip
            begun = recorded.function, recorded.inputs
        if begun is None:
            raise DataError(
                f"Nothing is unknown about {path} of the run {run}.",
                f"Unknown there: {', '.join(run_store.intents(place, run)) or 'nothing'}.",
            )
        if not happened:
            run_store.drop_intent(place, run, path)
            place.forget_calls(run, [path])
            return
        place.settle_intent(_call(run, path, begun[0], begun[1], json.dumps(_packed(value, path))),
                            position=place_in_order(place, run, path))  # fmt: skip
        run_store.drop_questions(place, run, [f"{path} happened", f"{path} gave"])
    finally:
        lock.release()


def place_in_order(store: Any, run: str, path: str) -> int | None:
    """The recorded position of a call; that of none in particular for one settled by hand."""
    return next((position for one, position, *_ in run_store.places(store, run) if one == path), -2)


def _call(run: str, path: str, tool: str, inputs: str, value: str) -> Call:
    from thalweg.program.tool import tool_key

    now = time.time()
    return Call(run, path, "tool", tool, tool_key(tool, inputs), inputs, None, None, value, None, None, None, now, 0.0)


def _packed(value: Any, path: str) -> Any:
    try:
        return exact_json(value)
    except TypeError:
        pass
    try:
        return plan(type(value)).to_json(value)
    except Exception as error:
        raise DataError(
            f"The value for {path} is a {type(value).__name__}, which has no JSON form ({error}).",
            "Give the value in the JSON form of the tool's return type.",
        ) from None


__all__ = ["settle", "settle_effect"]
