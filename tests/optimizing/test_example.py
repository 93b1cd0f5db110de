"""`examples_of`: rows of every form become examples of the program's types; the unreadable are left out and told."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import DataError
from thalweg.optimizing import Example, examples_of
from thalweg.optimizing.example import read_examples


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Refund:
    order: int


@dataclass
class Other:
    summary: str


@tw.learned
def colour(text: str, times: int = 1) -> Colour:
    """Which colour?"""


@tw.learned
def count(text: str) -> int:
    """How many?"""


@tw.learned
def read(text: str) -> Refund | Other:
    """Read it."""


@tw.learned
def say(text: str) -> Literal["good", "bad"]:
    """Good or bad?"""


ROWS = [{"text": "a rose", "label": "red"}, {"text": "the sea", "label": "blue"}]


def written(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / name
    table = pa.Table.from_pylist(rows)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".arrow":
        pyarrow.feather.write_feather(table, path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        lines = [mark.join(rows[0]), *(mark.join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.arrow"])
def test_a_table_of_any_format_gives_the_same_typed_examples(tmp_path: Path, name: str) -> None:
    made = examples_of(written(tmp_path, name, ROWS), program=colour)
    assert [(one.text, one.label, one.number) for one in made] == [
        ("a rose", Colour.RED, 0), ("the sea", Colour.BLUE, 1),
    ]  # fmt: skip


def test_rows_in_memory_stay_as_they_are() -> None:
    table = pa.Table.from_pylist(ROWS)
    assert [one.label for one in examples_of(table)] == ["red", "blue"]
    pairs = [("a rose", Colour.RED), ({"text": "the sea"}, Colour.BLUE)]
    made = examples_of(pairs, program=colour, names=["text"])
    assert [(one.text, one.label) for one in made] == [("a rose", Colour.RED), ("the sea", Colour.BLUE)]
    again = examples_of(made)
    assert [one.digest for one in again] == [one.digest for one in made]
    assert examples_of([Refund(3)])[0].row == {"order": 3}


def test_a_data_frame_has_none_for_missing_cells() -> None:
    frame = pytest.importorskip("pandas").DataFrame({"text": ["a", "b"], "label": ["1", None]})
    found = read_examples(frame, program=count)
    assert [one.label for one in found.examples] == [1]
    assert "1 row of 2 cannot be used" in found.warnings[0]


@pytest.mark.parametrize(
    ("program", "cell", "label"),
    [
        (count, "3", 3), (count, " 4.0 ", 4), (colour, "blue", Colour.BLUE), (say, "good", "good"),
        (read, '{"type": "Refund", "order": 7}', Refund(7)), (read, '{"order": 7}', Refund(7)),
        (read, '{"summary": "x"}', Other("x")),
    ],
)  # fmt: skip
def test_the_text_of_a_label_becomes_a_value_of_the_output_type(
    tmp_path: Path, program: Any, cell: str, label: Any
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "t", "right": cell}) + "\n")
    [one] = examples_of(path, label="right", program=program)
    assert one.label == label
    assert type(one.label) is type(label)


def test_inputs_are_cast_and_those_with_a_default_may_be_absent(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,times,label\nx,2,red\n")
    assert examples_of(path, program=colour)[0].times == 2
    path.write_text("text,label\nx,red\n")
    assert examples_of(path, program=colour)[0].row == {"text": "x", "label": "red"}
    path.write_text("words,label\nx,red\n")
    with pytest.raises(DataError, match="no column 'text'"):
        examples_of(path, program=colour)
    assert examples_of(path, program=colour, columns={"text": "words"})[0].text == "x"


def test_rows_that_cannot_be_used_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,times,label\nfine,1,red\ntoo,many,cells,here\nx,often,red\ny,2,green\nz,3,blue\n")
    with pytest.warns(RuntimeWarning, match="3 rows of 5 cannot be used") as caught:
        made = examples_of(path, program=colour)
    assert len(caught) == 1
    assert [one.text for one in made] == ["fine", "z"]
    found = read_examples(path, program=colour)
    assert sorted((one.row, one.column) for one in found.left_out if one.column) == [(2, "times")]
    assert any("'green' is no answer" in one.what and one.row == 3 for one in found.left_out)


def test_a_table_of_nothing_but_unusable_rows_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,times,label\nx,often,red\ny,never,blue\n")
    with pytest.raises(DataError, match="Row 0, column 'times'") as caught:
        examples_of(path, program=colour)
    assert (caught.value.row, caught.value.column) == (0, "times")
    with pytest.raises(DataError, match="no examples"):
        examples_of([])
    with pytest.raises(DataError, match="no column 'truth'"):
        examples_of(ROWS, label="truth")


def test_labels_of_another_type_throughout_stay_and_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", [{"text": "x", "label": "Spam"}, {"text": "y", "label": "Ham"}])
    with pytest.warns(RuntimeWarning, match="No label is of the program's output type"):
        made = examples_of(path, program=say)
    assert [one.label for one in made] == ["Spam", "Ham"]


def test_read_examples_pass_again_with_their_warnings(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\nx,red\ny,green\n")
    found = read_examples(path, program=colour)
    assert read_examples(found, program=colour) is found
    assert len(found.warnings) == 1


@given(st.dictionaries(st.text(min_size=1), st.one_of(st.none(), st.integers(), st.text()), max_size=4), st.text())
def test_the_digest_does_not_depend_on_the_order_of_columns(row: dict[str, Any], label: str) -> None:
    turned = dict(reversed(row.items()))
    assert Example(row, label).digest == Example(turned, label, 7).digest
    assert Example(row, label).digest != Example({**row, "another": 1}, label).digest


def test_typed_labels_of_a_table_serve_as_demonstrations(tmp_path: Path) -> None:
    """Enums and unions of classes come through a program's state, and inputs with a default need no column."""
    from thalweg.models import ScriptedModel
    from thalweg.optimizing import LabeledFewShot, optimize

    model = ScriptedModel(lambda request: request.format.choices[0] if request.format.choices else refund)
    refund = '{"type": "Refund", "order": 3}'
    rows: dict[Any, list[dict[str, Any]]] = {
        colour: [{"text": f"{i}", "label": ["red", "blue"][i % 2]} for i in range(12)],
        read: [{"text": f"{i}", "label": json.dumps({"order": i % 4})} for i in range(12)],
    }
    with tw.using(model=model, store=tmp_path / "store"):
        for program, table in rows.items():
            path = written(tmp_path, "a.jsonl", table)
            study = optimize(program, path, strategy=LabeledFewShot(k=4, draws=1), progress=False)
            assert [one.evaluation.error for one in study.trials] == ["", ""]
            assert study.trials[0].score > 0
