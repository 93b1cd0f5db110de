"""Reading tables: what is broken costs its own row, and memory does not grow with the table."""

from __future__ import annotations

import json
import os
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thalweg.errors import DataError
from thalweg.program.tables import cast, open_table


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def values(table: Any) -> list[dict[str, Any] | None]:
    return [row.values for row in table]


@contextmanager
def without_root() -> Iterator[None]:
    """Permissions mean nothing to root; be somebody else for a while."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_csv_streams_rows_of_strings_and_can_be_read_twice(tmp_path):
    table = open_table(write(tmp_path / "t.csv", "a,b\n1,x\n2,\n"))
    assert (table.kind, table.columns, table.rows) == ("csv", ("a", "b"), None)
    assert values(table) == values(table) == [{"a": "1", "b": "x"}, {"a": "2", "b": ""}]
    assert [row.index for row in table] == [0, 1]


def test_tsv_and_upper_case_suffix(tmp_path):
    assert values(open_table(write(tmp_path / "t.TSV", "a\tb\r\n1,5\tx\r\n"))) == [{"a": "1,5", "b": "x"}]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_csv_knows_all_line_ends_and_skips_blank_lines(tmp_path, end):
    table = open_table(write(tmp_path / "t.csv", end.join(["", "a,b", "1,2", "", "3,4"])))
    assert [(row.index, row.values) for row in table] == [(0, {"a": "1", "b": "2"}), (1, {"a": "3", "b": "4"})]


def test_columns_are_chosen_in_the_order_asked(tmp_path):
    path = write(tmp_path / "t.csv", "a,b,c\n1,2,3\n")
    table = open_table(path, columns=["c", "a"])
    assert table.columns == ("c", "a")
    assert [list(row.values or {}) for row in table] == [["c", "a"]]


def test_limit_counts_rows_broken_ones_included(tmp_path):
    path = write(tmp_path / "t.csv", "a,b\n1,2\n3\n5,6\n")
    assert [row.error is None for row in open_table(path, limit=2)] == [True, False]
    with pytest.raises(DataError, match="limit"):
        open_table(path, limit=-1)


def test_wrong_number_of_fields_is_a_broken_row_and_reading_goes_on(tmp_path):
    rows = list(open_table(write(tmp_path / "t.csv", "a,b\n1,2\n3\n4,5,6\n7,8\n")))
    assert [row.values for row in rows] == [{"a": "1", "b": "2"}, None, None, {"a": "7", "b": "8"}]
    error = rows[1].error
    assert error and error.row == 1 and "line 3" in error.what and "1 fields" in error.what and error.remedy


def test_quoted_newlines_and_quotes_are_one_cell(tmp_path):
    rows = values(open_table(write(tmp_path / "t.csv", 'a,b\n"one\ntwo\r\n""three""",x\ny,z\n')))
    assert rows == [{"a": 'one\ntwo\r\n"three"', "b": "x"}, {"a": "y", "b": "z"}]


def test_a_quote_left_open_costs_one_row_not_the_rest(tmp_path):
    body = "a,b\n1,2\n" + '3,"open\n' + "".join(f"{n},x\n" for n in range(1000))
    rows = list(open_table(write(tmp_path / "t.csv", body)))
    assert [row.index for row in rows if row.error] == [1]
    assert len(rows) == 1002 and rows[-1].values == {"a": "999", "b": "x"}
    assert rows[1].error and "line 3" in rows[1].error.what


def test_a_stray_quote_does_not_swallow_the_next_quoted_row(tmp_path):
    rows = list(open_table(write(tmp_path / "t.csv", 'a,b\n1,"open\n2,"fine"\n3,x\n')))
    assert [row.values for row in rows] == [None, {"a": "2", "b": "fine"}, {"a": "3", "b": "x"}]


def test_invalid_utf8_in_a_csv_cell_names_row_and_column(tmp_path):
    rows = list(open_table(write(tmp_path / "t.csv", b"a,b\n1,ok\n2,caf\xe9\n3,caf\xc3\xa9\n")))
    assert [row.values for row in rows] == [{"a": "1", "b": "ok"}, None, {"a": "3", "b": "café"}]
    error = rows[1].error
    assert error and (error.row, error.column) == (1, "b") and "UTF-8" in str(error)


