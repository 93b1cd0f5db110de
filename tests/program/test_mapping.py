"""`map`: results keep the order of rows, few rows are under way at once, and the bar tells how far it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.models.scripted import ScriptedModel


@tw.learned
def even(text: str) -> bool:
    """Is it even?"""


def script(request: Any) -> str:
    number = int(request.messages[-1].content.rpartition(" ")[2])
    time.sleep((number % 3) / 2000)
    if number % 7 == 3:
        raise LookupError(f"no {number}")
    return "true" if number % 2 == 0 else "false"


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(0, 40), max_size=30), st.booleans())
def test_results_and_failures_stand_where_their_rows_stood(numbers: list[int], cache: bool) -> None:
    with ScriptedModel(script, identity="even", max_concurrency=4) as model, tw.using(model=model, cache=cache):
        results = even.map([str(number) for number in numbers])
    assert len(results) == len(numbers)
    for index, (number, result) in enumerate(zip(numbers, results, strict=True)):
        if number % 7 == 3:
            assert isinstance(result, tw.Failure)
            assert (result.row, str(result.error)) == (index, f"no {number}")
        else:
            assert result is (number % 2 == 0)


def test_rows_are_read_only_a_little_ahead() -> None:
    read = 0
    most = 0
    done = 0

    def rows() -> Iterator[str]:
        nonlocal read
        for number in range(0, 400, 2):
            read += 1
            yield str(number)

    def counting(request: Any) -> str:
        nonlocal done, most
        most = max(most, read - done)
        done += 1
        return "true"

    with ScriptedModel(counting, identity="ahead", max_concurrency=2) as model, tw.using(model=model, cache=False):
        assert even.map(rows()) == [True] * 200
    assert most <= 12


def test_flows_run_side_by_side_up_to_the_declared_number() -> None:
    running = 0
    most = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1

    @tw.flow
    def busy(number: int) -> int:
        work()
        return number

    with tw.using(model=ScriptedModel(script), concurrency=3):
        assert busy.map(range(12)) == list(range(12))
    assert 2 <= most <= 3


def test_the_bar_counts_rows_and_failures_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with tw.using(model=ScriptedModel(script, identity="bar"), progress=True, cache=False):
        even.map([str(number) for number in range(8)])
        even.map(str(number) for number in range(8))
    told = capsys.readouterr()
    assert told.out == ""
    assert "8/8" in told.err
    assert "1 failed" in told.err
    with tw.using(model=ScriptedModel(script, identity="bar"), progress=False):
        even.map([str(number) for number in range(30)])
    assert capsys.readouterr().err == ""
