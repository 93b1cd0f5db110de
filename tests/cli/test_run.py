"""`thalweg run`: typed output columns in every format, options that choose rows and columns, and runs that go on."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thalweg.program.store import Store

Cli = Callable[..., Any]
USUAL = ("run", "reviews.py:review", "--input", "in.csv", "--output", "out.jsonl")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text(
        "id,text,truth\n" + "".join(f"{i},review number {i},{'good' if i % 2 else 'bad'}\n" for i in range(8))
    )
    return path


def rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def journal(folder: Path) -> dict[str, Any]:
    store = Store(folder)
    found = {call.path: call for call in store.calls()}
    store.close()
    return found


# -- columns --------------------------------------------------------------------------------------------------------

TYPES = '''
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal, Optional, TypedDict

from pydantic import BaseModel, Field

import thalweg as tw


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Record:
    flag: bool
    count: int
    share: float
    name: str
    day: date
    at: datetime
    price: Decimal
    color: Color
    kind: Literal["a", "b"]
    level: Literal[1, 2]
    tags: list[str]
    perhaps: Optional[int]


RECORD = Record(True, 3, 0.5, "ä\\n\\"b\\"", date(2024, 2, 29), datetime(2024, 2, 29, 1, 2, 3), Decimal("1.50"),
                Color.BLUE, "b", 2, ["x", "y,z"], None)


class Point(TypedDict):
    x: int
    y: float


class Model(BaseModel):
    text: str
    color: Color


@tw.flow
def record(text: str) -> Record:
    return RECORD


@tw.flow
def point(text: str) -> Point:
    return {"x": 1, "y": 2.5}


@tw.flow
def model(text: str) -> Model:
    return Model(text=text, color=Color.RED)


@tw.flow
def union(text: str) -> Record | Point | None:
    return None if text == "none" else {"x": 1, "y": 2.0}


@tw.flow
def number(text: str) -> float:
    return 0.25


@tw.flow
def perhaps(text: str) -> Optional[int]:
    return None if text == "none" else 7


@tw.flow
def listed(text: str) -> list[str]:
    return [text, "b"]


@tw.flow
def untyped(text: str):
    return {"any": [text]}


@tw.learned
def learned(text: str) -> bool:
    """Is it fine?"""
'''


def test_every_type_of_result_has_typed_columns(cli: Cli, tmp_path: Path) -> None:
    Path("types_.py").write_text(TYPES)
    Path("in.csv").write_text("text\nhello\nnone\n")

    def columns(name: str) -> dict[str, Any]:
        said = cli("run", f"types_.py:{name}", "--input", "in.csv", "--output", f"{name}.parquet", "--keep", "none")
        assert said.code == 0, said.err
        schema = pq.read_schema(f"{name}.parquet")
        assert schema.names[-3:] == ["_error", "_tokens", "_confidence"]
        return {field.name: field.type for field in schema if not field.name.startswith("_")}

    assert columns("record") == {
        "flag": pa.bool_(), "count": pa.int64(), "share": pa.float64(), "name": pa.string(), "day": pa.date32(),
        "at": pa.timestamp("us"), "price": pa.decimal128(38, 18), "color": pa.string(), "kind": pa.string(),
        "level": pa.int64(), "tags": pa.string(), "perhaps": pa.int64(),
    }  # fmt: skip
    first = pq.read_table("record.parquet").to_pylist()[0]
    assert first["name"] == 'ä\n"b"'
    assert str(first["day"]) == "2024-02-29"
    assert float(first["price"]) == 1.5
    assert (first["color"], first["level"], first["perhaps"]) == ("blue", 2, None)
    assert json.loads(first["tags"]) == ["x", "y,z"]
    assert columns("point") == {"x": pa.int64(), "y": pa.float64()}
    assert columns("model") == {"text": pa.string(), "color": pa.string()}
    assert columns("union") == {"output": pa.string()}
    assert pq.read_table("union.parquet")["output"].to_pylist()[1] is None
    assert columns("number") == {"output": pa.float64()}
    assert columns("perhaps") == {"output": pa.int64()}
    assert pq.read_table("perhaps.parquet")["output"].to_pylist() == [7, None]
    assert columns("listed") == {"output": pa.string()}
    assert columns("untyped") == {"output": pa.string()}
    assert columns("learned") == {"output": pa.bool_()}


def test_all_formats_hold_the_same_table(cli: Cli, tmp_path: Path) -> None:
    Path("types_.py").write_text(TYPES)
    Path("in.jsonl").write_text('{"text": "hello", "note": {"a": 1}}\n{"text": "none", "note": null}\n')
    for suffix in ("csv", "tsv", "jsonl", "parquet"):
        said = cli("run", "types_.py:record", "--input", "in.jsonl", "--output", f"out.{suffix}", "--keep", "note")
        assert said.code == 0, said.err
    parquet = pq.read_table("out.parquet").to_pylist()
    jsonl = rows("out.jsonl")
    for name, delimiter in (("out.csv", ","), ("out.tsv", "\t")):
        with open(name, newline="", encoding="utf-8") as file:
            text = list(csv.DictReader(file, delimiter=delimiter))
        assert [list(row) for row in text] == [list(row) for row in jsonl] == [list(row) for row in parquet]
        assert text[0]["name"] == jsonl[0]["name"] == parquet[0]["name"]
        assert text[0]["day"] == jsonl[0]["day"] == str(parquet[0]["day"])
        assert json.loads(text[0]["tags"]) == jsonl[0]["tags"] == json.loads(parquet[0]["tags"])
        assert json.loads(text[0]["note"]) == jsonl[0]["note"] == json.loads(parquet[0]["note"]) == {"a": 1}
        assert text[0]["flag"] == "true"


def test_a_result_column_named_like_an_input_takes_the_programs_name(cli: Cli, tmp_path: Path) -> None:
    Path("in.csv").write_text("text,label,_error\nfine,x,old\n")
    assert cli(*USUAL).code == 0
    (row,) = rows("out.jsonl")
    assert list(row) == ["text", "label", "review_label", "length", "_error", "_tokens", "_confidence"]
    assert (row["label"], row["_error"]) == ("x", None)
    assert row["review_label"] in ("good", "bad")


def test_columns_are_mapped_kept_and_dropped(cli: Cli, table: Path) -> None:
    assert cli(*USUAL, "--column", "text=truth", "--keep", "truth,id").code == 0
    assert list(rows("out.jsonl")[0])[:2] == ["truth", "id"]
    assert [row["length"] for row in rows("out.jsonl")] == [len(row["truth"]) for row in rows("out.jsonl")]
    assert cli(*USUAL, "--keep", "none").code == 0
    assert list(rows("out.jsonl")[0]) == ["label", "length", "_error", "_tokens", "_confidence"]


def test_a_learned_function_runs_too_and_defaults_fill_missing_columns(cli: Cli, table: Path) -> None:
    said = cli("run", "reviews.py:stars", "--input", "in.csv", "--output", "out.jsonl", "--limit", "3")
    assert said.code == 0
    assert all(row["output"] in (1, 2, 3, 4, 5) for row in rows("out.jsonl"))


def test_a_directory_of_texts_is_a_table(cli: Cli, tmp_path: Path) -> None:
    Path("mails").mkdir()
    for name in ("b.txt", "a.txt"):
        Path("mails", name).write_text(f"file {name}")
    said = cli("run", "reviews.py:review", "--input", "mails", "--output", "out.jsonl")
    assert said.code == 0
    assert [row["path"] for row in rows("out.jsonl")] == ["a.txt", "b.txt"]


def test_saved_parameters_are_used_and_make_another_run(cli: Cli, table: Path) -> None:
    said = cli(*USUAL)
    first = next(line for line in said.out.splitlines() if line.startswith("journal"))
    from reviews import review  # type: ignore[import-not-found]

    review.bind({"review.judge/instruction": "Say whether the writer is happy."}).save("state.json")
    said = cli(*USUAL, "--state", "state.json")
    assert said.code == 0, said.err
    assert next(line for line in said.out.splitlines() if line.startswith("journal")) != first


# -- which rows -----------------------------------------------------------------------------------------------------


def test_a_limited_run_goes_on_with_more_rows(cli: Cli, table: Path, tmp_path: Path) -> None:
    assert cli(*USUAL, "--limit", "3").code == 0
    assert len(rows("out.jsonl")) == 3
    before = journal(tmp_path / "store")
    said = cli(*USUAL)
    assert "already done   3 rows" in said.out
    assert len(rows("out.jsonl")) == 8
    after = journal(tmp_path / "store")
    assert all(after[path] == call for path, call in before.items())
    assert cli(*USUAL, "--limit", "2").code == 0
    assert len(rows("out.jsonl")) == 2


def test_running_again_computes_nothing_and_writes_the_same_bytes(
    cli: Cli, table: Path, tmp_path: Path, model: Any
) -> None:
    assert cli(*USUAL).code == 0
    first, done = Path("out.jsonl").read_bytes(), model.counters.requests
    Path("out.jsonl").unlink()
    said = cli(*USUAL)
    assert Path("out.jsonl").read_bytes() == first
    assert model.counters.requests == done
    assert "already done   8 rows" in said.out
    said = cli(*USUAL, "--fresh")
    assert "already done" not in said.out
    assert model.counters.requests == done, "the cache answers a fresh run"
    assert Path("out.jsonl").read_bytes() == first
    said = cli(*USUAL, "--fresh", "--no-cache")
    assert model.counters.requests == done + 8
    assert Path("out.jsonl").read_bytes() == first


def test_another_program_input_or_model_is_another_run(cli: Cli, table: Path, tmp_path: Path) -> None:
    assert cli(*USUAL).code == 0
    program = tmp_path / "reviews.py"
    program.write_text(program.read_text() + "\n# a comment\n")
    assert "already done   8 rows" in cli(*USUAL).out
    program.write_text(program.read_text().replace("len(text)", "len(text) + 1"))
    said = cli(*USUAL)
    assert "already done" not in said.out
    assert rows("out.jsonl")[0]["length"] == len("review number 0") + 1
    table.write_text(table.read_text().replace("number 0", "number zero"))
    assert "already done" not in cli(*USUAL).out


def test_types_that_changed_in_an_imported_module_make_another_run(cli: Cli, table: Path, tmp_path: Path) -> None:
    import sys

    for choices in ('"a", "b"', '"a", "b", "c"'):
        Path("steps.py").write_text(
            "from typing import Literal\nimport thalweg as tw\n\n\n@tw.learned\n"
            f'def step(text: str) -> Literal[{choices}]:\n    """Choose."""\n'
        )
        Path("uses.py").write_text(
            "import thalweg as tw\nfrom steps import step\n\n\n"
            "@tw.flow\ndef use(text: str) -> str:\n    return step(text)\n"
        )
        sys.modules.pop("steps", None)
        said = cli("run", "uses.py:use", "--input", "in.csv", "--output", "out.jsonl", "--limit", "2")
        assert said.code == 0, said.err
        assert "already done" not in said.out


def test_failed_rows_stay_failed_until_they_are_asked_again(cli: Cli, tmp_path: Path) -> None:
    Path("flaky.py").write_text(
        "from pathlib import Path\nimport thalweg as tw\n\n\n@tw.flow\ndef flaky(text: str) -> str:\n"
        "    if text == 'b' and not Path('mended').exists():\n"
        "        raise ConnectionError('no line')\n    return text\n"
    )
    Path("in.csv").write_text("text\na\nb\nc\n")
    usual = ("run", "flaky.py:flaky", "--input", "in.csv", "--output", "out.jsonl")
    assert cli(*usual).code == 0
    Path("mended").touch()
    assert cli(*usual).code == 0
    assert rows("out.jsonl")[1]["_error"] == "row 1: ConnectionError: no line"
    said = cli(*usual, "--retry-failed")
    assert [row["output"] for row in rows("out.jsonl")] == ["a", "b", "c"]
    assert "already done   2 rows" in said.out
    assert cli(*usual).code == 0
    assert [row["_error"] for row in rows("out.jsonl")] == [None] * 3


def test_a_dry_run_shows_the_plan_and_runs_nothing(cli: Cli, table: Path, tmp_path: Path, model: Any) -> None:
    before = model.counters.requests
    said = cli(*USUAL, "--dry-run")
    assert said.code == 0
    for words in ("program        review with", "(new)", "label: string", "length: int64", "judge", "prompt tokens",
                  "shared by all", "Nothing was run."):  # fmt: skip
        assert words in said.out
    assert not Path("out.jsonl").exists()
    assert journal(tmp_path / "store") == {}
    assert model.counters.requests == before
    assert cli(*USUAL, "--limit", "3").code == 0
    assert "resumes, 3 rows done" in cli(*USUAL, "--dry-run").out


def test_journal_paths_name_row_flow_and_call(cli: Cli, table: Path, tmp_path: Path) -> None:
    said = cli(*USUAL, "--limit", "2", "--concurrency", "2")
    assert set(journal(tmp_path / "store")) == {
        "row 0/review#0", "row 0/review#0/judge#0", "row 1/review#0", "row 1/review#0/judge#0"
    }  # fmt: skip
    assert "calls          2" in said.out
    assert "rows           2" in said.out


def test_the_progress_bar_shows_rates_and_goes_to_standard_error(cli: Cli, table: Path) -> None:
    said = cli(*USUAL, "--progress")
    assert said.code == 0
    assert "rows/s" in said.err
    assert "rows/s," not in said.out.splitlines()[0]


# -- evaluation -----------------------------------------------------------------------------------------------------


def test_evaluation_prints_accuracy_per_class_and_writes_the_plot(cli: Cli, table: Path) -> None:
    said = cli(*USUAL, "--evaluate", "truth=label")
    assert said.code == 0, said.err
    right = sum(row["label"] == row["truth"] for row in rows("out.jsonl"))
    assert "label against truth" in said.out
    assert "accuracy" in said.out
    assert f"{right / 8:.3f}" in said.out or f"{100 * right / 8:.1f}" in said.out, said.out
    assert "precision" in said.out
    assert "recall" in said.out
    picture = Path("out.jsonl.calibration.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert str(picture) in said.out


def test_evaluation_leaves_failed_rows_out_and_asks_for_what_is_unclear(cli: Cli, tmp_path: Path) -> None:
    Path("in.csv").write_text("text,truth\nfine,good\nexplode,bad\n")
    said = cli(*USUAL, "--evaluate", "truth=label")
    assert "1 rows without result left out" in said.out
    said = cli(*USUAL, "--evaluate", "truth")
    assert said.code == 1
    assert "LABEL=COLUMN" in said.err
    assert cli(*USUAL, "--evaluate", "truth=nothing").code == 1


def test_a_declared_truncation_lets_long_rows_through(cli: Cli, tmp_path: Path, model: Any) -> None:
    Path("long.py").write_text(
        "import thalweg as tw\nfrom reviews import judge\n\n\n"
        '@tw.flow(overflow="truncate")\ndef long(text: str) -> str:\n    return judge(text)\n'
    )
    Path("in.jsonl").write_text(json.dumps({"text": "word " * 60_000}) + "\n" + json.dumps({"text": "short"}) + "\n")
    said = cli("run", "long.py:long", "--input", "in.jsonl", "--output", "out.jsonl", "--keep", "none")
    assert said.code == 0, said.err
    assert [row["_error"] for row in rows("out.jsonl")] == [None, None]
    assert model.capabilities.context / 2 < rows("out.jsonl")[0]["_tokens"] < model.capabilities.context
