"""Graph colouring: seeded planar graphs that can be coloured, an exact solver, and a sound critic with all violations.

The task on which iterative prompting is studied: what a right answer is, code can tell at once. Choose it to see what
feedback is worth to a model (`feedback_study`). Source: Stechly, Marquez and Kambhampati, 2023, "GPT-4 doesn't know
it's wrong"; the solver: Brelaz, 1979, "New methods to color the vertices of a graph" (DSATUR), with backtracking.
Cost: a check is linear in the edges; the solver is exponential at worst, under a millisecond for 20 planar vertices.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any, Literal, TypedDict

from thalweg.errors import DataError
from thalweg.program.score import Verdict

Edge = tuple[int, int]
Colour = Literal["red", "green", "blue", "yellow", "purple", "orange"]
COLOURS: tuple[str, ...] = ("red", "green", "blue", "yellow", "purple", "orange")
Colouring = dict[str, Colour]  # vertex, as text, to colour


@dataclass(frozen=True)
class Graph:
    """A graph and how many colours it may take.

    Args:
        vertices: how many; they are 0, 1, ... edges: pairs (smaller, larger), each once.
        colours: how many of `COLOURS`, from the first.

    Raises:
        DataError: an edge of no such vertex, or said twice; more colours than there are.
    """

    vertices: int
    edges: tuple[Edge, ...]
    colours: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", tuple((int(a), int(b)) for a, b in self.edges))
        for row, (a, b) in enumerate(self.edges):
            if not 0 <= a < b < self.vertices:
                raise DataError(
                    f"Edge {row}, ({a}, {b}), is not of two of the vertices 0 to {self.vertices - 1}.",
                    "Give each edge as (smaller, larger).", row=row,
                )  # fmt: skip
        if len(set(self.edges)) < len(self.edges):
            raise DataError("An edge is given twice.", "Give each edge once.")
        if not 1 <= self.colours <= len(COLOURS):
            raise DataError(f"{self.colours} colours are not between 1 and {len(COLOURS)}.", "Choose fewer or more.")


@dataclass(frozen=True)
class GraphColouring:
    """The sound critic: `proved` when every vertex has one of the graph's colours and no edge joins two of one colour.

    A refuted colouring has all violations as its witness: edges ``(a, b)`` and, before them, vertices (numbers) without
    a colour of the graph or that it has not.

    Args:
        graph: name of the input that holds the `Graph`.
    """

    graph: str = "graph"

    def check(self, inputs: Mapping[str, Any], value: Mapping[Any, Any]) -> Verdict:
        """What is found about a colouring: vertex (number or text) to colour."""
        graph: Graph = inputs[self.graph]
        found = violations(graph, value)
        if found:
            return Verdict.refuted(found, f"{len(found)} violations", cases=len(graph.edges))
        return Verdict.proved("every edge joins two colours", cases=len(graph.edges))

    def describe(self, inputs: Mapping[str, Any], value: Any, violation: Any) -> str:
        """One violation in words."""
        if isinstance(violation, tuple):
            return _same(violation)
        return f"vertex {violation} has no colour that it may have"

    def mislead(self, inputs: Mapping[str, Any], value: Mapping[Any, Any], random: Random) -> Edge:
        """An edge that is not violated; any edge where all are."""
        graph: Graph = inputs[self.graph]
        wrong = set(violations(graph, value))
        return random.choice([edge for edge in graph.edges if edge not in wrong] or list(graph.edges) or [(0, 0)])

    def faults(self, inputs: Mapping[str, Any]) -> list[str]:
        """What may be wrong, in the words of `describe`: for `SelfCritique(faults=...)`."""
        return [_same(edge) for edge in inputs[self.graph].edges]

    def type_of(self, inputs: Mapping[str, Any]) -> Any:
        """The type of this graph's colourings, one allowed colour a vertex: for `Fitted`."""
        graph: Graph = inputs[self.graph]
        return _colouring_type(graph.vertices, graph.colours)


def _same(edge: Edge) -> str:
    return f"vertices {edge[0]} and {edge[1]} are joined and have the same colour"


@lru_cache(maxsize=256)
def _colouring_type(vertices: int, colours: int) -> Any:
    allowed = Literal[COLOURS[:colours]]  # type: ignore[valid-type]
    return TypedDict(f"Colouring_{vertices}_{colours}", {str(one): allowed for one in range(vertices)})  # type: ignore


def violations(graph: Graph, colouring: Mapping[Any, Any]) -> list[Any]:
    """What is wrong with a colouring: vertices without an allowed colour, then edges of one colour, in order."""
    allowed = COLOURS[: graph.colours]
    given = {str(vertex): colour for vertex, colour in colouring.items()}
    names = [str(vertex) for vertex in range(graph.vertices)]
    bad: list[Any] = [vertex for vertex, name in enumerate(names) if given.get(name) not in allowed]
    bad += sorted(set(given) - set(names))
    return bad + [(a, b) for a, b in graph.edges if str(a) in given and given.get(str(a)) == given.get(str(b))]


