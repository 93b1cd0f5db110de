"""A flow's graph as a picture: layers from top to bottom, nodes of a layer side by side, edges as smooth curves.

Layers are longest paths, order within a layer comes from a few barycentre sweeps, long edges get a way of their own
through every layer. Source: Sugiyama, Tagawa and Toda, Methods for Visual Understanding of Hierarchical System
Structures (1981). Cost: milliseconds for some hundred nodes; no dependency.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thalweg.program.ir.graphs import Graph, GraphEdge, GraphNode

_CHARACTER, _PADDING = 7.3, 26  # of the label's monospaced 12 px
_HEIGHT, _LAYER, _GAP, _MARGIN = 42, 86, 22, 24
_WAY = 14  # width of an edge that passes a layer
_LONGEST = 38
_STRAIGHT = 8  # how much more than a node a passing edge insists on its place

_STYLE = """
  .thalweg text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1b1f24; }
  .thalweg text.detail { font: 10px system-ui, -apple-system, sans-serif; fill: #57606a; }
  .thalweg text.title { font: 600 13px system-ui, -apple-system, sans-serif; fill: #57606a; }
  .thalweg .edge { fill: none; stroke: #8b949e; stroke-width: 1.4; }
  .thalweg .wait { stroke-dasharray: 4 4; }
  .thalweg .tip { fill: #8b949e; stroke: none; }
  .thalweg .node { stroke-width: 1.4; }
"""


def draw(graph: Graph) -> str:
    """The picture of a graph as SVG text."""
    from thalweg.program.ir.graphs import COLOURS, _levels

    edges = graph.shown()
    forward = [one for one in edges if not one.back]
    level = _levels(len(graph.nodes), [(one.source, one.target) for one in forward])
    widths = [_width(node) for node in graph.nodes]
    layers, ways = _layers(level, forward, widths)
    place = _place(layers, ways, widths)
    right = max((x + _wide(one, widths) / 2 for one, (x, _) in place.items()), default=100)
    backs = [one for one in edges if one.back]
    width = right + _MARGIN + (16 * len(backs) + 60 if backs else 0)
    height = len(layers) * _LAYER + _MARGIN + 8
    parts = [_curve(one, ways, place, widths) for one in forward]
    parts += [_loop(one, place, widths, right + 16 + 16 * index) for index, one in enumerate(backs)]
    parts += [_box(node, place[node.number], widths[node.number]) for node in graph.nodes]
    colours = "".join(
        f"  .thalweg .{kind} {{ fill: {fill}; stroke: {line}; }}\n" for kind, (fill, line) in COLOURS.items()
    )
    dark = "".join(
        f"    .thalweg .{kind} {{ fill: {_mixed(line)}; stroke: {line}; }}\n" for kind, (_, line) in COLOURS.items()
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="thalweg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{escape(graph.name)}">\n'
        f"<style>{_STYLE}{colours}  @media (prefers-color-scheme: dark) {{\n{_DARK}{dark}  }}\n</style>\n"
        f'<text class="title" x="{_MARGIN}" y="20">{escape(graph.name)}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )


_DARK = """    .thalweg text { fill: #e6edf3; }
    .thalweg text.detail, .thalweg text.title { fill: #9da7b3; }
    .thalweg .edge { stroke: #6e7681; }
    .thalweg .tip { fill: #6e7681; }
"""


def _mixed(colour: str) -> str:
    """A dark ground of the same hue."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(
        f"{round(0.26 * one + 0.74 * base):02x}" for one, base in zip((red, green, blue), (16, 20, 26), strict=True)
    )


# -- layout ---------------------------------------------------------------------------------------------------------


def _layers(
    level: Sequence[int], edges: Sequence[GraphEdge], widths: Sequence[float]
) -> tuple[list[list[int]], dict[tuple[int, int], list[int]]]:
    """Layers of nodes and of the places where long edges pass (negative numbers), and each edge's way."""
    layers: list[list[int]] = [[] for _ in range(max(level, default=0) + 1)]
    for number, depth in enumerate(level):
        layers[depth].append(number)
    ways: dict[tuple[int, int], list[int]] = {}
    made = 0
    for one in edges:
        way = [one.source]
        for depth in range(level[one.source] + 1, level[one.target]):
            made -= 1
            layers[depth].append(made)
            way.append(made)
        ways[one.source, one.target] = [*way, one.target]
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for way in ways.values():
        for one, to in zip(way, way[1:], strict=False):
            above.setdefault(to, []).append(one)
            below.setdefault(one, []).append(to)
    for sweep in range(8):
        near, order = (above, range(1, len(layers))) if sweep % 2 == 0 else (below, range(len(layers) - 2, -1, -1))
        for depth in order:
            beside = layers[depth - 1 if near is above else depth + 1]
            at = {one: index / max(1, len(beside) - 1) for index, one in enumerate(beside)}
            here = {one: index / max(1, len(layers[depth]) - 1) for index, one in enumerate(layers[depth])}
            layers[depth].sort(
                key=lambda one, at=at, near=near, here=here: _mean([at[x] for x in near.get(one, ())], here[one])
            )
    return layers, ways


def _place(
    layers: list[list[int]], ways: dict[tuple[int, int], list[int]], widths: Sequence[float]
) -> dict[int, tuple[float, float]]:
    """Centres: each node near the mean of what it is joined with, the order of the layer kept."""
    near: dict[int, list[int]] = {}
    for way in ways.values():
        for one, to in zip(way, way[1:], strict=False):
            near.setdefault(one, []).append(to)
            near.setdefault(to, []).append(one)
    x: dict[int, float] = {}
    for layer in layers:
        left = -sum(_wide(one, widths) + _GAP for one in layer) / 2
        for one in layer:
            x[one] = left + _wide(one, widths) / 2
            left += _wide(one, widths) + _GAP
    for sweep in range(24):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = [_mean([x[other] for other in near.get(one, ())], x[one]) for one in layer]
            for one, at in zip(layer, _apart(layer, wanted, widths), strict=True):
                x[one] = at
    first = min((x[one] - _wide(one, widths) / 2 for layer in layers for one in layer), default=0)
    return {
        one: (x[one] - first + _MARGIN, depth * _LAYER + _HEIGHT / 2 + 36)
        for depth, layer in enumerate(layers)
        for one in layer
    }


def _apart(layer: list[int], wanted: list[float], widths: Sequence[float]) -> list[float]:
    """Positions nearest to the wanted ones (least squares) with room between them: blocks that touch move together."""
    blocks: list[tuple[float, int, int]] = []  # (weighted sum of wanted minus offset, weight, how many)
    offsets, offset = [], 0.0
    for index, one in enumerate(layer):
        if index:
            offset += (_wide(layer[index - 1], widths) + _wide(one, widths)) / 2 + _GAP
        offsets.append(offset)
        weight = _STRAIGHT if one < 0 else 1
        total, count = (wanted[index] - offset) * weight, weight
        members = 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            more, times, others = blocks.pop()
            total, count, members = total + more, count + times, members + others
        blocks.append((total, count, members))
    starts = [total / count for total, count, members in blocks for _ in range(members)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _wide(one: int, widths: Sequence[float]) -> float:
    return widths[one] if one >= 0 else _WAY


def _width(node: GraphNode) -> float:
    return max(len(_short(node.label)) * _CHARACTER, len(node.detail) * 5.6) + _PADDING


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


# -- drawing --------------------------------------------------------------------------------------------------------


def _box(node: GraphNode, at: tuple[float, float], width: float) -> str:
    x, y = at
    left, top = x - width / 2, y - _HEIGHT / 2
    if node.kind in ("branch", "loop"):
        cut = 10
        points = [(left, y), (left + cut, top), (left + width - cut, top), (left + width, y),
                  (left + width - cut, top + _HEIGHT), (left + cut, top + _HEIGHT)]  # fmt: skip
        shape = f'<polygon class="node {node.kind}" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>'
    else:
        round_ = _HEIGHT / 2 if node.kind in ("input", "return") else 3 if node.kind == "opaque" else 9
        shape = (
            f'<rect class="node {node.kind}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{_HEIGHT}" '
            f'rx="{round_}"/>'
        )
    label, detail = escape(_short(node.label)), escape(node.detail)
    return (
        f"<g><title>{escape(node.label)} ({escape(node.site)})</title>{shape}"
        f'<text x="{x:.1f}" y="{y - 2:.1f}" text-anchor="middle">{label}</text>'
        f'<text class="detail" x="{x:.1f}" y="{y + 13:.1f}" text-anchor="middle">{detail}</text></g>'
    )


def _curve(
    edge: GraphEdge, ways: dict[tuple[int, int], list[int]], place: dict[int, tuple[float, float]],
    widths: Sequence[float],
) -> str:  # fmt: skip
    way = [place[one] for one in ways[edge.source, edge.target]]
    (x, y), (to_x, to_y) = way[0], way[-1]
    start = (x + _slot(x, way[1][0], widths[edge.source]), y + _HEIGHT / 2)
    end = (to_x + _slot(to_x, way[-2][0], widths[edge.target]), to_y - _HEIGHT / 2 - 7)
    points = [start]
    for passed, height in way[1:-1]:
        points += [(passed, height - _HEIGHT / 2), (passed, height + _HEIGHT / 2)]
    points.append(end)
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for index, ((a, b), (c, d)) in enumerate(zip(points, points[1:], strict=False)):
        half = (d - b) * 0.5
        path += (
            f" L{c:.1f},{d:.1f}" if index % 2 else f" C{a:.1f},{b + half:.1f} {c:.1f},{d - half:.1f} {c:.1f},{d:.1f}"
        )
    wait = "" if edge.kind == "data" else " wait"
    tip = f"{end[0]:.1f},{end[1] + 7:.1f} {end[0] - 4:.1f},{end[1] - 1:.1f} {end[0] + 4:.1f},{end[1] - 1:.1f}"
    return f'<path class="edge{wait}" d="{path}"/><polygon class="tip" points="{tip}"/>'


def _slot(x: float, towards: float, width: float) -> float:
    """Edges leave and enter a little to the side they come from."""
    return max(-0.3 * width, min(0.3 * width, (towards - x) * 0.22))


def _loop(edge: GraphEdge, place: dict[int, tuple[float, float]], widths: Sequence[float], right: float) -> str:
    """Into the next round: out below, round the right side, in from above."""
    (x, y), (to_x, to_y) = place[edge.source], place[edge.target]
    x, y = x + 0.36 * widths[edge.source], y + _HEIGHT / 2
    to_x, to_y = to_x + 0.36 * widths[edge.target], to_y - _HEIGHT / 2
    low, high, bend = y + 15, to_y - 19, 10
    path = (
        f"M{x:.1f},{y:.1f} Q{x:.1f},{low:.1f} {x + bend:.1f},{low:.1f} H{right - bend:.1f} "
        f"Q{right:.1f},{low:.1f} {right:.1f},{low - bend:.1f} V{high + bend:.1f} "
        f"Q{right:.1f},{high:.1f} {right - bend:.1f},{high:.1f} H{to_x + bend:.1f} "
        f"Q{to_x:.1f},{high:.1f} {to_x:.1f},{high + bend:.1f} V{to_y - 7:.1f}"
    )
    tip = f"{to_x:.1f},{to_y:.1f} {to_x - 4:.1f},{to_y - 8:.1f} {to_x + 4:.1f},{to_y - 8:.1f}"
    wait = "" if edge.kind == "data" else " wait"
    return f'<path class="edge{wait}" d="{path}"/><polygon class="tip" points="{tip}"/>'
