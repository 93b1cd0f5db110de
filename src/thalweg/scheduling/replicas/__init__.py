"""`Replicas`: one model served by several OpenAI-compatible servers, as one model object.

A request goes to the replica that has seen its beginning (`router`), is tried on another when that one fails, and is
answered exactly once: late answers of an abandoned attempt are dropped, and every future ends with an answer or an
error that names what each replica said. A replica that fails is left alone for a while (`circuit`) and taken back when
it answers. Greedy answers of equal servers may still differ in places where two tokens are as good as equally likely:
rounding depends on what else a server computes at the moment.

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
from thalweg.models.remote import RemoteModel
from thalweg.models.request import Answer, Capabilities, Request
from thalweg.scheduling.replicas.circuit import Circuit
from thalweg.scheduling.replicas.router import Routed, Router, prompt_bytes
from thalweg.scheduling.replicas.spec import replicas_of

__all__ = ["ReplicaStatus", "Replicas", "replicas_of"]


QUEUED = 3  # requests a replica may have, times its exchanges at once


@dataclass(frozen=True)
class ReplicaStatus:
    """What one replica has done, for people."""

    url: str
    circuit: str
    under_way: int
    answered: int
    failed: int
    prompt_tokens: int
    cached_tokens: int
    last_error: str


@dataclass(eq=False)
class _Replica:
    model: RemoteModel
    circuit: Circuit = field(default_factory=Circuit)
    answered: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    last_error: str = ""
    under_way: set[Future[Answer]] = field(default_factory=set)


@dataclass(eq=False)
class _Job:
    """One request until it is answered."""

    request: Request
    future: Future[Answer]
    text: list[int]
    deadline: float
    said: dict[int, str] = field(default_factory=dict)  # replica -> what went wrong there last
    attempts: int = 0


class Replicas:
    """A `LanguageModel` over several servers.

    Args:
        model: the servers' name of the model.
        urls: base URLs, each of another server.
        api_key: as for `RemoteModel`; sent to all of them.
        timeout: seconds for one exchange with one replica; deadline: seconds until a request fails for good.
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
        max_concurrency: int = 8,
        affinity: bool = True,
        lead: bool = True,
        connect: Callable[[str], RemoteModel] | None = None,
    ) -> None:
        if not urls:
            raise ModelError(f"The model {model!r} has no replica.", "Give one base URL or more.")

        def opened(url: str) -> RemoteModel:
            return RemoteModel(model, url, api_key=api_key, timeout=timeout, retries=0, max_concurrency=max_concurrency)

        self._replicas = [_Replica((connect or opened)(url)) for url in urls]
        self._router = Router(len(urls), capacity=max_concurrency, affinity=affinity, lead=lead)
        self._deadline = deadline
        shown = ",".join(one.model._server.url for one in self._replicas)
        self.name = f"openai:{model}@{shown}"
        self.identity = f"openai:{model}#{self._replicas[0].model.structured}@{len(urls)} replicas of {shown}"
        self._most = max_concurrency
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
        job = _Job(request, future, prompt_bytes(request), time.monotonic() + self._deadline)
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
            waiting = [*self._queue, *(job for _, _, job in self._later)]
            self._queue.clear()
            self._later.clear()
        for job in waiting:
            if job.future.cancel():
                job.future.set_running_or_notify_cancel()

    def status(self) -> list[ReplicaStatus]:
        """What each replica has done."""
        with self._lock:
            return [
                ReplicaStatus(
                    one.model._server.url, one.circuit.state, self._router.load[i], one.answered, one.failed,
                    one.prompt_tokens, one.cached_tokens, one.last_error,
                )
                for i, one in enumerate(self._replicas)
            ]  # fmt: skip

    def close(self) -> None:
        """Cancel what waits; exchanges under way end in the background."""
        self.cancel_waiting()
        with self._lock:
            self._closed = True
            self._lock.notify()
        for one in self._replicas:
            one.model.close()

    # -- placing ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Place what waits, on a thread of its own."""
        while True:
            with self._lock:
                now = time.monotonic()
                while self._later and self._later[0][0] <= now:
                    self._queue.append(heapq.heappop(self._later)[2])
                if self._closed:
                    return
                if not self._queue:
                    self._lock.wait(self._later[0][0] - now if self._later else None)
                    continue
                job = self._queue.popleft()
            self._place(job)

    def _place(self, job: _Job) -> None:
        if job.future.done():  # cancelled
            return
        now = time.monotonic()
        if now >= job.deadline:
            self._give_up(job)
            return
        with self._lock:
            most = QUEUED * self._most
            able = [i for i, one in enumerate(self._replicas) if one.circuit.allows() and self._router.load[i] < most]
            untried = [i for i in able if i not in job.said]
            if not untried and (not able or job.attempts >= len(self._replicas)):
                # Nobody may be asked, or all have been: come back when one of them may have recovered.
                free = [one.circuit.until for i, one in enumerate(self._replicas) if self._router.load[i] < most]
                pause = max(0.02, min(free, default=now) - now) if not able else 0.05
                if able:
                    job.attempts -= 1  # one more round with whoever may be asked then
                heapq.heappush(self._later, (min(now + pause, job.deadline), next(self._numbers), job))
                return
            chosen = self._router.choose(job.text, untried or able)
            leader = self._router.leader(job.text, chosen)
            if leader is not None:
                leader.followers.append(job)
                return
            routed = Routed(job.text)
            self._router.sent(routed, chosen)
            self._replicas[chosen].circuit.sent()
            job.attempts += 1
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
            if inner.cancelled() or self._closed:
                replica.circuit.released()
                again = inner.cancelled()  # it waited for a replica that has failed meanwhile
            elif error is None:
                replica.circuit.succeeded()
                replica.answered += 1
                usage = inner.result().usage
                replica.prompt_tokens += usage.prompt_tokens
                replica.cached_tokens += usage.cached_tokens
            elif isinstance(error, EndpointError) and error.fault == "server":
                replica.failed += 1
                replica.last_error = job.said[chosen] = error.what
                dead = "ConnectError" in error.what
                replica.circuit.failed(dead=dead, retry_after=error.retry_after)
                if dead:
                    self._router.forget(chosen)
                again = True
            else:
                replica.circuit.succeeded()  # it answered; that the answer is of no use is not its fault
            followers = self._router.ended(routed, answered=error is None and not inner.cancelled())
            self._queue.extend(followers)
            if again and not self._closed:
                self._queue.append(job)
            self._lock.notify()
        if replica.circuit.state == "open":
            for other in tuple(replica.under_way):
                other.cancel()  # those that it has not begun go elsewhere
        if again and not self._closed:
            return
        if not job.future.set_running_or_notify_cancel():
            return
        if inner.cancelled() or self._closed and error is not None:
            job.future.set_exception(ModelError(f"{self.name} was closed.", "Ask before closing it."))
        elif error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(inner.result())

    def _give_up(self, job: _Job) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        with self._lock:
            said = "; ".join(job.said.values())
        job.future.set_exception(
            EndpointError(
                f"No replica of {self.name} answered within {self._deadline:g} s. "
                + (f"They said: {said}" if said else "None of them could be asked."),
                "Check the servers; raise `deadline` where they are only slow.",
            )
        )
