"""Which names of a flow are its own, and which its inner functions may assign: read off Python's own code object."""

from __future__ import annotations

import ast
import dis
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from thalweg.program.ir import FlowIR


class Names:
    """Names of one flow.

    Args:
        local: parameters and assigned names. free: names of the functions around. shared: local or free names that
            an inner function or generator may assign.
    """

    def __init__(self, code: CodeType) -> None:
        self.local = frozenset((*code.co_varnames, *code.co_cellvars))
        self.free = frozenset(code.co_freevars)
        self.shared = frozenset(_assigned_inside(code)) & (self.local | self.free)


def names_of(ir: FlowIR, function: Callable[..., Any] | None = None) -> Names:
    """Names of a flow: of its function, or of the text of its data."""
    if function is not None:
        return Names(function.__code__)
    from thalweg.program.ir.source import definition

    module = ast.fix_missing_locations(ast.Module([definition(ir)], []))
    made = [one for one in compile(module, ir.file, "exec").co_consts if isinstance(one, CodeType)]
    return Names(next(one for one in made if one.co_name == ir.name_of_code))


def _assigned_inside(code: CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_name not in ("<listcomp>", "<setcomp>", "<dictcomp>"):
                for one in dis.get_instructions(constant):
                    if one.opname in ("STORE_DEREF", "DELETE_DEREF") and one.argval in constant.co_freevars:
                        yield one.argval
            yield from _assigned_inside(constant)


_rebound: dict[int, tuple[dict[str, Any], int, frozenset[str]]] = {}


def rebound(globals: dict[str, Any]) -> frozenset[str]:
    """Global names that functions of a module assign."""
    known = _rebound.get(id(globals))
    if known is None or known[0] is not globals or known[1] != len(globals):
        if len(_rebound) > 256:
            _rebound.clear()
        known = _rebound[id(globals)] = globals, len(globals), _search(globals)
    return known[2]


def _search(globals: dict[str, Any]) -> frozenset[str]:
    found: set[str] = set()
    seen: set[int] = set()

    def look(code: CodeType) -> None:
        if id(code) in seen:
            return
        seen.add(id(code))
        found.update(
            one.argval for one in dis.get_instructions(code) if one.opname in ("STORE_GLOBAL", "DELETE_GLOBAL")
        )
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                look(constant)

    for one in list(globals.values()):
        one = getattr(one, "__wrapped__", one)
        members = list(vars(one).values()) if isinstance(one, type) else [one]
        for member in members:
            code = getattr(member, "__code__", None)
            if isinstance(code, CodeType) and getattr(member, "__globals__", None) is globals:
                look(code)
    return frozenset(found)
