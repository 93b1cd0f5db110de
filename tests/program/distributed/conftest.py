"""A Ray cluster of one node for the tests of this folder, a program in a file, and its scripted model."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

PROGRAM = '''
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import thalweg as tw
from beside import shout


@dataclass
class Verdict:
    label: Literal["good", "bad"]
    loud: str


@tw.learned
def judge(text: str) -> Literal["good", "bad"]:
    """Is this review good or bad?"""


@tw.flow
def review(text: str) -> Verdict:
    if "explode" in text:
        raise ValueError("the review explodes")
    if "poison" in text:
        os.kill(os.getpid(), signal.SIGKILL)
    note = os.environ.get("THALWEG_TEST_NOTES") or "NOTES"
    if note != "NOTES":
        with open(note, "a") as file:
            file.write(f"{os.getpid()} {text}\\n")
    return Verdict(judge(text), shout(text))
'''


@pytest.fixture(scope="session")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every computed row leaves a line: the worker's process id and the text."""
    return tmp_path_factory.mktemp("notes") / "notes.txt"


@pytest.fixture(scope="module")
def ray(notes: Path) -> Iterator[Any]:
    import ray

    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0", THALWEG_TEST_NOTES=str(notes)
    )
    ray.init(
        "local", num_cpus=2, object_store_memory=100 * 2**20, include_dashboard=False, log_to_driver=False,
        logging_level="ERROR",
    )  # fmt: skip
    yield ray
    ray.shutdown()
    del os.environ["THALWEG_TEST_NOTES"]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The flow `review`, from a file that no worker finds by itself."""
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "reviews_on_ray.py").write_text(PROGRAM)
    (folder / "beside.py").write_text("def shout(text):\n    return text.upper()\n")
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location("reviews_on_ray", folder / "reviews_on_ray.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reviews_on_ray"] = module
    spec.loader.exec_module(module)
    yield module.review
    for name in ("reviews_on_ray", "beside"):
        sys.modules.pop(name, None)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    lines = [f"{i},review number {i}{' explode' if i % 10 == 3 else ''}" for i in range(40)]
    path.write_text("id,text\n" + "\n".join(lines) + "\n5,too,many\n")
    return path
