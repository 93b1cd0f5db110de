"""Writing tables: a whole file or none, and bytes that depend on the rows alone."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.errors import DataError
from thalweg.program.tables import Column, TableWriter, cast, check_writable, open_table

SUFFIXES = [".csv", ".tsv", ".jsonl", ".parquet"]
COLUMNS = [
    Column("s", "string"),
    Column("i", "int64"),
    Column("f", "float64"),
    Column("b", "bool"),
    Column("d", "date32"),
    Column("t", "timestamp"),
    Column("n", "decimal128"),
    Column("j", "json"),
]
TYPES = {"s": str, "i": int, "f": float, "b": bool, "d": date, "t": datetime, "n": Decimal, "j": dict}
AB = [Column("a", "int64"), Column("b", "string")]


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"a": n, "b": f"text {n}"} for n in range(start, start + count)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
leaf = st.none() | st.booleans() | st.integers() | text
row = st.fixed_dictionaries(
    {
        "s": text,
        "i": st.none() | st.integers(-(2**63), 2**63 - 1),
        "f": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "b": st.none() | st.booleans(),
        "d": st.none() | st.dates(),
        "t": st.none() | st.datetimes(),
        "n": st.none() | st.decimals(-(10**19), 10**19, allow_nan=False, places=6),
        "j": st.none() | st.dictionaries(text, leaf | st.lists(leaf, max_size=3), max_size=3),
    }
)


@settings(max_examples=60, deadline=None)
@given(given_rows=st.lists(row, min_size=1, max_size=5), suffix=st.sampled_from(SUFFIXES))
def test_rows_come_back_as_they_were_written(given_rows, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t{suffix}"
        with TableWriter(path, COLUMNS) as writer:
            writer.write(given_rows)
        table = open_table(path)
        read = [{k: cast(v, TYPES[k] | None) for k, v in (r.values or {}).items()} for r in table]
        assert table.columns == tuple(TYPES)
        assert read == given_rows


@settings(max_examples=40, deadline=None)
@given(cells=st.lists(text, min_size=1, max_size=8), name=text.filter(bool), suffix=st.sampled_from(SUFFIXES))
def test_one_column_of_any_text_under_any_name_comes_back(cells, name, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t{suffix}"
        with TableWriter(path, [Column(name, "string")]) as writer:
            writer.write([{name: cell} for cell in cells])
        assert [r.values for r in open_table(path)] == [{name: cell} for cell in cells]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sizes_of_write_calls_change_no_byte(tmp_path, suffix):
    made = []
    for number, size in enumerate([10_000, 1, 7, 4096, 4097]):
        path = tmp_path / f"t{number}{suffix}"
        with TableWriter(path, AB) as writer:
            for start in range(0, 10_000, size):
                writer.write(rows(min(size, 10_000 - start), start))
            writer.write([])
        made.append(path.read_bytes())
    assert len(set(made)) == 1
    if suffix == ".parquet":
        metadata = pq.ParquetFile(tmp_path / "t0.parquet").metadata
        assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [4096, 4096, 1808]


def test_long_texts_are_cut_into_groups_by_size_alike_for_any_batching(tmp_path, monkeypatch):
    monkeypatch.setattr("thalweg.program.tables.writing.GROUP_BYTES", 1000)
    long = [{"a": n, "b": "x" * 300} for n in range(10)]
    for name, size in (("one", 1), ("ten", 10)):
        with TableWriter(tmp_path / f"{name}.parquet", AB) as writer:
            for start in range(0, 10, size):
                writer.write(long[start : start + size])
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "ten.parquet").read_bytes()
    assert pq.ParquetFile(tmp_path / "one.parquet").metadata.num_row_groups == 3


def test_csv_quotes_only_where_needed_and_tells_null_from_empty(tmp_path):
    with TableWriter(tmp_path / "t.csv", [Column("a", "string"), Column("b", "bool")]) as writer:
        writer.write([{"a": None, "b": True}, {"a": "", "b": None}, {"a": 'x,"y"\rz'}])
    assert (tmp_path / "t.csv").read_bytes() == b'a,b\n,true\n"",\n"x,""y""\rz",\n'


def test_jsonl_holds_plain_json(tmp_path):
    @dataclass
    class Point:
        x: int
        when: date

    columns = [Column("j", "json"), Column("f", "float64"), Column("n", "decimal128"), Column("s", "string")]
    with TableWriter(tmp_path / "t.jsonl", columns) as writer:
        writer.write([{"j": [Point(1, date(2024, 1, 2))], "f": math.nan, "n": Decimal("1.50"), "s": "é"}])
    line = (tmp_path / "t.jsonl").read_text()
    assert line == '{"j": [{"x": 1, "when": "2024-01-02"}], "f": null, "n": "1.5", "s": "é"}\n'
    assert json.loads(line)["j"][0]["x"] == 1


def test_aware_times_are_utc_in_parquet_and_keep_their_offset_in_text(tmp_path):
    when = datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    for suffix, expected in ((".parquet", datetime(2024, 1, 1, 10)), (".csv", when.isoformat())):
        with TableWriter(tmp_path / f"t{suffix}", [Column("t", "timestamp")]) as writer:
            writer.write([{"t": when}])
        assert [r.values for r in open_table(tmp_path / f"t{suffix}")] == [{"t": expected}]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_without_rows_still_names_its_columns(tmp_path, suffix):
    TableWriter(tmp_path / f"t{suffix}", AB).close()
    table = open_table(tmp_path / f"t{suffix}")
    assert table.columns == ("a", "b") and list(table) == []


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", 3), ("string", "\ud800"), ("int64", 2**63), ("int64", True), ("int64", 1.0), ("float64", "1"),
        ("float64", 10**400), ("bool", 1), ("date32", datetime(2024, 1, 1)), ("timestamp", date(2024, 1, 1)),
        ("timestamp", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))), ("decimal128", Decimal("NaN")),
        ("decimal128", Decimal(10**21)), ("decimal128", Decimal("1e-19")), ("json", object()), ("json", math.nan),
        ("json", {"a": "\ud800"}),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_with_row_and_column_and_writes_nothing(tmp_path, kind, value):
    with TableWriter(tmp_path / "t.parquet", [Column("c", kind)]) as writer:
        writer.write([{"c": None}])
        with pytest.raises(DataError, match="Row 2, column 'c'") as caught:
            writer.write([{"c": None}, {"c": value}])
        assert (caught.value.row, caught.value.column) == (2, "c")
        writer.write([{}])
    assert open_table(tmp_path / "t.parquet").rows == writer.rows == 2


def test_unknown_columns_kinds_and_twins_are_refused(tmp_path):
    with pytest.raises(DataError, match="unknown kind 'text'.*string, int64"):
        Column("a", "text")
    with pytest.raises(DataError, match="two columns named 'a'"):
        TableWriter(tmp_path / "t.csv", [AB[0], AB[0]])
    with pytest.raises(DataError, match="at least one column"):
        TableWriter(tmp_path / "t.csv", [])
    with TableWriter(tmp_path / "t.csv", AB) as writer, pytest.raises(DataError, match="no such column"):
        writer.write([{"a": 1, "c": 2}])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_stands_under_the_final_name_before_closing(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    path.write_text("old")
    writer = TableWriter(path, AB)
    writer.write(rows(5000))
    assert path.read_text() == "old" and len(names(tmp_path)) == 2
    writer.close()
    writer.close()
    assert names(tmp_path) == [path.name] and len(list(open_table(path))) == 5000
    with pytest.raises(DataError, match="is closed"):
        writer.write(rows(1))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_abort_and_exceptions_leave_the_folder_as_it_was(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    writer = TableWriter(path, AB)
    writer.write(rows(5000))
    writer.abort()
    writer.abort()
    assert names(tmp_path) == []
    with pytest.raises(KeyboardInterrupt), TableWriter(path, AB) as writer:
        writer.write(rows(5000))
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_links_and_permissions_of_the_target_are_kept(tmp_path):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "real.csv").chmod(0o640)
    (tmp_path / "link.csv").symlink_to("real.csv")
    with TableWriter(tmp_path / "link.csv", AB) as writer:
        writer.write(rows(1))
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "a,b\n0,text 0\n"
    assert (tmp_path / "real.csv").stat().st_mode & 0o777 == 0o640


def test_overwriting_can_be_refused_at_opening_and_at_closing(tmp_path):
    path = tmp_path / "t.csv"
    writer = TableWriter(path, AB, overwrite=False)
    path.write_text("came meanwhile")
    with pytest.raises(DataError, match="exists already"):
        writer.close()
    with pytest.raises(DataError, match="exists already"):
        TableWriter(path, AB, overwrite=False)
    assert names(tmp_path) == ["t.csv"] and path.read_text() == "came meanwhile"


def test_places_that_cannot_be_written_are_told_before_any_work(tmp_path):
    check_writable(tmp_path / "t.csv")
    assert names(tmp_path) == []
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    for name, says in {
        "t.xlsx": "format is unknown",
        "none/t.csv": "no directory",
        "folder.csv": "is a directory",
        "pipe.csv": "not a regular file",
        "x" * 300 + ".csv": "could not be written",
    }.items():
        with pytest.raises(DataError, match=says) as caught:
            check_writable(tmp_path / name)
        assert caught.value.remedy


def test_read_only_target_and_directory_are_refused_and_kept():
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "open").mkdir()
        (folder / "open").chmod(0o777)
        (folder / "open" / "t.csv").write_text("keep")
        (folder / "open" / "t.csv").chmod(0o444)
        folder.chmod(0o555)
        if root:
            os.seteuid(65534)  # permissions mean nothing to root
        try:
            for path in (folder / "t.csv", folder / "open" / "t.csv"):
                with pytest.raises(DataError, match="may not be written"):
                    check_writable(path)
                with pytest.raises(DataError, match="may not be written"):
                    TableWriter(path, AB)
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)
        assert (folder / "open" / "t.csv").read_text() == "keep" and names(folder / "open") == ["t.csv"]


FILL = """
import os, resource, sys
from thalweg.errors import DataError
from thalweg.program.tables import Column, TableWriter
path, limit = sys.argv[1], int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with TableWriter(path, [Column("a", "string")]) as writer:
        for _ in range(30):
            writer.write([{"a": os.urandom(200).hex()} for _ in range(1000)])
