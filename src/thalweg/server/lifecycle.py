"""Running a server and stopping it gracefully: `run(app, service)` returns when everything has been answered.

SIGTERM or Ctrl-C begins to drain: new requests are told to go elsewhere (503), ``/health`` says so, those under way
are finished within the grace period. A second signal stops at once. Requests that the grace period cuts off are
cancelled, and the exit status says it (1).
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import uvicorn

from thalweg.server.service import Service


class DrainingServer(uvicorn.Server):
    """A uvicorn server that finishes what it has begun."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service
        self.cut_off = 0  # requests that the end of the grace period left unanswered
        self.on_start: Callable[[int], object] = lambda port: None  # called with the port it listens on
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: Any = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_start(self.servers[0].sockets[0].getsockname()[1])

    def handle_exit(self, sig: int, frame: Any) -> None:
        if self.service.draining or self._loop is None:
            self.should_exit = self.force_exit = True
            return
        self.service.draining = True
        self._loop.call_soon_threadsafe(lambda: asyncio.ensure_future(self._drain()))

    def stop(self) -> None:
        """Begin to drain, as a signal does; from any thread."""
        self.handle_exit(signal.SIGTERM, None)

    async def _drain(self) -> None:
        try:
            await asyncio.wait_for(self.service.idle.wait(), self.service.settings.grace_seconds)
        except TimeoutError:
            self.cut_off = self.service.under_way
            self.force_exit = True
        self.should_exit = True


def server(app: Any, service: Service, *, log_level: str = "warning") -> DrainingServer:
    """A server for the application, not started yet."""
    settings = service.settings
    config = uvicorn.Config(
        app,
        host=settings.host.strip("[]"),
        port=settings.port,
        log_level=log_level,
        backlog=4096,
        timeout_keep_alive=30,
        server_header=False,
        lifespan="off",
    )
    return DrainingServer(config, service)
