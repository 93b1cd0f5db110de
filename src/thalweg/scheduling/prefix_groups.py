"""Prefix groups: which nodes of a tree become the one shared prefix of a group, so that most tokens are saved.

A selected node's whole path is a prefix that is computed once; a request joins its deepest selected ancestor. The
saving is the sum over requests of the depth joined, less the sum over selected nodes of their depth.
`exact` (the default of plans) solves this optimally. With x the depth of the nearest selected ancestor, e(v) the
requests ending at v and D(v) its depth, f(v, x) = max(sum f(c, x) + e(v) x, sum f(c, D(v)) + e(v) D(v) - D(v)). As a
function of x that is increasing, convex and piecewise linear, so it is kept as a heap of breakpoints (small merged
into large): O(n log^2 n) however deep the tree, where a table over (v, x) takes n times the depth.
`greedy` is the paper's MaximizeReuse, bottom up: a grandchild leaves its parent for a prefix of its own when that saves
more than computing the parent's tokens once more.

Source: Zheng et al. 2024, "BatchLLM: Optimizing Large Batched LLM Inference with Global Prefix Sharing and
Throughput-oriented Token Batching" (greedy); the dynamic program is ours.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Literal

from thalweg.errors import DataError
from thalweg.scheduling.radix_tree import RadixTree

Strategy = Literal["exact", "greedy"]


def select(tree: RadixTree, strategy: Strategy = "exact") -> set[int]:
    """The nodes that become prefixes.

    Raises:
        DataError: no strategy of that name.
    """
    if strategy not in STRATEGIES:
        raise DataError(f"There is no strategy {strategy!r} to form groups.", f"Choose one of {', '.join(STRATEGIES)}.")
    return STRATEGIES[strategy](tree)


def joined(tree: RadixTree, selected: set[int]) -> list[int]:
    """By node: its deepest selected ancestor or itself, -1 where there is none."""
    prefix = [-1] * len(tree.parent)
    for node in tree.nodes():
        prefix[node] = node if node in selected else (prefix[tree.parent[node]] if tree.parent[node] >= 0 else -1)
    return prefix


def saving(tree: RadixTree, selected: set[int]) -> int:
    """Prompt tokens that need not be computed when these nodes are the prefixes of groups."""
    prefix = joined(tree, selected)
    kept = sum(count * tree.depth[prefix[node]] for node, count in enumerate(tree.ends) if count and prefix[node] >= 0)
    return kept - sum(tree.depth[node] for node in selected)


def exact(tree: RadixTree) -> set[int]:
    """A selection of the greatest saving."""
    order = list(tree.nodes())
    open_curves: dict[int, _Curve] = {}
    threshold = [0.0] * len(tree.parent)  # a node is selected when its nearest selected ancestor is less deep
    for node in reversed(order):
        curve = open_curves.pop(node, None)
        parent, depth, ends = tree.parent[node], tree.depth[node], tree.ends[node]
        if parent < 0:
            continue
        above = open_curves.get(parent)
        if curve is None and ends < 2:  # a lone request gains nothing from a prefix of its own
            if above is None:
                above = open_curves[parent] = _Curve()
            above.slope += ends
            continue
        curve = curve or _Curve()
        curve.slope += ends
        threshold[node] = curve.at_least(curve.at(depth) - depth)
        curve.cut(tree.depth[parent])
        open_curves[parent] = curve if above is None else above.plus(curve)
    selected: set[int] = set()
    nearest = [0] * len(tree.parent)
    for node in order:
        if tree.parent[node] >= 0:
            nearest[node] = nearest[tree.parent[node]]
            if nearest[node] < threshold[node]:
                selected.add(node)
                nearest[node] = tree.depth[node]
    return selected


class _Curve:
    """f(x) = base + slope x + sum of w max(0, x - b): increasing and convex, on 0 <= x <= the largest x asked for."""

    __slots__ = ("_dead", "_high", "_low", "base", "slope", "sum_w", "sum_wb")

    def __init__(self) -> None:
        self.base = self.slope = self.sum_w = self.sum_wb = 0.0
        self._low: list[tuple[float, int, float]] = []  # (b, number, w)
        self._high: list[tuple[float, int, float]] = []  # (-b, number, w)
        self._dead: set[int] = set()

    def at(self, x: float) -> float:
        """f(x), for x not below any breakpoint."""
        return self.base + (self.slope + self.sum_w) * x - self.sum_wb

    def at_least(self, value: float) -> float:
        """Raise the curve to `value` where it is below. Returns where the old curve begins to be above; at most 0 if
        it is everywhere."""
        if value <= self.base:
            return 0.0
        slope, base = self.slope, self.base
        while (low := self._peek()) is not None and base + slope * low[0] <= value:
            self._pop(low)
            slope += low[2]
            base -= low[2] * low[0]
        crossing = (value - base) / slope if slope > 0 else float("inf")
        self.base, self.slope = value, 0.0
        if slope > 0:
            self._push(crossing, slope)
        return crossing

    def cut(self, x: float) -> None:
        """Forget breakpoints from `x` on: the curve is only asked for up to there."""
        while self._high:
            b, number, w = self._high[0]
            if number in self._dead:
                self._dead.discard(number)
                heappop(self._high)
            elif -b >= x:
                heappop(self._high)
                self._dead.add(number)
                self.sum_w -= w
                self.sum_wb += w * b
            else:
                break

    def plus(self, other: _Curve) -> _Curve:
        small, large = (self, other) if len(self._low) < len(other._low) else (other, self)
        large.base += small.base
        large.slope += small.slope
        while (low := small._peek()) is not None:
            small._pop(low)
            large._push(low[0], low[2])
        return large

    def _push(self, b: float, w: float) -> None:
        number = next(_numbers)
        heappush(self._low, (b, number, w))
        heappush(self._high, (-b, number, w))
        self.sum_w += w
        self.sum_wb += w * b

    def _peek(self) -> tuple[float, int, float] | None:
        while self._low and self._low[0][1] in self._dead:
            self._dead.discard(heappop(self._low)[1])
        return self._low[0] if self._low else None

    def _pop(self, low: tuple[float, int, float]) -> None:
        heappop(self._low)
        self._dead.add(low[1])
        self.sum_w -= low[2]
        self.sum_wb -= low[2] * low[0]


def greedy(tree: RadixTree) -> set[int]:
    """MaximizeReuse. Keeps about 98 % of the exact saving on deep random trees, all of it where one level dominates."""
    groups: dict[int, list[tuple[int, int, int]]] = {}  # by parent: tokens below it, requests, node
    lone: dict[int, int] = {}  # by parent: requests that joined it
    for node in list(tree.nodes())[::-1]:
        parent = tree.parent[node]
        inner, members = groups.pop(node, []), lone.pop(node, 0) + tree.ends[node]
        if parent < 0:
            groups[node] = inner
            continue
        tokens = tree.depth[node] - tree.depth[parent]
        outer: list[tuple[int, int, int]] = []
        for below, count, one in inner:
            if (count - 1) * below > tokens:
                outer.append((tokens + below, count, one))
            else:
                members += count
        if members > 1:
            outer.append((tokens, members, node))
        else:
            lone[parent] = lone.get(parent, 0) + members
        if parent not in groups:
            groups[parent] = outer
        else:
            groups[parent] += outer
    return {node for inner in groups.values() for _, _, node in inner}


STRATEGIES: dict[str, Callable[[RadixTree], set[int]]] = {"exact": exact, "greedy": greedy}
_numbers = itertools.count()