def colour_exactly(graph: Graph, colours: int | None = None) -> dict[str, str] | None:
    """A proper colouring with at most `colours` (default: the graph's) colours; None when there is none."""
    most = graph.colours if colours is None else colours
    near: list[set[int]] = [set() for _ in range(graph.vertices)]
    for a, b in graph.edges:
        near[a].add(b)
        near[b].add(a)
    chosen: dict[int, int] = {}

    def extend() -> bool:
        if len(chosen) == graph.vertices:
            return True
        used = max(chosen.values(), default=-1) + 1
        taken = {v: {chosen[w] for w in near[v] if w in chosen} for v in range(graph.vertices) if v not in chosen}
        vertex = max(taken, key=lambda v: (len(taken[v]), len(near[v]), -v))  # the most constrained first
        for colour in range(min(used + 1, most)):  # a colour not used yet is as good as any other such
            if colour not in taken[vertex]:
                chosen[vertex] = colour
                if extend():
                    return True
                del chosen[vertex]
        return False

    if not extend():
        return None
    names = COLOURS if most <= len(COLOURS) else tuple(map(str, range(most)))
    return {str(vertex): names[chosen[vertex]] for vertex in range(graph.vertices)}


def chromatic_number(graph: Graph) -> int:
    """The least number of colours that suffices."""
    return next(n for n in itertools.count(min(1, graph.vertices)) if colour_exactly(graph, n) is not None)


def chance(graph: Graph) -> float:
    """Share of the proper ones among all colourings with the graph's colours: what a blind guess achieves."""
    good = sum(
        all(one[a] != one[b] for a, b in graph.edges)
        for one in itertools.product(range(graph.colours), repeat=graph.vertices)
    )
    return good / graph.colours**graph.vertices


def planar_graph(vertices: int, random: Random, *, density: float = 0.4, colours: int = 3) -> Graph:
    """A planar graph that can be coloured with `colours` colours, by construction; `Graph.colours` is the least number.

    Points lie at random in the plane and have hidden colours; pairs of different ones are joined with probability
    `density`, in random order, where the segment crosses none before. At least one edge is there.

    Raises:
        DataError: fewer than 2 vertices, a density that is no probability above 0, colours outside 2 to 6.
    """
    if vertices < 2 or not 0 < density <= 1 or not 2 <= colours <= len(COLOURS):
        raise DataError(
            f"No graph has vertices={vertices}, density={density}, colours={colours}.",
            f"Give 2 or more vertices, a density above 0 up to 1, 2 to {len(COLOURS)} colours.",
        )
    while True:
        points = [(random.random(), random.random()) for _ in range(vertices)]
        hidden = [random.randrange(colours) for _ in range(vertices)]
        pairs = list(itertools.combinations(range(vertices), 2))
        random.shuffle(pairs)
        kept: list[Edge] = []
        for a, b in pairs:
            if hidden[a] == hidden[b] or random.random() >= density:
                continue
            apart = (edge for edge in kept if not {a, b} & set(edge))
            if not any(_cross(points[a], points[b], points[c], points[d]) for c, d in apart):
                kept.append((a, b))
        if kept:
            graph = Graph(vertices, tuple(sorted(kept)), colours)
            return Graph(vertices, graph.edges, chromatic_number(graph))


def planar_graphs(number: int, *, sizes: Sequence[int] = (4, 5, 6, 7, 8), seed: int = 0, **how: Any) -> list[Graph]:
    """Different graphs, of the sizes in turn; equal seeds give equal graphs (see `planar_graph`)."""
    random = Random(f"graph colouring {seed}")
    found: dict[Graph, None] = {}
    turns = 0
    while len(found) < number:
        if turns == 1000 * number:
            raise DataError(f"There are no {number} different graphs of these sizes.", "Ask for fewer or larger ones.")
        turns += 1
        found.setdefault(planar_graph(sizes[len(found) % len(sizes)], random, **how))
    return list(found)


def variants(graph: Graph, random: Random) -> Iterator[tuple[str, dict[str, str]]]:
    """Colourings to try a verifier on: (kind, colouring) of ``correct``, ``ablated`` (one vertex takes a neighbour's
    colour), ``non-optimal`` (proper, but with a colour too many) and ``random``."""
    right = colour_exactly(graph)
    if right is None:
        raise DataError("The graph has no proper colouring with its colours.", "Allow it more colours.")
    yield "correct", right
    a, b = random.choice(graph.edges)
    yield "ablated", {**right, str(a): right[str(b)]}
    if graph.colours < len(COLOURS):
        yield "non-optimal", {**right, str(random.randrange(graph.vertices)): COLOURS[graph.colours]}
    yield "random", {str(vertex): random.choice(COLOURS[: graph.colours]) for vertex in range(graph.vertices)}


def _cross(p: tuple[float, float], q: tuple[float, float], r: tuple[float, float], s: tuple[float, float]) -> bool:
    def side(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
        return (b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0])

    return side(p, q, r) != side(p, q, s) and side(r, s, p) != side(r, s, q)
