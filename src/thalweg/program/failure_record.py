"""Failures as data: an exception written down so that a resumed run can raise it again.

What a flow handled in its first life it must meet again in its second, or it would take another way. A failure is its
class's name, its arguments and its attributes, all JSON. Rebuilding runs no code named by the record: a class is found
among the builtins, this library's errors and modules already imported, made without its `__init__`, and only where
Python's own `__new__` makes it; anything else becomes a `RecordedError`. Cost: some 10 microseconds, for failures only.
"""

from __future__ import annotations

import builtins
import json
import sys
from types import BuiltinFunctionType
from typing import Any

from thalweg.errors import RecordedError
from thalweg.program.written import exact_json

_HIDDEN = {"__notes__", "__thalweg_label__"}


def failure_to_json(error: BaseException) -> str:
    """The record of an exception."""
    kind = type(error)
    attributes, lost = {}, []
    for name, value in vars(error).items():
        if name in _HIDDEN:
            continue
        try:
            attributes[name] = exact_json(value)
        except TypeError:
            lost.append(name)
    try:
        arguments: Any = [exact_json(one) for one in error.args]
    except TypeError:
        arguments = None
    record = {
        "class": f"{kind.__module__}:{kind.__qualname__}", "text": str(error), "args": arguments,
        "attributes": attributes, "lost": lost, "notes": list(getattr(error, "__notes__", ())),
    }  # fmt: skip
    return json.dumps(record)


def failure_from_json(text: str) -> BaseException:
    """The exception of a record, or a `RecordedError` in its place."""
    record = json.loads(text)
    error = _rebuilt(record)
    if error is None:
        error = RecordedError(
            f"{record['class'].rpartition(':')[2]}: {record['text']} (recorded; this process cannot make the class "
            f"{record['class']} again).",
            "Import its module before resuming, or catch RecordedError; its arguments must be JSON values.",
        )
        error.recorded_class = record["class"]
        error.recorded_text = record["text"]
    for note in record["notes"]:
        error.add_note(note)
    if record["lost"]:
        error.add_note(f"recorded without: {', '.join(record['lost'])}")
    return error


def _rebuilt(record: dict[str, Any]) -> BaseException | None:
    module, _, name = record["class"].partition(":")
    found: Any = builtins if module == "builtins" else sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    arguments = record["args"]
    if arguments is None or not isinstance(found, type) or not issubclass(found, Exception):
        return None
    if not isinstance(found.__new__, BuiltinFunctionType):
        return None  # code of the class's own
    try:
        error = found.__new__(found, *arguments)
        if module == "builtins":
            error.__init__(*arguments)
        error.args = tuple(arguments)
        for key, value in record["attributes"].items():
            error.__dict__[key] = value
        return error if isinstance(error, Exception) and str(error) == record["text"] else None
    except Exception:
        return None
