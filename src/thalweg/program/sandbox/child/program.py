"""Run a program, or call one function of it, inside the sandbox, and report on the channel how it ended.

Frames: `E` entered (layers in force), `X` exception (JSON), `V` value (JSON), `D` done (exit code), `J` a layer failed.
A process that ends without `D` or `V` did not finish, whatever it printed and whatever its exit code.
"""

from __future__ import annotations

import builtins
import os
import sys

from thalweg.program.sandbox.child.channel import Channel
from thalweg.program.sandbox.child.jail import enter

TYPE_CHECKING = False  # as in `typing`, the import of which costs more than all the rest
if TYPE_CHECKING:
    from typing import Any

SOURCE_NAME = "<program>"
RESERVE = bytearray(2 * 2**20)


def main(request: dict, descriptor: int) -> None:
    channel = Channel(descriptor, request["nonce"])
    confine(request, channel)
    code = 0
    try:
        if request["mode"] == "call":
            channel.send("V", _call(request))
        else:
            load(request["source"], "__main__")
    except SystemExit as exit:
        code = _exit_code(exit)
        if request["mode"] == "call":
            channel.send("X", report(exit, request["source"]))
    except BaseException as error:
        code = 1
        channel.send("X", report(error, request["source"]))
    finish(channel, code)


def confine(request: dict, channel: Channel) -> None:
    """Enter the jail or say why not and end."""
    try:
        layers = enter(request["jail"])
    except BaseException as error:
        channel.send("J", f"{type(error).__name__}: {error}".encode())
        os._exit(70)
    channel.send("E", "+".join(layers).encode())
    sys.path.insert(0, request["jail"]["folder"])
    if request["packages"]:
        from thalweg.program.sandbox.child.packages import Packages

        sys.meta_path.append(Packages(request["packages"]))
    builtins.exit = builtins.quit = sys.exit  # the site module, which is not loaded, would have set them
    sys.argv = [SOURCE_NAME]
    for name in [name for name in sys.modules if name.startswith("thalweg.")]:
        del sys.modules[name]


def load(source: str, name: str) -> dict[str, Any]:
    """Execute the source as a module of that name and return its names."""
    module = type(sys)(name)
    module.__dict__["__builtins__"] = builtins
    sys.modules[name] = module
    exec(compile(source, SOURCE_NAME, "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def _call(request: dict) -> bytes:
    import json

    names = load(request["source"], "program")
    function = names.get(request["function"])
    if not callable(function):
        found = ", ".join(sorted(n for n, v in names.items() if callable(v) and not n.startswith("_"))) or "no function"
        raise LookupError(f"the source defines no function `{request['function']}`; it has {found}")
    args, kwargs = json.loads(request["arguments"])
    value = function(*args, **kwargs)
    _check_json(value, "the result", json)
    return json.dumps(value).encode()


def _check_json(value: Any, where: str, json: Any, depth: int = 0) -> None:
    """JSON would quietly turn other keys into strings; say so instead."""
    if depth > 200:
        raise TypeError(f"{where} is nested too deeply, or contains itself")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where} has the key {key!r}: JSON keys are strings")
            _check_json(item, f"{where}[{key!r}]", json, depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_json(item, f"{where}[{index}]", json, depth + 1)
    elif not (value is None or isinstance(value, str | int | float | bool)):
        raise TypeError(f"{where} is a {type(value).__name__}, which has no JSON form")


def report(error: BaseException, source: str) -> bytes:
    """The exception as JSON, with the traceback a reader of the source would want: its own lines and no others."""
    if isinstance(error, MemoryError):
        return _out_of_memory(error)
    import json

    kind, message = type(error).__name__, ""
    line, text = None, kind
    try:
        message = str(error)
        import linecache
        import traceback

        linecache.cache[SOURCE_NAME] = (len(source), None, source.splitlines(keepends=True), SOURCE_NAME)
        start = error.__traceback__
        while start is not None and start.tb_frame.f_code.co_filename != SOURCE_NAME:
            start = start.tb_next
        line = error.lineno if isinstance(error, SyntaxError) else line_of(error)
        text = "".join(traceback.format_exception(type(error), error, start, limit=-20))
    except BaseException as second:  # a hostile __str__, or no memory left to format with
        text = f"{kind}: {message or type(second).__name__}"
    fields = {"kind": kind, "message": message[:2000], "line": line, "traceback": text[:20_000], "memory": False}
    return json.dumps(fields).encode()


def line_of(error: BaseException) -> int | None:
    """The innermost line of the source that the exception passed."""
    line, tb = None, error.__traceback__
    while tb is not None:
        if tb.tb_frame.f_code.co_filename == SOURCE_NAME:
            line = tb.tb_lineno
        tb = tb.tb_next
    return line


def _out_of_memory(error: BaseException) -> bytes:
    """Written by hand into room kept for it: there may be none left to import what writes JSON."""
    RESERVE.clear()
    line = b"%d" % found if (found := line_of(error)) else b"null"
    text = b'{"kind": "MemoryError", "message": "", "line": %b, "traceback": "MemoryError, line %b\\n", "memory": true}'
    return text % (line, line)


def finish(channel: Channel, code: int) -> None:
    """End as an interpreter does: wait for threads, run what is registered, flush; then, and only then, say done."""
    try:
        threading = sys.modules.get("threading")
        if threading is not None:
            threading._shutdown()
        import atexit

        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        code = code or 1
    channel.send("D", b"%d" % (code & 0xFF))
    os._exit(code & 0xFF)


def _exit_code(exit: SystemExit) -> int:
    if exit.code is None:
        return 0
    if isinstance(exit.code, int):
        return int(exit.code)
    try:
        print(exit.code, file=sys.stderr)
    except BaseException:
        return 1
    return 1
