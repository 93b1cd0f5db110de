"""Flows that come as data: from JSON or `FlowIR` to a `Flow` that runs, compiles and journals like any other.

The text is checked first (`ir/checks.py`): it may use its own names, the tools it is given and harmless builtins, and
nothing else of the interpreter. It gets a source of its own, so that tracebacks, `explain` and the analysis of effects
work as for a flow in a file; the source goes when the last flow of that text does. Cost: about two milliseconds.
"""

from __future__ import annotations
import __future__

import builtins
import hashlib
import linecache
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakValueDictionary, finalize

import thalweg.program.compile as compiling
from thalweg.errors import FlowError
from thalweg.program.ir import FlowIR, read_source
from thalweg.program.ir.checks import SAFE_BUILTINS, check
from thalweg.program.ir.source import to_source


def function_of(ir: FlowIR, tools: Iterable[Any] | Mapping[str, Any], *, trusted: bool = False) -> Any:
    """The Python function that the data describes, with `tools` as the only names outside itself.

    Args:
        tools: learned functions, flows, tools, classes; by name, or listed (then by their own names).
        trusted: opaque statements and all builtins are allowed.

    Raises:
        FlowError: the flow uses what it may not, with site, line and remedy.
    """
    given = _named(tools)
    check(ir, set(given), trusted)
    text = to_source(ir)
    name = ir.name_of_code
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    file = f"<flow {ir.name} {digest}>"
    source = _source(file, text)
    allowed = vars(builtins) if trusted else {one: getattr(builtins, one) for one in SAFE_BUILTINS}
    namespace: dict[str, Any] = {"__builtins__": dict(allowed), "__name__": "thalweg_flow", **given}
    exec(compile(text, file, "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True), namespace)
    function = namespace[name]
    function.__qualname__ = ir.name
    function.__source__ = source  # whatever runs or was raised in its code keeps the function by its globals
    compiling.remember(function, read_source(text, name, file=file))
    return function


class _Source:
    """The lines of a text where Python looks for those of a file; there as long as a function holds it."""

    def __init__(self, file: str, text: str) -> None:
        self.lines = (len(text), None, text.splitlines(keepends=True), file)
        finalize(self, _forget, file, self.lines).atexit = False


_sources: WeakValueDictionary[str, _Source] = WeakValueDictionary()  # by file: equal texts share one
_lock = threading.RLock()  # garbage may be collected while it is held


def _source(file: str, text: str) -> _Source:
    with _lock:
        found = _sources.get(file)
        if found is None:
            found = _sources[file] = _Source(file, text)
        linecache.cache[file] = found.lines
        return found


def _forget(file: str, lines: Any) -> None:
    with _lock:
        if linecache.cache.get(file) is lines:  # not those of a later flow of the same text
            del linecache.cache[file]


def _named(tools: Iterable[Any] | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(tools, Mapping):
        return dict(tools)
    found: dict[str, Any] = {}
    for one in tools:
        name = getattr(one, "name", None) or getattr(one, "__name__", None)
        if not isinstance(name, str) or not name.isidentifier():
            raise FlowError(f"{one!r:.80} has no name that a flow could call.", "Give tools as a dict: name -> tool.")
        found[name] = one
    return found
