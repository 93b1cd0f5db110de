"""What does HTTP cost, and what happens under load?

On the packaged model: the same requests straight to the engine and through the server, in turns, equal answers
asserted; beside them llama-cpp-python's own server on the same weights. Then 1,000 clients at once on a model that
answers at once, and 32 on the real one: errors, latency, and whether memory grows.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from thalweg.eval.benches.http_load import Load, Loaded, load
from thalweg.eval.benches.http_server import ServerProcess, urgent
from thalweg.eval.benches.llama_server import LlamaServer
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models.prepare import prepared

NAME = "scheduling.serve"
SYSTEM = (
    "You answer the mail of a small library in the mountains. Be kind and brief. The library opens at nine and closes "
    "at six, on Saturdays at noon. Books may be kept for four weeks, films for one; whoever is late pays ten cents a "
    "day. Rooms for groups are booked at the desk. The bus stops at the door every hour."
)
QUESTIONS = (
    "When do you open?", "May I keep a film for two weeks?", "How do I book a room?", "Does the bus run on Sundays?",
    "I am three days late, what do I pay?", "Do you have books on mushrooms?", "Can I bring my dog?",
    "Where do I park?",
)  # fmt: skip
CLIENTS, TOKENS = 32, 24


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "What does HTTP cost, and what happens under load?", lambda: list(_run(quick)))


def bodies(count: int) -> list[dict[str, Any]]:
    return [
        {
            "model": "thalweg",
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": f"{QUESTIONS[i % len(QUESTIONS)]} (Letter {i})"},
            ],
            "max_tokens": TOKENS,
            "temperature": 0,
        }
        for i in range(count)
    ]


def _run(quick: bool) -> Iterator[Figure]:
    count, turns = (32, 2) if quick else (128, 5)
    asked = bodies(count)
    texts = tuple(json.dumps(body) for body in asked)
    with ServerProcess("real") as port, LlamaServer(prepared("smollm2-135m")) as peer:
        engine = _engine()
        path = "/v1/chat/completions"
        ours: list[Loaded] = []
        direct: list[float] = []
        theirs: list[Loaded] = []
        want = _straight(engine, asked)[1]
        for _ in range(turns):
            direct.append(count / _straight(engine, asked)[0])
            ours.append(load(Load(port, path, texts, CLIENTS, requests=count)))
            if peer:
                theirs.append(load(Load(int(peer.split(":")[2].split("/")[0]), path, texts, CLIENTS, requests=count)))
        engine.close()
        got = [json.loads(text)["choices"][0]["message"]["content"] for text in ours[-1].texts]
        if got != want:
            raise AssertionError(f"{sum(a != b for a, b in zip(got, want, strict=True))} answers differ through HTTP")
        through, straight = (statistics.median(one.rate for one in ours), statistics.median(direct))
        ratios = [a.rate / b for a, b in zip(ours, direct, strict=True)]
        yield Figure(
            NAME, "requests a second through HTTP", through, straight, through / straight, "1/s", turns,
            f"{CLIENTS} clients, {count} chats, answers of {TOKENS} tokens, identical; baseline the same requests to "
            f"the engine itself; spread {max(ratios) - min(ratios):.2f}",
        )  # fmt: skip
        if theirs:
            other = statistics.median(one.rate for one in theirs)
            yield Figure(
                NAME, "requests a second beside llama_cpp.server", through, other, through / other, "1/s", turns,
                f"same weights and kernels, {CLIENTS} continuous clients, shared system prompt; latency p99 "
                f"{late(ours)} and {late(theirs)} s",
            )  # fmt: skip
        else:
            yield Figure(
                NAME, "requests a second beside llama_cpp.server", through, None, None, "1/s", turns, "no peer"
            )
    yield from _under_load("real", 32, path, texts, 10 if quick else 120)
    mails = tuple(json.dumps({"mail": f"letter {i}, answer {'now' if i % 3 else 'later'}"}) for i in range(999))
    yield from _under_load("scripted", 1000, f"/flows/{urgent.name}", mails, 10 if quick else 120)


def late(turns: list[Loaded]) -> str:
    return f"{statistics.median(one.p99 for one in turns):.2f}"


def _engine() -> Any:
    from thalweg.models import load as open_model
    from thalweg.scheduling import Engine

    return Engine(open_model())


def _straight(engine: Any, asked: list[dict[str, Any]]) -> tuple[float, list[str]]:
    """Seconds and texts of the same requests, from as many threads as there are clients, without HTTP."""
    from thalweg.server import Service
    from thalweg.server.openai import chat
    from thalweg.server.openai.wire import ChatBody

    service = Service({}, engine)
    requests = [chat.prepared(service, ChatBody.model_validate(body)).requests[0] for body in asked]
    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda request: engine.submit(request).result(), requests))
    return time.perf_counter() - started, [answer.text for answer in answers]


def _under_load(kind: str, clients: int, path: str, texts: tuple[str, ...], seconds: float) -> Iterator[Figure]:
    server = ServerProcess(kind)
    with server as port:
        load(Load(port, path, texts, clients, seconds=min(5.0, seconds / 2)))  # warms up: threads, buffers, caches
        memory: list[int] = []
        done = threading.Event()

        def watch() -> None:
            while not done.wait(seconds / 60):
                memory.append(server.memory())

        watching = threading.Thread(target=watch)
        watching.start()
        made = load(Load(port, path, texts, clients, seconds=seconds))
        done.set()
        watching.join()
    third = max(1, len(memory) // 3)
    first, last = statistics.median(memory[:third]), statistics.median(memory[-third:])
    note = f"{clients} clients for {made.seconds:.0f} s, model {kind}: p50 {made.p50:.3f} s, p99 {made.p99:.3f} s"
    yield Figure(NAME, f"{kind}: answers a second under load", made.rate, None, None, "1/s", made.answers, note)
    yield Figure(
        NAME, f"{kind}: requests that failed", sum(made.errors.values()), 0, None, "requests", made.answers,
        json.dumps(made.errors),
    )  # fmt: skip
    yield Figure(
        NAME, f"{kind}: memory at the end", last / 2**20, first / 2**20, first / last, "MiB", len(memory),
        "baseline the first third of the time; flat within 5 % is wanted",
    )  # fmt: skip
