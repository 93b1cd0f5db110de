"""How often a loop goes round, where the text tells: over literals, `range` of constants, constants of the module."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from thalweg.program.ir.callees import Resolver, dotted
from thalweg.program.ir.nodes import Body, Break, Raise, Return
from thalweg.program.ir.scoping import every

_SAME = {"enumerate", "list", "tuple", "sorted", "reversed"}


@dataclass(frozen=True)
class Loop:
    """A loop: where, what it runs over, and how often (None: unknown until it runs).

    Args:
        number: in the order in which they begin. may_end: it may end early. sequential: every round is decided by what
            was before (`while`).
    """

    site: str
    line: int
    text: str
    rounds: int | None
    number: int
    may_end: bool = False
    sequential: bool = False


def length(tree: ast.AST | None, local: set[str], resolve: Resolver | None) -> int | None:
    """How many elements an iterable has."""
    match tree:
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return None if any(isinstance(one, ast.Starred) for one in parts) else len(parts)
        case ast.Dict(keys=keys):
            constants = [one for one in keys if isinstance(one, ast.Constant)]
            return len({repr(one.value) for one in constants}) if len(constants) == len(keys) else None
        case ast.Constant(value=str() | bytes() as text):
            return len(text)
        case ast.Call(func=ast.Name(id="range"), args=args, keywords=[]) if (
            "range" not in local and 1 <= len(args) <= 3
        ):
            try:
                numbers = [ast.literal_eval(one) for one in args]
                return len(range(*numbers))
            except (ValueError, TypeError, SyntaxError):
                return None
        case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in _SAME and name not in local:
            return length(first, local, resolve)
        case ast.Call(func=ast.Name(id="zip"), args=[_, *_] as args, keywords=[]) if "zip" not in local:
            known = [length(one, local, resolve) for one in args]
            return min(one for one in known if one is not None) if None not in known else None
        case ast.Name() | ast.Attribute() if resolve is not None:
            name = dotted(tree)
            found: Any = resolve(name) if name is not None and name.split(".")[0] not in local else None
            if found is not None and type(found.target) is tuple:
                return len(found.target)
    return None


def may_end(body: Body) -> bool:
    """Whether a loop with this body may end before its iterable does."""
    return any(isinstance(one, Break | Return | Raise) for one in every(body))
