"""A cost model is a fit that never rewards work, and a graph's latency follows the law of waves."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import GraphError
from thalweg.models.simulated import Device, Simulated
from thalweg.scheduling.call_graph import CallGraph, CallNode
from thalweg.scheduling.cost import KNEES, CostModel, Prices, fit, profile, roofline


def made_up() -> CostModel:
    return CostModel((0.002, 1e-4, 2e-5, 0.0), ((1, 0.01), (4, 0.016), (16, 0.05)), 1e-6, "made up")


def test_a_fit_finds_the_model_that_made_the_points() -> None:
    true = made_up()
    reads = [(length, true.seconds(prefill=length)) for length in (8, 16, 32, 64, 96, 128, 200, 256, 300, 500)]
    passes = [
        (rows, cells, true.seconds(decode_sequences=rows, decode_tokens=1, kv_tokens=cells))
        for rows in (1, 4, 16)
        for cells in (100, 2000)
    ]
    found = fit(reads, passes)
    for length in (20, 80, 150, 400):
        assert found.seconds(prefill=length) == pytest.approx(true.seconds(prefill=length), rel=1e-3)
    for rows, cells in ((1, 500), (2, 800), (16, 1500)):
        said = {"decode_sequences": rows, "decode_tokens": 3, "kv_tokens": cells}
        assert found.seconds(**said) == pytest.approx(true.seconds(**said), rel=1e-3)


@given(st.lists(st.tuples(st.integers(1, 600), st.floats(1e-4, 1.0)), min_size=3, max_size=20))
def test_whatever_was_measured_more_work_never_takes_less_time(reads: list[tuple[int, float]]) -> None:
    draw = random.Random(len(reads))
    passes = [(rows, rows * 100, draw.uniform(0.001, 0.1)) for rows in (1, 2, 4, 8)]
    model = fit(reads, passes)
    assert all(one >= 0 for one in model.reading) and model.cell >= 0
    times = [model.seconds(prefill=length) for length in (1, *KNEES, 300, 1000)]
    assert times == sorted(times)
    rows = [model.of_pass(one) for one in range(1, 40)]
    assert all(b >= a - 1e-12 for a, b in zip(rows, rows[1:], strict=False))


def test_a_profile_of_the_simulated_device_is_that_device() -> None:
    class Clocked(Simulated):
        """Takes the time it models."""

        def _spend(self, before: float) -> None:
            import time

            until = time.perf_counter() + self.seconds - before
            while time.perf_counter() < until:
                pass

        def open(self, *said: object) -> object:  # type: ignore[override]
            before = self.seconds
            prefix = super().open(*said)  # type: ignore[arg-type]
            self._spend(before)
            return prefix

        def score(self, forest: object) -> object:  # type: ignore[override]
            before = self.seconds
            scores = super().score(forest)  # type: ignore[arg-type]
            self._spend(before)
            return scores

    device = Device(weights=2e-3, token=4e-5, cell=1e-7)
    found = profile(Clocked(streams=8, context=512, device=device), repeats=2)
    assert found.seconds(prefill=300) == pytest.approx(device.seconds(300, 0, 0), rel=0.3)
    assert found.of_pass(1) == pytest.approx(2e-3, rel=0.5)


def test_the_real_engine_can_be_profiled(scorer: object) -> None:
    model = profile(scorer, repeats=1)
    assert model.measured and model.seconds(prefill=200) > model.seconds(prefill=20) > 0
    assert 0 < model.of_pass(1) <= model.of_pass(8)


def test_a_modelled_device_says_so() -> None:
    model = roofline("a GPU", parameters=8e9, bytes_per_weight=2, flops=3e14, bandwidth=2e12)
    assert not model.measured
    assert model.of_pass(1) == pytest.approx(8e-3) and model.of_pass(512) > 3 * model.of_pass(1)


def test_prices_are_linear_and_cached_tokens_may_be_cheaper() -> None:
    assert Prices(1.0, 4.0)(1_000_000, 500_000) == 3.0
    assert Prices(1.0, 4.0, cached=0.1)(1_000_000, 0, cached=1_000_000) == pytest.approx(0.1)


@given(st.integers(1, 40), st.integers(1, 12))
def test_equal_calls_take_waves(count: int, parallelism: int) -> None:
    graph = CallGraph(tuple(CallNode(str(i)) for i in range(count)))
    assert graph.latency(lambda _: 2.0, parallelism) == 2.0 * math.ceil(count / parallelism)


@given(st.integers(0, 10_000))
def test_latency_lies_between_the_critical_path_and_one_after_the_other(seed: int) -> None:
    draw = random.Random(seed)
    nodes = [
        CallNode(str(i), reads=tuple(map(str, draw.sample(range(i), draw.randint(0, min(i, 3)))))) for i in range(12)
    ]
    draw.shuffle(nodes)
    graph = CallGraph(tuple(nodes))
    weight = {node.name: draw.randint(1, 9) for node in nodes}
    critical, way = graph.critical_path(lambda node: weight[node.name])
    total = graph.total(lambda node: weight[node.name])
    assert sum(weight[node.name] for node in way) == critical
    assert graph.latency(lambda node: weight[node.name], 1) == total
    assert graph.latency(lambda node: weight[node.name], 99) == critical
    for parallelism in (2, 3):
        found = graph.latency(lambda node: weight[node.name], parallelism)
        assert max(critical, total / parallelism) <= found <= total
    places = {node.name: i for i, node in enumerate(graph.order)}
    assert all(places[name] < places[node.name] for node in nodes for name in node.reads)


def test_a_graph_that_cannot_run_is_refused() -> None:
    for nodes in ((CallNode("a", reads=("b",)),), (CallNode("a", reads=("a",)),), (CallNode("a"), CallNode("a"))):
        with pytest.raises(GraphError):
            CallGraph(nodes)
    with pytest.raises(GraphError):
        CallGraph((CallNode("a"),)).latency(lambda _: 1.0, 0)
