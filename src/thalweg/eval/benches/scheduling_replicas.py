"""Do requests that follow their beginnings use the caches of several servers, and what does a killed server cost?

Two processes of llama-cpp-python's own server, one thread each, on the packaged weights; each keeps the tokens of the
last prompt it read. Several questions about each of some documents come interleaved. Method: `Replicas` as it is;
baseline: the same without affinity, which sends each request to the least busy server. Cached tokens are read from the
servers' own logs. Then one server is killed in mid-batch and started again later: each request must have one answer.
"""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import thalweg as tw
from thalweg.eval.benches.llama_server import LlamaServer
from thalweg.eval.benches.wordnet import nouns
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models.prepare import prepared
from thalweg.program.session import store_in_force
from thalweg.scheduling.replicas import Replicas

NAME = "scheduling.replicas"
QUESTION = "Do requests that follow their beginnings use the caches of several servers, and survive one that dies?"
SERVERS = 2
HIT = re.compile(rb"Llama\.generate: (\d+) prefix-match hit")
KINDS = ("animal", "plant", "person", "food", "place", "tool", "feeling", "number")
WRITTEN = 4  # tokens of an answer; texts, since this server has no typed output that `Replicas` could ask for
BACK = 60.0  # seconds that a server that was started again may take until it is asked


@dataclass(frozen=True)
class Sizes:
    documents: int
    questions: int
    lines: int  # of a document
    rounds: int


FULL = Sizes(documents=6, questions=8, lines=18, rounds=3)
QUICK = Sizes(documents=4, questions=4, lines=10, rounds=1)


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, QUESTION, lambda: list(_run(QUICK if quick else FULL)))


@tw.learned
def mentions(document: str, kind: str) -> str:
    """Does the list define something of this kind? Say yes or no."""
    ...


def _run(sizes: Sizes) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        logs = [Path(folder) / f"server {number}.log" for number in range(SERVERS)]
        servers = [LlamaServer(prepared("smollm2-135m"), threads=1, log=log) for log in logs]
        urls = [stack.enter_context(server) for server in servers]
        if not all(urls):
            yield Figure(NAME, "prompt tokens from the servers' caches", 0.0, None, None, "share", 0,
                         "llama_cpp.server does not run here (pip install 'llama-cpp-python[server]')")  # fmt: skip
            return
        yield from _affinity(sizes, urls, logs, Path(folder))
        yield from _killed(sizes, urls, servers, Path(folder))


def _affinity(sizes: Sizes, urls: list[str], logs: list[Path], folder: Path) -> Iterator[Figure]:
    shares: dict[bool, list[float]] = {True: [], False: []}
    rates: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(2 * sizes.rounds):  # method and baseline in turns, never the same documents twice
        affinity = turn % 2 == 0
        read = [log.stat().st_size for log in logs]
        with Replicas("smollm2-135m", urls, affinity=affinity, lead=affinity, max_concurrency=4) as model:
            started = time.perf_counter()
            answers = [one.result() for one in _submitted(model, sizes, turn, folder)]
            rates[affinity].append(len(answers) / (time.perf_counter() - started))
            prompt = sum(one.prompt_tokens for one in model.status())
        cached = sum(
            int(hit) for log, start in zip(logs, read, strict=True) for hit in HIT.findall(log.read_bytes()[start:])
        )
        shares[affinity].append(cached / prompt)
    own, base = statistics.mean(shares[True]), statistics.mean(shares[False])
    n = sizes.documents * sizes.questions * sizes.rounds
    by_turn = ", ".join(f"{a:.3f} and {b:.3f}" for a, b in zip(shares[True], shares[False], strict=True))
    yield Figure(
        NAME, "prompt tokens from the servers' caches", own, base, own / base if base else None, "share", n,
        f"requests, {sizes.documents} documents x {sizes.questions} questions x {sizes.rounds}, {SERVERS} servers; "
        f"at most {_possible(sizes):.0%} can be, the first of a document is read; by turn: "
        f"{by_turn}; baseline: least busy server",
    )  # fmt: skip
    yield Figure(
        NAME, "requests a second", statistics.median(rates[True]), statistics.median(rates[False]),
        statistics.median(rates[True]) / statistics.median(rates[False]), "1/s", n,
        "median of turns; baseline: as above",
    )  # fmt: skip


def _possible(sizes: Sizes) -> float:
    """About: all but the first prompt of each document."""
    return 1 - 1 / sizes.questions


def _killed(sizes: Sizes, urls: list[str], servers: list[LlamaServer], folder: Path) -> Iterator[Figure]:
    asked = sizes.documents * sizes.questions
    with Replicas("smollm2-135m", urls, max_concurrency=4) as model:
        values = _submitted(model, sizes, 1000, folder / "killed")
        while sum(value.done() for value in values) < asked // 4:
            time.sleep(0.02)
        done = sum(value.done() for value in values)
        victim = servers[1].process
        assert victim is not None
        victim.kill()
        killed = time.perf_counter()
        answered = sum(value.exception() is None for value in values)
        seconds = time.perf_counter() - killed
        status = model.status()
        with tw.using(store=folder / "killed"):
            store = store_in_force(tw.program.current())
            store.flush()
            rows = list(store.calls(kind="value"))
        paths = {(call.run, call.path) for call in rows}
        again = LlamaServer(servers[1].choice, threads=1, port=servers[1].port)
        with again as url:
            before, waited, came_back = model.status()[1].answered, time.perf_counter(), False
            number = 2000
            while url and not came_back and time.perf_counter() - waited < BACK:
                for value in _submitted(model, sizes, number, folder / "back", documents=4, questions=1):
                    value.result()
                came_back, number = model.status()[1].answered > before, number + 1
            waited = time.perf_counter() - waited
    yield Figure(
        NAME, "requests answered after a server was killed", answered / asked, 1.0, None, "share", asked,
        f"killed after {done} of {asked}; the rest took {seconds:.1f} s; {sum(one.failed for one in status)} exchanges "
        f"failed and went to the other server; by server {', '.join(str(one.answered) for one in status)}; baseline is "
        "the bar",
    )  # fmt: skip
    taken = sum(one.answered for one in status)
    yield Figure(NAME, "answers taken beyond one a request", float(taken - asked), 0.0, None, "answers", asked,
                 f"{len(rows)} rows in the journal at {len(paths)} places; baseline is the bar")  # fmt: skip
    yield Figure(NAME, "server taken back after it was started again", float(came_back), 1.0, None, "yes or no", 1,
                 f"asked again {waited:.1f} s after it listened; baseline is the bar")  # fmt: skip


def _submitted(
    model: Any, sizes: Sizes, number: int, folder: Path, documents: int = 0, questions: int = 0
) -> list[tw.Value[Any]]:
    """All requests of a turn, question by question, so that neighbours begin differently."""
    texts = [_document(number * 100 + one, sizes.lines) for one in range(documents or sizes.documents)]
    with tw.using(model=model, store=folder, cache=False, progress=False, max_tokens=WRITTEN):
        return [mentions.submit(text, kind) for kind in KINDS[: questions or sizes.questions] for text in texts]


def _document(number: int, lines: int) -> str:
    synsets = list(nouns().values())
    start = number * 7919 % (len(synsets) - lines)
    return "\n".join(f"{one.names[0]}: {one.gloss}"[:120] for one in synsets[start : start + lines])