def test_invalid_utf8_in_a_column_not_asked_for_does_no_harm(tmp_path):
    path = write(tmp_path / "t.csv", b"a,b\n2,caf\xe9\n")
    assert values(open_table(path, columns=["a"])) == [{"a": "2"}]


@pytest.mark.parametrize(("name", "body"), [("t.csv", "a\nx\n"), ("t.jsonl", '{"a": "x"}\n')])
def test_byte_order_mark_is_no_part_of_the_first_column(tmp_path, name, body):
    table = open_table(write(tmp_path / name, b"\xef\xbb\xbf" + body.encode()))
    assert table.columns == ("a",)
    assert values(table) == [{"a": "x"}]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_utf16_is_refused_with_the_remedy(tmp_path, name):
    with pytest.raises(DataError, match="UTF-16.*UTF-8"):
        open_table(write(tmp_path / name, 'a,b\n{"a": 1}\n'.encode("utf-16")))


def test_five_megabyte_cell_is_one_cell_in_every_format(tmp_path):
    big = "x" * 5_000_000
    write(tmp_path / "t.csv", f'a,b\n"{big}",1\n2,3\n')
    write(tmp_path / "t.jsonl", json.dumps({"a": big}) + "\n")
    pq.write_table(pa.table({"a": [big]}), tmp_path / "t.parquet")
    for name in ("t.csv", "t.jsonl", "t.parquet"):
        assert next(iter(open_table(tmp_path / name, columns=["a"]))).values == {"a": big}
    assert len(list(open_table(tmp_path / "t.csv"))) == 2


def test_cell_over_the_bound_breaks_its_row_only(tmp_path, monkeypatch):
    monkeypatch.setattr("thalweg.program.tables.jsonl_rows.CELL", 100)
    body = '{"a": 1}\n{"a": "' + "x" * 1000 + '"}\n{"a": 3}\n'
    rows = list(open_table(write(tmp_path / "t.jsonl", body)))
    assert [row.error is None for row in rows] == [True, False, True]


def test_jsonl_broken_lines_are_broken_rows_and_reading_goes_on(tmp_path):
    lines = [
        b'{"a": 1}', b'{"a": ', b"[1]", b'"x"', b"3", b"null", b'{"a": "\xff"}', b"", b'{"a": "\\ud800"}',
        b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}", b'{"b": 2}',
    ]  # fmt: skip
    rows = list(open_table(write(tmp_path / "t.jsonl", b"\n".join(lines))))
    assert [row.index for row in rows] == list(range(11))
    assert [row.index for row in rows if row.error is None] == [0, 10]
    assert all(row.error.row == row.index and row.error.remedy for row in rows if row.error)
    texts = [str(row.error) for row in rows]
    assert "line 2" in texts[1] and "array" in texts[2] and "not UTF-8 at byte 7" in texts[6]
    assert rows[7].error and rows[7].error.column == "a"


def test_jsonl_columns_come_from_the_first_hundred_rows_and_missing_keys_are_none(tmp_path):
    lines = [{"a": 1}, {"b": 2, "a": None}] + [{"a": 3}] * 98 + [{"late": 1}]
    path = write(tmp_path / "t.ndjson", "\n".join(map(json.dumps, lines)))
    table = open_table(path)
    assert table.columns == ("a", "b") and table.kind == "jsonl" and table.rows is None
    read = values(table)
    assert read[0] == {"a": 1, "b": None} and read[-1] == {"a": None, "b": None, "late": 1}
    assert values(open_table(path, columns=["b"]))[:2] == [{"b": None}, {"b": 2}]


