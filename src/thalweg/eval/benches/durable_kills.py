"""Killing a durable run with SIGKILL at random moments until it is done, and counting what was done twice.

A life of the run is a process of its own (`durable_flows.py`); whoever kills also answers its questions, as a person
would: for a write of which it is not known whether it happened, by looking at the file it writes to.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from thalweg.program.human import answer, questions
from thalweg.program.store import Store


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody kills. `seconds`: from the first call to the end."""

    result: Any
    requests: Counter[str]
    sent: Counter[str]
    put: frozenset[str]
    seconds: float


@dataclass(frozen=True)
class Disturbed:
    """What came of a run that was killed.

    `repeated`: requests beyond the undisturbed ones. `recorded_again`: requests whose answer was in the journal.
    `most`: the most often one request was made. `doubled`: writes that happened more often than undisturbed.
    """

    same: bool
    kills: int
    repeated: int
    recorded_again: int
    most: int
    doubled: int
    lost: int


class Moment(NamedTuple):
    """When to kill: so many seconds after so many requests of this life."""

    requests: int
    seconds: float


LATEST = 0.02  # seconds after a request; the next ones have begun by then


def undisturbed(folder: Path, name: str) -> Undisturbed:
    folder.mkdir()
    seconds = _live(folder, name, None)
    assert seconds is not None
    sent, put = _lines(folder, "sent.log"), _lines(folder, "put.log")
    return Undisturbed(_result(folder), Counter(_lines(folder, "model.log")), Counter(sent), frozenset(put), seconds)


ROUND = 6  # kills of one run


def survive(folder: Path, name: str, expected: Undisturbed, kills: int, dice: random.Random, how: str = "durable"
            ) -> list[Disturbed]:  # fmt: skip
    """Kill runs until `kills` kills have hit; no run more than `ROUND` times."""
    found: list[Disturbed] = []
    folder.mkdir()
    while (left := kills - sum(one.kills for one in found)) > 0 and len(found) < kills + 5:
        found.append(_disturbed(folder / str(len(found)), name, expected, min(left, ROUND), dice, how))
    return found


def _disturbed(folder: Path, name: str, expected: Undisturbed, kills: int, dice: random.Random, how: str) -> Disturbed:
    """Kill a run up to `kills` times, then let it end."""
    folder.mkdir()
    killed = 0
    marks: list[tuple[int, set[str]]] = []
    # The lives of a run share its work, so that moments are spread over all of it; a plain rerun begins anew each time.
    share = expected.requests.total() * (2 / (kills + 1) if how == "durable" else 1)
    while killed < kills:
        if _live(folder, name, Moment(int(dice.random() * share), dice.random() * LATEST), how) is not None:
            break
        killed += 1
        marks.append((len(_lines(folder, "model.log")), _recorded(folder)))
    if not (folder / "result.json").exists():
        _live(folder, name, None, how)
    requests, sent = _lines(folder, "model.log"), Counter(_lines(folder, "sent.log"))
    return Disturbed(
        same=_result(folder) == expected.result and frozenset(_lines(folder, "put.log")) == expected.put,
        kills=killed,
        repeated=len(requests) - expected.requests.total(),
        recorded_again=sum(key in recorded for at, recorded in marks for key in requests[at:]),
        most=max(Counter(requests).values()),
        doubled=(sent - expected.sent).total(),
        lost=(expected.sent - sent).total(),
    )


def _live(folder: Path, name: str, moment: Moment | None, how: str = "durable") -> float | None:
    """One life of the process. Returns the seconds it worked, None if it was killed."""
    lives, requests = _size(folder, "ready.log"), len(_lines(folder, "model.log"))
    command = [sys.executable, "-m", "thalweg.eval.benches.durable_flows", str(folder), name, how]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    started: float | None = None
    store = Store(folder / "store")
    try:
        while process.poll() is None:
            if started is None:
                started = time.perf_counter() if _size(folder, "ready.log") > lives else None
            elif moment is not None and len(_lines(folder, "model.log")) - requests >= moment.requests:
                time.sleep(moment.seconds)
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                return None if not (folder / "result.json").exists() else 0.0
            _answer(folder, store)
            time.sleep(0.001)
        if process.returncode != 0:
            said = process.stderr.read() if process.stderr else ""
            raise RuntimeError(f"{name} ended with {process.returncode}: {said[-2000:]}")
        return time.perf_counter() - (started or 0.0)
    finally:
        store.close()
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def _answer(folder: Path, store: Store) -> None:
    for one in questions(store=store):
        if one.path.endswith(" happened"):
            line = json.dumps([one.payload["to"], one.payload["body"]])
            answer(one.run, line in _lines(folder, "sent.log"), one.path, store=store)
        else:
            answer(one.run, "1" if one.text.startswith("Which") else True, one.path, store=store)


def _lines(folder: Path, name: str) -> list[str]:
    file = folder / name
    return file.read_text().splitlines() if file.exists() else []


def _size(folder: Path, name: str) -> int:
    file = folder / name
    return file.stat().st_size if file.exists() else 0


def _result(folder: Path) -> Any:
    return json.loads((folder / "result.json").read_text())


def _recorded(folder: Path) -> set[str]:
    with sqlite3.connect(folder / "store" / "store.sqlite") as db:
        found = db.execute("SELECT key FROM calls WHERE kind = 'value' AND error IS NULL").fetchall()
    db.close()
    return {key for (key,) in found}
