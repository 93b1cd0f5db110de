"""The compiler: a flow's function becomes code whose calls overlap and whose meaning is that of the eager run.

`names.py` (what is known of names), `emit.py` (IR to Python code), `frame.py` (one execution: issue out of order,
commit in order), `lazy.py` (pending results and the containers that hold them), `tasks.py` (threads). To support
another statement, add its node in `program/ir`, its code in `emit.py`, and let the generator of random flows write it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import CodeType
from typing import Any
from weakref import WeakKeyDictionary

from thalweg.program.compile.emit import compiled, source
from thalweg.program.compile.frame import Abandoned, Frame, arguments_may_run_aside
from thalweg.program.compile.lazy import Pending
from thalweg.program.compile.tasks import BODIES, Task
from thalweg.program.ir import FlowIR, NoSource, read

_read: WeakKeyDictionary[CodeType, FlowIR | NoSource] = WeakKeyDictionary()
_lock = threading.Lock()


def compile_flow(function: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled twin of a flow's function. Raises `NoSource` where it can only run eagerly."""
    return compiled(function, ir_of(function))


def compile_source(function: Callable[..., Any]) -> Callable[..., Any]:
    """`compile_flow` from the source anew, nothing remembered."""
    return compiled(function, read(function))


def remember(function: Callable[..., Any], ir: FlowIR) -> None:
    """Keep the IR of a function that was made from it."""
    with _lock:
        _read[function.__code__] = ir


def ir_of(function: Callable[..., Any]) -> FlowIR:
    """The IR of a function, read once for each piece of code. Raises `NoSource`, `FlowError`."""
    code = function.__code__
    with _lock:
        found = _read.get(code)
    if found is None:
        try:
            found = read(function)
        except NoSource as error:
            found = error
        with _lock:
            _read[code] = found
    if isinstance(found, NoSource):
        raise found
    return found


__all__ = [
    "Abandoned", "BODIES", "Frame", "Pending", "Task", "arguments_may_run_aside", "compile_flow",
    "compile_source", "ir_of", "remember", "source",
]  # fmt: skip
