"""`Search`: what an optimizer works with - a program's space, examples, a metric, and evaluations that are never lost.

An optimizer asks `evaluate` for candidates in whatever order it likes and keeps no state outside of what `rng` and the
evaluations give it; so taking the same way again finds every scored row in the journal, which is how a killed search
goes on. A failing row scores `failure_score` with its reason, a candidate that cannot be bound fails as a whole, and
neither ends the search. A budget ends it between two candidates, by `SearchOver`, which `optimize` catches.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from thalweg.errors import EndpointError, Error, ModelNotFound, NonDeterminism, RunBusy, SearchError, StoreError
from thalweg.optimizing.example import Example
from thalweg.optimizing.metric import Metric, TraceStep, judged
from thalweg.optimizing.study_journal import Row, StudyJournal
from thalweg.program import Learned
from thalweg.program.budget import Budget, Limit, Spent
from thalweg.program.compile.tasks import Pool, Task
from thalweg.program.journal import inside
from thalweg.program.mapping import map_rows
from thalweg.program.score import Score
from thalweg.program.session import current
from thalweg.program.spaces import Genome, Space
from thalweg.program.types import jsonable
from thalweg.program.value import Failure, Value

if TYPE_CHECKING:
    from thalweg.optimizing.hashing import FunctionalCache

_JUDGES = Pool("judge", 16)
_OF_THE_SEARCH = (NonDeterminism, StoreError, RunBusy, ModelNotFound)  # no candidate's fault: the search stops with it


class Optimizer(Protocol):
    """A way to look for better programs. It returns when it has nothing left to try."""

    @property
    def name(self) -> str: ...

    def run(self, search: Search) -> None: ...


class SearchOver(Exception):
    """The budget is spent; `reason` names the limit. Not an error: optimizers let it pass."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Evaluation:
    """One candidate on some examples.

    Args:
        rows: one for each example, in order. error: why the candidate as a whole could not run, "" where it could.
        free: nothing new had to be asked.
    """

    genome: Genome
    examples: tuple[Example, ...]
    rows: tuple[Row, ...]
    error: str = ""
    free: bool = False

    @property
    def mean(self) -> float:
        return sum(row.score for row in self.rows) / len(self.rows) if self.rows else float("-inf")

    @property
    def scores(self) -> list[float]:
        return [row.score for row in self.rows]

    @property
    def failed(self) -> int:
        """Rows without an output."""
        return sum(bool(row.error) for row in self.rows)

    @property
    def tokens(self) -> float:
        """Tokens an example, prompts and answers."""
        return sum(row.tokens for row in self.rows) / len(self.rows) if self.rows else 0.0


@dataclass(frozen=True)
class Trial:
    """A candidate that was evaluated on the whole dev split.

    Args:
        number: from 0, which is the program as it was. by: the optimizer. parent: number of the trial it was made from.
        note: what was changed, in words. same_as: the trial that behaves alike, whose rows it has.
    """

    number: int
    evaluation: Evaluation
    by: str = ""
    parent: int | None = None
    note: str = ""
    same_as: int | None = None
    spent: Spent = field(default_factory=Spent)

    @property
    def genome(self) -> Genome:
        return self.evaluation.genome

    @property
    def score(self) -> float:
        return self.evaluation.mean


