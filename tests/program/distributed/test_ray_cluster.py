"""A cluster of two nodes with the real model, and a driver that is killed: both through a cluster of its own."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ray = pytest.importorskip("ray")

PROGRAM = """
import os
import time
from typing import Literal

import thalweg as tw

@tw.learned
def judge(text: str) -> Literal["good", "bad"]:
    \"\"\"Is this review good or bad?\"\"\"

@tw.flow
def review(text: str) -> str:
    note("judged", text)
    return judge(text)

@tw.flow
def plain(text: str) -> str:
    note("plain", text)
    time.sleep(0.05)
    return text.upper()

def note(kind: str, text: str) -> None:
    with open(os.environ["THALWEG_TEST_NOTES"], "a") as file:
        file.write(f"{kind} {os.getpid()} {os.getcwd()} {text}\\n")
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two nodes; their processes work in a folder that holds nothing."""
    from ray.cluster_utils import Cluster

    empty, here = tmp_path_factory.mktemp("empty"), Path.cwd()
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
        THALWEG_TEST_NOTES=str(empty.parent / "cluster-notes.txt"),
    )  # fmt: skip
    os.chdir(empty)
    made = None
    try:
        small = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=small)
        made.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        yield made
    finally:
        os.chdir(here)
        ray.shutdown()
        if made is not None:
            made.shutdown()
        del os.environ["THALWEG_TEST_NOTES"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "on_two_nodes.py").write_text(PROGRAM)
    (tmp_path / "in.csv").write_text("text\n" + "".join(f"review number {i}\n" for i in range(24)))
    return tmp_path


def start(folder: Path, flow: str, output: str, *more: str) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "thalweg", "run", f"on_two_nodes.py:{flow}", "--input", "in.csv", "--output", output,
        "--model", "smollm2-135m:q8_0", "--no-cache", *more,
    ]  # fmt: skip
    environment = {**os.environ, "THALWEG_STORE": f"store-{output}"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def whole(folder: Path, flow: str, output: str, *more: str) -> str:
    process = start(folder, flow, output, *more)
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    return out


def recorded(folder: Path, output: str) -> int:
    file = folder / f"store-{output}" / "store.sqlite"
    if not file.exists():
        return 0
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30) as db:
        try:
            return db.execute("SELECT count(*) FROM rows").fetchone()[0]
        except sqlite3.OperationalError:
            return 0


def noted(kind: str) -> list[list[str]]:
    place = Path(os.environ["THALWEG_TEST_NOTES"])
    lines = place.read_text().splitlines() if place.exists() else []
    return [line.split(" ", 3)[1:] for line in lines if line.startswith(kind)]


@pytest.mark.long
def test_two_nodes_with_the_real_model_give_the_bytes_of_a_local_run(
    cluster: Any, folder: Path, model_path: Path
) -> None:
    out = whole(folder, "review", "there.csv", "--on", f"ray:{cluster.address}", "--limit", "8")
    there = noted("judged")
    assert "rows           8" in out
    assert len({pid for pid, _, _ in there}) == 2, "both nodes worked"
    assert str(folder) not in {cwd for _, cwd, _ in there}, "workers do not stand in the driver's folder"
    whole(folder, "review", "here.csv", "--limit", "8")
    assert (folder / "there.csv").read_bytes() == (folder / "here.csv").read_bytes()


@pytest.mark.long
def test_a_driver_killed_in_mid_run_goes_on_and_computes_no_recorded_row_again(cluster: Any, folder: Path) -> None:
    where = ("--on", f"ray:{cluster.address}", "--concurrency", "2")
    process = start(folder, "plain", "out.csv", *where)
    end = time.monotonic() + 100
    while recorded(folder, "out.csv") < 6:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    kept, first = recorded(folder, "out.csv"), {pid for pid, _, _ in noted("plain")}
    assert kept < 24 and not (folder / "out.csv").exists()
    out = whole(folder, "plain", "out.csv", *where)
    assert f"already done   {kept} rows from an earlier run" in out
    again = [text for pid, _, text in noted("plain") if pid not in first]
    assert len(again) == len(set(again)) == 24 - kept, "0 recorded rows are computed again"
    assert (folder / "out.csv").read_text().count("REVIEW NUMBER") == recorded(folder, "out.csv") == 24


@pytest.mark.long
def test_a_signal_stops_with_130_and_says_that_rows_are_kept(cluster: Any, folder: Path) -> None:
    process = start(folder, "plain", "term.csv", "--on", f"ray:{cluster.address}", "--concurrency", "1")
    end = time.monotonic() + 100
    while recorded(folder, "term.csv") < 2:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "The same command goes on from there." in err
    assert not (folder / "term.csv").exists()


def test_a_cluster_that_is_not_there_is_told(folder: Path) -> None:
    process = start(folder, "plain", "nowhere.csv", "--on", "slurm")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Write --on ray, or --on ray:ADDRESS." in err
