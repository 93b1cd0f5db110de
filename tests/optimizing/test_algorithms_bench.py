"""What the bench of the algorithms stands on: its rank test, its table that runs no code, its cell as a program."""

from __future__ import annotations

import io
import itertools
import os
import pickle
from pathlib import Path

import pytest

from thalweg.errors import DataError
from thalweg.eval.benches import nas_table
from thalweg.eval.benches.nas_table import _Records
from thalweg.eval.benches.optimizing_pyglove import cell, fewer
from thalweg.program.spaces import space


def exactly(these: list[float], those: list[float]) -> float:
    """One-sided p of the rank test by going through all ways to part the values."""
    pooled = [*these, *those]

    def smaller(indices: tuple[int, ...]) -> float:
        mine = [pooled[index] for index in indices]
        rest = [pooled[index] for index in range(len(pooled)) if index not in indices]
        return sum((a < b) + (a == b) / 2 for a in mine for b in rest)

    seen = smaller(tuple(range(len(these))))
    ways = [smaller(one) for one in itertools.combinations(range(len(pooled)), len(these))]
    return sum(one >= seen for one in ways) / len(ways)


@pytest.mark.parametrize(
    ("these", "those"),
    [
        ([1.0, 2, 3, 5, 8, 9], [4.0, 6, 7, 10, 11, 12]), ([1.0, 1, 2, 2, 3], [1.0, 2, 3, 3, 3, 4]),
        ([9.0, 8, 7, 6], [1.0, 2, 3, 4, 5]), ([1.0, 2, 3, 4, 5, 6], [7.0, 8, 9, 10, 11]),
    ],
)  # fmt: skip
def test_the_rank_test_is_close_to_the_exact_one(these: list[float], those: list[float]) -> None:
    assert fewer(these, those) == pytest.approx(exactly(these, those), abs=0.04)


def test_values_that_are_all_equal_show_nothing() -> None:
    assert fewer([3.0] * 5, [3.0] * 6) == 1.0


def test_the_table_makes_nothing_but_its_own_records() -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, ("touch executed",)

    with pytest.raises(pickle.UnpicklingError, match="it holds posix.system"):
        _Records(io.BytesIO(pickle.dumps({(0,) * 6: Evil()}))).load()


def test_a_file_that_is_not_the_published_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALWEG_DATA", str(tmp_path))
    (tmp_path / nas_table._FILE).write_bytes(b"something else")
    nas_table.accuracies.cache_clear()
    with pytest.raises(DataError, match="not the file that was published"):
        nas_table.accuracies()


def test_a_cell_is_a_program_of_six_choices() -> None:
    found = space(cell)
    assert found.size() == 5**6
    one = found.sample(3)
    assert cell.bind(one)() == tuple(one.values.values())
