"""Graphs, the exact solver and the sound critic, against brute force and two other solvers."""

from __future__ import annotations

import itertools
from random import Random
from typing import Any

import networkx
import pytest
import z3
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.errors import DataError
from thalweg.program.types import plan
from thalweg.prompting.graph_colouring import (
    COLOURS,
    Graph,
    GraphColouring,
    chance,
    chromatic_number,
    colour_exactly,
    planar_graph,
    planar_graphs,
    variants,
    violations,
)

CRITIC = GraphColouring()


@st.composite
def graphs(draw: Any, most: int = 6) -> Graph:
    vertices = draw(st.integers(1, most))
    pairs = list(itertools.combinations(range(vertices), 2))
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return Graph(vertices, tuple(sorted(edges)), draw(st.integers(1, 6)))


def z3_colours(graph: Graph, colours: int) -> bool:
    solver = z3.Solver()
    vertices = z3.IntVector("v", graph.vertices)
    solver.add([z3.And(v >= 0, v < colours) for v in vertices])
    solver.add([vertices[a] != vertices[b] for a, b in graph.edges])
    return solver.check() == z3.sat


def test_ten_thousand_random_colourings_are_judged_as_brute_force_does() -> None:
    random = Random(1)
    chosen = planar_graphs(100, seed=3, density=0.5)
    accepted = 0
    for graph, _ in itertools.product(chosen, range(100)):
        colours = COLOURS[: graph.colours + (random.random() < 0.1)]  # sometimes a colour too many
        value = {str(v): random.choice(colours) for v in range(graph.vertices)}
        truth = all(value[str(a)] != value[str(b)] for a, b in graph.edges) and all(
            one in COLOURS[: graph.colours] for one in value.values()
        )
        verdict = CRITIC.check({"graph": graph}, value)
        assert verdict.at_least("proved") == truth
        assert truth or verdict.witness == violations(graph, value) != []
        accepted += truth
    assert 100 < accepted < 9_900  # both kinds were there


def test_violations_are_exactly_the_edges_of_one_colour_and_the_wrong_vertices() -> None:
    graph = Graph(4, ((0, 1), (1, 2), (2, 3)), 2)
    value = {"0": "red", "1": "red", "2": "blue"}
    assert violations(graph, value) == [2, 3, (0, 1)]  # blue is the third colour, 3 has none
    assert violations(graph, {0: "red", 1: "green", 2: "red", 3: "green", 9: "red"}) == ["9"]
    assert violations(graph, {0: "red", 1: "green", 2: "red", 3: "green"}) == []
    assert CRITIC.describe({}, value, (0, 1)) in CRITIC.faults({"graph": graph})


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_the_solver_agrees_with_z3_and_its_colourings_are_proper(graph: Graph) -> None:
    for colours in range(1, 5):
        found = colour_exactly(graph, colours)
        assert (found is not None) == z3_colours(graph, colours)
        if found is not None:
            assert violations(Graph(graph.vertices, graph.edges, colours), found) == []
    least = chromatic_number(graph)
    assert z3_colours(graph, least) and not z3_colours(graph, least - 1)


def test_generated_graphs_are_planar_solvable_least_coloured_and_seeded() -> None:
    found = planar_graphs(60, sizes=(4, 6, 8, 12, 17), seed=5)
    assert found == planar_graphs(60, sizes=(4, 6, 8, 12, 17), seed=5) != planar_graphs(60, sizes=(4, 6, 8, 12, 17))
    assert len(set(found)) == 60 and {one.vertices for one in found} == {4, 6, 8, 12, 17}
    for graph in found:
        drawn = networkx.Graph(graph.edges)
        assert networkx.check_planarity(drawn)[0] and graph.edges
        right = colour_exactly(graph)
        assert right is not None and CRITIC.check({"graph": graph}, right).at_least("proved")
        greedy = networkx.coloring.greedy_color(drawn, "DSATUR")
        assert graph.colours <= max(greedy.values()) + 1
        assert colour_exactly(graph, graph.colours - 1) is None


def test_chance_is_the_share_of_proper_colourings() -> None:
    assert chance(Graph(3, ((0, 1), (0, 2), (1, 2)), 3)) == pytest.approx(6 / 27)
    assert chance(Graph(2, (), 2)) == 1
    graph = planar_graphs(1)[0]
    random = Random(0)
    draws = [{str(v): random.choice(COLOURS[: graph.colours]) for v in range(graph.vertices)} for _ in range(4000)]
    assert sum(not violations(graph, one) for one in draws) / 4000 == pytest.approx(chance(graph), abs=0.04)


def test_misleading_edges_are_edges_that_hold() -> None:
    graph = planar_graph(8, Random(2), density=0.8)
    for kind, value in variants(graph, Random(3)):
        edge = CRITIC.mislead({"graph": graph}, value, Random(4))
        assert edge in graph.edges and edge not in violations(graph, value), kind


def test_variants_are_what_they_say() -> None:
    for graph in planar_graphs(20):
        found = dict(variants(graph, Random(7)))
        assert set(found) == {"correct", "ablated", "non-optimal", "random"}
        assert violations(graph, found["correct"]) == [] != violations(graph, found["ablated"])
        assert len(violations(graph, found["non-optimal"])) == 1  # the colour too many
        looser = Graph(graph.vertices, graph.edges, graph.colours + 1)
        assert violations(looser, found["non-optimal"]) == []


def test_the_fitted_type_holds_the_colourings_of_the_graph_and_no_others() -> None:
    graph = Graph(3, ((0, 1),), 2)
    form = plan(CRITIC.type_of({"graph": graph}))
    values = form.values()
    assert values is not None and len(values) == 2**3
    assert all(set(one) == {"0", "1", "2"} and set(one.values()) <= {"red", "green"} for one in values)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Graph(2, ((0, 2),)), "Edge 0"),
        (lambda: Graph(2, ((1, 0),)), "smaller, larger"),
        (lambda: Graph(2, ((0, 1), (0, 1))), "twice"),
        (lambda: Graph(2, (), 7), "7 colours"),
        (lambda: planar_graph(1, Random(0)), "vertices=1"),
        (lambda: planar_graphs(9, sizes=(2,)), "no 9 different graphs"),
        (lambda: list(variants(Graph(3, ((0, 1), (0, 2), (1, 2)), 2), Random(0))), "no proper colouring"),
    ],
)
def test_bad_graphs_are_refused_with_a_remedy(make: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        make()
