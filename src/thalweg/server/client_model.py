"""`ClientModel`: the service's model as one HTTP request sees it, for programs that call it through a session.

It puts the request's tenant and run into every call's hint, tells a watcher what is being written, and when the client
has gone it cancels the calls that wait and refuses new ones, so that a flow in a thread ends at its next call.
Everything else is the model's own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Literal

from thalweg.errors import TookTooLong
from thalweg.models.request import Answer, Request
from thalweg.server.service import Service

Watcher = Callable[[int, Request, str], None]


class ClientModel:
    """A view on ``service.model``.

    Args:
        tenant: whose cached prompts may be shared.
        app: the run, which a scheduler may keep together.
        watch: called on the engine's threads with the number of the call (from 0), the request and its text so far;
            with "" when the call is made.
    """

    def __init__(
        self,
        service: Service,
        tenant: str,
        *,
        app: str = "",
        objective: Literal["throughput", "latency"] = "latency",
        watch: Watcher | None = None,
    ) -> None:
        self._model = service.model
        self._hint = {"partition": tenant, "app": app, "objective": objective}
        self._watch = watch if service.watchable else None
        self._numbers = itertools.count()
        self._open: set[Future[Answer]] = set()
        self._gone = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def submit(self, request: Request, observe: Callable[[str], None] | None = None, **said: Any) -> Future[Answer]:
        """As the model's `submit`."""
        if self._gone:
            raise TookTooLong(
                "Nobody waits for this run any more: its client left or its time is up.", "Send the request again."
            )
        request = replace(request, hint=replace(request.hint, **self._hint))
        watch = self._watch
        if watch is not None:
            number, own = next(self._numbers), observe
            watch(number, request, "")

            def both(text: str) -> None:
                watch(number, request, text)
                if own is not None:
                    own(text)

            observe = both
        future = (
            self._model.submit(request, **said) if observe is None else self._model.submit(request, observe, **said)
        )
        if not future.done():
            self._open.add(future)
            future.add_done_callback(self._open.discard)
        return future

    def cancel(self) -> None:
        """Cancel what waits and refuse what would come."""
        self._gone = True
        for future in tuple(self._open):
            future.cancel()
