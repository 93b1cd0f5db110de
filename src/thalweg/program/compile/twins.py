"""Flows and what is made of their functions: the `FlowIR` read from it, and the compiled twin; each is made once.

The IR is kept by the code of the function, so that closures of one code share it. Cost: about a millisecond for a flow
of twenty lines, once.
"""

from __future__ import annotations

import ast
import threading
import types
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from thalweg.program.compile.emit import definition, place
from thalweg.program.ir import FlowIR, NoSource, read

_read: WeakKeyDictionary[types.CodeType, FlowIR | NoSource] = WeakKeyDictionary()
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


def compiled(function: Callable[..., Any], ir: FlowIR) -> Callable[..., Any]:
    """The function's compiled twin: it takes the frame as its first argument, shares globals, closure and defaults."""
    code = _code_of(ir, function.__code__.co_freevars, function.__qualname__)
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    made = types.FunctionType(
        code,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        tuple(cells[name] for name in code.co_freevars),
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__qualname__ = function.__qualname__
    return made


def _code_of(ir: FlowIR, free: Sequence[str], qualname: str) -> types.CodeType:
    body = definition(ir)
    body.name = "__body__"  # so that the flow's own name stays a name of its surroundings
    factory = ast.FunctionDef("__factory__", _arguments(free), [body], [], None)
    place(factory, ir.line)
    module = ast.fix_missing_locations(ast.Module([factory], []))
    outer = next(one for one in compile(module, ir.file, "exec").co_consts if isinstance(one, types.CodeType))
    code = next(one for one in outer.co_consts if isinstance(one, types.CodeType) and one.co_name == "__body__")
    return _renamed(code, code.co_qualname, qualname).replace(co_name=ir.name_of_code)


def _renamed(code: types.CodeType, before: str, after: str) -> types.CodeType:
    """Code, and the functions defined in it, with the names they have in the source."""
    inner = tuple(_renamed(one, before, after) if isinstance(one, types.CodeType) else one for one in code.co_consts)
    return code.replace(co_qualname=after + code.co_qualname.removeprefix(before), co_consts=inner)


def _arguments(names: Sequence[str]) -> ast.arguments:
    return ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])
