"""`Service`: what the routers of one server share: its programs, its model, its limits, what is under way.

Every request that needs the model passes `admitted` once (back-pressure) and waits through `finish` (time-out,
cancellation); `ask` does both for a single call. A waiting request holds a future, not a thread. Cost: some
20 microseconds a call.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, TypeVar

from thalweg.errors import Error, Overloaded, ServerClosing, TookTooLong
from thalweg.models.request import Answer, Request
from thalweg.program.journal import new_run_id
from thalweg.program.session import Session, store_in_force
from thalweg.server.settings import Settings

T = TypeVar("T")


class Service:
    """Programs and a model behind HTTP.

    Args:
        flows: flows and learned functions by the name of their endpoint.
        model: an `Engine`, or anything with ``submit(Request) -> Future[Answer]``, `identity` and `capabilities`.
        settings: limits in force.
    """

    def __init__(self, flows: Mapping[str, Any], model: Any, settings: Settings | None = None) -> None:
        self.flows: dict[str, Any] = dict(flows)
        self.model = model
        self.settings = settings or Settings()
        self.draining = False
        self.under_way = 0  # requests admitted and not answered yet
        self.rejected: Counter[str] = Counter()  # by reason
        self.started = time.time()
        self.idle = asyncio.Event()  # set while nothing is under way
        self.idle.set()
        self._seconds = 1.0  # a request takes, moving average
        self._run = ""
        self._embedder: Any = None
        self._embedder_lock = threading.Lock()

    # -- what routers ask -------------------------------------------------------------------------------------

    async def ask(self, request: Request, observe: Any = None, tenant: str = "") -> Answer:
        """One call of the model, as a request of its own.

        Args:
            observe: called with the text written so far, on a thread of the engine; ignored by models that cannot be
                watched.
            tenant: whose cached prompts it may share.

        Raises:
            Overloaded, ServerClosing, TookTooLong; and what the model raises.
        """
        with self.admitted():
            return await self.finish(self.submit(request, observe, tenant))

    def submit(self, request: Request, observe: Any = None, tenant: str = "") -> Future[Answer]:
        """Hand a request to the model under the tenant's partition, whatever is under way."""
        if tenant:
            request = replace(request, hint=replace(request.hint, partition=tenant))
        if observe is not None and self.watchable:
            return self.model.submit(request, observe)
        return self.model.submit(request)

    async def finish(
        self, future: Future[T], *, seconds: float | None = None, abandon: Callable[[], object] | None = None
    ) -> T:
        """The result of a future, within the time-out, without a thread that waits.

        Args:
            seconds: instead of the server's time-out.
            abandon: called when nobody waits any more (time-out, client gone); default: the future is cancelled.
        """
        limit = self.settings.timeout_seconds if seconds is None else seconds
        loop = asyncio.get_running_loop()
        settled = asyncio.Event()
        future.add_done_callback(lambda _: _call_in(loop, settled.set))
        try:
            async with asyncio.timeout(limit):
                await settled.wait()
        except TimeoutError:
            (abandon or future.cancel)()
            self.rejected["timeout"] += 1
            raise TookTooLong(
                f"The request was not answered within {limit:g} s.",
                "Ask for less, come back when the server is less busy, or start it with a larger --timeout.",
            ) from None
        except asyncio.CancelledError:
            (abandon or future.cancel)()
            self.rejected["client gone"] += 1
            raise
        return future.result()

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Counts a request as under way.

        Raises:
            Overloaded: as many wait as the server accepts.
            ServerClosing: it is being stopped.
        """
        if self.draining:
            self.rejected["draining"] += 1
            raise ServerClosing("The server is being stopped.", "Ask another one, or come back when it is up again.")
        if self.under_way >= self.streams + self.settings.max_waiting:
            self.rejected["overloaded"] += 1
            raise Overloaded(
                f"{self.under_way} requests are under way, as many as the server accepts.",
                f"Come back in {self.retry_after} s, or start it with a larger --max-waiting.",
                retry_after=self.retry_after,
            )
        self.under_way += 1
        self.idle.clear()
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.under_way -= 1
            self._seconds += 0.05 * (time.perf_counter() - begun - self._seconds)
            if not self.under_way:
                self.idle.set()

    def tenant(self, http_request: Any) -> str:
        """Whose request it is: the name of its API key, "" where the server has no keys."""
        return http_request.scope.get("thalweg.tenant", "")

    def run_id(self, session: Session) -> str:
        """The run under which the calls of this server's programs are written down."""
        with self._embedder_lock:
            if not self._run:
                self._run = new_run_id("serve")
                if session.journal is not False:
                    store_in_force(session).begin(self._run, "serve", self.model.identity, {})
            return self._run

    # -- what there is ----------------------------------------------------------------------------------------

    @property
    def streams(self) -> int:
        """Requests the model advances side by side."""
        return max(1, self.model.capabilities.streams)

    @property
    def watchable(self) -> bool:
        """Whether the model tells what it writes while it writes."""
        return hasattr(self.model, "prompt_tokens")

    @property
    def name(self) -> str:
        """The model's name."""
        return getattr(self.model, "name", self.model.identity)

    @property
    def retry_after(self) -> int:
        """Seconds after which a place should be free again, 1 to 60: a twentieth of the present queue's time."""
        queue = self.under_way / self.streams * self._seconds
        return int(min(60, max(1, queue / 20)))

    @property
    def embedder(self) -> Any:
        """The packaged embedder, loaded when first asked for (0.3 s: not on the event loop); None where its weights or
        libraries are not installed."""
        if self._embedder is None:
            from thalweg.models.minilm import MiniLM

            with self._embedder_lock:
                if self._embedder is None:
                    try:
                        self._embedder = MiniLM()
                    except Error:
                        return None
        return self._embedder


def _call_in(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    with suppress(RuntimeError):  # the loop has ended: nobody waits
        loop.call_soon_threadsafe(callback)
