"""`CallGraph`: calls and what they wait for, with a weight each - for planning, serving, analysis.

A node is a call with its tokens; an edge says that one call reads another's answer. From it come the order, the longest
way, groups by depth, and the latency when so many calls may run side by side. Cost: linear, the schedule n log n.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from thalweg.errors import GraphError


@dataclass(frozen=True)
class CallNode:
    """One call.

    Args:
        name: of it, unique. function: what is called. prompt, output, cached: tokens. reads: names it waits for.
        place: where it should run, for whoever places calls.
    """

    name: str
    function: str = ""
    prompt: float = 0
    output: float = 0
    cached: float = 0
    reads: tuple[str, ...] = ()
    place: str = ""
    values: Mapping[str, int] = field(default_factory=dict, compare=False)  # bytes read, by name


Seconds = Callable[[CallNode], float]
N = TypeVar("N")


@dataclass(frozen=True)
class CallGraph:
    """Calls, each after what it reads or not: `order` sorts them.

    Raises:
        GraphError: two calls of one name, a name nobody has, or calls that wait for each other.
    """

    nodes: tuple[CallNode, ...] = ()

    def __post_init__(self) -> None:
        names = {node.name for node in self.nodes}
        if len(names) < len(self.nodes):
            raise GraphError("Two calls have one name.", "Name each call once.")
        for node in self.nodes:
            for name in node.reads:
                if name not in names:
                    raise GraphError(f"{node.name!r} waits for {name!r}, which is no call.", "Add it, or leave it out.")
        if len(self.order) < len(self.nodes):
            raise GraphError("Some calls wait for each other.", "Break the circle.")

    @classmethod
    def of_waves(cls, waves: Iterable[Sequence[CallNode]]) -> CallGraph:
        """Calls of which each wave waits for the whole one before."""
        nodes: list[CallNode] = []
        before: tuple[str, ...] = ()
        for wave in waves:
            nodes += [
                CallNode(one.name, one.function, one.prompt, one.output, one.cached, before, one.place) for one in wave
            ]
            before = tuple(one.name for one in wave)
        return cls(tuple(nodes))

    @cached_property
    def order(self) -> tuple[CallNode, ...]:
        """All calls, each after what it reads."""
        return topological(self.nodes, lambda node: node.name, lambda node: node.reads)

    @cached_property
    def depths(self) -> dict[str, int]:
        """Calls in a row before each one."""
        found: dict[str, int] = {}
        for node in self.order:
            found[node.name] = max((found[name] + 1 for name in node.reads), default=0)
        return found

    def groups(self) -> list[tuple[CallNode, ...]]:
        """Calls of equal depth, which can run together."""
        found: dict[int, list[CallNode]] = {}
        for node in self.order:
            found.setdefault(self.depths[node.name], []).append(node)
        return [tuple(found[depth]) for depth in sorted(found)]

    def critical_path(self, seconds: Seconds) -> tuple[float, tuple[CallNode, ...]]:
        """The longest way: the time that no parallelism removes."""
        ends: dict[str, float] = {}
        via: dict[str, str] = {}
        nodes = {node.name: node for node in self.nodes}
        for node in self.order:
            before = max(node.reads, key=lambda name: ends[name], default="")
            via[node.name] = before
            ends[node.name] = seconds(node) + (ends[before] if before else 0.0)
        if not ends:
            return 0.0, ()
        name = max(ends, key=lambda one: ends[one])
        total, way = ends[name], []
        while name:
            way.append(nodes[name])
            name = via[name]
        return total, tuple(way[::-1])

    def latency(self, seconds: Seconds, parallelism: int) -> float:
        """Time from the first call's begin to the last one's end, at most `parallelism` at a time, ready ones in
        order. For k equal calls: ceil(k / parallelism) times one of them."""
        if parallelism < 1:
            raise GraphError(f"parallelism={parallelism} lets no call run.", "Give at least 1.")
        left = {node.name: len(node.reads) for node in self.nodes}
        readers: dict[str, list[int]] = {}
        for i, node in enumerate(self.order):
            for name in node.reads:
                readers.setdefault(name, []).append(i)
        ready = [i for i, node in enumerate(self.order) if not left[node.name]]
        heapq.heapify(ready)
        running: list[tuple[float, int]] = []
        now = 0.0
        while ready or running:
            while ready and len(running) < parallelism:
                i = heapq.heappop(ready)
                heapq.heappush(running, (now + seconds(self.order[i]), i))
            now, done = heapq.heappop(running)
            for i in readers.get(self.order[done].name, ()):
                left[self.order[i].name] -= 1
                if not left[self.order[i].name]:
                    heapq.heappush(ready, i)
        return now

    def total(self, what: Seconds) -> float:
        """Sum over all calls of seconds, tokens, money."""
        return sum(map(what, self.nodes))


def topological(nodes: Sequence[N], name: Callable[[N], str], reads: Callable[[N], Sequence[str]]) -> tuple[N, ...]:
    """The nodes, each after those whose names it reads, else in the order given (Kahn 1962). Names that no node has do
    not count; nodes that wait for each other are left out, so that fewer come back."""
    names = {name(node) for node in nodes}
    left = {name(node): sum(one in names for one in reads(node)) for node in nodes}
    readers: dict[str, list[N]] = {}
    for node in nodes:
        for one in reads(node):
            readers.setdefault(one, []).append(node)
    ready = [node for node in nodes if not left[name(node)]]
    for node in ready:  # grows while it is walked
        for reader in readers.get(name(node), ()):
            left[name(reader)] -= 1
            if not left[name(reader)]:
                ready.append(reader)
    return tuple(ready)
