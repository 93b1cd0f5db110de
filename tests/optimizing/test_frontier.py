"""The frontier: what it reports as not dominated is not, and every dominated row has somebody who dominates it."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import DataError, ModelError, SearchError
from thalweg.models.request import Answer, Request, Usage
from thalweg.models.scripted import ScriptedModel
from thalweg.optimizing.frontier import dominated, frontier
from thalweg.prompting.chain_of_thought import ChainOfThought
from thalweg.prompting.self_consistency import SelfConsistency
from thalweg.scheduling.cost import CostModel, Prices

DATA = [(f"number {i}", "even" if i % 2 == 0 else "odd") for i in range(10)]


@tw.learned
def parity(text: str) -> Literal["even", "odd"]:
    """Even or odd?"""


def script(request: Request) -> Answer:
    text = request.messages[-1].content
    if not request.format.choices:
        return Answer("it is " + ("even" if int(text.split()[-1]) % 2 == 0 else "odd"), usage=Usage(20, 5, 10))
    return Answer("odd" if "odd" in text else "even", usage=Usage(20, 0, 1))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_no_point_of_the_frontier_is_dominated_and_every_other_is(points: list[tuple[int, int]]) -> None:
    marked = dominated(points)
    kept = [one for one, beaten in zip(points, marked, strict=True) if not beaten]
    assert kept
    for cost, score in kept:
        assert not any(c <= cost and s >= score and (c < cost or s > score) for c, s in points)
    for (cost, score), beaten in zip(points, marked, strict=True):
        if beaten:
            assert any(c <= cost and s >= score and (c < cost or s > score) for c, s in kept)


def test_rows_have_scores_prices_and_who_is_dominated(tmp_path: Any) -> None:
    strategies = {"plain": None, "chain": ChainOfThought(), "three": SelfConsistency(3)}
    with tw.using(model=ScriptedModel(script, identity="parity"), store=tmp_path):
        found = frontier(strategies, DATA, parity, prices=Prices(in_=100, out=1000, cached=0))
        again = frontier(strategies, DATA, parity, prices=Prices(in_=100, out=1000, cached=0))
    plain, chain, three = found.rows
    assert (plain.score.mean, chain.score.mean, three.score.mean) == (0.5, 1.0, 0.5)
    assert (plain.calls, chain.calls, three.calls) == (1, 2, 3)
    assert (plain.tokens, chain.tokens, three.tokens) == (21, 51, 63)
    assert plain.money == pytest.approx((20 * 100 + 1000) / 1e6)
    assert chain.money == pytest.approx((35 * 100 + 11 * 1000) / 1e6)
    assert [row.dominated for row in found.rows] == [False, False, True]
    assert found.points == [plain, chain]
    assert chain.versus is not None and chain.versus.difference.mean == 0.5 and plain.versus is None
    assert [row.tokens for row in again.rows] == [row.tokens for row in found.rows]  # cached calls have their price
    text = found.text()
    assert "* plain" in text and "  three" in text and "10 examples" in text
    assert found.plot(tmp_path / "f.svg").stat().st_size > 1000
    assert found.to_json()[0]["name"] == "plain"


def test_seconds_are_predicted_by_a_cost_model(tmp_path: Any) -> None:
    costs = CostModel((0.0, 0.001, 0.0, 0.0), ((1, 0.01),))
    with tw.using(model=ScriptedModel(script, identity="parity"), store=tmp_path):
        found = frontier([None, ChainOfThought()], DATA, parity, cost="seconds", costs=costs)
    assert [row.name for row in found.rows] == ["direct", "chain-of-thought"]
    assert found.rows[0].seconds == pytest.approx(20 * 0.001 + 0.01)
    assert found.rows[1].seconds == pytest.approx(35 * 0.001 + 11 * 0.01)
    assert "ms predicted" in found.text()


def test_failing_examples_count_and_a_strategy_that_always_fails_is_an_error(tmp_path: Any) -> None:
    def failing(request: Request) -> Answer:
        if "number 3" in request.messages[-1].content:
            raise ModelError("It is down.", "Wait.")
        return script(request)

    with tw.using(model=ScriptedModel(failing, identity="failing"), store=tmp_path):
        row = frontier([None], DATA, parity).rows[0]
        assert (row.failed, row.score.mean) == (1, 0.5)
        with pytest.raises(SearchError, match="'direct' of `parity` fails on every one"):
            frontier([None], [DATA[3]], parity)
    with pytest.raises(SearchError, match="no strategies"):
        frontier([], DATA, parity)
    with pytest.raises(DataError, match="prices"):
        frontier([None], DATA, parity, cost="money")
