"""The journal of a study: every scored row is written down before it counts, so a killed search loses nothing.

A study is a run of the project's store. Its places are "c<candidate>/e<example>/" for the calls of one candidate on one
example, with one row of the journal ("c.../e...", kind `evaluation`) that holds what came of it, and "<step>#n/" for
the questions an optimizer asks itself. A search is deterministic, so the same command takes the same way again, finds
these rows, and goes on where they end. Cost: one row in one transaction an evaluation.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from thalweg.models.request import Answer
from thalweg.optimizing.metric import TraceStep
from thalweg.program.journal import Meter, Scope
from thalweg.program.repair_steps import write_row
from thalweg.program.run_lock import RunLock
from thalweg.program.score import Score
from thalweg.program.store import Store


@dataclass(frozen=True)
class Row:
    """One candidate on one example.

    Args:
        score: its metric's value; that of a failed row is the study's failure score. output: as JSON data.
        error: why it failed, "" where it did not. calls, tokens: answered for it, by whomever.
    """

    score: float
    feedback: str = ""
    parts: dict[str, float] = field(default_factory=dict)
    output: Any = None
    error: str = ""
    calls: int = 0
    tokens: int = 0

    @property
    def as_score(self) -> Score:
        return Score(self.score, self.feedback, self.parts)


class Counted(Meter):
    """Counts every answer, whoever gave it: what a study has used must not depend on what the cache knew before."""

    def __init__(self, whole: Meter) -> None:
        super().__init__()
        self._whole = whole

    def add(self, answer: Answer, *, reused: bool) -> None:
        super().add(answer, reused=False)
        self._whole.add(answer, reused=reused)

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens


class StudyJournal:
    """Reads and writes the rows of one study. One process at a study: raises `SearchError` from `open` for a second.

    Args:
        store: None keeps the study in memory only.
    """

    def __init__(self, store: Store | None, run: str, program: str, identity: str, info: dict[str, Any]) -> None:
        from thalweg.errors import SearchError

        self.store = store
        self.run = run
        self.program = program
        self._rows: dict[tuple[str, str], Row] = {}
        self._steps: dict[str, int] = {}
        self.seconds = 0.0  # of earlier lives of this study
        self._began = time.monotonic()
        self.root = Scope(run, "", True, store=store)
        self._lock = RunLock(store.folder, run) if store is not None else None
        if self._lock is not None and not self._lock.acquire():
            raise SearchError(f"The study {run} is under way in another process.", "Wait for it, or stop it.")
        if store is None:
            return
        store.begin(run, program, identity, info)
        for call in store.calls(run, kind="evaluation"):
            candidate, _, example = call.path.partition("/")
            if call.value is not None:
                self._rows[candidate[1:], example[1:]] = Row(**json.loads(call.value))
        for call in store.calls(run, kind="elapsed"):
            self.seconds = float(json.loads(call.value or "0"))

    @property
    def resumed(self) -> bool:
        """Whether an earlier process has scored rows of this study."""
        return bool(self._rows)

    def row(self, candidate: str, example: str) -> Row | None:
        return self._rows.get((candidate, example))

    def place(self, candidate: str, example: str) -> tuple[Scope, Counted]:
        """Where a candidate's calls on an example are journalled, with their counter."""
        place = self.root.child(f"c{candidate}/e{example}")
        place.answers = []
        place.meter = meter = Counted(self.root.meter)
        return place, meter

    def step(self, name: str) -> tuple[Scope, Counted]:
        """The next place for an optimizer's own questions."""
        number = self._steps.get(name, 0)
        self._steps[name] = number + 1
        place = self.root.child(f"{name}#{number}")
        place.answers = []
        place.meter = meter = Counted(self.root.meter)
        return place, meter

    def write(self, candidate: str, example: str, row: Row, inputs: Any, started: float) -> None:
        """Write a scored row down."""
        self._rows[candidate, example] = row
        if self.store is not None:
            write_row(
                self.store, self.run, f"c{candidate}/e{example}", "evaluation", self.program, inputs, row.__dict__,
                row.error or None, started,
            )  # fmt: skip

    def copy(self, candidate: str, twin: str, examples: Sequence[str]) -> None:
        """Give a candidate the rows of one that behaves alike; in memory, since it is found again by behaving alike."""
        for example in examples:
            row = self._rows.get((twin, example))
            if row is not None:
                self._rows.setdefault((candidate, example), row)

    def elapsed(self) -> float:
        """Seconds of work in all lives of the study."""
        return self.seconds + time.monotonic() - self._began

    def keep_time(self) -> None:
        if self.store is not None:
            write_row(self.store, self.run, "elapsed", "elapsed", self.program, None, self.elapsed(), None, time.time())

    def trace(self, candidate: str, example: str, functions: dict[str, str]) -> list[TraceStep]:
        """The calls of learned functions behind a row, in order.

        Args:
            functions: state paths by a function's name; calls of others are left out.
        """
        if self.store is None:
            return []
        self.store.flush()
        under = f"c{candidate}/e{example}/"
        steps: list[TraceStep] = []
        calls = [one for one in self.store.calls(self.run, under=under) if one.kind in ("value", "strategy")]
        calls.sort(key=lambda call: [_place(part) for part in call.path.split("/")])  # whatever finished first
        asked = {one.path for one in calls if one.kind == "strategy"}
        for call in calls:
            parts = call.path[len(under) :].split("/")
            inside = any(under + "/".join(parts[:count]) in asked for count in range(1, len(parts)))
            if inside or call.value is None or call.function not in functions:
                continue  # a question that a strategy asked on its way is no call of the program
            steps.append(TraceStep(functions[call.function], json.loads(call.inputs), json.loads(call.value)))
        return steps

    def close(self, status: str) -> None:
        if self.store is not None:
            self.keep_time()
            self.store.finish(self.run, status)
        if self._lock is not None:
            self._lock.release()


def _place(part: str) -> tuple[str, int]:
    name, _, number = part.partition("#")
    return name, int(number) if number.isdigit() else -1
