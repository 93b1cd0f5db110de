"""`thalweg run` and bad input: the error says row, column and remedy; a failing row is kept and the table goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from thalweg.program.store import Store

Cli = Callable[..., Any]


def rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def calls(folder: Path) -> list[Any]:
    store = Store(folder)
    found = list(store.calls())
    store.close()
    return found


def test_a_missing_column_is_named_with_those_there_are(cli: Cli, tmp_path: Path) -> None:
    Path("in.csv").write_text("id,texts\n1,fine\n")
    said = cli("run", "reviews.py:review", "--input", "in.csv", "--output", "out.jsonl")
    assert said.code == 1
    assert "DataError" in said.err
    assert "in.csv has no column 'text' for the parameter `text` of `review`; it has: id, texts" in said.err
    assert "--column text=COLUMN" in said.err
    assert not Path("out.jsonl").exists()
    assert (
        cli("run", "reviews.py:review", "--input", "in.csv", "--output", "out.jsonl", "--column", "text=texts").code
        == 0
    )
    assert rows(Path("out.jsonl"))[0]["length"] == 4


def test_cells_of_the_wrong_type_fail_their_row_only(cli: Cli, tmp_path: Path) -> None:
    Path("in.csv").write_text("number\n1\nthree\n\n4.0\n5.5\n")
    said = cli("run", "reviews.py:counted", "--input", "in.csv", "--output", "out.jsonl")
    assert said.code == 0
    assert "failed (see _error)" in said.out
    made = rows(Path("out.jsonl"))
    assert [row["output"] for row in made] == [2, None, 5, None]
    assert "ow 1, column 'number': 'three' is not int" in made[1]["_error"]
    assert "Correct the cell" in made[1]["_error"]


def test_rows_that_are_not_utf8_or_broken_are_kept_with_their_reason(cli: Cli, tmp_path: Path) -> None:
    Path("in.csv").write_bytes(b'id,text\n1,fine\n2,bad \xff\xfe byte\n3,also fine\n4,too,many\n5,"open\n6,last\n')
    said = cli("run", "reviews.py:review", "--input", "in.csv", "--output", "out.jsonl")
    assert said.code == 0
    made = rows(Path("out.jsonl"))
    assert [row["_error"] is None for row in made] == [True, False, True, False, False, True]
    assert "not UTF-8" in made[1]["_error"]
    assert "column 'text'" in made[1]["_error"]
    assert "fields" in made[3]["_error"]
    assert "quote" in made[4]["_error"]
    assert all("row" in row["_error"].lower() for row in made if row["_error"])
    assert "6, 3 failed (see _error)" in said.out


def test_a_cell_of_5_megabytes_is_kept_out_and_the_table_goes_on(cli: Cli, tmp_path: Path) -> None:
    with open("in.jsonl", "w") as file:
        for text in ("fine", "word " * 1_000_000, "fine too"):
            file.write(json.dumps({"text": text}) + "\n")
    said = cli("run", "reviews.py:review", "--input", "in.jsonl", "--output", "out.parquet", "--keep", "none")
    assert said.code == 0
    made = rows(Path("out.parquet"))
    assert [row["label"] is not None for row in made] == [True, False, True]
    assert "ContextOverflow: The prompt has 1000" in made[1]["_error"]
    assert "row 1/review#0/judge#0" in made[1]["_error"]
    assert "truncate" in made[1]["_error"]


def test_empty_tables_give_empty_tables(cli: Cli, tmp_path: Path) -> None:
    Path("in.csv").write_text("text\n")
    said = cli("run", "reviews.py:review", "--input", "in.csv", "--output", "out.parquet")
    assert said.code == 0
    table = pq.read_table("out.parquet")
    assert table.num_rows == 0
    assert table.column_names == ["text", "label", "length", "_error", "_tokens", "_confidence"]
    Path("none.csv").write_text("")
    said = cli("run", "reviews.py:review", "--input", "none.csv", "--output", "out.csv")
    assert said.code == 1
    assert "none.csv is empty" in said.err


@pytest.mark.parametrize(
    ("input_", "output", "words"),
    [("nowhere.csv", "out.csv", "There is no table nowhere.csv"), ("in.xlsx", "out.csv", "its format is unknown"),
     ("in.csv", "out.xlsx", "format is unknown"), ("in.csv", "no/such/out.csv", "There is no directory"),
     ("in.csv", "folder.csv", "is a directory"), ("broken.parquet", "out.csv", "broken.parquet"),
     ("twice.csv", "out.csv", "more than one column named 'text'"), ("utf16.csv", "out.csv", "UTF-16")],
)  # fmt: skip
def test_tables_that_cannot_be_read_or_written_stop_before_anything_runs(
    cli: Cli, tmp_path: Path, input_: str, output: str, words: str
) -> None:
    Path("in.csv").write_text("text\nfine\n")
    Path("in.xlsx").write_text("text\nfine\n")
    Path("twice.csv").write_text("text,text\na,b\n")
    Path("utf16.csv").write_text("text\nfine\n", encoding="utf-16")
    Path("broken.parquet").write_bytes(b"PAR1 this is no parquet PAR1")
    Path("folder.csv").mkdir()
    said = cli("run", "reviews.py:review", "--input", input_, "--output", output)
    assert said.code == 1
    assert words in said.err
    assert said.err.startswith("thalweg: DataError: ")
    assert "Traceback" not in said.err
    assert not (tmp_path / "store" / "store.sqlite").exists() or not calls(tmp_path / "store")


@pytest.mark.parametrize(
    ("target", "words"),
    [("nowhere.py:x", "There is no file nowhere.py"), ("reviews.py:revue", "Did you mean review?"),
     ("reviews.py", "Name one: reviews.py:NAME"), ("no.such.module:x", "There is no module"),
     ("reviews.py:dataclass", "no flow or learned function 'dataclass'"), ("broken.py:x", "broken.py")],
)  # fmt: skip
def test_a_bad_target_says_what_there_is(cli: Cli, tmp_path: Path, target: str, words: str) -> None:
    Path("in.csv").write_text("text\nfine\n")
    Path("broken.py").write_text("def x(:\n")
    said = cli("run", target, "--input", "in.csv", "--output", "out.csv")
    assert said.code == 2
    assert words in said.err


def test_bad_options_are_refused(cli: Cli, tmp_path: Path) -> None:
    Path("in.csv").write_text("text,id\nfine,1\n")
    usual = ("run", "reviews.py:review", "--input", "in.csv", "--output", "out.csv")
    for more, code, words in (
        (("--column", "text"), 2, "PARAMETER=COLUMN"), (("--column", "mail=text"), 1, "has no parameter 'mail'"),
        (("--column", "text=body"), 1, "no column 'body'"), (("--keep", "name"), 1, "no column 'name' to keep"),
        (("--limit", "0"), 2, "--limit"), (("--model", "nothing"), 1, "Known names"),
        (("--state", "nowhere.json"), 1, "StateMismatch"), (("--evaluate", "truth"), 1, "truth"),
    ):  # fmt: skip
        said = cli(*usual, *more)
        assert said.code == code, (more, said)
        assert words in said.err, (more, said.err)
        assert "Traceback" not in said.err


def test_an_exception_of_the_flow_fails_its_row_and_names_it(cli: Cli, tmp_path: Path) -> None:
    Path("in.csv").write_text("text\nfine\nexplode\nfine again\nexplode too\n")
    said = cli("run", "reviews.py:review", "--input", "in.csv", "--output", "out.jsonl")
    assert said.code == 0
    assert "4, 2 failed (see _error)" in said.out
    made = rows(Path("out.jsonl"))
    assert [row["_error"] for row in made] == [
        None, "row 1: ValueError: the review explodes", None, "row 3: ValueError: the review explodes"
    ]  # fmt: skip
    assert made[1]["label"] is made[1]["_tokens"] is made[1]["_confidence"] is None
    assert made[0]["_tokens"] > 0
    assert 0.5 <= made[0]["_confidence"] <= 1


def test_fail_fast_stops_with_the_reason_and_leaves_no_output(cli: Cli, tmp_path: Path) -> None:
    Path("in.csv").write_text("text\nfine\nexplode\nfine again\n")
    Path("out.jsonl").write_text("as it was\n")
    said = cli("run", "reviews.py:review", "--input", "in.csv", "--output", "out.jsonl", "--fail-fast")
    assert said.code == 1
    assert "ValueError: the review explodes\nThis was row 1 of in.csv." in said.err
    assert Path("out.jsonl").read_text() == "as it was\n"
    assert [path.name for path in tmp_path.glob(".*part")] == []
    said = cli("run", "reviews.py:counted", "--input", "in.csv", "--output", "out.jsonl", "--column", "number=text",
               "--fail-fast")  # fmt: skip
    assert said.code == 1
    assert "is not int" in said.err
    assert "ow 0" in said.err


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_an_output_without_permission_is_refused_before_the_run(cli: Cli, tmp_path: Path) -> None:
    Path("in.csv").write_text("text\nfine\n")
    Path("locked").mkdir(mode=0o500)
    said = cli("run", "reviews.py:review", "--input", "in.csv", "--output", "locked/out.csv")
    assert said.code == 1
    assert "may not be written" in said.err


def test_a_damaged_store_stops_the_run_with_the_way_out(cli: Cli, tmp_path: Path) -> None:
    Path("in.csv").write_text("text\nfine\n")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.sqlite").write_bytes(b"no database" * 1000)
    said = cli("run", "reviews.py:review", "--input", "in.csv", "--output", "out.csv")
    assert said.code == 1
    assert "is damaged" in said.err
    assert "mv " in said.err


def test_a_full_store_stops_the_run_and_fails_no_row_for_good(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thalweg.program.session import current, store_in_force

    Path("in.csv").write_text("text\n" + "".join(f"review {i} {'soap ' * 40}\n" for i in range(12)))
    usual = ("run", "reviews.py:review", "--input", "in.csv", "--output", "out.jsonl")
    store = store_in_force(current())
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages + 1}")
    said = cli(*usual)
    assert said.code == 1
    assert "The disk is full" in said.err
    assert not Path("out.jsonl").exists()
    store._db.execute("PRAGMA max_page_count = 100000")
    assert cli(*usual).code == 0
    assert [row["_error"] for row in rows(Path("out.jsonl"))] == [None] * 12


def test_a_kept_cell_that_no_output_can_hold_fails_its_row_only(cli: Cli, tmp_path: Path) -> None:
    Path("in.jsonl").write_text('{"text": "a", "x": 1}\n{"text": "b", "x": NaN}\n{"text": "c", "x": null}\n')
    said = cli("run", "reviews.py:review", "--input", "in.jsonl", "--output", "out.parquet")
    assert said.code == 0, said.err
    assert "3, 1 failed" in said.out
    made = rows(Path("out.parquet"))
    assert [row["_error"] is None for row in made] == [True, False, True]
    assert (made[0]["x"], made[2]["x"]) == ("1", None)
    assert "column 'x'" in made[1]["_error"]
    assert "row 1" in made[1]["_error"].lower()


def test_results_of_the_wrong_type_fail_their_row_only(cli: Cli, tmp_path: Path) -> None:
    Path("wrong.py").write_text(
        "from dataclasses import dataclass\nimport thalweg as tw\n\n\n"
        "@dataclass\nclass Pair:\n    a: int\n    b: str\n\n\n"
        "MADE = {'none': None, 'text': 'abc', 'half': Pair('x', 'y'), 'big': Pair(2**70, 'y')}\n\n\n"
        "@tw.flow\ndef wrong(text: str) -> Pair:\n    return MADE.get(text, Pair(1, text))\n"
    )
    long = "long line\\n" * 300
    Path("in.jsonl").write_text(
        "".join(f'{{"text": "{text}"}}\n' for text in ("none", "text", "half", "big", "ok", long))
    )
    said = cli("run", "wrong.py:wrong", "--input", "in.jsonl", "--output", "out.parquet", "--keep", "none")
    assert said.code == 0, said.err
    made = rows(Path("out.parquet"))
    assert [row["_error"] is None for row in made] == [False, False, False, False, True, True]
    assert all(row["_error"].startswith(f"row {i}: DataError: ") for i, row in enumerate(made[:4]))
    assert made[5]["b"] == "long line\n" * 300
