"""From a Python function to `FlowIR`: source, syntax tree, nodes. The subset is the table in docs/flows.md.

Nothing is rejected for being outside the subset: such statements become `Python` nodes. Refused with the line and the
remedy: generators, `nonlocal`, and a source that cannot be parsed. A function without source gives `NoSource`.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from thalweg.errors import FlowError
from thalweg.program.ir.nodes import (
    Assert,
    Assign,
    Body,
    Break,
    Case,
    Continue,
    Do,
    Entered,
    Expression,
    FlowIR,
    For,
    Handler,
    If,
    Match,
    Node,
    Parameter,
    Pass,
    Python,
    Raise,
    Return,
    Try,
    Update,
    While,
    With,
)

_SIGNS: dict[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.LShift: "<<", ast.RShift: ">>", ast.BitOr: "|", ast.BitXor: "^", ast.BitAnd: "&", ast.MatMult: "@",
}  # fmt: skip
OPERATORS = {sign: kind for kind, sign in _SIGNS.items()}


class NoSource(FlowError):
    """The function's source is not to be had, so it cannot be read as data; it still runs eagerly."""


def read(function: Callable[..., Any]) -> FlowIR:
    """The IR of a function. Raises `NoSource`, or `FlowError` with the line and the remedy."""
    tree, file = _definition(function)
    name = function.__qualname__.split("<locals>.")[-1]
    _refuse(tree, name, file)
    body, doc = list(tree.body), ast.get_docstring(tree, clean=False)
    if doc is not None:
        body = body[1:]
    return FlowIR(
        name,
        _parameters(tree.args),
        _body(body) or (Pass(line=tree.lineno),),
        Expression.of(tree.returns) if tree.returns else None,
        isinstance(tree, ast.AsyncFunctionDef),
        doc,
        file,
        tree.lineno,
    )


def read_source(source: str, name: str | None = None, *, file: str = "<source>") -> FlowIR:
    """The IR of the (only, or named) function in a piece of source text."""
    module = ast.parse(source)
    found = [one for one in module.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    tree = next((one for one in found if name in (None, one.name)), None)
    if tree is None:
        raise FlowError(f"The source has no function {name or ''}.", "Give the text of one `def`.")
    _refuse(tree, tree.name, file)
    body, doc = list(tree.body), ast.get_docstring(tree, clean=False)
    returns = Expression.of(tree.returns) if tree.returns else None
    rest = _body(body[1:] if doc is not None else body) or (Pass(line=tree.lineno),)
    is_async = isinstance(tree, ast.AsyncFunctionDef)
    return FlowIR(tree.name, _parameters(tree.args), rest, returns, is_async, doc, file, tree.lineno)


def _definition(function: Callable[..., Any]) -> tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]:
    name = getattr(function, "__qualname__", repr(function))
    if hasattr(function, "__wrapped__"):
        raise NoSource(
            f"`{name}` is wrapped by another decorator, which its source does not show.",
            "Put @tw.flow right above the `def`, below the other decorators.",
        )
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError) as error:
        raise NoSource(
            f"The source of `{name}` is not to be had ({error}).",
            "Put the flow into a file; until then it runs eagerly, one call at a time.",
        ) from error
    file = inspect.getsourcefile(function) or function.__code__.co_filename
    text = textwrap.dedent("".join(lines))
    try:
        module = ast.parse(text)
    except SyntaxError as error:
        raise NoSource(
            f"The source of `{name}` ({file}, line {first}) cannot be read by itself ({error.msg}).",
            "Write the flow as a function of its own, not inside another expression.",
        ) from error
    tree = module.body[0] if module.body else None
    if not isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef) or tree.name != function.__name__:
        raise NoSource(
            f"`{name}` ({file}, line {first}) is not written with `def`.", "Write the flow as a function with a name."
        )
    ast.increment_lineno(tree, first - 1)
    return tree, file


def _refuse(tree: ast.FunctionDef | ast.AsyncFunctionDef, name: str, file: str) -> None:
    for one in own_nodes(tree.body):
        what = remedy = None
        if isinstance(one, ast.Yield | ast.YieldFrom):
            what = "yields"
            remedy = "Return a list, or use `flow.stream(x)` for events while it runs."
        elif isinstance(one, ast.Nonlocal):
            what = f"declares `nonlocal {', '.join(one.names)}`"
            remedy = "Return the value instead, or write it through a @tw.tool with effect='write'."
        if what is not None and remedy is not None:
            raise FlowError(f"The flow `{name}` {what} ({file}, line {getattr(one, 'lineno', tree.lineno)}).", remedy)


