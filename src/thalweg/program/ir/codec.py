"""A flow as JSON that a person can read and write, and back: ``from_json(to_json(ir)) == ir``.

A statement is an object whose "do" names its kind; expressions are Python text; empty fields are left out. Choose it to
save, send, compare or generate flows. Reading runs nothing, but says nothing about what a flow would do: `check`
(checks.py) decides whether a flow from elsewhere may run. Version 1; an unknown version or key is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from thalweg.errors import FlowError
from thalweg.program.ir import nodes
from thalweg.program.ir.nodes import Case, Entered, Expression, FlowIR, Handler, Node, Parameter, Python
from thalweg.program.ir.reader import OPERATORS, read_source
from thalweg.program.ir.source import completed

VERSION = 1
_DEEPEST = 60  # statements inside each other; Python's own compiler gives up at 100

# Where the JSON key differs from the field's name.
_KEYS = {"targets": "to", "target": "to", "orelse": "else", "final": "finally", "iterable": "in"}
_OWN_KEYS = {(nodes.For, "target"): "each", (Entered, "target"): "as"}
_KINDS: dict[str, type[Node]] = {
    {"Do": "evaluate"}.get(one.__name__, one.__name__.lower()): one
    for one in (
        nodes.Assign, nodes.Update, nodes.Do, nodes.Return, nodes.If, nodes.Match, nodes.For, nodes.While, nodes.Try,
        nodes.With, nodes.Raise, nodes.Assert, nodes.Break, nodes.Continue, nodes.Pass, nodes.Python,
    )
}  # fmt: skip
_NAMES = {kind: name for name, kind in _KINDS.items()}
_OMITTED = {"line", "tree", "reads", "writes"}
_PARAMETER_KINDS = ("positional_only", "positional_or_keyword", "var_positional", "keyword_only", "var_keyword")


def to_json(ir: FlowIR) -> dict[str, Any]:
    """The flow as plain dicts, lists, texts and numbers."""
    made: dict[str, Any] = {"flow": ir.name, "version": VERSION}
    if ir.doc is not None:
        made["doc"] = ir.doc
    if ir.is_async:
        made["async"] = True
    if ir.line != 1:
        made["line"] = ir.line
    if ir.parameters:
        made["parameters"] = [_parameter_out(one) for one in ir.parameters]
    if ir.returns is not None:
        made["returns"] = ir.returns.text
    made["body"] = [_out(one) for one in ir.body]
    return made


def from_json(data: Mapping[str, Any]) -> FlowIR:
    """The flow in `data`.

    Raises:
        FlowError: naming the place (``body[2].cases[0].guard``), what was expected there and what was found.
    """
    top = _object(data, "the flow", {"flow", "version", "doc", "async", "line", "parameters", "returns", "body"})
    version = top.get("version", VERSION)
    if version != VERSION or isinstance(version, bool):
        raise _expected("version", f"{VERSION}", version)
    if "flow" not in top:
        raise _expected("the flow", 'a key "flow" with its name', sorted(top))
    parameters = _list(top.get("parameters", []), "parameters")
    ir = FlowIR(
        _text(top["flow"], "flow"),
        tuple(_parameter_in(one, f"parameters[{index}]") for index, one in enumerate(parameters)),
        _body(top.get("body"), "body", 0),
        _expression(top["returns"], "returns") if "returns" in top else None,
        _flag(top.get("async", False), "async"),
        _text(top["doc"], "doc") if "doc" in top else None,
        file=f"<flow {top['flow']}>",
        line=_line(top, "line", 1),
    )
    return completed(ir)


def _parameter_out(one: Parameter) -> dict[str, Any]:
    made: dict[str, Any] = {"name": one.name}
    if one.kind != "POSITIONAL_OR_KEYWORD":
        made["kind"] = one.kind.lower()
    for key in ("annotation", "default"):
        if (value := getattr(one, key)) is not None:
            made[key] = value.text
    return made


def _out(node: Node) -> dict[str, Any]:
    kind = _NAMES.get(type(node))
    made: dict[str, Any] = {"do": kind} if kind is not None else {}
    if node.line:
        made["line"] = node.line
    for one in fields(node):
        value = getattr(node, one.name)
        if one.name in _OMITTED or value is None or value == ():
            continue
        made[_key(type(node), one.name)] = _value_out(value)
    return made


def _key(kind: type[Node], name: str) -> str:
    return _OWN_KEYS.get((kind, name)) or _KEYS.get(name, name)


def _value_out(value: Any) -> Any:
    match value:
        case Expression(text=text):
            return text
        case Node():
            return _out(value)
        case tuple():
            return [_value_out(one) for one in value]
    return value


def _parameter_in(data: Any, where: str) -> Parameter:
    found = _object(data, where, {"name", "kind", "annotation", "default"})
    kind = _text(found.get("kind", "positional_or_keyword"), f"{where}.kind")
    if kind not in _PARAMETER_KINDS:
        raise _expected(f"{where}.kind", f"one of {', '.join(_PARAMETER_KINDS)}", kind)
    made = {key: _expression(found[key], f"{where}.{key}") for key in ("annotation", "default") if key in found}
    return Parameter(_text(found.get("name"), f"{where}.name"), kind.upper(), **made)


def _body(data: Any, where: str, depth: int) -> tuple[Node, ...]:
    found = _list(data, where)
    if not found:
        raise _expected(where, 'at least one statement ({"do": "pass"} does nothing)', [])
    if depth > _DEEPEST:
        raise FlowError(f"At {where}: statements are nested {depth} deep.", "Move the inner ones into another flow.")
    return tuple(_statement(one, f"{where}[{index}]", depth) for index, one in enumerate(found))


def _statement(data: Any, where: str, depth: int) -> Node:
    found = _object(data, where, None)
    kind = found.get("do")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise _expected(f"{where}.do", f"one of {', '.join(_KINDS)}", kind)
    if kind == "python":
        return _opaque(found, where)
    made = _record(_KINDS[kind], found, where, depth, {"do"})
    if isinstance(made, nodes.Update) and made.operator not in OPERATORS:
        raise _expected(f"{where}.operator", f"one of {' '.join(OPERATORS)}", made.operator)
    if isinstance(made, nodes.Try) and not made.handlers and not made.final:
        raise _expected(where, '"handlers" or "finally"', sorted(found))
    if isinstance(made, nodes.Assign) and made.annotation is not None and len(made.targets) != 1:
        raise _expected(f"{where}.to", "one target beside an annotation", found.get("to"))
    return made


def _record(kind: type[Node], data: Mapping[str, Any], where: str, depth: int, extra: set[str]) -> Any:
    """A node, its fields read as their types say."""
    shapes = _SHAPES[kind]
    allowed = {_key(kind, name): name for name in shapes}
    _object(data, where, {*allowed, *extra, "line"})
    values: dict[str, Any] = {"line": _line(data, f"{where}.line", 0)}
    for key, name in allowed.items():
        read, needed = shapes[name]
        if key in data:
            values[name] = read(data[key], f"{where}.{key}", depth)
        elif needed:
            raise _expected(where, f"a key {key!r}", sorted(data))
        elif name in ("value", "error", "cause", "guard", "kind", "target", "message", "annotation", "name"):
            values[name] = None
    return kind(**values)


def _opaque(data: Mapping[str, Any], where: str) -> Node:
    """One statement as text. What has a node of its own becomes that."""
    _object(data, where, {"do", "line", "source"})
    source = _text(data.get("source"), f"{where}.source")
    try:
        statements = ast.parse(source).body
        if len(statements) != 1:
            raise _expected(f"{where}.source", "one statement", f"{len(statements)} statements")
        wrapped = ast.FunctionDef("_", ast.arguments([], [], None, [], [], None, []), statements, [], lineno=1)
        node = read_source(ast.unparse(ast.fix_missing_locations(wrapped))).body[-1]
    except (SyntaxError, ValueError, RecursionError) as error:
        raise _expected(f"{where}.source", f"a Python statement ({getattr(error, 'msg', error)})", source) from error
    line = _line(data, f"{where}.line", 0)
    return Python(node.source, node.reads, node.writes, line=line) if isinstance(node, Python) else node


# -- values ---------------------------------------------------------------------------------------------------------

_Read = Callable[[Any, str, int], Any]


def _expression(data: Any, where: str, depth: int = 0) -> Expression:
    text = _text(data, where)
    try:
        return Expression(ast.unparse(ast.parse(text.strip(), mode="eval").body))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _expected(where, f"a Python expression ({getattr(error, 'msg', error)})", text) from error


def _target(data: Any, where: str, depth: int = 0) -> Expression:
    text = _text(data, where)
    try:
        made = ast.parse(f"({text.strip()}) = _").body
        if len(made) == 1 and isinstance(made[0], ast.Assign) and len(made[0].targets) == 1:
            return Expression(ast.unparse(made[0].targets[0]))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    raise _expected(where, "a target of an assignment, such as a name", text)


def _targets(data: Any, where: str, depth: int = 0) -> tuple[Expression, ...]:
    if isinstance(data, str):
        return (_target(data, where),)
    found = _list(data, where)
    if not found:
        raise _expected(where, "at least one target", [])
    return tuple(_target(one, f"{where}[{index}]") for index, one in enumerate(found))


def _pattern(data: Any, where: str, depth: int = 0) -> str:
    text = _text(data, where)
    try:
        made = ast.parse(f"match _:\n case {text.strip()}:\n  pass").body
        if len(made) == 1 and isinstance(made[0], ast.Match) and len(made[0].cases) == 1 and not made[0].cases[0].guard:
            return ast.unparse(made[0].cases[0].pattern)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    raise _expected(where, "a pattern, as after `case`", text)


def _parts(kind: type[Node]) -> _Read:
    def read(data: Any, where: str, depth: int) -> tuple[Any, ...]:
        found = _list(data, where)
        if not found:
            raise _expected(where, f"at least one {kind.__name__.lower()}", [])
        return tuple(
            _record(kind, _object(one, f"{where}[{index}]", None), f"{where}[{index}]", depth, set())
            for index, one in enumerate(found)
        )

    return read


def _shapes(kind: type[Node]) -> dict[str, tuple[_Read, bool]]:
    hints = get_type_hints(kind)
    found: dict[str, tuple[_Read, bool]] = {}
    for one in fields(kind):
        if one.name in _OMITTED:
            continue
        options = get_args(hints[one.name])
        needed = type(None) not in options and one.name not in ("orelse", "final", "handlers")
        read: _Read
        if one.name == "targets":
            read = _targets
        elif one.name == "target":
            read = _target
        elif one.name == "pattern":
            read = _pattern
        elif one.name in ("cases", "handlers", "entered"):
            read = _parts({"cases": Case, "handlers": Handler, "entered": Entered}[one.name])
        elif hints[one.name] is Expression or Expression in options:
            read = _expression
        elif hints[one.name] == nodes.Body:
            read = lambda data, where, depth: _body(data, where, depth + 1)  # noqa: E731
        else:
            read = lambda data, where, depth: _text(data, where)  # noqa: E731
        found[one.name] = (read, needed)
    return found


def _object(data: Any, where: str, keys: set[str] | None) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise _expected(where, "an object", data)
    for key in data:
        if keys is not None and key not in keys:
            raise FlowError(f"At {where}: unknown key {key!r}.", f"There are: {', '.join(sorted(keys))}.")
    return data


def _list(data: Any, where: str) -> list[Any]:
    if not isinstance(data, list | tuple):
        raise _expected(where, "a list", data)
    return list(data)


def _text(data: Any, where: str) -> str:
    if not isinstance(data, str):
        raise _expected(where, "a text", data)
    return data


def _flag(data: Any, where: str) -> bool:
    if not isinstance(data, bool):
        raise _expected(where, "true or false", data)
    return data


def _line(data: Mapping[str, Any], where: str, default: int) -> int:
    line = data.get("line", default)
    if not isinstance(line, int) or isinstance(line, bool) or not 0 <= line < 2**31:
        raise _expected(where, "a line number", line)
    return line


def _expected(where: str, what: str, found: Any) -> FlowError:
    shown = repr(found)
    said = "nothing" if found is None else shown if len(shown) <= 80 else shown[:77] + "..."
    return FlowError(f"At {where}: expected {what}, found {said}.", "Correct it (docs/flows.md, a flow as data).")


_SHAPES = {kind: _shapes(kind) for kind in (*_KINDS.values(), Case, Handler, Entered)}
