import json
import math
from datetime import UTC, datetime

import pytest

from thalweg.errors import DataError
from thalweg.eval import Benchmark, Figure, benchmark, compare, machine, write_results

FIGURE = Figure("prefix", "tokens per second", 866.0, 323.0, 866 / 323, "tok/s", 512, "prefill; n counts tokens")


def test_compare_takes_turns():
    turns = []
    compare(lambda: turns.append("a"), lambda: turns.append("b"), repeats=3)
    assert turns == ["a", "b"] * 3


def test_ratio_and_spread_are_those_of_the_measured_times(monkeypatch):
    times = iter([1.0, 2.0, 1.0, 3.0, 2.0, 4.0])
    monkeypatch.setattr(benchmark, "_seconds", lambda call: next(times))
    assert compare(int, int, repeats=3) == (1.0, 3.0, 3.0, 0.5)


@pytest.mark.parametrize("repeats", [0, -1])
def test_no_repeats_is_a_data_error(repeats):
    with pytest.raises(DataError):
        compare(int, int, repeats=repeats)


def test_a_figure_is_one_line_of_json():
    line = FIGURE.to_json_line()
    assert "\n" not in line
    assert Figure(**json.loads(line)) == FIGURE


def test_a_number_without_a_json_form_is_a_data_error():
    with pytest.raises(DataError, match="prefix/speed"):
        Figure("prefix", "speed", math.inf, None, None, "tok/s", 1).to_json_line()


def test_machine_is_json_and_names_no_host():
    import platform

    where = machine()
    assert where["cores"] >= 1 and where["libraries"]["numpy"]
    assert platform.node() not in json.dumps(where)


def test_results_are_written_whole_and_replaced(tmp_path):
    folder = tmp_path / "results"
    for _ in range(2):
        path = write_results(folder, "prefix", [FIGURE])
    assert [entry.name for entry in folder.iterdir()] == ["prefix.json"] == [path.name]
    content = json.loads(path.read_text())
    assert content["name"] == "prefix" and content["machine"]["python"]
    assert Figure(**content["figures"][0]) == FIGURE
    assert abs((datetime.now(UTC) - datetime.fromisoformat(content["date"])).total_seconds()) < 60


@pytest.mark.parametrize("name", ["", "../prefix", "a/b", ".hidden"])
def test_a_name_that_is_a_path_is_a_data_error(tmp_path, name):
    with pytest.raises(DataError):
        write_results(tmp_path, name, [FIGURE])


def test_no_figures_is_a_data_error(tmp_path):
    with pytest.raises(DataError):
        write_results(tmp_path, "prefix", [])


def test_a_benchmark_is_a_question_and_a_way_to_answer_it():
    asked = Benchmark("prefix", "Does sharing prefixes pay?", lambda: [FIGURE])
    assert asked.run() == [FIGURE]
