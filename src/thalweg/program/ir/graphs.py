"""A flow as a graph for people: calls, branches, loops and results, and what waits for what.

Solid edges carry values, dashed ones are decisions and the order of effects. Calls that stand on one level wait for
nothing of each other. `graph` is worked out of the text (`dataflow.py`) and runs nothing; `.mermaid()` is text for
documents, `.svg()` a picture, which notebooks show by themselves. Cost: milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from thalweg.program.ir.callees import STEPS, Resolver
from thalweg.program.ir.dataflow import Dataflow, Step, dataflow
from thalweg.program.ir.nodes import FlowIR

GraphKind = Literal[
    "input", "learned", "flow", "tool", "function", "unknown", "branch", "loop", "return", "opaque"
]  # fmt: skip
EdgeKind = Literal["data", "control", "order"]


@dataclass(frozen=True)
class GraphNode:
    """A place of the flow. `label` is its text, `detail` its kind and line."""

    number: int
    kind: GraphKind
    label: str
    detail: str
    site: str
    line: int


@dataclass(frozen=True)
class GraphEdge:
    """`target` waits for `source`; `back` edges lead into the next round of a loop."""

    source: int
    target: int
    kind: EdgeKind
    back: bool = False


@dataclass(frozen=True)
class Graph:
    """Nodes in program order and every edge between them."""

    name: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]

    def levels(self) -> list[list[int]]:
        """Nodes by the number of steps that each has to wait for: those of one level are independent of each other."""
        level = _levels(len(self.nodes), [(one.source, one.target) for one in self.edges if not one.back])
        return [
            [node.number for node in self.nodes if level[node.number] == depth]
            for depth in range(max(level, default=-1) + 1)
        ]

    def shown(self) -> tuple[GraphEdge, ...]:
        """The edges that a picture needs: one between two nodes, and none that other edges imply, except of values
        that a step made."""
        kept: dict[tuple[int, int], GraphEdge] = {}
        out: dict[int, set[int]] = {}
        for one in self.edges:
            if not one.back:
                out.setdefault(one.source, set()).add(one.target)
        for one in sorted(self.edges, key=lambda edge: edge.kind != "data"):
            may_go = one.kind != "data" or self.nodes[one.source].kind == "input"
            implied = may_go and not one.back and _has_detour(one.source, one.target, out)
            if (one.source, one.target) not in kept and not implied:
                kept[one.source, one.target] = one
        return tuple(kept.values())

    def mermaid(self) -> str:
        """A Mermaid flowchart."""
        lines = ["flowchart TD"]
        for node in self.nodes:
            left, right = _SHAPES.get(node.kind, ("[", "]"))
            lines.append(f'    n{node.number}{left}"{_escaped(node.label)}"{right}:::{node.kind}')
        for edge in self.shown():
            arrow = "-->" if edge.kind == "data" else "-.->"
            label = '|"next round"|' if edge.back else ""
            lines.append(f"    n{edge.source} {arrow}{label} n{edge.target}")
        lines += [
            f"    classDef {kind} fill:{fill},stroke:{line},color:#1a1a1a" for kind, (fill, line) in COLOURS.items()
        ]
        return "\n".join(lines) + "\n"

    def svg(self) -> str:
        """A picture: self-contained SVG text that fits light and dark pages."""
        from thalweg.program.ir.svg import draw

        return draw(self)

    def _repr_svg_(self) -> str:
        return self.svg()


COLOURS: dict[GraphKind, tuple[str, str]] = {
    "input": ("#eceff1", "#78909c"),
    "learned": ("#d9ecff", "#2f7fd1"),
    "flow": ("#e6e0ff", "#7253c9"),
    "tool": ("#dff3e0", "#3b9a45"),
    "function": ("#eef0e0", "#8a8f3c"),
    "unknown": ("#f3e6e0", "#a8684a"),
    "branch": ("#fff3d6", "#c98a12"),
    "loop": ("#fde7d3", "#cf6a1c"),
    "return": ("#eceff1", "#455a64"),
    "opaque": ("#e0e0e0", "#616161"),
}
_SHAPES = {
    "input": ("([", "])"), "return": ("([", "])"), "branch": ("{{", "}}"), "loop": ("{{", "}}"), "opaque": ("[[", "]]"),
    "learned": ("(", ")"), "flow": ("(", ")"), "tool": ("(", ")"), "function": ("(", ")"), "unknown": ("(", ")"),
}  # fmt: skip


def graph(ir: FlowIR, resolve: Resolver | None = None) -> Graph:
    """The graph of a flow.

    Args:
        resolve: what its names stand for (see `callees.resolver`); without, every call of a name that is no builtin and
            no class is drawn, and taken to be able to change what it is given.
    """
    found = dataflow(ir, resolve)
    nodes = tuple(_node(one) for one in found.steps)
    return Graph(ir.name, nodes, tuple(_edges(found)))


def _node(step: Step) -> GraphNode:
    kind: GraphKind = step.kind if step.kind != "call" else "unknown"
    detail = {"input": "input", "return": "result"}.get(step.kind, step.kind)
    if step.kind == "call":
        kinds = [one.kind for one in step.callees if one.kind in STEPS]
        kind = kinds[0]  # type: ignore[assignment]
        detail = " or ".join(dict.fromkeys(kinds)) if set(kinds) != {"unknown"} else "call"
    where = f" · line {step.line}" if step.line else ""
    return GraphNode(step.number, kind, step.text, detail + where, step.site, step.line)


def _edges(found: Dataflow) -> Iterable[GraphEdge]:
    for kind, edges in (("data", found.data), ("control", found.control), ("order", found.order)):
        for one, to in sorted(edges):
            if one != to or kind == "data":
                yield GraphEdge(one, to, kind, one >= to)  # type: ignore[arg-type]


def _levels(count: int, edges: Iterable[tuple[int, int]]) -> list[int]:
    level = [0] * count
    for one, to in sorted(edges, key=lambda edge: edge[1]):  # sources come before targets
        level[to] = max(level[to], level[one] + 1)
    return level


def _has_detour(one: int, to: int, out: dict[int, set[int]]) -> bool:
    """Whether a path of two edges or more leads from `one` to `to`."""
    waiting = [step for step in out.get(one, ()) if step < to]
    seen = set(waiting)
    while waiting:
        for step in out.get(waiting.pop(), ()):
            if step == to:
                return True
            if step < to and step not in seen:
                seen.add(step)
                waiting.append(step)
    return False


def _escaped(text: str) -> str:
    """Mermaid reads quotes, brackets and number signs in labels; entities stand for them."""
    made = text.replace("&", "&amp;").replace("#", "&num;").replace('"', "&quot;").replace("<", "&lt;")
    return made.replace(">", "&gt;").replace("`", "&#96;").replace("\\", "&#92;").replace("\n", " ")
