"""What does it pay to send a program of several calls as one graph?

Four workloads over the packaged model behind a real HTTP server, each program once as a graph (policy `parrot`) and
once orchestrated by its client over a plain endpoint of the same engine (policy `batch`), in turns, with Poisson
arrivals of a fixed seed: a chain of 10 summaries, map-reduce of 12, 12 clients with one 600-token system prompt, a
writer/reviewer loop of three roles. The injected delay is a sleep of the client before every request it sends. All
answers of the two sides are compared token by token. Placement over four engines is simulated, and says so.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from thalweg.eval.benches.parrot_programs import PROGRAMS, Program, shared_prompt, single_calls
from thalweg.eval.benches.parrot_simulation import placement
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.scheduling.parrot import Call, Graph, Transform, node_to_json

NAME = "scheduling.parrot"
DELAY = 0.1  # seconds, before every request of a client
SEED = 5


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "What does it pay to send a program of several calls as one graph?", lambda: _run(quick))


@dataclass
class Turn:
    """One side, once: seconds from arrival to result of each program, seconds in all, (prompt, answer) token ids."""

    latencies: list[float]
    seconds: float
    tokens: list[tuple[Any, Any]]
    cached: float = 0.0


def _run(quick: bool) -> Sequence[Figure]:
    from thalweg.models import load
    from thalweg.scheduling import Engine

    engine = Engine(load("smollm2-135m"))
    repeats = 1 if quick else 5
    try:
        with _server(engine) as bench:
            bench.turn([shared_prompt(0)], "graph", 1.0, 0.0)  # everything is loaded
            made = [
                *_latencies(bench, repeats, quick),
                *_shared(bench, repeats, quick),
                *_no_cost(bench, repeats, quick),
            ]
    finally:
        engine.close()
    return [*made, *placement(NAME)]


# -- figures ----------------------------------------------------------------------------------------------------------


def _latencies(bench: Bench, repeats: int, quick: bool) -> Iterator[Figure]:
    for name, make, gap, bar in PROGRAMS:
        for title, count, between in ((name, 1, 1.0), (f"{name}, under load", 2 if quick else 4, gap)):
            programs = [make(index) for index in range(count)]
            ours, theirs = bench.turns(programs, ("graph", "client"), between, DELAY, repeats)
            ratio, spread = _ratio([statistics.mean(one.latencies) for one in ours],
                                   [statistics.mean(one.latencies) for one in theirs])  # fmt: skip
            calls = sum(isinstance(node, Call) for program in programs for node in program.nodes)
            bar_said = f"bar {bar}" if bar else "no bar"
            yield Figure(
                NAME, f"{title}: latency", statistics.median(statistics.mean(one.latencies) for one in ours),
                statistics.median(statistics.mean(one.latencies) for one in theirs), ratio, "s", repeats,
                f"{count} program(s), {calls} calls, {DELAY * 1e3:.0f} ms a request; same tokens; spread {spread:.2f}; "
                f"{bar_said}",
            )  # fmt: skip


def _shared(bench: Bench, repeats: int, quick: bool) -> Iterator[Figure]:
    programs = [shared_prompt(index) for index in range(12 if quick else 36)]
    sides = ("graph", "client", "client without reuse")
    ours, theirs, without = bench.turns(programs, sides, 0.02, DELAY, repeats)
    rate = statistics.median(len(programs) / one.seconds for one in ours)
    for title, other, bar in (("without", without, 3), ("with", theirs, 1)):
        ratio, spread = _ratio([one.seconds for one in ours], [one.seconds for one in other])
        cached = [f"{statistics.mean(one.cached for one in side):.0%}" for side in (ours, other)]
        yield Figure(
            NAME, f"shared prompt of 600 tokens: throughput against a baseline {title} prefix reuse", rate,
            statistics.median(len(programs) / one.seconds for one in other), ratio, "programs/s", repeats,
            f"{len(programs)} programs of 12 clients; same tokens; {cached[0]} of prompt tokens cached (baseline "
            f"{cached[1]}); spread {spread:.2f}; bar {bar}",
        )  # fmt: skip


def _no_cost(bench: Bench, repeats: int, quick: bool) -> Iterator[Figure]:
    programs = [single_calls(index) for index in range(12 if quick else 40)]
    ours, theirs = bench.turns(programs, ("graph", "client"), 0.05, 0.0, max(repeats, 2))
    ratio, spread = _ratio([one.seconds for one in ours], [one.seconds for one in theirs])
    yield Figure(
        NAME, "lone calls, no delay, nothing shared: throughput",
        statistics.median(len(programs) / one.seconds for one in ours),
        statistics.median(len(programs) / one.seconds for one in theirs), ratio, "calls/s", max(repeats, 2),
        f"must cost nothing: bar 0.95; same tokens; spread {spread:.2f}",
    )  # fmt: skip


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Median of the single turns' ratios, and their spread: what disturbs a machine disturbs both sides of a turn."""
    turns = [slow / quick for quick, slow in zip(ours, theirs, strict=True)]
    return statistics.median(turns), (max(turns) - min(turns)) / statistics.median(turns)


# -- both sides -------------------------------------------------------------------------------------------------------


