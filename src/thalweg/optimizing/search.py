"""`Search`: what an optimizer works with - a program's space, examples, a metric, and evaluations that are never lost.

An optimizer asks `evaluate` for candidates in whatever order it likes and keeps no state outside of what `rng` and the
evaluations give it; so taking the same way again finds every scored row in the journal, which is how a killed search
goes on. A failing row scores `failure_score` with its reason, a candidate that cannot be bound fails as a whole, and
neither ends the search. A budget ends it between two candidates, by `SearchOver`, which `optimize` catches.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from thalweg.errors import NonDeterminism, SearchError
from thalweg.optimizing.example import Example
from thalweg.optimizing.metric import Metric, TraceStep
from thalweg.optimizing.scoring import OF_THE_SEARCH, Scoring, arguments_of, bound
from thalweg.optimizing.study_journal import Row, StudyJournal
from thalweg.optimizing.trial import Evaluation, SearchOver, Trial
from thalweg.program import Learned
from thalweg.program.budget import Budget, Spent
from thalweg.program.journal import inside
from thalweg.program.spaces import Genome, Space

if TYPE_CHECKING:
    from thalweg.optimizing.hashing import FunctionalCache

IDLE_TRIES = 300  # candidates in a row that were known already: no budget would ever end such a search
IDLE_EVALUATIONS = 10_000


class Optimizer(Protocol):
    """A way to look for better programs. It returns when it has nothing left to try."""

    @property
    def name(self) -> str: ...

    def run(self, search: Search) -> None: ...


class Search:
    """One search under way; made by `optimize`.

    Args:
        program: a learned function or flow. space: its open choices, which optimizers may narrow.
        train, dev: examples to learn from, and to choose by. metric: see `metric.py`.
        told: called after every row and every trial, the former from any thread.
        own_store: the journal is in a store of the study's own, whatever the program says of its store.
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
        own_store: bool = False,
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
        self.finishing = False  # the search is over, and what it found is measured
        self.under_way = (0, 0)  # rows done and wanted of the evaluation that is being made
        self.idle = 0  # candidates tried in a row that were known already; an optimizer may widen its steps then
        self._told = told
        self._own_store = own_store
        self._counted: set[tuple[str, str]] = set()
        self._spent = Spent()
        self._by_digest: dict[str, Trial] = {}
        self._free_in_a_row = 0
        self._lock = threading.Lock()
        self._paths: dict[str, str] = {}
        for path, one in self.functions.items():
            self._paths.setdefault(one.name, path)
        self.scoring = Scoring(program, space, metric, journal, failure_score, self._paths, self._row_done)
        every, optional = arguments_of(program, space)
        rows = [one.row for one in (*self.train, *self.dev)]
        self.names = [one for one in every if one not in optional or all(one in row for row in rows)]

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
        made = bound(self.program, genome)
        return made.using(journal=True, store=self.journal.store) if self._own_store else made

    def try_(self, genome: Genome, *, parent: Trial | None = None, note: str = "") -> Trial:
        """Evaluate a candidate on the whole dev split; one that was tried, or behaves like one that was (see `cache`),
        costs nothing.

        Raises `SearchOver` before asking anything where the budget does not allow it, or where nothing new was tried
        for so long that no budget would end the search.
        """
        known = self._by_digest.get(genome.digest)
        if known is not None:
            self._idle_try()
            return known
        twin = self.cache.twin(self, genome) if self.cache is not None else None
        if twin is not None:
            self._take_rows(genome, twin)
            self._idle_try()
        found = self.evaluate(genome, self.dev)
        trial = Trial(
            len(self.trials), found, self.optimizer, parent.number if parent else None, note,
            twin.number if twin else None, self.spent,
        )  # fmt: skip
        self.trials.append(trial)
        self._by_digest[genome.digest] = trial
        if twin is None:
            self.idle = 0
            if self.cache is not None:
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
        if budgeted:
            self._free_in_a_row = 0 if uncounted else self._free_in_a_row + 1
            if uncounted:
                self._check(len(uncounted), known=not missing)
            elif self._free_in_a_row > IDLE_EVALUATIONS:
                raise SearchOver("idle")
        error = ""
        if missing:
            self.under_way = (0, len(missing))
            try:
                program = self.bound(genome)
            except OF_THE_SEARCH:
                raise
            except Exception as problem:
                error = self.scoring.fail(digest, missing, problem)
            else:
                self.scoring.score(program, digest, missing)
            self.journal.keep_time()
            self.under_way = (0, 0)
        rows = [self._row(digest, one) for one in examples]
        if budgeted:
            for key in uncounted:
                row = self._row(digest, distinct[key])
                self._counted.add((digest, key))
                self._spent += Spent(row.calls, row.tokens, 0.0, 1)
        return Evaluation(genome, examples, tuple(rows), error, not missing)

    def trace(self, genome: Genome, example: Example) -> list[TraceStep]:
        """The calls of learned functions behind an evaluated row, in order; those of the metric are not among them."""
        return self.scoring.trace(genome.digest, example)

    @contextmanager
    def asking(self, name: str) -> Iterator[None]:
        """A place for the optimizer's own questions to models: journalled, counted, answered from the journal when the
        search is taken up again; what went wrong inside goes wrong again then, so that the same way is taken.

        Raises `SearchOver` where the budget is spent.
        """
        step = self.journal.step(f"{self.optimizer or 'search'}.{name}")
        self._check(0, known=step.done)
        if step.failure is not None:
            self._spent += step.spent
            raise step.failure
        try:
            with inside(step.scope):
                yield
        except (SearchOver, NonDeterminism, *OF_THE_SEARCH):
            raise
        except Exception as error:
            self.journal.end_step(step, error)
            raise
        else:
            self.journal.end_step(step)
        finally:
            self._spent += Spent(step.meter.calls, step.meter.tokens, 0.0, 0)

    def free(self, genome: Genome, examples: Sequence[Example]) -> bool:
        """Whether a candidate's rows on these examples are all known."""
        return all(self.journal.row(genome.digest, one.digest) is not None for one in examples)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _check(self, evaluations: int, *, known: bool) -> None:
        """
        Args:
            known: an earlier life of the study has done it. It had the time then; counts are the same in every life.
        """
        if self.budget.left("evaluations", self.spent) < max(1, evaluations):
            raise SearchOver("evaluations")
        limits = replace(self.budget, seconds=None) if known else self.budget
        limit = limits.spent_out(self.spent)
        if limit is not None:
            raise SearchOver(limit)

    def _row(self, digest: str, example: Example) -> Row:
        row = self.journal.row(digest, example.digest)
        if row is None:
            raise SearchError(
                f"Example {example.number} was not scored, and nothing says why.", "Give the same call again."
            )
        return row

    def _take_rows(self, genome: Genome, twin: Trial) -> None:
        """Give a candidate the rows of one that behaves alike, free of charge."""
        digests = list(dict.fromkeys(one.digest for one in self.dev))
        fresh = [one for one in digests if (genome.digest, one) not in self._counted]
        self.journal.copy(genome.digest, twin.genome.digest, digests)
        self._counted.update((genome.digest, one) for one in digests)
        if self.cache is not None:
            self.cache.spared(len(fresh), len(fresh) * self.spent.seconds / max(1, self.spent.evaluations))

    def _idle_try(self) -> None:
        self.idle += 1
        if self.idle >= IDLE_TRIES:
            raise SearchOver("idle")

    def _row_done(self) -> None:
        with self._lock:
            done, wanted = self.under_way
            self.under_way = (done + 1, wanted)
        with suppress(Exception):  # a bar that cannot be drawn must not cost a row
            self._told(self)


def check_begins(search: Search, evaluation: Evaluation) -> None:
    """Raise `SearchError` where not one row of the program as it is could be scored: the search would learn nothing.
    These rows are forgotten, so that the same call tries again."""
    if evaluation.rows and evaluation.failed == len(evaluation.rows):
        for one in evaluation.examples:
            search.journal.forget_row(evaluation.genome.digest, one.digest)
        raise SearchError(
            f"The program fails on every one of {len(evaluation.rows)} examples; first: {evaluation.rows[0].error}.",
            "Try it on one example by hand, and the metric on its output.",
        )
