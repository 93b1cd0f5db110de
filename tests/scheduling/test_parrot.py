"""Graphs of calls: what is deduced equals its definition, nothing runs before its inputs, results are those of eager
execution."""

from __future__ import annotations

import random
import threading
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.errors import GraphError
from thalweg.models import Answer, Request, Sampling, ScriptedModel
from thalweg.models.simulated import Simulated
from thalweg.scheduling import Engine
from thalweg.scheduling.parrot import Call, Graph, GraphRun, Prefixes, Transform, deduce, node_from_json, node_to_json
from thalweg.scheduling.parrot.prompts import request_for
from thalweg.scheduling.parrot.transforms import transformed


def random_graph(seed: int) -> Graph:
    draw = random.Random(seed)
    names = ["given"]
    nodes: list[Call | Transform] = []
    for index in range(draw.randint(1, 14)):
        inputs = draw.sample(names, draw.randint(0, min(3, len(names))))
        text = "Say. " + " ".join(f"{{{{{name}}}}}" for name in inputs)
        if draw.random() < 0.2 and inputs:
            nodes.append(Transform(f"v{index}", "template", text))
        else:
            nodes.append(Call(f"v{index}", text, sampling=Sampling(max_tokens=12)))
        names.append(f"v{index}")
    draw.shuffle(nodes)
    return Graph(tuple(nodes), {"given": "a value"})


def longest(graph: Graph, start: str, end: str) -> int:
    """Calls behind `start` on the longest way to `end`, by trying all ways; -1 where there is none."""
    if start == end:
        return 0
    ways = [
        longest(graph, node.output, end) + isinstance(node, Call)
        for node in graph.nodes
        if start in node.inputs and longest(graph, node.output, end) >= 0
    ]
    return max(ways, default=-1)


@pytest.mark.parametrize("criteria", ["latency", "throughput"])
def test_what_is_deduced_equals_its_definition_on_random_graphs(criteria: Any) -> None:
    for seed in range(300):
        graph = random_graph(seed)
        wanted = random.Random(seed).choice([node.output for node in graph.nodes])
        found = deduce(graph, wanted, criteria)
        depths = {
            node.output: depth
            for node in graph.nodes
            if isinstance(node, Call) and (depth := longest(graph, node.output, wanted)) >= 0
        }
        assert {name: one.depth for name, one in found.items()} == depths
        for name, one in found.items():
            together = [other for other, depth in depths.items() if depth == depths[name]]
            assert (one.group != "") == (len(together) > 1)
            assert one.objective == ("throughput" if len(together) > 1 else criteria)
            assert [other for other in found if one.group and found[other].group == one.group] == (
                [other for other in found if other in together] if one.group else []
            )


def test_what_an_earlier_question_has_dealt_with_is_not_walked_again() -> None:
    chain = [Call(f"v{i}", f"{{{{v{i - 1}}}}}" if i else "begin") for i in range(5)]
    graph = Graph(tuple(chain))
    assert list(deduce(graph, "v2")) == ["v0", "v1", "v2"]
    assert list(deduce(graph, "v4", activated={"v0", "v1", "v2"})) == ["v3", "v4"]
    with pytest.raises(GraphError, match="nothing"):
        deduce(graph, "nothing")


class Noting:
    """A model that answers each request from its text and notes when it was asked."""

    identity = "noting"

    def __init__(self, delay: bool = False) -> None:
        self.asked: list[str] = []
        self._lock = threading.Lock()
        self.model = ScriptedModel(self._said, identity="noting", max_concurrency=4 if delay else 0)
        self.capabilities = self.model.capabilities

    def _said(self, request: Request) -> str:
        with self._lock:
            self.asked.append(request.messages[-1].content)
        return f"<{len(request.messages[-1].content)}:{request.messages[-1].content[-12:]}>"

    def submit(self, request: Request) -> Future[Answer]:
        return self.model.submit(request)


def eager(graph: Graph, wanted: str, model: Any) -> str:
    values: dict[str, str] = dict(graph.values)
    for node in graph.above(wanted):
        if isinstance(node, Call):
            values[node.output] = model.submit(request_for(node, values, model)).result(60).text
        else:
            values[node.output] = transformed(node, values)
    return values[wanted]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_a_run_gives_what_eager_execution_gives_and_asks_nothing_twice(seed: int, threads: bool) -> None:
    graph = random_graph(seed)
    wanted = random.Random(seed).choice([node.output for node in graph.nodes])
    model = Noting(threads)
    run = GraphRun(model)
    run.add(graph.nodes, graph.values)
    first, again = run.get(wanted), run.get(wanted, "throughput")
    assert first.result(60) == again.result(60) == eager(graph, wanted, Noting())
    calls = [node for node in graph.above(wanted) if isinstance(node, Call)]
    assert len(model.asked) == len(calls), "each needed call once, no other"
    for node in graph.nodes:
        state = run.state(node.output)
        assert state == ("done" if node in graph.above(wanted) else "idle")


def test_no_call_begins_before_what_it_reads_is_there() -> None:
    graph = Graph((Call("a", "first"), Call("b", "second {{a}}"), Call("c", "third {{a}} {{b}}")))
    held: dict[str, Future[Answer]] = {}

    class Held:
        identity, capabilities = "held", Noting().capabilities

        def submit(self, request: Request) -> Future[Answer]:
            held[request.messages[-1].content.split()[0]] = future = Future()
            return future

    run = GraphRun(Held())
    run.add(graph.nodes)
    value = run.get("c")
    for name in ("first", "second", "third"):
        assert list(held)[-1] == name and not value.done()
        held[name].set_result(Answer(name.upper()))
    assert value.result(5) == "THIRD"


