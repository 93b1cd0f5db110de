"""From `FlowIR` back to Python: the text of the flow, and nodes made by hand completed by reading that text again.

`to_source` writes what `read_source` reads back as an equal IR. `completed` is what every change of an IR ends with: it
refuses what is no Python, at the site where it stands, and gives every expression its canonical text and its tree.
Cost: about a millisecond for a flow of twenty lines.
"""

from __future__ import annotations

import ast
import keyword
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import replace
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
    rebuilt,
)
from thalweg.program.ir.reader import OPERATORS, read_source


def to_source(ir: FlowIR) -> str:
    """The flow as Python text: its `def`, annotations, docstring and body, in canonical layout."""
    return ast.unparse(definition(ir)) + "\n"


def completed(ir: FlowIR) -> FlowIR:
    """An equal IR whose expressions are canonical and carry their trees; lines are kept, and filled in where missing.

    Raises:
        FlowError: an expression, a target or the whole is no Python; with the site.
    """
    _names(ir)
    read = _read_back(ir)
    if [_outline(one) for one in read.parameters] != [_outline(one) for one in ir.parameters]:
        raise FlowError(
            f"The parameters of `{ir.name}` are not in an order that Python has: "
            f"{', '.join(one.name for one in ir.parameters)}.",
            "Put those without a default first, then those with one, *args, keyword-only ones, **kwargs.",
        )
    lines = {site: node.line for site, node in placed(ir.body)}
    if [site for site, _ in placed(read.body)] != list(lines):
        raise FlowError(
            f"`{ir.name}` does not keep its statements when it is written down and read again.",
            "Give expressions as texts of one expression each, and opaque statements as one statement each.",
        )
    body = _with_lines(read.body, lines, "", [ir.line])
    return replace(read, name=ir.name, body=body, file=ir.file, line=ir.line)


def with_trees(ir: FlowIR) -> FlowIR:
    """`ir`, completed if any of its parts came as text."""
    return ir if all(_has_trees(one) for _, one in placed(ir.body)) else completed(ir)


def _has_trees(node: Node) -> bool:
    if isinstance(node, Case | Python) and node.tree is None:
        return False
    return isinstance(node, Match | Try) or all(one.tree is not None for one in node.expressions())


