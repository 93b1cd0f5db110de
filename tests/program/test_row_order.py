"""A plan changes when rows begin, never what comes out or where it stands."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import thalweg as tw
from thalweg.models.simulated import Simulated
from thalweg.program.row_order import row_order
from thalweg.program.session import current
from thalweg.program.table_run import TableRun
from thalweg.scheduling import Engine


@tw.learned
def answer(document: str, question: str) -> bool:
    """Does the document say so?"""


@tw.flow
def checked(document: str, question: str) -> str:
    return "yes" if answer(document, question) else "no"


def rows(documents: int = 16, questions: int = 5) -> list[dict[str, str]]:
    draw = random.Random(1)
    texts = ["".join(draw.choice("abcdefgh ") for _ in range(500)) for _ in range(documents)]
    return [{"document": text, "question": f"is it {i}?"} for i in range(questions) for text in texts]


def engine(**said: Any) -> Engine:
    return Engine(Simulated(streams=4, cells=4000, context=2048), workers=1, **said)


def computed(model: Engine) -> int:
    return model.counters.prompt_tokens - model.counters.cached_tokens


def test_map_gives_the_same_results_in_the_same_places_for_fewer_tokens() -> None:
    found, tokens = {}, {}
    for schedule in ("fcfs", "sorted", "batch"):
        model = engine()
        with tw.using(model=model, cache=False, journal=False, schedule=schedule):
            found[schedule] = answer.map(rows())
        tokens[schedule] = computed(model)
        assert model.policy.name == schedule
        model.close()
    assert found["fcfs"] == found["sorted"] == found["batch"] and len(set(found["fcfs"])) == 2
    assert tokens["batch"] <= tokens["sorted"] < tokens["fcfs"] / 3, tokens


def test_a_row_that_cannot_be_called_fails_in_its_place() -> None:
    model = engine()
    given: list[Any] = rows(8, 3)
    given[5] = {"document": "no question"}
    with tw.using(model=model, cache=False, journal=False):
        found = answer.map(given)
    model.close()
    assert [index for index, one in enumerate(found) if isinstance(one, tw.Failure)] == [5]
    assert found[5].row == 5


@pytest.mark.parametrize("program", [answer, checked])
def test_a_table_has_the_same_bytes_whatever_the_order(program: Any, tmp_path: Path) -> None:
    table = tmp_path / "in.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    made, tokens = {}, {}
    for schedule in ("fcfs", "batch"):
        model = engine()
        output = tmp_path / f"{schedule}.jsonl"
        with tw.using(model=model, cache=False, store=str(tmp_path / schedule), schedule=schedule):
            summary = TableRun(program, table, output).run()
        assert summary.finished and summary.rows == len(rows()) and not summary.failed
        made[schedule], tokens[schedule] = output.read_bytes(), computed(model)
        model.close()
    assert made["fcfs"] == made["batch"]
    assert tokens["batch"] < tokens["fcfs"] / 3, tokens


def test_the_order_is_of_all_rows_that_run_and_of_no_other() -> None:
    model = engine()
    given: list[Any] = rows(6, 4)
    given[3] = given[10] = None
    order = row_order(answer, given, current(), model)
    model.close()
    assert sorted(order) == [index for index, row in enumerate(given) if row is not None]
    groups = [given[index]["document"] for index in order]
    assert sum(a != b for a, b in zip(groups, groups[1:], strict=False)) == 5  # each document's rows together