def test_a_failure_reaches_what_depends_on_it_and_nothing_else() -> None:
    def said(request: Request) -> str:
        text = request.messages[-1].content
        if text == "bad":
            raise LookupError("no such thing")
        return "fine"

    run = GraphRun(ScriptedModel(said, identity="x"))
    run.add([Call("good", "good"), Call("bad", "bad"), Call("both", "{{good}} {{bad}}"), Call("after", "{{both}}")])
    with pytest.raises(LookupError, match="no such thing"):
        run.get("bad").result(5)
    with pytest.raises(GraphError, match="no such thing") as error:
        run.get("after").result(5)
    assert isinstance(error.value.__cause__, LookupError)
    assert run.get("good").result(5) == "fine" and run.state("both") == "failed"


def test_a_cancelled_run_tells_everybody_who_waits() -> None:
    class Never:
        identity, capabilities = "never", Noting().capabilities

        def submit(self, request: Request) -> Future[Answer]:
            return Future()

    run = GraphRun(Never())
    run.add([Call("a", "x"), Call("b", "{{a}}")])
    waiting = run.get("b")
    run.cancel()
    with pytest.raises(CancelledError):
        waiting.result(5)
    with pytest.raises(GraphError):
        run.get("a")


def test_a_chain_of_thousands_needs_no_stack() -> None:
    run = GraphRun(Noting())
    run.add([Call(f"v{i}", f"{{{{v{i - 1}}}}}" if i else "begin") for i in range(3000)])
    assert run.get("v2999").result(60)


def test_results_on_the_real_model_are_token_identical_to_eager_ones(model: Any) -> None:
    sampling = Sampling(max_tokens=14)
    graph = Graph(
        (
            *[
                Call(f"part{i}", f"Describe {thing}.", "You are brief.", sampling=sampling)
                for i, thing in enumerate(("a river", "a mill", "a town"))
            ],
            Call("whole", "Join: {{part0}} {{part1}} {{part2}}", "You are brief.", sampling=sampling),
            Transform("word", "regex", r"\w+", "whole"),
            Call("title", "A title with {{word}} for: {{whole}}", "You are brief.", sampling=sampling),
        )
    )  # fmt: skip
    values: dict[str, str] = {}
    tokens: dict[str, Any] = {}
    for node in graph.order:
        if isinstance(node, Call):
            answer = model.submit(request_for(node, values, model)).result(60)
            values[node.output], tokens[node.output] = answer.text, answer.tokens
        else:
            values[node.output] = transformed(node, values)
    for policy in ("batch", "parrot"):
        model.use_policy(policy)
        run = GraphRun(model, prefixes=Prefixes(beyond=1))
        run.add(graph.nodes)
        assert run.get("title").result(60) == values["title"]
        assert {name: answer.tokens for name, answer in run.answers.items()} == tokens
    model.use_policy("batch")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_nodes_survive_the_way_through_json(seed: int) -> None:
    for node in random_graph(seed).nodes:
        assert node_from_json(node_to_json(node)) == node


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([{"template": "{{b}}", "output": "a"}, {"template": "{{a}}", "output": "b"}], "wait for each other"),
        ([{"template": "x", "output": "a"}, {"template": "y", "output": "a"}], "made twice"),
        ([{"template": "{{nobody}}", "output": "a"}], "nobody"),
        ([{"template": "x"}], "output"),
        ([{"template": "x", "output": "a", "colour": 1}], "colour"),
        ([{"template": "x", "output": "1 a"}], "name"),
        ([{"transform": "python", "output": "a"}], "python"),
        ([{"template": "x", "output": "a", "sampling": {"temperature": "hot"}}], "temperature"),
        (["x"], "no object"),
    ],
)
def test_a_malformed_graph_is_refused_with_its_reason_and_changes_nothing(nodes: list[Any], words: str) -> None:
    run = GraphRun(Noting())
    run.add([Call("z", "z")])
    with pytest.raises(GraphError, match=words) as error:
        run.add([node_from_json(data, "calls[0]") for data in nodes])
    assert error.value.remedy and len(run.graph.nodes) == 1
    assert run.get("z").result(5)


def test_equal_beginnings_have_equal_hashes_across_graphs_and_tenants() -> None:
    system = "You are the same for everybody."
    graphs = [
        Graph((Call("a", "Read: {{mail}} Now answer.", system),), {"mail": text}) for text in ("one", "two", "one")
    ]
    hashes = [graph.prefix_hashes(graph.nodes[0]) for graph in graphs]
    assert len({each[0] for each in hashes}) == 1, "up to the first variable all are equal"
    assert hashes[0] == hashes[2] and hashes[0][1] != hashes[1][1]


def test_fixed_text_of_many_requests_is_promoted() -> None:
    prefixes = Prefixes()
    text = "You are an assistant of the town's library. Be kind."
    assert [prefixes.note(text) for _ in range(5)] == [False, False, False, True, True]
    assert prefixes.promoted == 1 and prefixes.seen(text) == 5 and not prefixes.note("")


def test_the_policy_lets_a_chain_that_somebody_waits_for_pass_a_batch() -> None:
    engine = Engine(Simulated(streams=2), workers=1, policy="parrot")
    batch = GraphRun(engine, app="batch")
    batch.add([Call(f"b{i}", f"Batch {i}", sampling=Sampling(max_tokens=20)) for i in range(60)])
    slow = [batch.get(f"b{i}", "throughput") for i in range(60)]
    chain = GraphRun(engine, app="chain")
    chain.add([Call(f"c{i}", f"{{{{c{i - 1}}}}}" if i else "go", sampling=Sampling(max_tokens=20)) for i in range(4)])
    chain.get("c3").result(60)
    unfinished = sum(not one.done() for one in slow)
    assert [one.result(60) for one in slow]
    engine.close()
    assert unfinished > 30
