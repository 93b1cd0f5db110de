"""The graph of a flow: levels show what overlaps, the drawing is well-formed and nothing in it lies upon another."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from program_with_calls import again, chat, handle, posts, triage, wide
from written_flows import SOURCES

from thalweg.program.ir import read_source
from thalweg.program.ir.callees import resolver
from thalweg.program.ir.graphs import Graph, graph

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "mail"))

LAWS = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


def of(flow: Any) -> Graph:
    return graph(flow.ir, resolver(flow.function))


def labels(found: Graph) -> list[list[str]]:
    return [[found.nodes[one].label for one in level] for level in found.levels()]


def test_independent_calls_stand_on_one_level() -> None:
    assert labels(of(handle))[:3] == [["mail"], ["summarize(mail)", "urgent(mail)"], ["match urgent(mail)"]]
    kinds = {node.label: node.kind for node in of(handle).nodes}
    assert kinds["summarize(mail)"] == "learned" and kinds["match urgent(mail)"] == "branch"


def test_values_decisions_and_orders_are_different_edges() -> None:
    found = of(handle)
    at = {node.label: node.number for node in found.nodes}
    edges = {(one.source, one.target): one.kind for one in found.edges}
    assert edges[at["summarize(mail)"], at["reply(summary, tone='calm')"]] == "data"
    assert edges[at["match urgent(mail)"], at["reply(summary, tone='calm')"]] == "control"
    order = [(one.source, one.target) for one in of(posts).edges if one.kind == "order" and one.back]
    assert order, "a write waits for the one of the round before"


def test_a_value_for_the_next_round_is_an_edge_back() -> None:
    found = of(chat)
    back = [one for one in found.edges if one.back]
    assert [(found.nodes[one.source].label, found.nodes[one.target].label) for one in back] == [
        ("summarize(history + mail)", "summarize(history + mail)")
    ]


def test_the_example_flow_is_drawn() -> None:
    import triage as example

    found = of(example.triage)
    assert {node.kind for node in found.nodes} == {"input", "learned", "branch", "return"}
    assert found._repr_svg_() == found.svg()


@pytest.mark.parametrize("flow", [handle, triage, chat, wide, again, posts])
def test_the_drawing_is_well_formed_and_its_boxes_are_apart(flow: Any) -> None:
    found = of(flow)
    root = ET.fromstring(found.svg())
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    boxes = []
    for one in root.iter():
        if one.tag.endswith("rect"):
            x, y, wide_, high = (float(one.attrib[name]) for name in ("x", "y", "width", "height"))
            boxes.append((x, y, x + wide_, y + high))
        elif one.tag.endswith("polygon") and "node" in one.attrib["class"]:
            points = [tuple(map(float, part.split(","))) for part in one.attrib["points"].split()]
            xs, ys = zip(*points, strict=True)
            boxes.append((min(xs), min(ys), max(xs), max(ys)))
    assert len(boxes) == len(found.nodes)
    for index, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0 and right <= width and top >= 0 and bottom <= height
        for other in boxes[:index]:
            assert right < other[0] or other[2] < left or bottom < other[1] or other[3] < top
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", found.svg()), "nothing is fetched"
    assert "prefers-color-scheme: dark" in found.svg()


@given(SOURCES)
@LAWS
def test_any_flow_can_be_drawn_and_every_level_waits_for_the_one_above(source: str) -> None:
    found = graph(read_source(source))
    ET.fromstring(found.svg())
    level = {one: depth for depth, members in enumerate(found.levels()) for one in members}
    assert sorted(level) == [node.number for node in found.nodes]
    for one in found.edges:
        if not one.back:
            assert level[one.source] < level[one.target]
    shown = {(one.source, one.target) for one in found.shown()}
    assert shown <= {(one.source, one.target) for one in found.edges}


def test_mermaid_text_has_every_node_and_no_raw_label() -> None:
    found = graph(read_source('def f(x):\n    return tools.g("a\\"]b#<c>|`{d}", x)'))
    text = found.mermaid()
    lines = text.splitlines()
    assert lines[0] == "flowchart TD"
    nodes = [re.fullmatch(r'    n(\d+)[\[({]+"([^"]*)"[\])}]+:::(\w+)', line) for line in lines]
    labels = {int(match[1]): match[2] for match in nodes if match}
    assert sorted(labels) == [node.number for node in found.nodes]
    assert all(not set(label) & set('"<>`') and not re.search(r"#(?!96;|92;)", label) for label in labels.values())
    edges = [line for line in lines if re.fullmatch(r'    n\d+ -\.?->(\|"next round"\|)? n\d+|    n\d+ --> n\d+', line)]
    assert len(edges) == len(found.shown())