except DataError as error:
    print(error)
    try:
        writer.write([{"a": "x"}])
    except DataError as error:
        print(error)
"""


def fill(path: Path, limit: int) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", FILL, str(path), str(limit)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("limit", [100_000, 3_000_000])
def test_a_file_that_may_not_grow_is_a_clear_error_and_leaves_nothing(tmp_path, suffix, limit):
    path = tmp_path / f"t{suffix}"
    path.write_text("old")
    done = fill(path, limit)
    assert "disk is full" in done.stdout and "finished rows are in the journal" in done.stdout
    assert "is closed" in done.stdout and done.stderr == "" and done.returncode == 0
    assert names(tmp_path) == [path.name] and path.read_text() == "old"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path, suffix):
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path)]
    try:
        mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("only root can make a disk small enough to fill")
    try:
        path = tmp_path / f"t{suffix}"
        path.write_text("old")
        done = fill(path, 0)
        assert "disk is full" in done.stdout and "finished rows are in the journal" in done.stdout
        assert done.stderr == "" and done.returncode == 0
        assert names(tmp_path) == [path.name] and path.read_text() == "old"
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_times_near_the_ends_of_the_calendar_are_written(tmp_path):
    ends = [datetime.min, datetime.max, datetime.max.replace(tzinfo=UTC)]
    with TableWriter(tmp_path / "t.parquet", [Column("t", "timestamp")]) as writer:
        writer.write([{"t": end} for end in ends])
    assert [(r.values or {})["t"] for r in open_table(tmp_path / "t.parquet")] == [ends[0], ends[1], ends[1]]