def placed(body: Body, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Like `FlowIR.walk`, with cases and handlers as places of their own."""
    for index, node in enumerate(body):
        site = f"{prefix}{index}"
        yield site, node
        for name in ("cases", "handlers"):
            for number, part in enumerate(getattr(node, name, ())):
                yield f"{site}.{name}.{number}", part
        for name, inner in node.blocks():
            yield from placed(inner, f"{site}.{name}.")


def _outline(one: Parameter) -> tuple[str, str, bool]:
    return unicodedata.normalize("NFKC", one.name), one.kind, one.default is not None


def _names(ir: FlowIR) -> None:
    """Names are written as they are given, so they must be nothing but names."""
    handlers = [(f"statement {site}", one.name) for site, one in placed(ir.body) if isinstance(one, Handler)]
    for where, name in [
        ("the flow's name", ir.name_of_code),
        *((f"parameter {index}", one.name) for index, one in enumerate(ir.parameters)),
        *handlers,
    ]:
        if name is not None and (not name.isidentifier() or keyword.iskeyword(name)):
            raise FlowError(f"At {where} of `{ir.name[:60]}`: {name!r} is no name.", "Give a Python identifier.")


def _read_back(ir: FlowIR) -> FlowIR:
    try:
        text = to_source(ir)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "<flow>", "exec", dont_inherit=True)  # `break` outside a loop, two parameters of one name
    except (SyntaxError, ValueError, RecursionError) as error:
        _blame(ir)  # an expression by itself?
        where = _site_at(ir, getattr(error, "lineno", None))
        said = getattr(error, "msg", None) or error
        raise FlowError(f"`{ir.name}` is no valid Python{where}: {said}.", "Correct that statement.") from error
    return read_source(text)


def _blame(ir: FlowIR) -> None:
    """Raise for the first part that cannot be parsed by itself."""
    for site, node in placed(ir.body):
        for one in node.expressions() if not isinstance(node, Match | Try) else ():
            _parse(one, f"statement {site}")
        try:
            if isinstance(node, Case):
                replace(node, tree=None).parsed()
            elif isinstance(node, Python):
                _opaque(node)
        except (SyntaxError, ValueError, RecursionError, AssertionError) as error:
            kind = "pattern" if isinstance(node, Case) else "statement"
            text = node.pattern if isinstance(node, Case) else getattr(node, "source", "")
            raise FlowError(f"Statement {site}: {text!r} is no {kind} ({error}).", "Correct it.") from error
    for one in ir.parameters:
        for part in (one.annotation, one.default):
            if part is not None:
                _parse(part, f"parameter `{one.name}`")


def _parse(one: Expression, where: str) -> ast.expr:
    try:
        return ast.parse(one.text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = getattr(error, "msg", error)
        raise FlowError(f"At {where}: {one.text!r} is no Python expression ({said}).", "Correct it.") from error


def _site_at(ir: FlowIR, line: int | None) -> str:
    if line is None:
        return ""
    try:
        again = read_source(to_source(ir))
    except (FlowError, SyntaxError, ValueError, RecursionError):
        return ""
    at = [site for site, node in again.walk() if node.line <= line]
    return f" at statement {at[-1]}" if at else ""


def _with_lines(body: Body, lines: dict[str, int], prefix: str, last: list[int]) -> Body:
    made = []
    for index, node in enumerate(body):
        site = f"{prefix}{index}"
        line = last[0] = lines[site] or last[0]
        changes: dict[str, Any] = {"line": line}
        for name in ("cases", "handlers"):
            if parts := getattr(node, name, ()):
                changes[name] = tuple(
                    replace(one, line=lines[f"{site}.{name}.{number}"] or line) for number, one in enumerate(parts)
                )
        if isinstance(node, With):
            changes["entered"] = tuple(replace(one, line=line) for one in node.entered)
        placed = _moved(replace(node, **changes), line)
        blocks = {name: _with_lines(inner, lines, f"{site}.{name}.", last) for name, inner in placed.blocks()}
        made.append(rebuilt(placed, blocks))
    return tuple(made)


def _moved(node: Node, line: int) -> Node:
    """Positions inside a statement start at its line, and keep their distances."""
    trees: list[tuple[Any, int]] = [(one.tree, line) for one in node.expressions()]
    for part in (*getattr(node, "cases", ()), *getattr(node, "handlers", ())):
        trees += [(one.tree, part.line) for one in part.expressions()]
        trees.append((getattr(part, "tree", None), part.line))
    trees.append((getattr(node, "tree", None), line))
    for tree, at in trees:
        if tree is None:
            continue
        shift = at - tree.lineno
        for one in ast.walk(tree) if shift else ():
            if hasattr(one, "lineno"):
                one.lineno += shift  # type: ignore[attr-defined]
                one.end_lineno = (one.end_lineno or one.lineno) + shift  # type: ignore[attr-defined]
    return node


# -- from nodes to syntax trees ------------------------------------------------------------------------------------


def definition(ir: FlowIR) -> ast.FunctionDef | ast.AsyncFunctionDef:
    """The flow's `def` as a syntax tree."""
    body = [_statement(one, f"{index}") for index, one in enumerate(ir.body)] or [ast.Pass()]
    if ir.doc is not None:
        body.insert(0, ast.Expr(ast.Constant(ir.doc)))
    made = ast.AsyncFunctionDef if ir.is_async else ast.FunctionDef
    returns = _load(ir.returns) if ir.returns is not None else None
    return ast.fix_missing_locations(made(ir.name_of_code, _arguments(ir.parameters), body, [], returns, lineno=1))


def _arguments(parameters: tuple[Parameter, ...]) -> ast.arguments:
    made = ast.arguments([], [], None, [], [], None, [])
    for one in parameters:
        arg = ast.arg(one.name, _load(one.annotation) if one.annotation is not None else None)
        default = _load(one.default) if one.default is not None else None
        match one.kind:
            case "POSITIONAL_ONLY":
                made.posonlyargs.append(arg)
            case "POSITIONAL_OR_KEYWORD":
                made.args.append(arg)
            case "VAR_POSITIONAL":
                made.vararg = arg
            case "VAR_KEYWORD":
                made.kwarg = arg
            case "KEYWORD_ONLY":
                made.kwonlyargs.append(arg)
                made.kw_defaults.append(default)
        if default is not None and one.kind in ("POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD"):
            made.defaults.append(default)
    return made


def _load(one: Expression | None) -> Any:
    if one is None:
        return None
    return one.tree if one.tree is not None else ast.parse(one.text, mode="eval").body


def _body(body: Body, site: str) -> list[ast.stmt]:
    return [_statement(one, f"{site}.{index}") for index, one in enumerate(body)]


def _statement(node: Node, site: str) -> ast.stmt:
    load = _load
    match node:
        case Assign(targets=targets, value=value, annotation=None):
            return ast.Assign([load(one) for one in targets], load(value), lineno=1)
        case Assign(targets=(target,), value=value, annotation=annotation):
            simple = isinstance(load(target), ast.Name) and not target.text.startswith("(")
            return ast.AnnAssign(load(target), load(annotation), load(value), int(simple))
        case Update(target=target, operator=sign, value=value) if sign in OPERATORS:
            return ast.AugAssign(load(target), OPERATORS[sign](), load(value))
        case Do(value=value):
            return ast.Expr(load(value))
        case Return(value=value):
            return ast.Return(load(value))
        case If(test=test, body=body, orelse=orelse):
            return ast.If(load(test), _body(body, f"{site}.body"), _body(orelse, f"{site}.orelse"))
        case For(target=target, iterable=over, body=body, orelse=orelse):
            inner = _body(body, f"{site}.body")
            return ast.For(load(target), load(over), inner, _body(orelse, f"{site}.orelse"), lineno=1)
        case While(test=test, body=body, orelse=orelse):
            return ast.While(load(test), _body(body, f"{site}.body"), _body(orelse, f"{site}.orelse"))
        case Match(subject=subject, cases=cases):
            made = [
                ast.match_case(_pattern(one), load(one.guard), _body(one.body, f"{site}.cases.{index}"))
                for index, one in enumerate(cases)
            ]
            return ast.Match(load(subject), made)
        case Try(body=body, handlers=handlers, orelse=orelse, final=final):
            caught = [
                ast.ExceptHandler(load(one.kind), one.name, _body(one.body, f"{site}.handlers.{index}"))
                for index, one in enumerate(handlers)
            ]
            return ast.Try(_body(body, site), caught, _body(orelse, site), _body(final, site))
        case With(entered=entered, body=body):
            items = [ast.withitem(load(one.context), load(one.target)) for one in entered]
            return ast.With(items, _body(body, f"{site}.body"), lineno=1)
        case Raise(error=error, cause=cause):
            return ast.Raise(load(error), load(cause))
        case Assert(test=test, message=message):
            return ast.Assert(load(test), load(message))
        case Break():
            return ast.Break()
        case Continue():
            return ast.Continue()
        case Pass():
            return ast.Pass()
        case Python():
            return node.tree if node.tree is not None else _opaque(node)
    raise FlowError(
        f"Statement {site} is {_described(node)}, which is no statement of a flow.",
        "Use the nodes of `thalweg.program.ir`; an annotated assignment has one target.",
    )


def _described(node: Node) -> str:
    if isinstance(node, Update):
        return f"an update by {node.operator!r}"
    return f"a {type(node).__name__}" + (f" with {len(node.targets)} targets" if isinstance(node, Assign) else "")


def _pattern(one: Case) -> ast.pattern:
    return one.tree if one.tree is not None else one.parsed()


def _opaque(node: Python) -> ast.stmt:
    body = ast.parse(node.source).body
    if len(body) != 1:
        raise FlowError(
            f"An opaque node holds {len(body)} statements: {node.source[:60]!r}.", "Give each statement its own node."
        )
    return body[0]
