"""The nodes of `FlowIR`: a flow as data, one frozen record a statement.

Expressions and targets are Python source text, so that a node reads like the line it came from and fits into JSON; a
node read from a file also keeps the parsed tree with its original positions, which takes no part in comparison. What
the compiler has no node for becomes one `Python` node, which runs unchanged. `line` is where the statement stood.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any


@dataclass(frozen=True)
class Expression:
    """One Python expression as canonical text (what `ast.unparse` writes)."""

    text: str
    tree: ast.expr | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, tree: ast.expr) -> Expression:
        return cls(ast.unparse(tree), tree)

    def parsed(self, line: int = 1) -> ast.expr:
        """A fresh syntax tree; positions are the original ones, or `line` where the expression came as text."""
        if self.tree is not None:
            return copy_tree(self.tree)
        return at_line(ast.parse(self.text, mode="eval").body, line)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Node:
    """A statement."""

    line: int = field(default=0, compare=False, kw_only=True)

    def blocks(self) -> Iterator[tuple[str, tuple[Node, ...]]]:
        """The statement lists inside, by field name, in program order."""
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, tuple) and value and isinstance(value[0], Node):
                if isinstance(value[0], Entered):
                    continue
                if not isinstance(value[0], Case | Handler):
                    yield one.name, value
                    continue
                for index, part in enumerate(value):
                    yield f"{one.name}.{index}", part.body

    def expressions(self) -> Iterator[Expression]:
        """The expressions and targets of this statement itself, not of the statements inside it."""
        for one in fields(self):
            value = getattr(self, one.name)
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Expression):
                    yield part
                elif isinstance(part, Case | Handler | Entered):
                    yield from part.expressions()


Body = tuple[Node, ...]


@dataclass(frozen=True)
class Assign(Node):
    """``a = b = value``; with an annotation ``a: annotation = value``."""

    targets: tuple[Expression, ...]
    value: Expression
    annotation: Expression | None = None


@dataclass(frozen=True)
class Update(Node):
    """``target OP= value``; `operator` is the sign without the equals sign."""

    target: Expression
    operator: str
    value: Expression


@dataclass(frozen=True)
class Do(Node):
    """An expression for its effect."""

    value: Expression


@dataclass(frozen=True)
class Return(Node):
    value: Expression | None = None


@dataclass(frozen=True)
class If(Node):
    test: Expression
    body: Body
    orelse: Body = ()


@dataclass(frozen=True)
class Case(Node):
    """One ``case pattern if guard:`` of a `Match`; `pattern` is its source text."""

    pattern: str
    guard: Expression | None
    body: Body
    tree: ast.pattern | None = field(default=None, compare=False, repr=False)

    def parsed(self) -> ast.pattern:
        if self.tree is not None:
            return copy_tree(self.tree)
        made = ast.parse(f"match _:\n case {self.pattern}:\n  pass").body[0]
        assert isinstance(made, ast.Match)
        return at_line(made.cases[0].pattern, self.line)


@dataclass(frozen=True)
class Match(Node):
    subject: Expression
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class For(Node):
    target: Expression
    iterable: Expression
    body: Body
    orelse: Body = ()


@dataclass(frozen=True)
class While(Node):
    test: Expression
    body: Body
    orelse: Body = ()


@dataclass(frozen=True)
class Handler(Node):
    """One ``except kind as name:``."""

    kind: Expression | None
    name: str | None
    body: Body


@dataclass(frozen=True)
class Try(Node):
    body: Body
    handlers: tuple[Handler, ...] = ()
    orelse: Body = ()
    final: Body = ()


@dataclass(frozen=True)
class Entered(Node):
    """One ``context as target`` of a `With`."""

    context: Expression
    target: Expression | None = None


@dataclass(frozen=True)
class With(Node):
    entered: tuple[Entered, ...]
    body: Body


@dataclass(frozen=True)
class Raise(Node):
    error: Expression | None = None
    cause: Expression | None = None


@dataclass(frozen=True)
class Assert(Node):
    test: Expression
    message: Expression | None = None


@dataclass(frozen=True)
class Break(Node):
    pass


@dataclass(frozen=True)
class Continue(Node):
    pass


@dataclass(frozen=True)
class Pass(Node):
    pass


@dataclass(frozen=True)
class Python(Node):
    """A statement outside the subset, run as it stands. `reads` and `writes` are the local names it touches."""

    source: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    tree: ast.stmt | None = field(default=None, compare=False, repr=False)

    def parsed(self) -> ast.stmt:
        if self.tree is not None:
            return copy_tree(self.tree)
        return at_line(ast.parse(self.source).body[0], self.line)


@dataclass(frozen=True)
class Parameter:
    """A parameter of the flow. `kind` as in `inspect.Parameter`; texts are source."""

    name: str
    kind: str = "POSITIONAL_OR_KEYWORD"
    annotation: Expression | None = None
    default: Expression | None = None


@dataclass(frozen=True)
class FlowIR:
    """A flow as data.

    Args:
        name: of the flow. parameters, returns: its contract as source text.
        body: its statements. is_async: written with `async def`.
        file: where it was read from (no part of comparison).
    """

    name: str
    parameters: tuple[Parameter, ...]
    body: Body
    returns: Expression | None = None
    is_async: bool = False
    doc: str | None = None
    file: str = field(default="<flow>", compare=False)
    line: int = field(default=1, compare=False)

    @property
    def name_of_code(self) -> str:
        return self.name.rpartition(".")[2]

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Every statement with its site, in program order. Sites read ``3.body.0``: static, stable names of places."""
        yield from _walk("", self.body)

    # What can be done with a flow as data; each method is the function of its name in the file of that concern.

    def to_json(self) -> dict[str, Any]:
        """Readable JSON data; `from_json` gives an equal flow back."""
        from thalweg.program.ir.codec import to_json

        return to_json(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> FlowIR:
        """The flow that JSON data describes. Raises `FlowError` naming the place."""
        from thalweg.program.ir.codec import from_json

        return from_json(data)

    def to_source(self) -> str:
        """The flow as Python text."""
        from thalweg.program.ir.source import to_source

        return to_source(self)

    def digest(self, resolve: Any = None) -> str:
        """Equal for flows that differ in names, layout and comments only (see `digests.py`)."""
        from thalweg.program.ir.digests import digest

        return digest(self, resolve)

    def find(self, pattern: Any) -> list[Any]:
        """Where a pattern (`call("reason")`, a kind of node, a site) stands."""
        from thalweg.program.ir.edit import find

        return find(self, pattern)

    def replace(self, pattern: Any, by: Any) -> FlowIR:
        """A copy with every match replaced: ``ir.replace(call("reason"), call("reason_twice"))``."""
        from thalweg.program.ir.edit import replace

        return replace(self, pattern, by)

    def insert(self, site: str, node: Any, before: bool = False) -> FlowIR:
        """A copy with statements inserted after (or before) a site."""
        from thalweg.program.ir.edit import insert

        return insert(self, site, node, before)

    def delete(self, site: str) -> FlowIR:
        """A copy without the statement at a site."""
        from thalweg.program.ir.edit import delete

        return delete(self, site)

    def graph(self, resolve: Any = None) -> Any:
        """Control and data flow, with `.mermaid()` and `.svg()`."""
        from thalweg.program.ir.graphs import graph

        return graph(self, resolve)

    def __str__(self) -> str:
        from thalweg.program.ir.listings import listing

        return listing(self)

    def __getitem__(self, site: str) -> Node:
        for found, node in self.walk():
            if found == site:
                return node
        raise KeyError(site)


def _walk(prefix: str, body: Body) -> Iterator[tuple[str, Node]]:
    for index, node in enumerate(body):
        site = f"{prefix}{index}"
        yield site, node
        for name, inner in node.blocks():
            yield from _walk(f"{site}.{name}.", inner)


def rebuilt(node: Node, blocks: dict[str, Body]) -> Node:
    """`node` with some of its statement lists replaced (names as `Node.blocks` gives them)."""
    changes: dict[str, Any] = {}
    for name, body in blocks.items():
        base, _, index = name.partition(".")
        if not index:
            changes[base] = body
            continue
        parts = list(changes.get(base, getattr(node, base)))
        parts[int(index)] = replace(parts[int(index)], body=body)
        changes[base] = tuple(parts)
    return replace(node, **changes)


def copy_tree(tree: Any) -> Any:
    """A copy of a syntax tree (`copy.deepcopy` takes ten times as long)."""
    if isinstance(tree, list):
        return [copy_tree(one) for one in tree]
    if not isinstance(tree, ast.AST):
        return tree
    made = tree.__class__.__new__(tree.__class__)
    made.__dict__.update({name: copy_tree(value) for name, value in tree.__dict__.items()})
    return made


def at_line(tree: Any, line: int) -> Any:
    """Move every position in a tree to one line."""
    for one in ast.walk(tree):
        if hasattr(one, "lineno"):
            one.lineno, one.end_lineno = line, line  # type: ignore[attr-defined]
    return tree
