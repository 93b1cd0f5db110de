"""Propose - check - counterexample - repair: `Repair`, a search in which only what was checked counts.

Choose it whenever candidates come from somebody who may be wrong (a model, a vote, a script) and a check can tell:
query rewriting, plans, programs, constraint repair. A witness against one candidate goes into the state of the next
proposal and, where it can be replayed cheaply, rejects later candidates before the check. Source: Solar-Lezama et al.
2006, "Combinatorial sketching for finite programs" (CEGIS). Cost: a check and a row of the journal for each new
candidate that no known witness rejects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from thalweg.errors import (
    EffectUnknown,
    EndpointError,
    ModelNotFound,
    NonDeterminism,
    RunBusy,
    SandboxUnavailable,
    StoreError,
    Unverified,
)
from thalweg.program.budget import Budget, Ledger, Limit, Spent, metered
from thalweg.program.journal import inside, scope_in_force
from thalweg.program.proposers import Candidate, Proposer, State
from thalweg.program.proposers.proposer import key_of
from thalweg.program.repair_steps import Steps, verdict_from, verdict_to, write_row
from thalweg.program.score import Score, Verdict
from thalweg.program.session import current, store_in_force
from thalweg.program.store import Call
from thalweg.program.types import jsonable

T = TypeVar("T")
StopReason = Literal["accepted", "exhausted", "rounds"] | Limit

# Trouble of the run, not of a candidate: the search ends with it, and can be resumed.
_OF_THE_RUN = (NonDeterminism, StoreError, RunBusy, EffectUnknown, ModelNotFound, EndpointError, SandboxUnavailable)


@dataclass(frozen=True)
class Trial(Generic[T]):
    """One candidate and what was found about it.

    Args:
        by: the `check`, or the `replay` of a known counterexample. error: why it is quarantined, "" when it is not.
    """

    candidate: Candidate[T]
    verdict: Verdict
    round: int
    by: Literal["check", "replay"]
    error: str = ""


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What a search found; true in a condition when it found what was required.

    Args:
        best: the candidate of the highest grade, the first of equals; never a refuted or a quarantined one, so None
            when there is no other. It may have a lower grade than required: see `accepted`.
        verdict: of the best one. accepted: whether it has the required grade.
        rounds: proposals made. trials: every different candidate, in order. counterexamples: all witnesses.
        spent: resources, including those of an interrupted run that was resumed.
        stop_reason: ``accepted``, ``exhausted`` (nothing new was proposed), ``rounds``, or the limit of the budget
            that was reached.
    """

    best: Candidate[T] | None
    verdict: Verdict
    accepted: bool
    rounds: int
    trials: tuple[Trial[T], ...]
    counterexamples: tuple[Any, ...]
    spent: Spent
    stop_reason: StopReason

    @property
    def value(self) -> T:
        """The accepted value. Raises `Unverified` when there is none."""
        if self.best is not None and self.accepted:
            return self.best.value
        raise Unverified(
            f"None of {len(self.trials)} candidates reached the required grade (stopped by: {self.stop_reason}; "
            f"the best is {self.verdict.status}).",
            "Give it a larger budget or another proposer, or look at `outcome.best` and `outcome.trials`.",
        )

    def __bool__(self) -> bool:
        return self.accepted