def own_nodes(body: Sequence[ast.AST]) -> list[ast.AST]:
    """Syntax nodes of a body without those of functions and classes defined in it."""
    found: list[ast.AST] = []
    waiting = list(body)
    while waiting:
        one = waiting.pop(0)
        found.append(one)
        if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting[:0] = list(ast.iter_child_nodes(one))
    return found


def _parameters(arguments: ast.arguments) -> tuple[Parameter, ...]:
    plain = [(one, "POSITIONAL_ONLY") for one in arguments.posonlyargs]
    plain += [(one, "POSITIONAL_OR_KEYWORD") for one in arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    found = [_parameter(one, kind, default) for (one, kind), default in zip(plain, defaults, strict=True)]
    if arguments.vararg:
        found.append(_parameter(arguments.vararg, "VAR_POSITIONAL", None))
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append(_parameter(one, "KEYWORD_ONLY", default))
    if arguments.kwarg:
        found.append(_parameter(arguments.kwarg, "VAR_KEYWORD", None))
    return tuple(found)


def _parameter(one: ast.arg, kind: str, default: ast.expr | None) -> Parameter:
    annotation = Expression.of(one.annotation) if one.annotation else None
    return Parameter(one.arg, kind, annotation, Expression.of(default) if default is not None else None)


def _body(statements: Sequence[ast.stmt]) -> Body:
    return tuple(_node(one) for one in statements)


def _node(one: ast.stmt) -> Node:
    of, line = Expression.of, one.lineno
    match one:
        case ast.Assign(targets=targets, value=value):
            return Assign(tuple(map(of, targets)), of(value), line=line)
        case ast.AnnAssign(target=target, annotation=annotation, value=ast.expr() as value):
            return Assign((of(target),), of(value), of(annotation), line=line)
        case ast.AnnAssign():
            return Python(ast.unparse(one), line=line, tree=one)  # declares a local name
        case ast.AugAssign(target=target, op=op, value=value):
            return Update(of(target), _SIGNS[type(op)], of(value), line=line)
        case ast.Expr(value=value):
            return Do(of(value), line=line)
        case ast.Return(value=value):
            return Return(of(value) if value else None, line=line)
        case ast.If(test=test, body=body, orelse=orelse):
            return If(of(test), _body(body), _body(orelse), line=line)
        case ast.For(target=target, iter=iterable, body=body, orelse=orelse):
            return For(of(target), of(iterable), _body(body), _body(orelse), line=line)
        case ast.While(test=test, body=body, orelse=orelse):
            return While(of(test), _body(body), _body(orelse), line=line)
        case ast.Match(subject=subject, cases=cases):
            return Match(of(subject), tuple(map(_case, cases)), line=line)
        case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=final):
            return Try(_body(body), tuple(map(_handler, handlers)), _body(orelse), _body(final), line=line)
        case ast.With(items=items, body=body):
            entered = tuple(
                Entered(of(item.context_expr), of(item.optional_vars) if item.optional_vars else None, line=line)
                for item in items
            )
            return With(entered, _body(body), line=line)
        case ast.Raise(exc=error, cause=cause):
            return Raise(of(error) if error else None, of(cause) if cause else None, line=line)
        case ast.Assert(test=test, msg=message):
            return Assert(of(test), of(message) if message else None, line=line)
        case ast.Break():
            return Break(line=line)
        case ast.Continue():
            return Continue(line=line)
        case ast.Pass():
            return Pass(line=line)
    return Python(ast.unparse(one), *_touched(one), line=line, tree=one)


def _case(one: ast.match_case) -> Case:
    guard = Expression.of(one.guard) if one.guard else None
    return Case(ast.unparse(one.pattern), guard, _body(one.body), one.pattern, line=one.pattern.lineno)


def _handler(one: ast.ExceptHandler) -> Handler:
    return Handler(Expression.of(one.type) if one.type else None, one.name, _body(one.body), line=one.lineno)


def _touched(one: ast.stmt) -> tuple[tuple[str, ...], tuple[str, ...]]:
    reads: dict[str, None] = {}
    writes: dict[str, None] = {}
    for part in ast.walk(one):
        match part:
            case ast.Name(id=name, ctx=ast.Load()):
                reads[name] = None
            case ast.Name(id=name):
                writes[name] = None
            case ast.alias(name=name, asname=alias):
                writes[(alias or name).split(".")[0]] = None
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                writes[name] = None
            case ast.Global(names=names):
                writes.update(dict.fromkeys(names))
    return tuple(reads), tuple(writes)
