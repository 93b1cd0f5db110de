"""A flow as numbered text for people: one statement a line with its site, its line in the file, and what it calls.

Choose it to look at a flow that was read from JSON or changed by a search; sites are what `replace`, `insert` and
`delete` take. Example::

    triage(mail: str) -> Ticket
    0         72  spam = judge.distribution(mail)['advertisement']    learned judge
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from thalweg.program.ir.callees import Resolver, callees
from thalweg.program.ir.nodes import Body, FlowIR, Node, Python
from thalweg.program.ir.scoping import local_names, statement_of, trees_of
from thalweg.program.ir.source import definition

_MARKED = ("learned", "flow", "tool")


def listing(ir: FlowIR, resolve: Resolver | None = None) -> str:
    """The flow as text, one line a statement.

    Args:
        resolve: what names stand for (see `callees.resolver`); calls of learned functions, flows and tools are marked.
    """
    rows = [(site, line, text, marks) for site, line, text, marks in _rows(ir, resolve)]
    site_width = max((len(site) for site, *_ in rows), default=1)
    line_width = max((len(f"{line}") for _, line, *_ in rows), default=1)
    text_width = min(80, max((len(text) for *_, text, _ in rows), default=1))
    lines = [_head(ir)]
    for site, line, text, marks in rows:
        number = f"{line or ''}"
        lines.append(f"  {site:<{site_width}}  {number:>{line_width}}  {text:<{text_width}}  {marks}".rstrip())
    return "\n".join(lines)


def _head(ir: FlowIR) -> str:
    made = definition(ir)
    returns = f" -> {ir.returns}" if ir.returns is not None else ""
    return f"{'async ' if ir.is_async else ''}{ir.name}({ast.unparse(made.args)}){returns}"


def _rows(ir: FlowIR, resolve: Resolver | None) -> Iterator[tuple[str, int, str, str]]:
    local = local_names(ir)

    def marks(node: Node) -> str:
        calls = [one for tree in trees_of(node) for one in ast.walk(tree) if isinstance(one, ast.Call)]
        called = [what for one in calls for what in callees(one.func, local, resolve) if what.kind in _MARKED]
        return ", ".join(dict.fromkeys(f"{one.kind} {getattr(one.target, 'name', one.name)}" for one in called))

    def block(body: Body, prefix: str, indent: str) -> Iterator[tuple[str, int, str, str]]:
        for index, node in enumerate(body):
            site = f"{prefix}{index}"
            first, *rest = _texts(node)
            yield site, node.line, indent + first, marks(node)
            if isinstance(node, Python):
                yield from (("", 0, indent + one, "") for one in rest)
                continue
            inner = dict(node.blocks())
            for name, lines, head in _parts(node):
                if head is not None:
                    yield f"{site}.{name}", lines, indent + head[0], marks(head[1]) if head[1] is not None else ""
                deeper = "        " if name.startswith("cases.") else "    "
                yield from block(inner[name], f"{site}.{name}.", indent + deeper)

    yield from block(ir.body, "", "")


def _texts(node: Node) -> list[str]:
    """The statement without what is inside it."""
    return [one for one in _text_of(node).splitlines() if one] or ["pass"]


def _text_of(node: Node) -> str:
    if isinstance(node, Python):
        return ast.unparse(statement_of(node))
    kind, text = type(node).__name__, {name: f"{value}" for name, value in vars(node).items()}
    match kind:
        case "If" | "While":
            return f"{kind.lower()} {text['test']}:"
        case "For":
            target = text["target"]
            plain = target[1:-1] if target.startswith("(") and target.endswith(")") else target
            return f"for {plain} in {text['iterable']}:"
        case "Match":
            return f"match {text['subject']}:"
        case "Try":
            return "try:"
        case "With":
            entered = [
                f"{one.context}" + (f" as {one.target}" if one.target is not None else "")
                for one in getattr(node, "entered", ())
            ]
            return f"with {', '.join(entered)}:"
        case "Return":
            return "return" + (f" {text['value']}" if getattr(node, "value", None) is not None else "")
        case "Do":
            return text["value"]
        case "Update":
            return f"{text['target']} {text['operator']}= {text['value']}"
    head = definition(FlowIR("f", (), (node,)))
    return ast.unparse(head.body[0])


def _parts(node: Node) -> Iterator[tuple[str, int, tuple[str, Node | None] | None]]:
    """The blocks of a statement: name, line, and the words that stand above each."""
    for name, _ in node.blocks():
        base, _, index = name.partition(".")
        if not index:
            words = {"orelse": "else:", "final": "finally:"}.get(base)
            yield name, 0, (words, None) if words else None
            continue
        part = getattr(node, base)[int(index)]
        if base == "cases":
            guard = f" if {part.guard}" if part.guard is not None else ""
            yield name, part.line, (f"    case {part.pattern}{guard}:", part)
        else:
            kind = f" {part.kind}" if part.kind is not None else ""
            named = f" as {part.name}" if part.name is not None else ""
            yield name, part.line, (f"except{kind}{named}:", part)