@dataclass(frozen=True)
class Repair(Generic[T]):
    """A search for a candidate that passes a check. Called with a task, it gives an `Outcome`.

    Args:
        proposer: who proposes. check: from a value to a `Verdict`; or a `Score`, which passes from `passing` on and
            whose feedback is the witness otherwise; or a bool. The two latter count as a test of one case. A check
            that raises sets its candidate aside, and the search goes on.
        replay: (value, witness) -> whether the value is right on that known witness; asked before the check, not
            counted as an evaluation.
        accept: the grade at which the search ends: ``proved``, or ``tested`` on at least `cases` cases.
        k: candidates a proposal. rounds: most proposals. patience: proposals in a row that bring nothing new, after
            which the proposer is exhausted.
        budget: limits, looked at before each proposal and each check.
        witness: type of the witnesses, for a resumed run to read them back. Without it, witnesses made of plain
            Python values are; after others the check is run again.
        name: of the search in the journal.

    Raises:
        TypeError: the check returns something else, or a bool or `Score` where a proof is required.
    """

    proposer: Proposer
    check: Callable[[T], Verdict | Score | bool]
    replay: Callable[[T, Any], bool] | None = None
    accept: Literal["proved", "tested"] = "proved"
    cases: int = 1
    k: int = 4
    rounds: int | None = None
    patience: int = 1
    budget: Budget = Budget()
    passing: float = 1.0
    witness: Any = None
    name: str = "repair"

    def __post_init__(self) -> None:
        if not isinstance(self.proposer, Proposer):
            raise TypeError(
                f"{self.proposer!r:.80} is no proposer; a function becomes one by ScriptedProposer(function)"
            )
        if self.accept not in ("proved", "tested"):
            raise ValueError(f"accept={self.accept!r}; choose proved or tested")
        for name in ("cases", "k", "rounds", "patience"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ValueError(f"{name}={number}; give at least 1")

    def __call__(self, task: Any, options: Sequence[Any] | None = None) -> Outcome[T]:
        """Search for an answer to `task`, among `options` where the proposer chooses between given ones."""
        session = current()
        store = store_in_force(session) if session.journal is not False else None
        scope = scope_in_force(store)
        path = scope.next(self.name)
        started = time.time()
        outcome: Outcome[T] | None = None
        error: BaseException | None = None
        try:
            with metered(scope, path) as (place, meter):
                outcome = _Search(self, task, options, Steps(place, store, Ledger(meter))).run()
            return outcome
        except BaseException as problem:
            error = problem
            raise
        finally:
            if store is not None:
                inputs = {"task": jsonable(task), "options": None if options is None else len(options)}
                said = None if error is None else f"{type(error).__name__}: {error}"
                value = None if outcome is None else _summary(outcome)
                write_row(store, scope.run, path, "repair", self.name, inputs, value, said, started)


@dataclass
class _Search(Generic[T]):
    """The state of one search while it runs."""

    repair: Repair[T]
    task: Any
    options: Sequence[Any] | None
    steps: Steps
    rounds: int = 0
    proposed: int = 0
    trials: list[Trial[T]] = field(default_factory=list)
    counterexamples: list[Any] = field(default_factory=list)
    _standing: list[int] = field(default_factory=list)  # indexes of trials, in order
    _seen: set[Any] = field(default_factory=set)
    _witnesses: set[Any] = field(default_factory=set)

    def run(self) -> Outcome[T]:
        barren = 0
        reason: StopReason | None = None
        while reason is None:
            candidates = self._propose()
            if isinstance(candidates, str):
                reason = candidates
                break
            fresh = self._fresh(candidates)
            barren = 0 if fresh else barren + 1
            if barren == self.repair.patience:
                reason = "exhausted"
            for candidate in fresh:
                reason = self._try(candidate)
                if reason is not None:
                    break
        best = max((self.trials[index] for index in self._standing), key=lambda one: one.verdict.rank, default=None)
        none = Verdict.unknown(f"none of {len(self.trials)} candidates stood")
        return Outcome(
            best.candidate if best else None, best.verdict if best else none, reason == "accepted", self.rounds,
            tuple(self.trials), tuple(self.counterexamples), self.steps.spent, reason,
        )  # fmt: skip

    def _propose(self) -> list[Candidate[T]] | StopReason:
        repair, steps = self.repair, self.steps
        if self.rounds == repair.rounds:
            return "rounds"
        path, recorded = steps.next("propose")
        if recorded is None and (limit := repair.budget.spent_out(steps.spent)):
            return limit
        # A candidate costs a proposer at most one call, so that no more calls are begun than are left.
        k = int(min(repair.k, max(1, repair.budget.left("calls", steps.spent))))
        tried = tuple(one.candidate.value for one in self.trials)
        state = State(self.task, tuple(self.counterexamples), tried, self.rounds, self.proposed)
        started = time.time()
        with inside(steps.place.child(path)):
            candidates = repair.proposer.propose(state, self.options, k)[:k]
        self.rounds += 1
        self.proposed += len(candidates)
        inputs = {"round": state.round, "k": k, "candidates": [jsonable(one.value) for one in candidates]}
        steps.settle(path, "propose", repair.proposer.name, inputs, [one.score for one in candidates],
                     None, started, recorded)  # fmt: skip
        return candidates

    def _fresh(self, candidates: list[Candidate[T]]) -> list[Candidate[T]]:
        fresh = []
        for candidate in candidates:
            key = key_of(candidate.value)
            if key not in self._seen:
                self._seen.add(key)
                fresh.append(candidate)
        return fresh

    def _try(self, candidate: Candidate[T]) -> StopReason | None:
        """Find out about one candidate. Returns why the search ends, None when it goes on."""
        repair = self.repair
        trial = self._replayed(candidate, self.counterexamples, self.rounds - 1)
        if trial is None:
            path, recorded = self.steps.next("check")
            if recorded is None and (limit := repair.budget.spent_out(self.steps.spent)):
                return limit
            trial = self._checked(candidate, path, recorded)
        if _stands(trial):
            self._standing.append(len(self.trials))
        self.trials.append(trial)
        verdict = trial.verdict
        if verdict.status == "refuted" and verdict.witness is not None:
            self._learn(verdict.witness)
        return "accepted" if verdict.at_least(repair.accept, cases=repair.cases) else None

    def _learn(self, witness: Any) -> None:
        """Keep a counterexample; candidates that stood so far have to stand it too."""
        key = key_of(witness)
        if key in self._witnesses:
            return
        self._witnesses.add(key)
        self.counterexamples.append(witness)
        for index in self._standing:
            trial = self.trials[index]
            self.trials[index] = self._replayed(trial.candidate, [witness], trial.round) or trial
        self._standing = [index for index in self._standing if _stands(self.trials[index])]

    def _replayed(self, candidate: Candidate[T], witnesses: Sequence[Any], this_round: int) -> Trial[T] | None:
        """What known counterexamples say, None when they do not reject the candidate."""
        replay = self.repair.replay
        if replay is None:
            return None
        for witness in witnesses:
            try:
                survives = replay(candidate.value, witness)
            except Exception as problem:
                if isinstance(problem, _OF_THE_RUN):
                    raise
                return _quarantined(candidate, problem, this_round, "replay")
            if not survives:
                verdict = Verdict.refuted(witness, "a known counterexample")
                return Trial(candidate, verdict, this_round, "replay")
        return None

    def _checked(self, candidate: Candidate[T], path: str, recorded: Call | None) -> Trial[T]:
        """The verdict of the check, from the journal where it is recorded."""
        repair, steps, this_round = self.repair, self.steps, self.rounds - 1
        inputs = {"candidate": jsonable(candidate.value)}
        name = getattr(repair.check, "__qualname__", type(repair.check).__name__)
        trial: Trial[T] | None = None
        if recorded is not None:
            steps.compare(path, "check", name, inputs, recorded)
            verdict = verdict_from(recorded, repair.witness)
            if verdict is not None:
                trial = Trial(candidate, verdict, this_round, "check", recorded.error or "")
        started = time.time()
        if trial is None:
            steps.ledger.evaluate()
            within = steps.place.child(path)
            # Calls of the check say nothing of how sure the answer is, and are not made again when it is resumed.
            within.answers = []
            try:
                with inside(within):
                    found = repair.check(candidate.value)
            except Exception as problem:
                if isinstance(problem, _OF_THE_RUN):
                    raise
                trial = _quarantined(candidate, problem, this_round, "check")
            else:
                trial = Trial(candidate, self._verdict(found), this_round, "check")
        packed = verdict_to(trial.verdict, repair.witness)
        steps.settle(path, "check", name, inputs, packed, trial.error or None, started, recorded)
        return trial

    def _verdict(self, found: Any) -> Verdict:
        if isinstance(found, Verdict):
            return found
        if isinstance(found, Score):
            passed, feedback = float(found) >= self.repair.passing, found.feedback
        elif isinstance(found, bool) or str(getattr(found, "dtype", "")) == "bool":
            passed, feedback = bool(found), ""
        else:
            raise TypeError(f"the check returned {found!r:.80}; return a Verdict, a Score or a bool")
        if not passed:
            return Verdict.refuted(feedback or None, feedback)
        if self.repair.accept == "proved":
            raise TypeError(
                f"the check returned a {type(found).__name__}, which proves nothing; return Verdict.proved(), or say "
                'accept="tested"'
            )
        return Verdict.tested(1, feedback)


def _stands(trial: Trial[Any]) -> bool:
    return not trial.error and trial.verdict.status != "refuted"


def _quarantined(
    candidate: Candidate[T], problem: Exception, this_round: int, by: Literal["check", "replay"]
) -> Trial[T]:
    reason = f"{type(problem).__name__}: {problem}"
    return Trial(candidate, Verdict.unknown(f"the {by} failed: {reason}"), this_round, by, reason)


def _summary(outcome: Outcome[Any]) -> dict[str, Any]:
    verdict = outcome.verdict
    return {
        "best": None if outcome.best is None else jsonable(outcome.best.value),
        "verdict": {"status": verdict.status, "cases": verdict.cases, "evidence": verdict.evidence},
        "accepted": outcome.accepted,
        "stop_reason": outcome.stop_reason,
        "rounds": outcome.rounds,
        "trials": len(outcome.trials),
        "counterexamples": len(outcome.counterexamples),
        "spent": outcome.spent.to_json(),
    }