class Search:
    """One search under way; made by `optimize`.

    Args:
        program: a learned function or flow. space: its open choices, which optimizers may narrow.
        train, dev: examples to learn from, and to choose by. metric: see `metric.py`.
    """

    def __init__(
        self,
        program: Any,
        space: Space,
        train: Sequence[Example],
        dev: Sequence[Example],
        metric: Metric,
        journal: StudyJournal,
        *,
        budget: Budget | None = None,
        seed: int = 0,
        cache: FunctionalCache | None = None,
        failure_score: float = 0.0,
        told: Callable[[Search], None] = lambda search: None,
    ) -> None:
        self.program = program
        self.space = space
        self.train = tuple(train)
        self.dev = tuple(dev)
        self.metric = metric
        self.journal = journal
        self.budget = budget or Budget()
        self.seed = seed
        self.cache = cache
        self.failure_score = failure_score
        self.trials: list[Trial] = []
        self.optimizer = ""
        self.warnings: list[str] = []
        self._told = told
        self._counted: set[tuple[str, str]] = set()
        self._spent = Spent()
        self._by_digest: dict[str, Trial] = {}
        self.names = (
            [one.name for one in program.signature.inputs]
            if isinstance(program, Learned)
            else list(program.signature.parameters)
        )

    # -- what an optimizer asks ---------------------------------------------------------------------------------------

    @property
    def best(self) -> Trial:
        """The trial with the highest score on dev, the first of equals."""
        return max(self.trials, key=lambda trial: (trial.score, -trial.number))

    @property
    def functions(self) -> dict[str, Learned[..., Any]]:
        """The learned functions of the program by state path."""
        return {self.program.name: self.program} if isinstance(self.program, Learned) else self.program.learned()

    @property
    def spent(self) -> Spent:
        return Spent(self._spent.calls, self._spent.tokens, self.journal.elapsed(), self._spent.evaluations)

    def rng(self, name: str = "") -> random.Random:
        """Random numbers that depend on the study's seed and a name, and on nothing that happened."""
        key = f"{self.seed}/{self.optimizer}/{name}".encode()
        return random.Random(int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big"))

    def bound(self, genome: Genome) -> Any:
        """The program with a genome's choices. Raises what does not fit."""
        return bound(self.program, genome)

    def try_(self, genome: Genome, *, parent: Trial | None = None, note: str = "") -> Trial:
        """Evaluate a candidate on the whole dev split; one that was tried is given back as it is, free of charge.

        Raises `SearchOver` before asking anything where the budget does not allow it.
        """
        known = self._by_digest.get(genome.digest)
        if known is not None:
            return known
        twin = self.cache.twin(self, genome) if self.cache is not None else None
        if twin is not None:
            self.journal.copy(genome.digest, twin.genome.digest, [one.digest for one in self.dev])
        found = self.evaluate(genome, self.dev)
        trial = Trial(
            len(self.trials), found, self.optimizer, parent.number if parent else None, note,
            twin.number if twin else None, self.spent,
        )  # fmt: skip
        self.trials.append(trial)
        self._by_digest[genome.digest] = trial
        if self.cache is not None and twin is None:
            self.cache.keep(self, trial)
        self._told(self)
        return trial

    def evaluate(self, genome: Genome, examples: Sequence[Example], *, budgeted: bool = True) -> Evaluation:
        """Score a candidate on some examples; rows that the journal has are not asked again.

        Raises `SearchOver` before asking anything where the budget does not allow it; not where `budgeted` is false.
        """
        examples = tuple(examples)
        digest = genome.digest
        distinct = {one.digest: one for one in examples}
        missing = [one for key, one in distinct.items() if self.journal.row(digest, key) is None]
        # A row that an earlier life of the study has scored still counts, the first time it is asked for.
        uncounted = [key for key in distinct if (digest, key) not in self._counted]
        if budgeted and uncounted:
            self._check(len(uncounted))
        error = ""
        if missing:
            try:
                program = self.bound(genome)
            except Error as problem:
                error = f"{type(problem).__name__}: {problem}"
                for one in missing:
                    self.journal.write(digest, one.digest, Row(self.failure_score, error=error), None, time.time())
            else:
                self._ask(program, digest, missing)
                self.journal.keep_time()
        rows = [self.journal.row(digest, one.digest) for one in examples]
        assert all(row is not None for row in rows)
        if budgeted:
            for key in uncounted:
                row = self.journal.row(digest, key)
                assert row is not None
                self._counted.add((digest, key))
                self._spent += Spent(row.calls, row.tokens, 0.0, 1)
        return Evaluation(genome, examples, tuple(rows), error, not missing)  # type: ignore[arg-type]

    def trace(self, genome: Genome, example: Example) -> list[TraceStep]:
        """The calls of learned functions behind an evaluated row, in order."""
        return self.journal.trace(genome.digest, example.digest, self._function_paths())

    @contextmanager
    def asking(self, name: str) -> Iterator[None]:
        """A place for the optimizer's own questions to models: journalled, counted, answered from the journal when the
        search is taken up again. Raises `SearchOver` where the budget is spent."""
        self._check(0)
        place, meter = self.journal.step(f"{self.optimizer or 'search'}.{name}")
        try:
            with inside(place):
                yield
        finally:
            self._spent += Spent(meter.calls, meter.tokens, 0.0, 0)

    def free(self, genome: Genome, examples: Sequence[Example]) -> bool:
        """Whether a candidate's rows on these examples are all known."""
        return all(self.journal.row(genome.digest, one.digest) is not None for one in examples)

    # -- asking ---------------------------------------------------------------------------------------------------

    def _check(self, evaluations: int) -> None:
        if self.budget.left("evaluations", self.spent) < max(1, evaluations):
            raise SearchOver("evaluations")
        limit: Limit | None = self.budget.spent_out(self.spent)
        if limit is not None:
            raise SearchOver(limit)

    def _function_paths(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for path, one in self.functions.items():
            found.setdefault(one.name, path)
        return found

    def _ask(self, program: Any, digest: str, examples: Sequence[Example]) -> None:
        waits = [0.0, 1.0, 4.0]  # an endpoint that is down for a moment must not decide about a candidate
        left = list(examples)
        for attempt, wait in enumerate(waits):
            time.sleep(wait)
            last = attempt == len(waits) - 1
            left = self._ask_once(program, digest, left, keep_endpoint_errors=last)
            if not left:
                return

    def _ask_once(
        self, program: Any, digest: str, examples: Sequence[Example], *, keep_endpoint_errors: bool
    ) -> list[Example]:
        again: list[Example] = []

        def submit(index: int) -> Value[None]:
            example = examples[index]
            place, meter = self.journal.place(digest, example.digest)
            started = time.time()
            with inside(place):
                inputs = example.inputs(self.names)
                value = program.submit(**inputs)

            def keep(row: Row) -> None:
                self.journal.write(digest, example.digest, row, jsonable(inputs), started)

            def judge() -> None:
                try:
                    output = value.result()
                    with inside(place):
                        score = judged(
                            self.metric, example, output,
                            lambda: self.journal.trace(digest, example.digest, self._function_paths()),
                        )  # fmt: skip
                except EndpointError as error:
                    if not keep_endpoint_errors:
                        again.append(example)
                        return
                    keep(self._failed(error, meter))
                except _OF_THE_SEARCH:
                    raise
                except Exception as error:
                    keep(self._failed(error, meter))
                else:
                    keep(_row(score, output, meter))

            task = Task(judge, (_settled(value),))
            task.start(_JUDGES)
            return Value(task.future, before_wait=value._before_wait)

        found = map_rows(
            submit, ["index"], range(len(examples)), (), fail_fast=False, session=current(), title="", planned=None
        )
        for index, one in enumerate(found):
            if isinstance(one, Failure) and isinstance(one.error, _OF_THE_SEARCH):
                raise one.error
            if isinstance(one, Failure):  # not even begun: its inputs do not fit
                row = self._failed(one.error, None)
                self.journal.write(digest, examples[index].digest, row, None, time.time())
        return again

    def _failed(self, error: BaseException, meter: Any) -> Row:
        said = f"{type(error).__name__}: {error}"
        return Row(
            self.failure_score, f"the program failed: {said}", error=said,
            calls=meter.calls if meter else 0, tokens=meter.tokens if meter else 0,
        )  # fmt: skip


def bound(program: Any, genome: Genome) -> Any:
    """A program with a genome's choices: a copy."""
    if isinstance(program, Learned):
        made = program.bind(genome.state)
        said = {
            one.setting[1]: genome.values[path]
            for path, one in genome.space.items()
            if one.setting is not None and genome.values[path] is not None
        }
        return made.using(**said) if said else made
    return program.bind(genome)


def _row(score: Score, output: Any, meter: Any) -> Row:
    packed = jsonable(output)
    json.dumps(packed)
    return Row(
        score.value, score.feedback, dict(score.parts), packed, "", meter.calls, meter.tokens,
    )  # fmt: skip


def _settled(value: Value[Any]) -> Any:
    """A future that is done when `value` is, and never fails."""
    from concurrent.futures import Future

    future: Future[None] = Future()
    value.add_done_callback(lambda _: future.set_result(None))
    return future


def check_begins(evaluation: Evaluation) -> None:
    """Raise `SearchError` where not one row of the program as it is could be scored: the search would learn nothing."""
    if evaluation.rows and evaluation.failed == len(evaluation.rows):
        raise SearchError(
            f"The program fails on every one of {len(evaluation.rows)} examples; first: {evaluation.rows[0].error}.",
            "Try it on one example by hand, and the metric on its output.",
        )
