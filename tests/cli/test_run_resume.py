"""Interrupted runs: killed, stopped or ended by a signal, the same command goes on and writes the same bytes."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = '''
from typing import Annotated, Literal

from pydantic import Field

import thalweg as tw


@tw.learned
def judge(text: str) -> Literal["good", "bad"]:
    """Is this review good or bad?"""


@tw.learned
def name(text: str) -> Annotated[str, Field(max_length=40)]:
    """Name what the review is about, in a few words."""


@tw.flow
def review(text: str) -> str:
    sure = judge.distribution(text)["good"]
    return f"{name(text)} ({judge(text)}, {sure:.6f})"
'''
ROWS = 16


@pytest.fixture
def folder(tmp_path: Path, model_path: Path) -> Path:
    (tmp_path / "reviews.py").write_text(PROGRAM)
    lines = [f"Review {i}: the {('soap', 'tea', 'lamp')[i % 3]} was {('fine', 'broken')[i % 2]}." for i in range(ROWS)]
    (tmp_path / "in.csv").write_text("text\n" + "\n".join(lines) + "\n")
    return tmp_path


def start(folder: Path, name: str, *more: str) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "thalweg", "run", "reviews.py:review", "--input", "in.csv", "--output", f"{name}.parquet",
        "--no-cache", "--model", "smollm2-135m:q8_0", "--concurrency", "4", *more,
    ]  # fmt: skip
    environment = {**os.environ, "THALWEG_STORE": f"store-{name}"}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A background job of a shell ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def finished_calls(folder: Path, name: str) -> dict[str, float]:
    file = folder / f"store-{name}" / "store.sqlite"
    if not file.exists():
        return {}
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30) as db:
        try:
            query = "SELECT path, started FROM calls WHERE key IS NOT NULL AND error IS NULL"
            return dict(db.execute(query).fetchall())
        except sqlite3.OperationalError:  # killed before the tables were made
            return {}


def until(folder: Path, name: str, process: subprocess.Popen[str], calls: int) -> None:
    """Wait until so many calls are recorded."""
    end = time.monotonic() + 120
    while len(finished_calls(folder, name)) < calls and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.01)


def complete(folder: Path, name: str) -> bytes:
    process = start(folder, name)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert f"rows           {ROWS}" in out
    return (folder / f"{name}.parquet").read_bytes()


def test_a_run_killed_at_random_moments_gives_the_same_bytes_and_repeats_no_finished_call(folder: Path) -> None:
    undisturbed = complete(folder, "undisturbed")
    dice = random.Random(2)
    known: dict[str, float] = {}
    kills = 0
    for moment in sorted(dice.sample(range(1, 3 * ROWS - 20), 5)):
        process = start(folder, "killed")
        until(folder, "killed", process, moment)
        time.sleep(0.03 * dice.random())
        process.kill()
        process.communicate(timeout=60)
        kills += process.returncode == -signal.SIGKILL
        assert not (folder / "killed.parquet").exists(), "the output appears whole or not at all"
        now = finished_calls(folder, "killed")
        assert {path: now.get(path) for path in known} == known
        known = now
    assert kills == 5
    assert complete(folder, "killed") == undisturbed
    now = finished_calls(folder, "killed")
    assert {path: now[path] for path in known} == known
    assert len(now) == len(finished_calls(folder, "undisturbed")) == 3 * ROWS
    assert [path.name for path in folder.iterdir() if path.name.endswith(".part")] == []
    (folder / "killed.parquet").unlink()
    assert complete(folder, "killed") == undisturbed
    assert finished_calls(folder, "killed") == now


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_cleanly_with_130_and_the_same_command_goes_on(folder: Path, name: str) -> None:
    process = start(folder, name)
    until(folder, name, process, 6)
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "they are kept. The same command goes on from there." in err
    assert "Traceback" not in err
    assert not (folder / f"{name}.parquet").exists()
    assert [path.name for path in folder.iterdir() if path.name.endswith(".part")] == []
    before = finished_calls(folder, name)
    complete(folder, name)
    after = finished_calls(folder, name)
    assert {path: after[path] for path in before} == before


def test_an_interruption_before_the_first_row_ends_with_130_too(folder: Path) -> None:
    process = start(folder, "early")
    time.sleep(0.15)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)


@pytest.mark.long
def test_twenty_kills_by_the_clock(folder: Path) -> None:
    undisturbed = complete(folder, "undisturbed")
    dice = random.Random(3)
    known: dict[str, float] = {}
    for _ in range(20):
        process = start(folder, "killed")
        try:
            process.wait(0.3 + 1.5 * dice.random())
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate(timeout=60)
        now = finished_calls(folder, "killed")
        assert {path: now.get(path) for path in known} == known
        known = now
    assert complete(folder, "killed") == undisturbed
