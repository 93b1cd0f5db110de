"""`/metrics` for Prometheus: requests by route and status with their times, and the engine's own counters.

Each server has a registry of its own, so that several in one process do not add up. Engine counters are read when they
are asked for; nothing is measured twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, MutableMapping
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from thalweg.server.limits import Receive, Scope, Send
from thalweg.server.service import Service

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_ENGINE = {
    "requests": "calls answered",
    "prompt_tokens": "prompt tokens, cached ones included",
    "cached_tokens": "prompt tokens found in the cache",
    "output_tokens": "tokens written",
    "forced_tokens": "tokens written that needed no model",
    "drafted_tokens": "guesses scored",
    "accepted_tokens": "guesses that were right",
    "turns": "passes of the model",
}


class Metrics:
    """The counters of one server."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "thalweg_http_requests", "HTTP requests", ("route", "method", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "thalweg_http_request_seconds", "seconds from arrival to the end of the answer", ("route",),
            buckets=BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.registry.register(self)  # type: ignore[arg-type]

    def collect(self) -> Iterator[Metric]:
        """What the service and its model have counted."""
        service, model = self.service, self.service.model
        yield GaugeMetricFamily("thalweg_under_way", "HTTP requests admitted and not answered", service.under_way)
        yield GaugeMetricFamily("thalweg_draining", "1 while the server is being stopped", int(service.draining))
        rejected = CounterMetricFamily("thalweg_rejected", "requests not answered, by reason", labels=["reason"])
        for reason, count in dict(service.rejected).items():
            rejected.add_metric([reason], count)
        yield rejected
        counters = getattr(model, "counters", None)
        if counters is not None:
            for name, meaning in _ENGINE.items():
                yield CounterMetricFamily(f"thalweg_engine_{name}", meaning, getattr(counters, name))
            yield GaugeMetricFamily("thalweg_engine_waiting", "calls in the queue", getattr(model, "waiting", 0))
            running = sum(len(worker.under_way) for worker in getattr(model, "workers", ()))
            yield GaugeMetricFamily("thalweg_engine_running", "calls the workers advance", running)

    def router(self) -> APIRouter:
        routes = APIRouter()

        @routes.get("/metrics", include_in_schema=False)
        async def metrics() -> Response:
            return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

        return routes


class Measured:
    """An ASGI layer that counts and times requests, by the route's pattern (addresses are many, routes are few)."""

    def __init__(self, app: Any, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = "499"  # the client left before anything was said

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self.metrics.requests.labels(route, scope["method"], status).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - begun)
