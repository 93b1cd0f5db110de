"""Continuous batching: many requests advance side by side, in as many workers as pay on this machine.

A worker is a thread with a scorer of its own (`worker.py`); all take from one queue. Small models run one worker a
core with one engine thread each: without barriers between threads, two workers were measured 27 % faster at reading
prompts and 31 % at writing than one worker with two threads. A worker that is alone gets all cores. Larger models are
bound by reading their weights and run one worker. A request's answer depends neither on who shares its turn nor on
the number of workers as far as the scorer promises it (`capabilities.exact_rows`).
"""

from __future__ import annotations

import atexit
import itertools
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from thalweg.decoding.budget import Budget, Guesses
from thalweg.decoding.constraints import Constraint
from thalweg.decoding.drafters import Drafter, DraftModel, drafter_named, suited
from thalweg.errors import ModelError, UnsupportedByBackend
from thalweg.models.request import Answer, Capabilities, Request
from thalweg.scheduling.policies import policy_named
from thalweg.scheduling.policy import Observer, Policy, Waiting
from thalweg.scheduling.worker import Running, Worker

SMALL = 400 * 2**20  # bytes of weights up to which one worker a core pays
MOST_WORKERS = 4
LONGEST_GUESS = 64  # tokens an answer is taken to have as long as none of its format was seen
PREFIXES_KEPT = 1024  # whose tokens are remembered
FORMATS_KEPT = 4096  # whose answers' lengths are
REMEMBERED = 256  # requests that ended last, for whoever watches


@dataclass(frozen=True)
class Finished:
    """A request that has been answered, or has failed. Clock readings are of `time.perf_counter`; `opened`: its prompt
    was read, None if it failed before."""

    waiting: Waiting
    worker: int
    admitted: float
    opened: float | None
    ended: float
    answer: Answer | None
    error: str = ""


@dataclass(frozen=True)
class Snapshot:
    """An engine at one moment: its queue, what each worker runs, counters, the requests that ended last."""

    waiting: tuple[Waiting, ...]
    running: tuple[tuple[Running, ...], ...]
    counters: Counters
    finished: tuple[Finished, ...]


