"""The source of a flow from data is there as long as anybody could ask for it, and no longer."""

from __future__ import annotations

import gc
import linecache
import traceback
from typing import Any

import pytest

import thalweg as tw
from thalweg.program.flow import Flow
from thalweg.program.ir import read_source


def made(number: int) -> Flow[Any, Any]:
    return Flow.from_ir(read_source(f"def held(number):\n    share = {number} / number\n    return [share, share]\n"))


def sources() -> set[str]:
    gc.collect()
    return {file for file in linecache.cache if file.startswith("<flow held ")}


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Any:
    assert not sources()
    yield
    assert not sources()


def test_many_flows_leave_no_source_behind() -> None:
    flow = made(0)
    with tw.using(journal=False):
        for number in range(50):
            flow = made(number)
            assert flow(2) == [number / 2] * 2
            assert flow.explain() and flow.digest()
    assert len(sources()) == 1
    assert "49 / number" in "".join(linecache.getlines(flow.function.__code__.co_filename))


def test_flows_of_one_text_share_its_source_until_the_last_one_goes() -> None:
    first, second = made(1), made(1)
    assert len(sources()) == 1
    del first
    assert len(sources()) == 1
    first = made(1)
    del second
    assert len(sources()) == 1
    linecache.clearcache()
    second = made(1)  # what somebody else took away is there again
    assert len(sources()) == 1
    del first, second
    assert not sources()
    assert made(1).function(1) == [1.0, 1.0]


def test_an_error_shows_its_line_after_the_flow_is_gone() -> None:
    with tw.using(journal=False):
        try:
            made(7)(0)
        except ZeroDivisionError as problem:
            gc.collect()
            assert "share = 7 / number" in "".join(traceback.format_exception(problem))
        else:
            pytest.fail("nothing was raised")
