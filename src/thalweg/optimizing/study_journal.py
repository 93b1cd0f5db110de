"""The journal of a study: every scored row is written down before it counts, so a killed search loses nothing.

A study is a run of the project's store. Its places are "c<candidate>/e<example>/" for the calls of one candidate on one
example ("metric/" in it for those of the metric), with one row of the journal ("c.../e...", kind `evaluation`) that
holds what came of it, and "<step>#n/" for the questions an optimizer asks itself. A search is deterministic, so the
same command takes the same way again, finds these rows, and goes on where they end. Cost: one row in one transaction an
evaluation.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from thalweg.errors import SearchError
from thalweg.models.request import Answer
from thalweg.optimizing.metric import TraceStep
from thalweg.program import run_store
from thalweg.program.budget import Spent
from thalweg.program.failure_record import failure_from_json, failure_to_json
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


@dataclass(frozen=True)
class Step:
    """A place for an optimizer's own questions, and what an earlier life of the study knows of it.

    Args:
        done: it was taken before. failure: what it ended with then, to be met again. spent: by a step that failed.
    """

    path: str
    scope: Scope
    meter: Counted
    done: bool = False
    failure: BaseException | None = None
    spent: Spent = field(default_factory=Spent)


class StudyJournal:
    """Reads and writes the rows of one study. One process at a study.

    Args:
        identity: of everything that decides a row. info: for `thalweg runs`. fresh: forget what was found before.

    Raises:
        SearchError: the study is under way, its id is another run's, or it was of something else.
    """

    def __init__(
        self, store: Store, run: str, program: str, identity: str, info: dict[str, Any], *, fresh: bool = False
    ) -> None:
        self.store = store
        self.run = run
        self.program = program
        self.seconds = 0.0  # of earlier lives of this study
        self._rows: dict[tuple[str, str], Row] = {}
        self._twins: dict[str, str] = {}
        self._steps: dict[str, int] = {}
        self._asked: dict[str, dict[str, Any]] = {}
        self._failed: tuple[str, BaseException] | None = None
        self._began = self._timed = time.monotonic()
        self._lock = RunLock(store.folder, run)
        if not self._lock.acquire():
            raise SearchError(f"The study {run} is under way, here or in another process.", "Wait for it, or stop it.")
        try:
            self._open(identity, info, fresh)
        except BaseException:
            self._lock.release()
            raise
        self.root = Scope(run, "", True, store=store)

    def _open(self, identity: str, info: dict[str, Any], fresh: bool) -> None:
        known = run_store.row(self.store, self.run)
        if known is not None and "study" not in known.info:
            raise SearchError(f"{self.run!r} names a run that is no study.", "Choose another id.")
        if known is not None and fresh:
            self.store.forget(self.run)
        elif known is not None and self.store.identity(self.run) != identity:
            raise SearchError(
                f"The study {self.run!r} was of another program, other examples or another strategy.",
                "Choose another id, or start over with fresh=True.",
            )
        self.store.begin(self.run, self.program, identity, {"study": True, **info})
        run_store.working(self.store, self.run)
        for call in self.store.calls(self.run, kind="evaluation"):
            candidate, _, example = call.path.partition("/")
            if call.value is not None:
                self._rows[candidate[1:], example[1:]] = Row(**json.loads(call.value))
        for call in self.store.calls(self.run, kind="asked"):
            self._asked[call.path] = json.loads(call.value or "{}")
        for call in self.store.calls(self.run, kind="elapsed"):
            self.seconds = float(json.loads(call.value or "0"))
        self.resumed = bool(self._rows)  # an earlier process has scored rows of this study

    # -- rows -------------------------------------------------------------------------------------------------------

    def row(self, candidate: str, example: str) -> Row | None:
        return self._rows.get((candidate, example))

    @property
    def rows(self) -> int:
        """How many rows are written down."""
        return len(self._rows)

    def unanswered(self) -> int:
        """Rows that failed because an endpoint did not answer."""
        return sum(row.error.startswith("EndpointError:") for row in self._rows.values())

    def place(self, candidate: str, example: str) -> tuple[Scope, Counted]:
        """Where a candidate's calls on an example are journalled, with their counter."""
        return self._metered(f"c{candidate}/e{example}")

    def judging(self, place: Scope) -> Scope:
        """Where the metric's calls about a row are journalled: not among those of the program."""
        return place.child(f"{place.path}metric")

    def write(self, candidate: str, example: str, row: Row, inputs: Any, started: float) -> None:
        """Write a scored row down."""
        write_row(
            self.store, self.run, f"c{candidate}/e{example}", "evaluation", self.program, inputs, row.__dict__,
            row.error or None, started,
        )  # fmt: skip
        self._rows[candidate, example] = row
        if time.monotonic() - self._timed > 5:
            self.keep_time()

    def copy(self, candidate: str, twin: str, examples: Sequence[str]) -> None:
        """Give a candidate the rows of one that behaves alike; in memory, since it is found again by behaving alike."""
        self._twins[candidate] = twin
        for example in examples:
            row = self._rows.get((twin, example))
            if row is not None:
                self._rows.setdefault((candidate, example), row)

    def forget_row(self, candidate: str, example: str) -> None:
        """Forget a row with its calls, so that it is asked anew; what they cost is in the cache."""
        path = f"c{candidate}/e{example}"
        self.store.flush()
        paths = [one.path for one in self.store.calls(self.run, under=f"{path}/")]
        self.store.forget_calls(self.run, [path, *paths])
        self._rows.pop((candidate, example), None)

    def calls(self, candidate: str, example: str) -> list[Any]:
        """The recorded calls behind a row, of the program and not of the metric, in order."""
        candidate = self._twins.get(candidate, candidate)
        self.store.flush()
        under = f"c{candidate}/e{example}/"
        found = [
            one for one in self.store.calls(self.run, under=under)
            if one.kind in ("value", "strategy") and not one.path.startswith(f"{under}metric/")
        ]  # fmt: skip
        # As they began, whatever finished first.
        found.sort(key=lambda call: (call.started, [_place(part) for part in call.path.split("/")]))
        return found

    def trace(self, candidate: str, example: str, functions: dict[str, str]) -> list[TraceStep]:
        """The calls of learned functions behind a row, in order.

        Args:
            functions: state paths by a function's name; calls of others are left out.
        """
        calls = self.calls(candidate, example)
        asked = {one.path for one in calls if one.kind == "strategy"}
        steps: list[TraceStep] = []
        for call in calls:
            parts = call.path.split("/")
            inside = any("/".join(parts[:count]) in asked for count in range(2, len(parts)))
            if inside or call.value is None or call.function not in functions:
                continue  # a question that a strategy asked on its way is no call of the program
            steps.append(TraceStep(functions[call.function], json.loads(call.inputs), json.loads(call.value)))
        return steps

    # -- questions of the optimizer ---------------------------------------------------------------------------------

    def step(self, name: str) -> Step:
        """The next place for an optimizer's own questions."""
        number = self._steps.get(name, 0)
        self._steps[name] = number + 1
        path = f"{name}#{number}"
        scope, meter = self._metered(path)
        known = self._asked.get(path)
        if known is None:
            return Step(path, scope, meter)
        failure = failure_from_json(known["failure"]) if known.get("failure") else None
        step = Step(path, scope, meter, True, failure, Spent(known["calls"], known["tokens"]))
        if failure is not None:
            self._failed = path, failure
        return step

    def end_step(self, step: Step, failure: BaseException | None = None) -> None:
        """Write down that a step was taken, and what it failed by: a search that is taken up again meets it again."""
        if failure is not None:
            self._failed = step.path, failure
        elif step.done:
            return
        value = {
            "calls": step.meter.calls, "tokens": step.meter.tokens,
            "failure": failure_to_json(failure) if failure is not None else None,
        }  # fmt: skip
        write_row(self.store, self.run, step.path, "asked", self.program, None, value, None, time.time())

    def _metered(self, path: str) -> tuple[Scope, Counted]:
        place = self.root.child(path)
        place.answers = []
        place.meter = meter = Counted(self.root.meter)
        return place, meter

    # -- time and end -----------------------------------------------------------------------------------------------

    def elapsed(self) -> float:
        """Seconds of work in all lives of the study."""
        return self.seconds + time.monotonic() - self._began

    def keep_time(self) -> None:
        self._timed = time.monotonic()
        write_row(self.store, self.run, "elapsed", "elapsed", self.program, None, self.elapsed(), None, time.time())

    def close(self, status: str, error: BaseException | None = None) -> None:
        """The search ends. A step whose failure ended it is tried again by the next one."""
        try:
            if error is not None and self._failed is not None and self._failed[1] is error:
                self.store.forget_calls(self.run, [self._failed[0]])
            self.keep_time()
            self.store.finish(self.run, status)
        finally:
            self._lock.release()


def _place(part: str) -> tuple[str, int]:
    name, _, number = part.partition("#")
    return name, int(number) if number.isdigit() else -1
