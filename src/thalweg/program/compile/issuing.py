"""Flows that only issue: no step of their body waits, so that it needs no thread.

A straight line of calls of names from outside, whose inputs are parameters, constants, texts made of them, or results
of such calls. Where the names turn out to be learned functions, the caller's thread runs the body at once and goes on;
whoever answers the last call concludes the flow. Choose nothing: the frame does where it can. Cost: saves handing the
body to a thread and back, 100 to 300 microseconds a flow.
"""

from __future__ import annotations

import ast

from thalweg.program.compile.names import Names
from thalweg.program.ir import Assign, Do, Expression, FlowIR, Pass, Return

MOST = 32  # calls one body may issue before its caller goes on


def issues_only(ir: FlowIR) -> tuple[str, ...] | None:
    """The names that a body calls, where it does nothing but issue calls; None for any other."""
    if ir.is_async:
        return None
    names = Names(ir)
    if names.globals or names.forced:
        return None
    known = frozenset(names.locals), frozenset(names.plain)
    called: list[str] = []
    for node in ir.body:
        match node:
            case Pass():
                continue
            case Return(value=None):
                continue
            case Assign(targets=[target], value=value) if isinstance(_tree(target), ast.Name):
                fits = _issues(_tree(value), *known, called)
            case Do(value=value) | Return(value=Expression() as value):
                fits = _issues(_tree(value), *known, called)
            case _:
                return None
        if not fits:
            return None
    return tuple(called) if 0 < len(called) <= MOST else None


def _tree(expression: Expression) -> ast.expr:
    return expression.tree if expression.tree is not None else expression.parsed()


def _issues(one: ast.expr, local: frozenset[str], plain: frozenset[str], called: list[str]) -> bool:
    """Whether `Emitter.lazy` writes this expression as code that waits for nothing."""
    match one:
        case ast.Name() | ast.Constant():
            return True
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name not in local:
            called.append(name)
            values = [*args, *[part.value for part in keywords]]
            named = all(part.arg is not None for part in keywords)
            return named and all(_issues(part, local, plain, called) for part in values)
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return all(_issues(part, local, plain, called) for part in parts)
        case ast.Dict(keys=keys, values=values):
            constant = all(isinstance(key, ast.Constant) for key in keys)
            return constant and all(_issues(part, local, plain, called) for part in values)
    return _is_there(one, local, plain)


def _is_there(one: ast.expr, local: frozenset[str], plain: frozenset[str]) -> bool:
    """A text made of what is there."""
    match one:
        case ast.Constant():
            return True
        case ast.Name(id=name):
            return name in plain or name not in local
        case ast.JoinedStr(values=parts):
            return all(_is_there(part, local, plain) for part in parts)
        case ast.FormattedValue(value=value, format_spec=spec):
            return _is_there(value, local, plain) and (spec is None or _is_there(spec, local, plain))
        case ast.BinOp(left=left, right=right):
            return _is_there(left, local, plain) and _is_there(right, local, plain)
    return False
