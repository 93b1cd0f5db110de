"""What the global names of a flow stand for: learned functions, flows, tools, classes, plain functions.

`resolver(function)` looks names up as the running flow would, and calls nothing; analyses take any function of that
shape, so that they also work on a flow that was read from JSON and has no surroundings yet.
"""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["learned", "flow", "tool", "function", "class", "builtin", "unknown"]
STEPS: tuple[Kind, ...] = ("learned", "flow", "tool", "function", "unknown")  # kinds of calls that an analysis counts
_VERBS = {
    "submit",
    "acall",
    "map",
    "stream",
    "astream",
    "sample",
    "distribution",
    "submit_distribution",
    "score",
    "eager",
}
_HARMLESS = ("thalweg", "math", "re", "json", "string", "statistics", "itertools", "functools", "operator", "copy")
MARKERS = ("choice", "subset", "permutation", "real", "integer", "text")
_SILENT = {"render", "using", "bind", "state", "with_instruction", "with_demonstrations"}  # they call no model


@dataclass(frozen=True)
class Callee:
    """What is called.

    Args:
        kind: of the thing called. name: as it is written, ``judge.distribution``.
        target: the object, None where it is not known. verb: how it is called (empty for a plain call).
    """

    kind: Kind
    name: str
    target: Any = None
    verb: str = ""


Resolver = Callable[[str], Callee | None]


def resolver(function: Callable[..., Any]) -> Resolver:
    """What the dotted global names in `function`'s code mean; None for a name that has no value."""
    from thalweg.program.compile.resolve import scope_of

    scope = scope_of(inspect.unwrap(function))

    def resolve(name: str) -> Callee | None:
        first, *rest = name.split(".")
        if first not in scope:
            return None
        found = scope[first]
        for index, part in enumerate(rest):
            if kind_of(found) in ("learned", "flow", "tool"):
                verb = part if index == len(rest) - 1 else ".".join(rest[index:])
                return Callee(kind_of(found), name, found, verb)
            if not (inspect.ismodule(found) or inspect.isclass(found)) or not hasattr(found, part):
                return None
            found = getattr(found, part)
        return Callee(kind_of(found), name, found)

    return resolve


def kind_of(one: Any) -> Kind:
    """The kind of an object, were it called."""
    from thalweg.program.flow import Flow
    from thalweg.program.learned import Learned
    from thalweg.program.tool import Tool

    if isinstance(one, Learned):
        return "learned"
    if isinstance(one, Flow):
        return "flow"
    if isinstance(one, Tool):
        return "tool"
    if getattr(builtins, getattr(one, "__name__", ""), None) is one:
        return "builtin"
    if inspect.isclass(one):
        return "class"
    if (getattr(one, "__module__", None) or "").partition(".")[0] in _HARMLESS:
        return "builtin"
    return "function" if callable(one) else "unknown"


def dotted(tree: ast.expr) -> str | None:
    """``a.b.c`` of a chain of attributes on a name."""
    parts: list[str] = []
    while isinstance(tree, ast.Attribute):
        parts.append(tree.attr)
        tree = tree.value
    if not isinstance(tree, ast.Name):
        return None
    return ".".join([tree.id, *reversed(parts)])


def callees(tree: ast.expr, local: set[str] | frozenset[str], resolve: Resolver | None) -> list[Callee]:
    """What a call's function expression may stand for; nothing for a method of a value.

    Sees through ``f.using(...)(x)``, ``tw.choice(f, g)(x)`` and ``(f if test else g)(x)``. Without a resolver, names
    are told apart by what is known of every Python: builtins, and capitals for classes.
    """
    match tree:
        case ast.Call(func=ast.Attribute(value=owner, attr="using" | "bind" | "with_instruction")):
            return callees(owner, local, resolve)
        case ast.Call(func=function, args=options) if _is_choice(function, local, resolve):
            return [one for option in options for one in callees(option, local, resolve)]
        case ast.IfExp(body=body, orelse=orelse):
            return [*callees(body, local, resolve), *callees(orelse, local, resolve)]
    found = _callee(tree, local, resolve)
    return [found] if found is not None else []


def _is_choice(tree: ast.expr, local: set[str] | frozenset[str], resolve: Resolver | None) -> bool:
    name = dotted(tree)
    if name is None or name.split(".")[0] in local:
        return False
    found = resolve(name) if resolve is not None else None
    if found is not None:
        return getattr(found.target, "__thalweg_marker__", None) == "choice"
    return name.rpartition(".")[2] == "choice"


def _callee(tree: ast.expr, local: set[str] | frozenset[str], resolve: Resolver | None) -> Callee | None:
    name = dotted(tree)
    if name is None or name.split(".")[0] in local:
        return None
    found = resolve(name) if resolve is not None else None
    if found is not None:
        return Callee("builtin", name, found.target, found.verb) if found.verb in _SILENT else found
    last = name.rpartition(".")[2]
    if "." not in name and hasattr(builtins, name):
        return Callee("builtin", name, getattr(builtins, name))
    if last in MARKERS:
        return Callee("builtin", name)
    verb = last if "." in name and last in _VERBS | _SILENT else ""
    if verb in _SILENT:
        return Callee("builtin", name, None, verb)
    return Callee("class" if last[:1].isupper() else "unknown", name, None, verb)
