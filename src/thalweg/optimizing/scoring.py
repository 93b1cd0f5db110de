"""Scoring: one candidate on some examples, rows side by side, each written down before it counts.

What fails is a failed row with its reason. An endpoint that is down for a moment is asked again, calls that have
answers are not; a row whose calls do not come in the order in which a killed search recorded them is asked anew. Only
what is no candidate's fault (the store, the lock, a model that is not there) ends the search.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from thalweg.errors import EndpointError, ModelNotFound, NonDeterminism, RunBusy, StoreError
from thalweg.optimizing.example import Example
from thalweg.optimizing.metric import Metric, TraceStep, judged
from thalweg.optimizing.study_journal import Counted, Row, StudyJournal
from thalweg.program import Learned
from thalweg.program.compile.tasks import Pool, Task
from thalweg.program.journal import inside
from thalweg.program.mapping import map_rows
from thalweg.program.score import Score
from thalweg.program.session import current, model_in_force
from thalweg.program.spaces import Genome, Space
from thalweg.program.types import jsonable
from thalweg.program.value import Failure, Value

OF_THE_SEARCH = (StoreError, RunBusy, ModelNotFound)  # no candidate's fault: the search stops with it
WAITS = (0.0, 1.0, 4.0)  # seconds before each attempt at what an endpoint did not answer
_JUDGES = Pool("judge", 16)


class Scoring:
    """Scores candidates of one program by one metric.

    Args:
        function_paths: state paths of the program's learned functions by name, for traces.
        told: called when a row is done, from any thread.
    """

    def __init__(
        self, program: Any, space: Space, metric: Metric, journal: StudyJournal, failure_score: float,
        function_paths: dict[str, str], told: Callable[[], None],
    ) -> None:  # fmt: skip
        self.metric = metric
        self.journal = journal
        self.failure_score = failure_score
        self._paths = function_paths
        self._told = told
        self._stopped = False
        self._names, self._optional = arguments_of(program, space)

    def score(self, program: Any, digest: str, examples: Sequence[Example]) -> None:
        """Score a bound candidate on examples and write the rows down."""
        left = list(examples)
        for attempt, wait in enumerate(WAITS):
            if wait:
                time.sleep(wait)
            left = self._once(program, digest, left, last=attempt == len(WAITS) - 1)
            if not left:
                return

    def fail(self, digest: str, examples: Sequence[Example], error: BaseException) -> str:
        """Write down that a candidate as a whole cannot run. Returns the reason."""
        said = f"{type(error).__name__}: {error}"
        for one in examples:
            self.journal.write(digest, one.digest, Row(self.failure_score, error=said), None, time.time())
        return said

    def stop(self) -> None:
        """The search is over: what still comes in is not judged any more. Its answers are in the journal."""
        self._stopped = True

    def trace(self, digest: str, example: Example) -> list[TraceStep]:
        return self.journal.trace(digest, example.digest, self._paths)

    def inputs(self, example: Example) -> dict[str, Any]:
        """What the program is called with. Raises `DataError` naming a column that is missing."""
        return example.inputs([one for one in self._names if one not in self._optional or one in example.row])

    def _once(self, program: Any, digest: str, examples: Sequence[Example], *, last: bool) -> list[Example]:
        again: list[Example] = []

        def submit(index: int) -> Value[None]:
            example = examples[index]
            place, meter = self.journal.place(digest, example.digest)
            started = time.time()
            inputs: dict[str, Any] = {}
            try:
                inputs = self.inputs(example)
                with inside(place):
                    value = program.submit(**inputs)
            except OF_THE_SEARCH:
                raise
            except Exception as problem:
                value = _failed_value(problem)

            def judge() -> None:
                if self._stopped:
                    return
                try:
                    output = value.result()
                    with inside(self.journal.judging(place)):
                        score = judged(self.metric, example, output, lambda: self.trace(digest, example))
                    row = _row(score, output, meter)
                except EndpointError as error:
                    if not last and error.fault != "answer":
                        again.append(example)
                        return
                    row = self._failed(error, meter)
                except NonDeterminism as error:
                    if not last:
                        self.journal.forget_row(digest, example.digest)
                        again.append(example)
                        return
                    row = self._failed(error, meter)
                except OF_THE_SEARCH:
                    raise
                except Exception as error:
                    row = self._failed(error, meter)
                self.journal.write(digest, example.digest, row, jsonable(inputs), started)
                self._told()

            task = Task(judge, (_settled(value),))
            task.start(_JUDGES)
            return Value(task.future, before_wait=value._before_wait)

        session = program.own.over(current())
        streams = 1 if session.mode == "python" else max(1, model_in_force(session).capabilities.streams)
        ahead = 4 * streams if isinstance(program, Learned) else session.concurrency or 2 * streams
        found = map_rows(
            submit, ["index"], range(len(examples)), (), fail_fast=False,
            session=replace(session, progress=False), title="",
            ahead=ahead,
        )  # fmt: skip
        for index, one in enumerate(found):
            if isinstance(one, Failure) and isinstance(one.error, OF_THE_SEARCH):
                raise one.error
            if isinstance(one, Failure) and self.journal.row(digest, examples[index].digest) is None:
                # Its inputs cannot be written down.
                row = self._failed(one.error, None)
                self.journal.write(digest, examples[index].digest, row, None, time.time())
        return again

    def _failed(self, error: BaseException, meter: Counted | None) -> Row:
        said = f"{type(error).__name__}: {error}"
        return Row(
            self.failure_score, f"the program failed: {said}", error=said,
            calls=meter.calls if meter else 0, tokens=meter.tokens if meter else 0,
        )  # fmt: skip


def bound(program: Any, genome: Genome) -> Any:
    """A program with a genome's choices: a copy. Raises what does not fit."""
    own = getattr(genome.space, "bind", None)  # a space may say itself what program a genome is (`optimizers.teachers`)
    return own(genome) if own is not None else program.bind(genome)


def arguments_of(program: Any, space: Space) -> tuple[list[str], set[str]]:
    """The parameters that examples give values, and those of them that may be left out."""
    if isinstance(program, Learned):
        given = program.signature.parameters.parameters
        return list(given), {name for name, one in given.items() if one.default is not one.empty}
    code = program.function.__code__
    chosen = {one.parameter[1] for one in space.values() if one.parameter is not None and one.parameter[0] is code}
    plain = [
        one for one in program.signature.parameters.values()
        if one.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD) and one.name not in chosen
    ]  # fmt: skip
    return [one.name for one in plain], {one.name for one in plain if one.default is not one.empty}


def _row(score: Score, output: Any, meter: Counted) -> Row:
    packed = jsonable(output)
    json.dumps(packed)
    return Row(score.value, score.feedback, dict(score.parts), packed, "", meter.calls, meter.tokens)


def _failed_value(error: Exception) -> Value[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return Value(future)


def _settled(value: Value[Any]) -> Future[None]:
    """A future that is done when `value` is, and never fails."""
    future: Future[None] = Future()
    value.add_done_callback(lambda _: future.set_result(None))
    return future
