"""Workloads: what is written is read again, what is no request is refused, and the standard ones are as described."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.errors import DataError
from thalweg.scheduling.standard_workloads import (
    STANDARD,
    bursty,
    chain,
    documents_and_questions,
    few_shot,
    map_reduce,
    multi_tenant,
    no_sharing,
    two_levels,
)
from thalweg.scheduling.workload import WorkloadRequest, from_arrow, load, save, to_arrow

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SECONDS = st.floats(0, 1e9, allow_nan=False)
REQUESTS = st.builds(
    WorkloadRequest, id=TEXTS, tokens=st.lists(st.integers(0, 2**32 - 1), max_size=9).map(tuple),
    expected=st.integers(0, 9999), objective=st.sampled_from(["throughput", "latency"]), deadline=SECONDS,
    program=TEXTS, session=TEXTS, after=st.lists(TEXTS, max_size=3).map(tuple), model=TEXTS, adapter=TEXTS,
    partition=TEXTS, arrival=SECONDS,
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(REQUESTS, max_size=6))
def test_arrow_gives_back_what_it_was_given(requests: list[WorkloadRequest]) -> None:
    table = to_arrow(requests)
    assert table.num_rows == len(requests)
    assert list(from_arrow(table)) == requests


@pytest.mark.parametrize("kind", ["jsonl", "arrow", "parquet"])
def test_files_give_back_what_they_were_given(tmp_path: Path, kind: str) -> None:
    for name, make in STANDARD.items():
        path = tmp_path / f"{name.replace(' ', '-')}.{kind}"
        requests = make()
        assert save(requests, path) == len(requests)
        assert list(load(path)) == requests
    odd = [WorkloadRequest('é\n"x"\u2028', (0, 2**32 - 1), after=("a\x00b",), arrival=0.1)]
    save(odd, tmp_path / f"odd.{kind}")
    assert list(load(tmp_path / f"odd.{kind}")) == odd
    save([], tmp_path / f"empty.{kind}")
    assert list(load(tmp_path / f"empty.{kind}")) == []


def test_missing_columns_take_their_defaults_and_foreign_ones_are_left_out() -> None:
    table = pa.table({"tokens": [[1, 2]], "id": ["a"], "colour": ["red"]})
    assert list(from_arrow(table)) == [WorkloadRequest("a", (1, 2))]
    with pytest.raises(DataError, match="no column 'tokens'"):
        list(from_arrow(pa.table({"id": ["a"]})))


BAD: dict[str, Any] = {
    "`tokens` of row 1 holds something else than token ids": {"id": "a", "tokens": [1, "2"]},
    "`tokens` of row 1 is str, not a list": {"id": "a", "tokens": "1 2"},
    "`tokens` of row 1 is missing": {"id": "a"},
    "`id` of row 1 is int, not str": {"id": 1, "tokens": [1]},
    "`id` of row 1 is empty": {"id": None, "tokens": [1]},
    "`expected` of row 1 is -2": {"id": "a", "tokens": [1], "expected": -2},
    "`expected` of row 1 is bool, not int": {"id": "a", "tokens": [1], "expected": True},
    "`objective` of row 1 is 'speed'": {"id": "a", "tokens": [1], "objective": "speed"},
    "`arrival` of row 1 is -1": {"id": "a", "tokens": [1], "arrival": -1},
    "`colour` of row 1 is not known": {"id": "a", "tokens": [1], "colour": "red"},
    "Row 1": [1, 2],
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_row_is_named_with_its_field(tmp_path: Path, what: str) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text('{"id": "good", "tokens": [1]}\n' + json.dumps(BAD[what]) + "\n")
    rows = load(path)
    assert next(rows).id == "good"
    with pytest.raises(DataError) as caught:
        next(rows)
    assert what in caught.value.what
    assert caught.value.row == 1
    assert str(caught.value).endswith(caught.value.remedy)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    for name in ("absent.jsonl", "trace.csv"):
        with pytest.raises(DataError):
            list(load(tmp_path / name))
    for kind in ("arrow", "parquet"):
        (tmp_path / f"broken.{kind}").write_bytes(b"nothing of the kind")
        with pytest.raises(DataError, match=f"no {kind} file"):
            list(load(tmp_path / f"broken.{kind}"))
    with pytest.raises(DataError, match="cannot be written"):
        save([], tmp_path / "no" / "such" / "trace.jsonl")
    with pytest.raises(DataError):
        to_arrow([WorkloadRequest("a", (-1,))])


@pytest.mark.parametrize("name", STANDARD)
def test_a_workload_is_a_function_of_its_seed(name: str) -> None:
    assert STANDARD[name](seed=3) == STANDARD[name](seed=3)
    assert STANDARD[name](seed=3) != STANDARD[name](seed=4)
    requests = STANDARD[name]()
    assert len({one.id for one in requests}) == len(requests)
    known = set()
    for one in sorted(requests, key=lambda one: bool(one.after)) if name == "map-reduce" else requests:
        assert known.issuperset(one.after)
        known.add(one.id)


def test_the_standard_workloads_share_what_they_say() -> None:
    def heads(requests: list[WorkloadRequest], tokens: int) -> int:
        return len({(one.key, one.tokens[:tokens]) for one in requests})

    assert heads(documents_and_questions(40, 15), 600) == 40
    assert heads(few_shot(8, 75), 600) == 8
    assert (heads(two_levels(4, 10), 200), heads(two_levels(4, 10), 600)) == (4, 40)
    assert heads(no_sharing(600), 1) > 500
    assert heads(multi_tenant(8), 250) == 8
    assert len({one.tokens[:250] for one in multi_tenant(8)}) == 1  # equal, and yet apart
    assert heads(map_reduce(20, 10), 100) == 2
    assert heads(chain(20, 8), 100) == 1


def test_bursts_keep_the_mean_rate_and_crowd_one_half_of_each_period() -> None:
    arrivals = [one.arrival for one in bursty(no_sharing(6000, tokens=1), rate=50, burst=4, period=10, seed=1)]
    assert arrivals == sorted(arrivals)
    assert len(arrivals) / arrivals[-1] == pytest.approx(50, rel=0.06)
    crowded = sum(one % 10 < 5 for one in arrivals)
    assert crowded / (len(arrivals) - crowded) == pytest.approx(4, rel=0.12)