class Bench:
    """A server, its engine, and clients of two kinds."""

    def __init__(self, url: str, engine: Any, log: list[Any]) -> None:
        self.url, self.engine, self.log = url, engine, log
        self._turns = 0

    def turns(
        self, programs: Sequence[Program], sides: Sequence[str], between: float, delay: float, repeats: int
    ) -> list[list[Turn]]:
        """Each side `repeats` times, in turns. Raises `AssertionError` where tokens differ."""
        made: list[list[Turn]] = [[] for _ in sides]
        for repeat in range(repeats):
            for index, side in list(enumerate(sides))[:: -1 if repeat % 2 else 1]:
                made[index].append(self.turn(programs, side, between, delay))
            if any(one[-1].tokens != made[0][-1].tokens for one in made):
                raise AssertionError("the two sides have answered with different tokens")
        return made

    def turn(self, programs: Sequence[Program], side: str, between: float, delay: float) -> Turn:
        self._turns += 1
        partition = f"turn {self._turns}"  # no side finds what another has left in the cache
        self.engine.use_policy("parrot" if side == "graph" else "batch")
        self.log.clear()
        latencies, seconds = asyncio.run(self._clients(programs, side, between, delay, partition))
        answers = [future.result() for future in self.log]
        prompt = sum(one.usage.prompt_tokens for one in answers)
        cached = sum(one.usage.cached_tokens for one in answers) / max(1, prompt)
        return Turn(latencies, seconds, sorted((one.prompt_tokens, one.tokens) for one in answers), cached)

    async def _clients(
        self, programs: Sequence[Program], side: str, between: float, delay: float, partition: str
    ) -> tuple[list[float], float]:
        import httpx

        draw = random.Random(SEED)
        arrivals, at = [], 0.0
        for _ in programs:
            arrivals.append(at)
            at += draw.expovariate(1 / between)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        async with httpx.AsyncClient(base_url=self.url, timeout=300, limits=limits) as http:
            begun = time.perf_counter()

            async def send(path: str, body: Any) -> Any:
                await asyncio.sleep(delay)
                answer = await http.post(path, json=body, headers={"X-Partition": partition})
                answer.raise_for_status()
                return answer.json()

            async def one(program: Program, at: float) -> float:
                await asyncio.sleep(max(0.0, begun + at - time.perf_counter()))
                started = time.perf_counter()
                if side == "graph":
                    await _as_graph(program, send)
                else:
                    await _as_client(program, send, apart=side == "client without reuse")
                return time.perf_counter() - started

            latencies = await asyncio.gather(*map(one, programs, arrivals))
            return list(latencies), time.perf_counter() - begun


Send = Callable[[str, Any], Awaitable[Any]]


async def _as_graph(program: Program, send: Send) -> str:
    body = {
        "calls": [node_to_json(node) for node in program.nodes],
        "values": program.values,
        "get": [{"var": program.wanted}],
        "wait": True,
        "end": True,
    }
    return (await send("/v1/sessions", body))["values"][program.wanted]


async def _as_client(program: Program, send: Send, *, apart: bool) -> str:
    """Client-side orchestration: every call is sent the moment its inputs are there."""
    graph = Graph(program.nodes, program.values)
    tasks: dict[str, asyncio.Task[str]] = {}

    async def value(name: str) -> str:
        return program.values[name] if name in program.values else await tasks[name]

    async def made(node: Call | Transform) -> str:
        values = {name: await value(name) for name in node.inputs}
        text = "".join(values[part] if is_variable else part for part, is_variable in node.parts)
        if isinstance(node, Transform):
            return text
        filled = replace(node, template="{{text}}")
        body = {"call": node_to_json(filled), "text": text, "apart": apart}
        return (await send("/plain", body))["text"]

    for node in graph.order:
        tasks[node.output] = asyncio.ensure_future(made(node))
    return await tasks[program.wanted]


@contextmanager
def _server(engine: Any) -> Iterator[Bench]:
    """The house's server with a plain endpoint beside its sessions, in a thread of this process."""
    import uvicorn
    from starlette.responses import JSONResponse

    from thalweg.models.request import Hint
    from thalweg.scheduling.parrot import node_from_json, request_for
    from thalweg.server import Service, Settings, create_app

    log: list[Any] = []
    submit = engine.submit

    def noted(request: Any, observe: Any = None, **more: Any) -> Any:
        future = submit(request, observe, **more)
        log.append(future)
        return future

    engine.submit = noted

    class Partitioned(Service):
        """The tenant is what a client says: every turn starts with an empty cache."""

        def tenant(self, http_request: Any) -> str:
            return http_request.headers.get("x-partition", "")

    service = Partitioned({}, engine, Settings(journal=False, cache=False, ui=False))
    lone = iter(range(10**9))

    async def complete(http: Any) -> Any:
        body = await http.json()
        call: Any = node_from_json(body["call"])
        tenant = service.tenant(http) + (f" {next(lone)}" if body["apart"] else "")
        request = request_for(call, {"text": body["text"]}, engine, Hint())
        return JSONResponse({"text": (await service.ask(request, tenant=tenant)).text})

    app = create_app(service=service)
    app.add_route("/plain", complete, methods=["POST"])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Bench(f"http://127.0.0.1:{port}", engine, log)
    finally:
        server.should_exit = True
        thread.join()
        del engine.submit
