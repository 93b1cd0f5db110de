"""A search that is killed with SIGKILL again and again ends as the undisturbed one, and repeats nothing."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHILD = '''
import json, os, sys, time
from pathlib import Path
from typing import Literal

import thalweg as tw
from thalweg.models import ScriptedModel
from thalweg.optimizing import Example, Search, optimize
from thalweg.program.budget import Budget

folder = Path(sys.argv[1])


def append(name, line):
    fd = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{line}\\n".encode())
    os.close(fd)


@tw.learned
def read(text: str) -> Literal["a", "b", "c"]:
    """Which letter?"""
    ...


@tw.learned
def check(text: str, letter: str) -> bool:
    """Is it?"""
    ...


@tw.learned
def judge(text: str, letter: str) -> Literal["low", "high"]:
    """How good is it?"""
    ...


@tw.learned
def propose(number: int, best: float) -> Literal["short", "long", "odd", "even"]:
    """What should be tried?"""
    ...


@tw.flow
def both(text: str) -> str:
    first = read(text)
    return first if check(text, first) else "c"


def script(request):
    said = "\\n".join(one.content for one in request.messages)
    append("asked.log", json.dumps(said))
    time.sleep(0.001)
    number = sum(said.encode()) + len(said)
    return request.format.choices[number % len(request.format.choices)]


def metric(example, output):
    if example.text == "7":
        raise ValueError("never scored")
    append("scored.log", json.dumps([example.text, output]))
    return (output == example.label) + 0.5 * (judge(example.text, output) == "high")


class Walk:
    name = "walk"

    def __repr__(self):
        return "Walk()"

    def run(self, search: Search) -> None:
        for number in range(8):
            rng = search.rng(f"step {number}")
            with search.asking("propose"):
                way = propose(number, search.best.score)
            text = way * rng.randint(1, 3) + str(rng.randint(0, 3))
            made = search.best.genome.replace({"both.read/instruction": text})
            search.evaluate(made, search.dev[:3])
            tried = search.try_(made, parent=search.best, note=way)
            steps = search.trace(tried.genome, search.dev[0])
            assert [one.path for one in steps] == ["both.read", "both.check"]


rows = [Example({"text": str(i)}, "abc"[i % 3], i) for i in range(18)]
append("ready.log", "")
model = ScriptedModel(script, identity="for kills", max_concurrency=4)
with tw.using(model=model, store=folder / "store", cache=False):
    study = optimize(
        both, train=rows[:4], dev=rows[4:12], test=rows[12:], metric=metric, strategy=Walk(),
        budget=Budget(calls=200), progress=False,
    )
data = study.to_json()
for one in (data, *data["trials"]):
    one["spent"].pop("seconds")
data.pop("resumed")
(folder / "result.json").write_text(json.dumps(data, sort_keys=True))
'''


def live(folder: Path, after: int | None) -> bool:
    """One life of the search, killed after so many requests of it; whether it ended by itself."""
    folder.mkdir(exist_ok=True)
    (folder / "child.py").write_text(CHILD)
    began = len(lines(folder, "asked.log"))
    process = subprocess.Popen(
        [sys.executable, str(folder / "child.py"), str(folder)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        while process.poll() is None:
            if after is not None and len(lines(folder, "asked.log")) - began >= after:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                return False
            time.sleep(0.001)
        assert process.stderr is not None
        said = process.stderr.read().decode()
        assert process.returncode == 0, said[-3000:]
        return True
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def lines(folder: Path, name: str) -> list[str]:
    file = folder / name
    return file.read_text().splitlines() if file.exists() else []


def recorded(folder: Path) -> dict[str, tuple[float, Any]]:
    """(started, value) by place: of calls that have answers and of scored rows."""
    with sqlite3.connect(folder / "store" / "store.sqlite") as db:
        found = db.execute(
            "SELECT path, started, value FROM calls WHERE (answer IS NOT NULL AND error IS NULL) OR kind = 'evaluation'"
        ).fetchall()
    return {path: (started, value) for path, started, value in found}


def test_killed_three_times_it_finds_the_same_and_repeats_nothing(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert live(whole, None)
    for after in (25, 90, 57):
        before = recorded(killed) if (killed / "store" / "store.sqlite").exists() else {}
        assert not live(killed, after)
        now = recorded(killed)
        assert {path: now.get(path) for path in before} == before  # neither lost nor written anew
    assert live(killed, None)
    now = recorded(killed)
    assert {path: now.get(path) for path in before} == before
    assert json.loads((killed / "result.json").read_text()) == json.loads((whole / "result.json").read_text())
    # What was under way at a kill (four at a time) is asked again; of that the metric only what it had not returned.
    asked, once = lines(killed, "asked.log"), lines(whole, "asked.log")
    assert len(asked) - len(once) <= 3 * 8 and set(asked) == set(once)
