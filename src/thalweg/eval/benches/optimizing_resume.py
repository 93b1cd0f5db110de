"""Is a search that is killed again and again the search that nobody killed, and what does it ask twice?

A real search over prompts of SmolLM2 (labelled examples, then instructions that the model itself words anew, first on a
part of dev) runs in a process of its own, which is killed with SIGKILL at random moments and started again by the same
command. Nothing is cached, so that what is not repeated is owed to the study's journal. Baseline: a search without a
journal, which has to score again at each kill what it had scored.
`python -m thalweg.eval.benches.optimizing_resume FOLDER QUICK` is one life of it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

import thalweg as tw
from thalweg.eval.benches.wordnet_fields import field_examples, kind
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models.request import Answer, Request
from thalweg.models.request_codec import request_key
from thalweg.optimizing import LabeledFewShot, Search, optimize
from thalweg.optimizing.composing import Composable

NAME = "optimizing.resume"
SIZES = {True: (8, 12, 12), False: (16, 32, 60)}  # train, dev, test


def benchmark(quick: bool) -> Benchmark:
    question = "Is a killed search resumed exactly, and does it repeat no evaluation?"
    return Benchmark(NAME, question, lambda: _run(quick, 3 if quick else 10))


# -- the search -------------------------------------------------------------------------------------------------------


@tw.learned
def reword(instruction: str) -> Annotated[str, Field(min_length=10, max_length=70)]:
    """Write this instruction in other words."""
    ...


@dataclass(frozen=True)
class Reworded(Composable):
    """Instructions that the model words anew; those that do no worse on a part of dev are tried on all of it."""

    steps: int = 4
    name: str = "Reworded"

    def run(self, search: Search) -> None:
        part = search.dev[: len(search.dev) // 3]
        for number in range(self.steps):
            best = search.best
            with search.asking("reword"):
                text = reword.using(temperature=1.0, seed=number)(best.genome["kind/instruction"])
            genome = best.genome.replace({"kind/instruction": text})
            shown = search.evaluate(genome, part)
            if shown.mean >= search.evaluate(best.genome, part).mean:
                search.try_(genome, parent=best, note=text)


class Logged:
    """A model that writes down each request when its work begins."""

    def __init__(self, model: Any, file: Path) -> None:
        self._model = model
        self._file = file

    def submit(self, request: Request, *more: Any) -> Future[Answer]:
        _append(self._file, request_key(request, self._model.identity))
        return self._model.submit(request, *more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def live(folder: Path, quick: bool) -> None:
    """One life: the same call each time."""
    from thalweg.program.session import model_in_force, settings

    train, dev, test = field_examples(*SIZES[quick])
    model = Logged(model_in_force(settings(model="smollm2-135m")), folder / "asked.log")
    with tw.using(model=model, store=folder / "store", cache=False):
        _append(folder / "ready.log", "")
        strategy = LabeledFewShot(k=3, draws=2) >> Reworded(4 if quick else 12)
        study = optimize(kind, train=train, dev=dev, test=test, strategy=strategy, progress=False)
    found = study.to_json()
    for one in (found, *found["trials"]):
        one["spent"].pop("seconds")
    found.pop("resumed")
    part = folder / "result.part"
    part.write_text(json.dumps(found, sort_keys=True))
    os.replace(part, folder / "result.json")


# -- killing it -------------------------------------------------------------------------------------------------------


def _run(quick: bool, kills: int) -> Sequence[Figure]:
    dice = random.Random(0)
    rows = again = lost = asked = killed = rounds = anew = 0
    same = True
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        whole.mkdir()
        seconds = _life(whole, quick, None)
        assert seconds is not None
        expected = (whole / "result.json").read_text()
        once = len(_lines(whole / "asked.log"))
        trials = len(json.loads(expected)["trials"])
        while killed < kills:
            folder = Path(name) / f"killed {rounds}"
            folder.mkdir()
            rounds += 1
            known: dict[str, Any] = {}
            share = 2 * seconds / (kills - killed + 1)  # the lives of a round share its work
            while True:
                moment = dice.random() * share if killed < kills else None
                ended = _life(folder, quick, moment) is not None
                now = _recorded(folder)
                again += sum(now.get(path) != value for path, value in known.items() if _is_row(path))
                anew += sum(now.get(path) != value for path, value in known.items() if not _is_row(path))
                known = now
                if ended:
                    break
                killed += 1
                lost += sum(map(_is_row, known))
            rows += sum(map(_is_row, known))
            asked += len(_lines(folder / "asked.log")) - once
            same &= (folder / "result.json").read_text() == expected
    searches = f"{rounds} searches of {trials} trials, {killed} kills"
    return [
        Figure(NAME, "result equals the undisturbed search", float(same), 1.0, None, "share", rounds,
               f"every trial, score, cost, warning and held-out comparison; {searches}"),
        Figure(NAME, "evaluations repeated", float(again), float(lost), None, "evaluations", rows,
               "baseline: scored before a kill, which a search without a journal scores again"),
        Figure(NAME, "recorded calls asked again", float(anew), 0.0, None, "calls", rounds * once, ""),
        Figure(NAME, "calls under way at a kill, asked again", float(asked), None, None, "calls", rounds * once,
               f"{asked / max(1, killed):.1f} a kill; nothing is cached here"),
    ]  # fmt: skip


def _life(folder: Path, quick: bool, moment: float | None) -> float | None:
    """One life of the search, killed so many seconds after its model is there. Returns its seconds, None if killed."""
    lives = len(_lines(folder / "ready.log"))
    command = [sys.executable, "-m", "thalweg.eval.benches.optimizing_resume", str(folder), str(int(quick))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    started: float | None = None
    try:
        while process.poll() is None:
            if started is None:
                started = time.perf_counter() if len(_lines(folder / "ready.log")) > lives else None
            elif moment is not None and time.perf_counter() - started >= moment:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                return None
            time.sleep(0.002)
        if process.returncode != 0:
            said = process.stderr.read() if process.stderr else ""
            raise RuntimeError(f"the search ended with {process.returncode}: {said[-2000:]}")
        return time.perf_counter() - (started or 0.0)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def _recorded(folder: Path) -> dict[str, Any]:
    """(started, value) by place: of calls that have answers and of scored rows."""
    place = folder / "store" / "store.sqlite"
    if not place.exists():
        return {}
    query = "SELECT path, started, value FROM calls WHERE (answer IS NOT NULL AND error IS NULL) OR kind = 'evaluation'"
    with sqlite3.connect(place) as db:
        try:
            if db.execute("SELECT count(*) FROM runs WHERE run LIKE 'study-%'").fetchone()[0] > 1:
                raise RuntimeError("the same call was another study: the library was changed while it was measured")
            return {path: (started, value) for path, started, value in db.execute(query)}
        except sqlite3.OperationalError:  # killed before the tables were made
            return {}


def _is_row(path: str) -> bool:
    return path.count("/") == 1 and path.startswith("c") and "#" not in path


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def _append(file: Path, line: str) -> None:
    """One line, whole or not at all."""
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


if __name__ == "__main__":
    live(Path(sys.argv[1]), sys.argv[2] == "1")
