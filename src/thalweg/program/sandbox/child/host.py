"""The code's side of a trial: load the source, offer its names, and do what the tests' side asks until it hangs up."""

from __future__ import annotations

import json
import sys

from thalweg.program.sandbox.child.channel import Channel
from thalweg.program.sandbox.child.program import confine, line_of, load, report
from thalweg.program.sandbox.child.remote import Remote, raised, reraise, serve_all
from thalweg.program.sandbox.child.wire import Gone, Wire


def main(request: dict, descriptor: int) -> None:
    sys.set_int_max_str_digits(0)
    channel = Channel(descriptor, request["nonce"])
    confine(request, channel)
    wire = Wire("code", *request["wire"], remote=Remote, serve=serve_all, raised=_raised, reraise=reraise)
    wire.marker = Remote
    try:
        names = load(request["source"], "program")
    except BaseException as error:
        told = report(error, request["source"])
        channel.send("X", told)
        wire.send({"failed": json.loads(told)})
        return
    offered = {}
    for name, value in list(names.items()):
        if not name.startswith("__") and not isinstance(value, type(sys)):
            try:
                offered[name] = wire.encode(value)
            except (TypeError, RecursionError):
                continue
    modules = {
        name: value.__name__
        for name, value in names.items()
        if type(value) is type(sys) and value.__name__ in sys.stdlib_module_names
    }
    wire.send({"offered": offered, "modules": modules})
    try:
        while True:
            wire.answer(wire.receive())
    except Gone:
        pass


def _raised(wire: Wire, error: BaseException) -> dict:
    """With the line of the source where it happened."""
    message, line = raised(wire, error), line_of(error)
    return {**message, "where": f"line {line} of the program"} if line else message