def test_parquet_knows_its_rows_and_hands_on_python_values(tmp_path):
    columns = {"t": [datetime(2024, 1, 2, 3), None], "d": [Decimal("1.50"), None], "l": [[1], None], "s": ["x", ""]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    table = open_table(tmp_path / "t.parquet")
    assert (table.kind, table.rows, table.columns) == ("parquet", 2, ("t", "d", "l", "s"))
    assert values(table)[0] == {"t": datetime(2024, 1, 2, 3), "d": Decimal("1.50"), "l": [1], "s": "x"}
    assert open_table(tmp_path / "t.parquet", limit=1).rows == 1


def test_parquet_cells_without_a_python_value_break_their_row(tmp_path):
    bad = pa.Array.from_buffers(pa.string(), 2, pa.array([b"ok", b"\xff\xfe"], pa.binary()).buffers())
    nanoseconds = pa.array([1_704_164_645_123_456_789] * 2, pa.timestamp("ns"))
    pq.write_table(pa.table({"a": bad, "t": nanoseconds}), tmp_path / "t.parquet")
    first, second = open_table(tmp_path / "t.parquet")
    assert first.values == {"a": "ok", "t": datetime(2024, 1, 2, 3, 4, 5, 123456)}
    assert second.error and (second.error.row, second.error.column) == (1, "a")


def test_parquet_damaged_inside_says_after_which_row(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [os.urandom(50).hex() for _ in range(5000)]}), path, row_group_size=1000)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged after row"):
        list(open_table(path))


def test_directory_rows_are_its_text_files_sorted_by_name(tmp_path):
    for name, text in {"b.txt": "two", "a.eml": "\ufeffone", "c.md": "", "d.png": "no", ".e.txt": "no"}.items():
        write(tmp_path / name, text)
    (tmp_path / "sub.txt").mkdir()
    table = open_table(tmp_path)
    assert (table.kind, table.rows, table.columns) == ("directory", 3, ("path", "text"))
    assert values(table)[:2] == [{"path": "a.eml", "text": "one"}, {"path": "b.txt", "text": "two"}]
    assert values(open_table(tmp_path, columns=["path"]))[2] == {"path": "c.md"}


def test_directory_without_text_suffixes_takes_every_regular_file(tmp_path):
    write(tmp_path / "mail.001", "x")
    os.mkfifo(tmp_path / "pipe")
    assert values(open_table(tmp_path)) == [{"path": "mail.001", "text": "x"}]


def test_directory_file_that_cannot_be_read_is_a_broken_row(tmp_path):
    write(tmp_path / "a.txt", b"\xff")
    write(tmp_path / "b.txt", "gone")
    write(tmp_path / "c.txt", "x")
    table = open_table(tmp_path)
    (tmp_path / "b.txt").unlink()
    first, second, third = table
    assert first.error and (first.error.row, first.error.column) == (0, "text")
    assert second.error and "No such file" in second.error.what
    assert third.values == {"path": "c.txt", "text": "x"}


def test_fingerprint_tells_changed_content_and_only_that(tmp_path):
    path = write(tmp_path / "t.csv", "a\n1\n")
    before = open_table(path)
    assert open_table(path).fingerprint == before.fingerprint
    times = path.stat()
    write(path, "a\n2\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert open_table(path).fingerprint != before.fingerprint
    write(tmp_path / "a.txt", "x")
    before = open_table(tmp_path).fingerprint
    (tmp_path / "a.txt").rename(tmp_path / "b.txt")
    assert open_table(tmp_path).fingerprint != before


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.csv", None, "no table"),
        ("t.xlsx", "x", r"'\.xlsx'.*\.csv, \.tsv, \.jsonl, \.ndjson, \.parquet"),
        ("plain", "x", "no suffix"),
        ("t.csv", "", "empty"),
        ("t.jsonl", "", "empty"),
        ("t.parquet", "", "empty"),
        ("t.csv", "\n\n", "no header"),
        ("t.csv", "a,b,a\n", "more than one column named 'a'"),
        ("t.csv", b"a\xff,b\n", "header.*UTF-8"),
        ("t.csv", 'a,"b\n1,2\n', "header"),
        ("t.parquet", "PAR1 is not enough", "not a Parquet file"),
        ("t.parquet", "PAR1" + "x" * 100 + "PAR1", "not a Parquet file"),
    ],
)
def test_what_concerns_the_whole_table_is_raised_at_opening(tmp_path, name, content, says):
    if content is not None:
        write(tmp_path / name, content)
    with pytest.raises(DataError, match=says) as caught:
        open_table(tmp_path / name)
    assert caught.value.remedy


def test_directory_without_files_and_pipes_are_refused(tmp_path):
    with pytest.raises(DataError, match="no files"):
        open_table(tmp_path)
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(DataError, match="regular file"):
        open_table(tmp_path / "t.csv")


