"""May a flow run aside, beside what follows its call? What it does there must be noticed by nobody but through tools.

A flow that surely has no effect may; so may one whose only effects are tools, which keep their order by themselves. One
that changes what plain code can read - a global, an object around it - runs in its turn, and so does one whose closure
holds an object that others can change.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from thalweg.program.compile.lazy import is_immutable
from thalweg.program.compile.resolve import UNKNOWN, resolve, scope_of
from thalweg.program.purity import why_impure

if TYPE_CHECKING:
    from thalweg.program.ir import FlowIR, Node


def may_run_aside(flow: Any) -> bool:
    """Whether a flow's body may run beside its caller (its arguments are another question)."""
    if _holds_objects(flow.function):
        return False
    return flow.effects is None or acts_by_tools_only(flow)


def _holds_objects(function: Callable[..., Any]) -> bool:
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:
            return True
        if not (callable(value) or is_immutable(value) or isinstance(value, ModuleType)):
            return True
    return False


def acts_by_tools_only(flow: Any, under: tuple[Any, ...] = ()) -> bool:
    """Whether tools are all that a flow changes or asks of the world.

    Args:
        under: the flows being looked at: one that calls itself is as good as the rest of it.
    """
    if any(flow is one for one in under):
        return True
    known = flow.__dict__.get("_acts_by_tools_only")
    if known is None:
        known = _tools_only(flow.ir, flow.function, (*under, flow))
        if not known or not under:  # what was assumed of a flow around is not known yet
            flow.__dict__["_acts_by_tools_only"] = known
    return known


def _tools_only(ir: FlowIR, function: Callable[..., Any], under: tuple[Any, ...]) -> bool:
    from thalweg.program.ir import Python

    scope = scope_of(function)
    local = set(function.__code__.co_varnames) | set(function.__code__.co_cellvars)
    nodes = list(_nodes(ir.body))
    if any(isinstance(node, Python) for node in nodes):
        return False
    trees = [one.tree if one.tree is not None else one.parsed() for node in nodes for one in node.expressions()]
    harmless = functools.partial(_harmless, scope, local, under)
    return all(harmless(part, tree) for tree in trees for part in ast.walk(tree))


def _nodes(body: tuple[Node, ...]) -> Iterator[Node]:
    for node in body:
        yield node
        for _, inner in node.blocks():
            yield from _nodes(inner)


def _harmless(scope: Any, local: set[str], under: tuple[Any, ...], part: ast.AST, tree: ast.AST) -> bool:
    match part:
        case ast.Name(ctx=ast.Load()) | ast.Attribute(ctx=ast.Load()):
            value = resolve(scope, part, local)
            if value is UNKNOWN:
                return isinstance(part, ast.Attribute) or part.id in local or _is_bound_inside(part.id, tree)
            return _value_is_harmless(value, under)
        case ast.Call(func=ast.Name(id=name)) if name in local:
            return False
    return True


def _is_bound_inside(name: str, tree: ast.AST) -> bool:
    """A name of a comprehension or a lambda."""
    return any(
        (isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store) and one.id == name)
        or (isinstance(one, ast.arg) and one.arg == name)
        for one in ast.walk(tree)
    )


def _value_is_harmless(value: Any, under: tuple[Any, ...]) -> bool:
    if isinstance(value, ModuleType) or is_immutable(value):
        return True
    if getattr(value, "__thalweg_effect__", None) is not None:
        return True
    if type(value).__name__ == "Flow" and hasattr(value, "compiled"):
        return value.effects is None or acts_by_tools_only(value, under)
    return callable(value) and why_impure(value) is None
