"""The compiler: a flow's function becomes code whose calls overlap and whose meaning is that of the eager run.

`names.py` (what is known of names), `emit.py` and `expressions.py` (IR to Python code), `twins.py` (made once),
`issuing.py` (flows that need no thread), `frame.py` (one execution: issue out of order, commit in order), `lazy.py`
(pending results and the containers that hold them), `tasks.py` (threads). To support another statement, add its node in
`program/ir`, its code in `emit.py`, and let the generator of random flows write it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from thalweg.program.compile.frame import Abandoned, Frame, arguments_may_run_aside
from thalweg.program.compile.lazy import Pending
from thalweg.program.compile.tasks import BODIES, Task

if TYPE_CHECKING:
    from thalweg.program.compile.emit import source
    from thalweg.program.compile.twins import compile_flow, compile_source, ir_of, remember

# What reads and writes code is imported with the first flow, so that `import thalweg` stays light.
_LATER = {"compile_flow": "twins", "compile_source": "twins", "ir_of": "twins", "remember": "twins", "source": "emit"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    return found


__all__ = [
    "Abandoned", "BODIES", "Frame", "Pending", "Task", "arguments_may_run_aside", "compile_flow",
    "compile_source", "ir_of", "remember", "source",
]  # fmt: skip
