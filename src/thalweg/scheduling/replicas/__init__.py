"""`Replicas`: one model served by several OpenAI-compatible servers, as one model object.

A request goes to the replica that has seen its beginning (`router`), is tried on another when that one fails, and is
answered exactly once: late answers of an abandoned attempt are dropped, and every future ends with an answer or an
error that names what each replica said. A replica that fails is left alone for a while (`circuit`) and taken back when
it answers; one that lists another model is refused. Greedy answers of equal servers may still differ in places where
two tokens are as good as equally likely: rounding depends on what else a server computes at the moment.

Choose it where a model runs on more than one server, or on one that must not be missed. Spec: ``openai:MODEL@URL,URL``.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from thalweg.errors import EndpointError, ModelError
from thalweg.models.pacing import retry_delay
from thalweg.models.remote import RemoteModel
from thalweg.models.request import Answer, Capabilities, Request
from thalweg.scheduling.replicas.replica import Replica, ReplicaStatus, judge
from thalweg.scheduling.replicas.router import Routed, Router, prompt_bytes
from thalweg.scheduling.replicas.spec import replicas_of

__all__ = ["ReplicaStatus", "Replicas", "replicas_of"]


SETTLES = 1.0  # seconds that replicas have to say what they serve before any of them is asked
QUEUED = 3  # requests a replica may have, times its exchanges at once


@dataclass(eq=False)
class _Job:
    """One request until it is answered. Times are of `time.monotonic`."""

    request: Request
    future: Future[Answer]
    text: list[int]
    submitted: float
    begun: float = 0.0  # when it was sent first; 0 not yet
    said: dict[int, str] = field(default_factory=dict)  # replica -> what went wrong there last
    tried: set[int] = field(default_factory=set)  # replicas, in this round
    rounds: int = 0
    failures: int = 0  # of replicas that had taken it
    misfits: set[int] = field(default_factory=set)  # replicas whose settings refuse it


class Replicas:
    """A `LanguageModel` over several servers.

    Args:
        model: the servers' name of the model.
        urls: base URLs, each of another server.
        api_key: as for `RemoteModel`; sent to all of them.
        timeout: seconds for one exchange with one replica.
        deadline: seconds until a request fails for good: since it was sent first, or, where no replica could take it,
            since one answered anything last.
        retries: further attempts of a request that replicas took and failed; refused connections and 429 do not count.
        max_concurrency: exchanges at once with each replica.
        affinity: whether requests follow their beginnings; lead: whether the first of a beginning goes alone.
        connect: makes the model of one URL; for tests and unusual networks.
    """

    keeps_prefixes = True
    cells = 4_000_000  # bytes of prompts that the planner may take for cached

    def __init__(
        self,
        model: str,
        urls: Sequence[str],
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        deadline: float = 300.0,
        retries: int = 12,
        max_concurrency: int = 8,
        affinity: bool = True,
        lead: bool = True,
        connect: Callable[[str], RemoteModel] | None = None,
    ) -> None:
        if not urls:
            raise ModelError(f"The model {model!r} has no replica.", "Give one base URL or more.")

        def opened(url: str) -> RemoteModel:
            # Connections are not kept: what a server sends beyond an answer would be taken for the next one.
            return RemoteModel(
                model, url, api_key=api_key, timeout=timeout, retries=0, max_concurrency=max_concurrency,
                keep_alive=False,
            )  # fmt: skip

        self._replicas = [Replica((connect or opened)(url)) for url in urls]
        self._began = time.monotonic()
        self._router = Router(len(urls), capacity=max_concurrency, affinity=affinity, lead=lead)
        self._model, self._timeout, self._deadline, self._retries = model, timeout, deadline, retries
        shown = ",".join(one.model.url for one in self._replicas)
        self.name = f"openai:{model}@{shown}"
        self.identity = f"openai:{model}#{self._replicas[0].model.structured}@{len(urls)} replicas of {shown}"
        self._most = max_concurrency
        self._served = ""  # what the first replica that was asked calls its model
        self._answered = time.monotonic()  # when a replica answered last
        self._queue: deque[_Job] = deque()  # to be placed
        self._later: list[tuple[float, int, _Job]] = []  # a heap: to be placed again at that time
        self._numbers = itertools.count()
        self._lock = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"replicas {model}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Replicas:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def capabilities(self) -> Capabilities:
        own = self._replicas[0].model.capabilities
        return Capabilities(constraints=own.constraints, streams=self._most * len(self._replicas))

    def submit(self, request: Request) -> Future[Answer]:
        """Asks in the background. The future carries the answer or the error."""
        future: Future[Answer] = Future()
        job = _Job(request, future, prompt_bytes(request), time.monotonic())
        with self._lock:
            if self._closed:
                future.set_exception(ModelError(f"{self.name} is closed.", "Make a new one."))
                return future
            self._queue.append(job)
            self._lock.notify()
        return future

    def cancel_waiting(self) -> None:
        """Cancel the requests that no replica has."""
        with self._lock:
            waiting = [*self._queue, *(job for _, _, job in self._later), *self._router.release()]
            self._queue.clear()
            self._later.clear()
        for job in waiting:
            _cancel(job)

    def status(self) -> list[ReplicaStatus]:
        """What each replica has done."""
        with self._lock:
            return [one.status(load) for one, load in zip(self._replicas, self._router.load, strict=True)]

    def close(self) -> None:
        """Cancel what waits; exchanges under way end in the background."""
        with self._lock:
            self._closed = True
            self._lock.notify()
        self.cancel_waiting()
        for one in self._replicas:
            one.model.close()

    # -- placing ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Place what waits, on a thread of its own."""
        while True:
            job, hopeless = None, []
            with self._lock:
                now = time.monotonic()
                while self._later and self._later[0][0] <= now:
                    self._queue.appendleft(heapq.heappop(self._later)[2])
                if self._closed:
                    break
                if self._queue and self._able():
                    job = self._queue.popleft()
                else:
                    wake = [self._later[0][0]] if self._later else []
                    if self._queue:
                        self._check()
                        hopeless = [one for one in self._queue if self._is_hopeless(one, now)]
                        for one in hopeless:
                            self._queue.remove(one)
                        wake.append(now + 0.25)
                        wake += [one.circuit.until for one in self._replicas if one.circuit.until > now]
                    if not hopeless:
                        self._lock.wait(max(0.001, min(wake) - now) if wake else None)
            for one in hopeless:
                self._give_up(one)
            if job is not None:
                self._place(job)
        self.cancel_waiting()  # what came while it was being closed

    def _able(self) -> list[int]:
        """Replicas that may be asked now."""
        most = QUEUED * self._most
        if time.monotonic() < self._began + SETTLES and not all(
            one.checked or one.last_error for one in self._replicas
        ):
            return []  # the first that answers shall not become everybody's home
        return [
            i
            for i, one in enumerate(self._replicas)
            if one.checked and not one.refused and one.circuit.allows() and self._router.load[i] < most
        ]

    def _is_hopeless(self, job: _Job, now: float) -> bool:
        if all(one.refused for one in self._replicas):
            return True
        return now >= (job.begun or max(job.submitted, self._answered)) + self._deadline

    def _place(self, job: _Job) -> None:
        if job.future.done():
            _cancel(job)
            return
        chosen, routed = -1, Routed(job.text)
        with self._lock:
            self._check()
            able = self._able()
            if not able:
                self._queue.appendleft(job)
                return
            untried = [i for i in able if i not in job.tried]
            hopeless = self._is_hopeless(job, time.monotonic()) or job.failures > self._retries
            hopeless = hopeless or len(job.misfits) == len(self._replicas)
            if not hopeless:
                if not untried:  # all that may be asked have failed it: a new round, later
                    job.tried.clear()
                    job.rounds += 1
                    pause = time.monotonic() + retry_delay(min(job.rounds, 8), self._timeout)
                    heapq.heappush(self._later, (pause, next(self._numbers), job))
                    return
                chosen = self._router.choose(job.text, untried)
                leader = self._router.leader(job.text, chosen)
                if leader is not None:
                    leader.followers.append(job)
                    return
                self._router.sent(routed, chosen)
                self._replicas[chosen].circuit.sent()
                job.tried.add(chosen)
                job.begun = job.begun or time.monotonic()
        if hopeless:
            self._give_up(job)
            return
        inner = self._replicas[chosen].model.submit(job.request)
        self._replicas[chosen].under_way.add(inner)
        inner.add_done_callback(lambda done: self._came(job, routed, chosen, done))

    def _came(self, job: _Job, routed: Routed, chosen: int, inner: Future[Answer]) -> None:
        """A replica's answer, or its failure."""
        error = None if inner.cancelled() else inner.exception()
        replica = self._replicas[chosen]
        replica.under_way.discard(inner)
        again = False
        with self._lock:
            if inner.cancelled() or self._closed and error is not None:
                replica.circuit.released()
                again = inner.cancelled()  # it waited for a replica that has failed meanwhile
            elif error is None:
                replica.circuit.succeeded()
                replica.answered += 1
                self._answered = time.monotonic()
                usage = inner.result().usage
                replica.prompt_tokens += usage.prompt_tokens
                replica.cached_tokens += usage.cached_tokens
            elif isinstance(error, EndpointError) and error.fault != "answer":
                self._failed(job, chosen, error)
                again = True
            else:
                replica.circuit.succeeded()  # it answered; that the answer is of no use is not its fault
                self._answered = time.monotonic()
            followers = self._router.ended(routed, answered=error is None and not inner.cancelled())
            left = followers if self._closed else []
            self._queue.extendleft(reversed(followers if not self._closed else []))
            again = again and not self._closed
            if again:
                self._queue.appendleft(job)
            self._lock.notify()
        for one in left:
            _cancel(one)
        if replica.circuit.state == "open" and not inner.cancelled():  # one cancels all: cancelling calls back at once
            for other in tuple(replica.under_way):
                other.cancel()  # those that it has not begun go elsewhere
        if again or not job.future.set_running_or_notify_cancel():
            return
        if inner.cancelled() or self._closed and error is not None:
            job.future.set_exception(ModelError(f"{self.name} was closed.", "Ask before closing it."))
        elif error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(inner.result())

    def _failed(self, job: _Job, chosen: int, error: EndpointError) -> None:
        replica = self._replicas[chosen]
        replica.failed += 1
        replica.last_error = job.said[chosen] = error.what
        dead = error.fault == "connection"
        misfit = error.fault == "settings"
        replica.circuit.failed(dead=dead or misfit, retry_after=error.retry_after)
        if misfit:
            job.misfits.add(chosen)
        elif not dead and error.retry_after is None:
            job.failures += 1
        if dead:
            self._router.forget(chosen)
        if error.retry_after is None and replica.circuit.state == "open":
            replica.checked = False  # whoever comes back there may be another

    def _give_up(self, job: _Job) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        with self._lock:
            said = dict(job.said)
            for i, one in enumerate(self._replicas):
                if one.refused or i not in said and one.last_error:
                    said[i] = one.refused or one.last_error
        seconds = time.monotonic() - job.submitted
        job.future.set_exception(
            EndpointError(
                f"No replica of {self.name} answered a request within {seconds:.1f} s. "
                + (f"They said: {' '.join(said[i] for i in sorted(said))}" if said else "None of them could be asked."),
                "Check the servers; raise `deadline` where they are only slow.",
            )
        )

    # -- whether a replica serves the model ---------------------------------------------------------------------

    def _check(self) -> None:
        """Ask what is not known of the replicas that may be asked, in the background."""
        for i, one in enumerate(self._replicas):
            if not one.checked and not one.checking and not one.refused and one.circuit.allows():
                one.checking = True
                threading.Thread(target=self._ask_for_models, args=(i,), daemon=True).start()

    def _ask_for_models(self, index: int) -> None:
        one = self._replicas[index]
        try:
            names, error = one.model.served(min(5.0, self._timeout)), ""
        except Exception as problem:  # whatever it is, it is this replica's trouble
            names, error = None, getattr(problem, "what", type(problem).__name__)
        with self._lock:
            one.checking = False
            if error:
                one.last_error = error
                one.circuit.failed(dead=True)
            else:
                one.checked, one.names = True, names or []
                self._served = judge(self._replicas, self._model, self._served)
            self._lock.notify()


def _cancel(job: _Job) -> None:
    if job.future.cancel():
        job.future.set_running_or_notify_cancel()
