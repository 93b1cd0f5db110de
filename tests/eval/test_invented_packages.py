"""The packages of the monitor's bench: always the same, they run, and jedi finds the members that the points name."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from thalweg.code import Members, Workspace
from thalweg.eval.benches.invented_packages import LEAD, PACKAGES, TASKS, WORKS, write_packages


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] in PACKAGES]:
        del sys.modules[name]


def test_the_packages_are_the_same_every_time_and_run(folder: Path) -> None:
    points = write_packages(folder / "first")
    assert points == write_packages(folder)
    assert len(points) == 120 and len({point.text for point in points}) == 120
    for package in PACKAGES:
        for work in range(WORKS):
            module = importlib.import_module(f"{package}.work_{work}")
            functions = [
                one for _, one in inspect.getmembers(module, inspect.isfunction) if one.__module__ == module.__name__
            ]
            assert len(functions) == LEAD + TASKS
            for function in functions:
                function(*[1] * len(inspect.signature(function).parameters))
    for point in points:
        whole = (folder / point.path).read_text()
        assert whole.startswith(f"{point.text}{point.truth}{point.ends}\n") and point.text.endswith(".")


def test_jedi_knows_the_members_of_every_kind_of_point(tmp_path: Path) -> None:
    points = write_packages(tmp_path, PACKAGES[:1])
    with Workspace(tmp_path, timeout=60) as workspace:
        for point in points[:5]:
            found = Members(workspace, point.path).suggest(point.text, "")
            assert point.truth in found and found <= point.members
