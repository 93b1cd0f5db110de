"""`explain`: what of a flow overlaps, what waits and why - said for every line that matters.

What it says is worked out of the source, as the compiler does; a call through a variable is known only at run time.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from thalweg.program.compile.lazy import is_plain_dataclass
from thalweg.program.compile.names import Names
from thalweg.program.compile.resolve import UNKNOWN, resolve, scope_of
from thalweg.program.ir import FlowIR, For, Node, NoSource, Python, Try, While, With
from thalweg.program.purity import reads_only, why_impure


@dataclass(frozen=True)
class Remark:
    """One line's part in the overlap. `limits`: it keeps something from overlapping."""

    line: int
    what: str
    limits: bool = False

    def __str__(self) -> str:
        return f"  line {self.line:>4}  {'! ' if self.limits else '  '}{self.what}"


@dataclass(frozen=True)
class Explanation:
    """Remarks in the order of the source. Its text is for people; `limits` are the remarks about what waits."""

    name: str
    remarks: tuple[Remark, ...]
    eager: str | None = None

    @property
    def limits(self) -> tuple[Remark, ...]:
        return tuple(one for one in self.remarks if one.limits)

    def __str__(self) -> str:
        if self.eager is not None:
            return f"`{self.name}` runs eagerly, one call at a time: {self.eager}"
        if not self.remarks:
            return f"`{self.name}` makes no calls that could overlap."
        return "\n".join([f"`{self.name}`:", *map(str, self.remarks)])


def explain(function: Callable[..., Any], ir: Callable[[], FlowIR]) -> Explanation:
    """What overlaps in a flow, and what limits it."""
    name = function.__qualname__.split("<locals>.")[-1]
    try:
        found = ir()
    except NoSource as error:
        return Explanation(name, (), f"{error}")
    names = Names(found)
    scope = scope_of(function)
    remarks: list[Remark] = []
    for node in _nodes(found.body):
        remarks += _about(node)
        for one in node.expressions():
            tree = one.tree if one.tree is not None else one.parsed(node.line)
            remarks += _calls(tree, node.line, scope, names)
    for name_ in sorted(names.forced - {one.name for one in found.parameters}):
        line = next((node.line for node in _nodes(found.body) if _assigns(node, name_)), found.line)
        remarks.append(Remark(line, f"`{name_}` is seen by an inner function, so it is waited for when assigned", True))
    ordered = sorted(dict.fromkeys(remarks), key=lambda one: one.line)
    return Explanation(found.name, tuple(ordered))


def _nodes(body: tuple[Node, ...]) -> Iterator[Node]:
    for node in body:
        yield node
        for _, inner in node.blocks():
            yield from _nodes(inner)


def _assigns(node: Node, name: str) -> bool:
    return any(
        isinstance(part, ast.Name) and part.id == name and isinstance(part.ctx, ast.Store)
        for one in node.expressions()
        for part in ast.walk(one.tree if one.tree is not None else one.parsed())
    )


def _about(node: Node) -> Iterator[Remark]:
    match node:
        case Try():
            yield Remark(node.line, "`try` waits for its calls before it is left, and for those above it", True)
        case With():
            yield Remark(node.line, "`with` waits for its calls before it is left, and for those above it", True)
        case While():
            yield Remark(node.line, "`while` waits for its condition in every round", True)
        case For(body=body) if any(_forces(inner) for inner in _nodes(body)):
            yield Remark(node.line, "the rounds run one after the other where they wait for a value inside")
        case Python(source=source):
            yield Remark(node.line, f"`{source.splitlines()[0][:40]}` is run as it stands, with complete values", True)


def _forces(node: Node) -> bool:
    return type(node).__name__ in ("If", "While", "Match", "Assert", "Raise")


def _calls(tree: ast.expr, line: int, scope: Any, names: Names) -> Iterator[Remark]:
    inside = [one for one in ast.walk(tree) if isinstance(one, ast.GeneratorExp | ast.Lambda)]
    hidden = {id(part) for one in inside for part in ast.walk(one) if part is not one}
    for one in inside:
        if any(isinstance(part, ast.Call) for part in ast.walk(one)):
            kind = "a generator" if isinstance(one, ast.GeneratorExp) else "a lambda"
            yield Remark(getattr(one, "lineno", line), f"calls inside {kind} run one at a time; a list overlaps", True)
    for one in ast.walk(tree):
        if not isinstance(one, ast.Call) or id(one) in hidden:
            continue
        at = getattr(one, "lineno", line)
        said = ast.unparse(one.func)
        function = resolve(scope, one.func, names.locals)
        if function is UNKNOWN:
            owner = one.func.value if isinstance(one.func, ast.Attribute) else None
            if owner is None and isinstance(one.func, ast.Name):
                yield Remark(at, f"`{said}` is known only at run time")
            continue
        yield from _one_call(one, at, said, function)


def _one_call(one: ast.Call, line: int, said: str, function: Any) -> Iterator[Remark]:
    kind = type(function).__name__
    if kind == "Learned" or getattr(getattr(function, "__func__", None), "__thalweg_submit__", None):
        yield Remark(line, f"`{said}` is issued at once; its value is waited for where it is touched")
    elif kind == "Tool":
        waits = {
            "write": (f"`{said}` writes: it waits for everything above it to succeed", True),
            "read": (f"`{said}` reads: it overlaps, after what was written above it", False),
            "none": (f"`{said}` is issued at once", False),
        }
        what, limits = waits[function.effect]
        yield Remark(line, what, limits)
    elif kind == "Flow":
        keeps = [name for name in function.signature.parameters if not reads_only(function.function, name)]
        if function.is_async or function.compiled is None:
            yield Remark(line, f"`{said}` runs in its turn", True)
        elif keeps:
            listed = ", ".join(f"`{name}`" for name in keeps)
            yield Remark(line, f"`{said}` runs aside if {listed} is immutable; it may change or keep what it is given")
        else:
            yield Remark(line, f"`{said}` runs aside, beside what follows")
        if function.effects is not None:
            yield Remark(line, f"`{said}` has effects, which wait for everything above: {function.effects}", True)
    elif inspect.isclass(function) and is_plain_dataclass(function):
        return
    elif (reason := why_impure(function)) is not None:
        yield Remark(
            line,
            f"`{said}` waits for everything above, as it may have effects: {reason} (@tw.pure promises none)",
            True,
        )