@dataclass
class Counters:
    """What an engine has done since it started. Tokens and rows; seconds spent inside the scorers, summed."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    forced_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    turns: int = 0
    rows: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0


class Engine:
    """A `Scorer` that answers requests (a local `LanguageModel`).

    Args:
        scorer: the first worker's scorer; the others get a `replica` of it.
        workers: most workers; default one a core for small models, else one.
        policy: which waiting request is next: a name or an object (see `thalweg.scheduling.policies`).
    """

    keeps_prefixes = True  # prompts that begin alike are cheaper together

    def __init__(self, scorer: Any, *, workers: int | None = None, policy: str | Policy = "batch") -> None:
        self.scorer = scorer
        self.name: str = scorer.name
        self.identity: str = scorer.identity
        self.tokenizer: Any = scorer.tokenizer
        self.counters = Counters()
        self._cores: int = scorer.threads
        if workers is None:
            workers = min(MOST_WORKERS, self._cores) if scorer.weights.bytes <= SMALL else 1
        self._most_workers = workers
        self.workers: list[Worker] = []
        own: Capabilities = scorer.capabilities
        self.capabilities = replace(own, streams=own.streams * workers)
        self._policy = policy_named(policy) if isinstance(policy, str) else policy
        self._lengths: dict[str, float] = {}  # format -> mean tokens of its answers so far
        self._fresh: list[Waiting] = []  # submitted, not handed to the policy yet
        self._read: list[Waiting] = []  # of these, those whose prompts are being tokenised
        self._numbers = itertools.count(1)
        self.cells: int = getattr(scorer, "cells", own.context * own.streams)  # tokens that a worker's cache holds
        self.finished: deque[Finished] = deque(maxlen=REMEMBERED)
        self._wake = threading.Condition()
        self._closed = self._abandoned = False
        self._prefix_tokens: dict[str, list[int]] = {}
        self._drafters: dict[str, tuple[Drafter, Budget]] = {}

    def submit(
        self, request: Request, observe: Observer | None = None, *, constraint: Constraint | None = None
    ) -> Future[Answer]:
        """Queue one request.

        Args:
            observe: called on a worker's thread with the text written so far.
            constraint: stands in for the one of the request's format, where a format cannot say it (a monitor).
        """
        future: Future[Answer] = Future()
        waiting = Waiting(next(self._numbers), request, future, observe, constraint, time.perf_counter())
        waiting.expected = self._expected(request)
        with self._wake:
            if self._closed:
                raise ModelError(f"{self.name} is closed.", "Load the model again.")
            self._fresh.append(waiting)
            under_way = self.waiting + sum(len(worker.under_way) for worker in self.workers)
            if len(self.workers) < min(under_way, self._most_workers):
                make = self.scorer.replica if self.workers else lambda: self.scorer
                worker = Worker(self, len(self.workers), make)
                self.workers.append(worker)
                worker.thread.start()
                if len(self.workers) == 1:  # a thread that computes while the interpreter goes away crashes the process
                    atexit.register(self.close, finish=False)
            self._wake.notify_all()
        return future

    def cancel_waiting(self) -> None:
        """Cancel the requests that have not begun."""
        with self._wake:
            waiting = self._drain()
        for one in waiting:
            one.future.cancel()

    def use_policy(self, policy: str | Policy) -> None:
        """Change which request is next, for those that wait as well."""
        new = policy_named(policy) if isinstance(policy, str) else policy
        with self._wake:
            self._fresh = self._drain()
            self._policy = new
            self._wake.notify_all()

    @property
    def watched(self) -> threading.Condition:
        """The lock under which what `snapshot` shows changes."""
        return self._wake

    @property
    def policy(self) -> Policy:
        return self._policy

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._policy) + len(self._read) + len(self._fresh)

    def _drain(self) -> list[Waiting]:
        waiting = self._policy.waiting()
        for one in waiting:
            self._policy.remove(one)
        waiting += self._fresh
        self._fresh = []
        return waiting

    def snapshot(self) -> Snapshot:
        """What waits and what runs at this moment. For watching; costs the engine a few microseconds a request."""
        with self._wake:
            waiting = (*self._policy.waiting(), *self._read, *self._fresh)
            running = tuple(tuple(worker.under_way) for worker in self.workers)
            return Snapshot(waiting, running, replace(self.counters), tuple(self.finished))

    def close(self, *, finish: bool = True) -> None:
        """Finish what runs (or fail it after the present turn), refuse what waits, release the scorers."""
        with self._wake:
            self._closed = True
            self._abandoned = not finish
            self._wake.notify_all()
        atexit.unregister(self.close)
        self.cancel_waiting()
        for worker in self.workers:
            if worker.thread is not threading.current_thread():
                worker.thread.join()
        if not self.workers:
            self.scorer.free()

    def prompt_tokens(self, request: Request) -> list[int]:
        """Token ids of the request's prompt."""
        head = self._prefix_tokens.get(request.prefix)
        if head is None:
            bos = [self.tokenizer.bos] if self.tokenizer.adds_bos else []
            head = bos + self.tokenizer.encode(request.prefix, special=True)
            if len(bos) and head[1:2] == bos:  # the template wrote it too
                del head[0]
            if len(self._prefix_tokens) >= PREFIXES_KEPT:  # a server meets new ones for ever
                self._prefix_tokens.clear()
            self._prefix_tokens[request.prefix] = head
        return head + self.tokenizer.encode(request.suffix, special=True)

    def use_drafter(self, drafter: Drafter, *, size: int = 0) -> None:
        """Make `drafter` the one that requests call by its name; what it has learned stays with the engine.

        Args:
            size: a fixed number of guesses a pass; 0 lets the budget decide.
        """
        with self._wake:
            known = self._drafters.get(drafter.name)
            if known is None or known[0] is not drafter or known[1].size != size:
                self._drafters[drafter.name] = (drafter, self._budget(self.scorer, size))

    def _budget(self, scorer: Any, size: int = 0) -> Budget:
        return Budget(scorer.cost, max_rows=scorer.capabilities.max_rows, size=size)

    # -- what workers ask -------------------------------------------------------------------------------------

    def wait_for_work(self, worker: Worker) -> bool:
        """Block until `worker` has something to do; False when the engine is closed and it has nothing left."""
        while True:
            with self._wake:
                while not (worker.running or self._closed or self._fresh or self._next(worker)):
                    self._wake.wait()
                if self._abandoned or (self._closed and not worker.running):
                    return False
                fresh, self._fresh = self._fresh, []
                self._read += fresh
            if not fresh:
                return True
            self._queue(fresh)

    def _queue(self, fresh: list[Waiting]) -> None:
        """Hand requests to the policy, with their prompts if it reads them. On a worker's thread: only there is the
        tokenizer sure to be alive."""
        read: list[Waiting] = []
        for one in fresh:
            try:
                if self._policy.reads_prompts and not one.prompt:
                    one.prompt = self.prompt_tokens(one.request)
                read.append(one)
            except Exception as error:
                one.future.set_exception(error)
        with self._wake:
            self._read = [one for one in self._read if one not in fresh]
            for one in read:
                if self._closed:
                    one.future.cancel()
                else:
                    self._policy.push(one)
            self._wake.notify_all()

    def take(self, worker: Worker) -> Waiting | None:
        """The next waiting request for `worker`; None when the policy has none for it now."""
        with self._wake:
            waiting = self._next(worker)
            if waiting is not None:
                self._policy.remove(waiting)
            return waiting

    def _next(self, worker: Worker) -> Waiting | None:
        if not len(self._policy):
            return None
        seats = [one.seat() for one in self.workers]
        try:
            return self._policy.choose(seats[worker.index], seats)
        except Exception as error:  # a faulty policy must not leave anybody waiting for ever
            for waiting in self._policy.waiting():
                self._policy.remove(waiting)
                waiting.future.set_exception(error)
            return None

    def guesses(self, request: Request, prompt: list[int], scorer: Any) -> Guesses | None:
        """What guesses the tokens of this request's answer; None for one token a pass.

        Raises:
            UnsupportedByBackend: the drafter cannot work on this engine, or not without changing what is written.
        """
        name = request.decoder
        if name in ("", "plain") or request.want != "value":
            return None
        exact = scorer.capabilities.speculation
        if exact == "greedy" and request.sampling.temperature <= 0:
            exact = "exact"
        if exact != "exact" and (exact == "none" or request.lossless == "exact"):
            if name == "auto":
                return None
            close = (
                "it scores no trees" if exact == "none" else "rows that come together differ a little from lone ones"
            )
            raise UnsupportedByBackend(
                f"decoder={name!r} would not be exact on {self.name} ({close}).",
                'Load the model as "tree:NAME" (or, for greedy answers, "torch:NAME"), or set lossless="argmax".',
            )
        scorer.cost(1)  # measures the curve if that has not been done: here, on the thread that owns the scorer
        if name == "auto":
            name = suited(scorer)
        with self._wake:
            if name not in self._drafters:
                self._drafters[name] = (drafter_named(name), self._budget(scorer))
            drafter, budget = self._drafters[name]
        if isinstance(drafter, DraftModel):
            mode = "distribution" if request.lossless == "distribution" else "exact"
            return Guesses(drafter.start(prompt, scorer, sampling=request.sampling, lossless=mode), budget)
        return Guesses(drafter.start(prompt, scorer), budget)

    def threads_each(self) -> int:
        """Engine threads a worker may use now: all cores when it is alone."""
        active = sum(bool(worker.running) for worker in self.workers)
        return max(1, self._cores // max(1, active))

    def _expected(self, request: Request) -> int:
        """Tokens the answer is likely to have: what is known, what answers of its format had, or its limit."""
        known = request.hint.expected or self._lengths.get(request.format.digest, 0)
        return int(known) or min(request.sampling.max_tokens, LONGEST_GUESS)

    def ended(
        self, waiting: Waiting, worker: int, admitted: float, opened: float | None, answer: Answer | None,
        error: BaseException | None = None,
    ) -> None:  # fmt: skip
        if answer is not None:
            if len(self._lengths) >= FORMATS_KEPT:
                self._lengths.clear()
            kind, length = waiting.request.format.digest, answer.usage.output_tokens
            self._lengths[kind] = self._lengths.get(kind, length) * 0.9 + length * 0.1
        reason = "" if error is None else f"{type(error).__name__}: {error}"
        self.finished.append(Finished(waiting, worker, admitted, opened, time.perf_counter(), answer, reason))

    def count(self, **amounts: float) -> None:
        with self._wake:
            for name, amount in amounts.items():
                setattr(self.counters, name, getattr(self.counters, name) + amount)