@pytest.mark.parametrize(("asked", "near"), [("mial", "mail"), ("Mail", "mail"), ("label", None)])
def test_missing_column_lists_what_there_is_and_the_nearest_name(tmp_path, asked, near):
    pq.write_table(pa.table({"id": [1], "mail": ["x"]}), tmp_path / "t.parquet")
    write(tmp_path / "t.csv", "id,mail\n1,x\n")
    write(tmp_path / "t.jsonl", '{"id": 1, "mail": "x"}\n')
    for name in ("t.parquet", "t.csv", "t.jsonl"):
        with pytest.raises(DataError, match="id, mail") as caught:
            open_table(tmp_path / name, columns=["id", asked])
        assert caught.value.column == asked
        assert (f"{near!r}" in caught.value.remedy) if near else caught.value.remedy


def test_permission_denied_is_a_clear_error():
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        path = write(Path(name) / "t.csv", "a\n1\n")
        path.chmod(0)
        with without_root(), pytest.raises(DataError, match="t.csv may not be read"):
            open_table(path)


def test_sixty_megabytes_stream_in_bounded_memory(tmp_path):
    path = tmp_path / "t.jsonl"
    line = json.dumps({"id": 1, "text": "x" * 6000}) + "\n"
    with open(path, "w") as file:
        for _ in range(100):
            file.write(line * 100)
    assert path.stat().st_size > 60_000_000
    table = open_table(path)
    tracemalloc.start()
    assert sum(row.error is None for row in table) == 10_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


@pytest.mark.parametrize(
    ("value", "annotation", "result"),
    [
        ("x", str, "x"), (3, str, "3"), (True, str, "true"), ("", str, ""),
        (" 3 ", int, 3), ("3.0", int, 3), (3.0, int, 3), ("-7", int, -7), (Decimal(2), int, 2),
        ("1e3", float, 1000.0), (2, float, 2.0), (Decimal("0.5"), float, 0.5),
        ("Yes", bool, True), ("0", bool, False), (1, bool, True), (False, bool, False),
        ("2024-02-29", date, date(2024, 2, 29)), (datetime(2024, 1, 1), date, date(2024, 1, 1)),
        ("2024-01-01T10:00", datetime, datetime(2024, 1, 1, 10)), (date(2024, 1, 1), datetime, datetime(2024, 1, 1)),
        ("1.10", Decimal, Decimal("1.10")), (0.1, Decimal, Decimal("0.1")),
        ("", int | None, None), (None, str | None, None), ("", str | None, ""), ("4", int | None, 4),
        ("x", int | str, "x"), ("12", int | float | None, 12), ("1.5", int | float, 1.5),
        ("b", Literal["a", "b"], "b"), ("3", Literal[1, 3], 3), (5, Annotated[int, "five"], 5),
        ([1], list[int], [1]), ('["a"]', list[str], ["a"]), ({"a": 1}, dict, {"a": 1}),
        ('{"a": 1}', dict[str, int], {"a": 1}),
        (object, Any, object),
    ],
)  # fmt: skip
def test_cast_accepts_what_means_the_same(value, annotation, result):
    got = cast(value, annotation)
    assert got == result and type(got) is type(result)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        ("3.5", int), (3.5, int), (True, int), ("", int), (None, str), ("1_000", int), ("9" * 5000, int),
        (float("nan"), int), (float("inf"), int), ("x", float), (True, float), ("maybe", bool), (2, bool),
        ("2024-13-01", date), (datetime(2024, 1, 1, 5), date), (5, datetime), ("x", Decimal), ([1], str),
        ("x", int | None), ("c", Literal["a", "b"]), ("[1", list), ('{"a": 1}', list), ("[" * 99_999, list), (3, dict),
    ],
)  # fmt: skip
def test_cast_refuses_what_needs_a_guess_and_says_where(value, annotation):
    with pytest.raises(DataError) as caught:
        cast(value, annotation, row=7, column="n")
    assert (caught.value.row, caught.value.column) == (7, "n")
    assert "Row 7, column 'n'" in str(caught.value) and len(str(caught.value)) < 300


def test_cast_shortens_the_value_it_repeats():
    with pytest.raises(DataError) as caught:
        cast("y" * 1_000_000, int)
    assert "yyy..." in caught.value.what and len(caught.value.what) < 120
