"""Does a run that is killed again and again give the bytes of an undisturbed one, without repeating a finished call?

Each round starts `thalweg run`, kills it with SIGKILL at a random moment, and looks at the journal: calls recorded as
finished must never be recorded anew. In the end the output files are compared byte by byte.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from thalweg.eval.benches.samples import mails
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.program.tables import Column, TableWriter

PROGRAM = """
from thalweg.eval.benches.samples import Slip, judge, slip
import thalweg as tw

@tw.flow
def work(mail: str) -> Slip:
    judge.distribution(mail)
    return slip(mail)
"""


def benchmark(quick: bool) -> Benchmark:
    return Benchmark("resume", "Is a killed run resumed exactly?", lambda: _run(*((3, 8) if quick else (20, 40))))


def _run(kills: int, rows: int) -> Sequence[Figure]:
    dice = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "work.py").write_text(PROGRAM)
        with TableWriter(folder / "in.jsonl", [Column("id", "string"), Column("mail", "string")]) as writer:
            writer.write([{"id": row["id"], "mail": row["mail"]} for row in mails("dev")[:rows]])
        started = time.time()
        _start(folder, "undisturbed").wait()
        whole = time.time() - started
        expected = (folder / "undisturbed.parquet").read_bytes()
        finished: dict[str, float] = {}
        repeated = killed = processes = 0
        done = False
        # Moments are spread so that the work of one run lasts for all kills, loading included.
        while not done and processes < 4 * kills:
            process = _start(folder, "killed")
            processes += 1
            if killed < kills:
                try:
                    process.wait(1.5 + dice.random() * max(1.0, 2 * whole / kills))
                except subprocess.TimeoutExpired:
                    os.kill(process.pid, signal.SIGKILL)
                    process.wait()
                    killed += 1
            else:
                process.wait()
            now = _finished(folder)
            repeated += sum(path in now and now[path] != at for path, at in finished.items())
            finished = now
            done = process.returncode == 0 and (folder / "killed.parquet").exists()
            if done and killed < kills:  # finished too soon: go on killing a fresh run
                (folder / "killed.parquet").unlink()
                _forget(folder)
                finished, done = {}, False
        same = done and (folder / "killed.parquet").read_bytes() == expected
    return [
        Figure("resume", "output identical to an undisturbed run", float(same), 1.0, None, "share", 1, "byte by byte"),
        Figure("resume", "finished calls computed again", float(repeated), 0.0, None, "calls", len(finished), ""),
        Figure(
            "resume",
            "kills survived",
            float(killed),
            float(kills),
            None,
            "kills",
            processes,
            f"{rows} rows, 2 calls each",
        ),
    ]


def _start(folder: Path, name: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "thalweg", "run", "work.py:work", "--input", "in.jsonl", "--output", f"{name}.parquet",
        "--no-cache", "--no-progress",
    ]  # fmt: skip
    examples = str(Path(os.environ.get("THALWEG_EXAMPLES", "examples")).absolute())
    environment = {**os.environ, "THALWEG_STORE": f"store-{name}", "THALWEG_EXAMPLES": examples}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _finished(folder: Path) -> dict[str, float]:
    place = folder / "store-killed" / "store.sqlite"
    if not place.exists():
        return {}
    with sqlite3.connect(place) as db:
        try:
            return dict(
                db.execute("SELECT path, started FROM calls WHERE key IS NOT NULL AND error IS NULL").fetchall()
            )
        except sqlite3.OperationalError:  # killed before the tables were made
            return {}


def _forget(folder: Path) -> None:
    for file in (folder / "store-killed").glob("store.sqlite*"):
        file.unlink()
