"""What `scheduling.batch` runs on the packaged model: workloads of real text, one engine under several policies.

The engine has one worker and few streams, so that its cache holds about a tenth of the batch. All sides answer the same
requests, and their answers are compared; a lossless schedule changes none.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import thalweg as tw
from thalweg.eval.benches.samples import mails
from thalweg.models import Format, Hint, Message, Request, Sampling, load
from thalweg.scheduling import Engine
from thalweg.scheduling.plan import plan_batch

STREAMS = 4
QUESTIONS = (
    "Who wrote this?", "What is the topic?", "Is it urgent?", "What should be done next?", "Which product is named?",
    "Is the tone friendly?", "What is the main problem?", "Which date is named?", "Is there a link in it?",
    "What would you answer?",
)  # fmt: skip
SYSTEM = (
    "You work at the desk of a city library and answer visitors. The library opens at nine and closes at seven, on "
    "Saturdays at four, and stays closed on Sundays and holidays. Cards are free for people who live in the city and "
    "cost ten a year for everybody else. Books may be kept for four weeks, films for one, and both can be renewed "
    "twice unless somebody else waits for them. Late books cost twenty cents a day. The reading rooms need no card; "
    "the study rooms are booked for two hours at the desk or by telephone. Children's hour is on Wednesdays at three. "
    "Printing costs ten cents a page. Lost property is kept for a month at the entrance. Answer briefly and politely."
)


def engine(workers: int | None = 1) -> Engine:
    """The packaged model with few streams a worker; one worker on all cores, or (None) one a core as by default."""
    return Engine(load("smollm2-135m", streams=STREAMS, context=1024), workers=workers)


def ask(model: Engine, system: str, text: str, tokens: int) -> Request:
    """A call whose answer takes at most, and nearly always exactly, so many tokens."""
    prefix = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n"
    return Request(
        (Message("system", system), Message("user", text)), Format("text", max_chars=12 * tokens),
        Sampling(max_tokens=tokens + 2), prefix, f"{text}<|im_end|>\n<|im_start|>assistant\n", reserve=2,
        hint=Hint(expected=tokens),
    )  # fmt: skip


def documents(model: Engine, count: int, questions: int, *, tokens: int, answers: Sequence[int]) -> list[Request]:
    """Questions about documents of about `tokens` tokens each, interleaved; answer lengths take turns."""
    text = "\n\n".join(row["mail"] for row in mails())
    ids = model.tokenizer.encode(text[: 12 * count * tokens])
    parts = [model.tokenizer.decode(ids[i * tokens : (i + 1) * tokens]) for i in range(count)]
    return [
        ask(model, f"Answer the question about this text.\n{parts[d]}", QUESTIONS[q], answers[(q + d) % len(answers)])
        for q in range(questions) for d in range(count)
    ]  # fmt: skip


def planned(model: Engine, requests: Sequence[Request]) -> list[Request]:
    """The same requests with their places in a plan."""
    lengths = [one.hint.expected for one in requests]
    prompts = [model.prompt_tokens(one) for one in requests]
    rank = plan_batch(prompts, kv_budget=model.cells, expected=lengths).rank
    return [replace(one, hint=replace(one.hint, rank=at)) for one, at in zip(requests, rank, strict=True)]


def run(model: Engine, policy: str, requests: Sequence[Request]) -> tuple[float, int, int, list[str]]:
    """Seconds, prompt tokens, those of them that were computed, answers. Begins with a cache that is of no use."""
    model.use_policy("fcfs")
    other = "".join(chr(97 + i % 26) for i in range(40))
    for future in [model.submit(ask(model, f"{i}{other}", f"{i}", 1)) for i in range(model.capabilities.streams)]:
        future.result(600)
    model.use_policy(policy)
    before = replace(model.counters)
    started = time.perf_counter()
    answers = [future.result(3600) for future in [model.submit(one) for one in requests]]
    seconds = time.perf_counter() - started
    prompt = model.counters.prompt_tokens - before.prompt_tokens
    cached = model.counters.cached_tokens - before.cached_tokens
    return seconds, prompt, prompt - cached, [one.text for one in answers]


def in_turns(
    model: Engine,
    sides: Mapping[str, tuple[str, Sequence[Request]]],
    repeats: int,
    fewer: Mapping[str, int] | None = None,
) -> dict[str, tuple[list[float], int, int, list[str]]]:
    """Each side's seconds over the turns, and its last counts; A-B-C-A-B-C. `fewer`: turns of sides that take long.

    Raises:
        AssertionError: two sides gave different answers.
    """
    found: dict[str, tuple[list[float], int, int, list[str]]] = {}
    run(model, "fcfs", next(iter(sides.values()))[1][:STREAMS])  # what is slow only the first time
    for turn in range(repeats):
        for name, (policy, requests) in sides.items():
            if turn >= (fewer or {}).get(name, repeats):
                continue
            seconds, prompt, computed, texts = run(model, policy, requests)
            times = found[name][0] if name in found else []
            found[name] = ([*times, seconds], prompt, computed, texts)
    first = next(iter(found.values()))[3]
    for name, (_, _, _, texts) in found.items():
        if texts != first:
            different = sum(a != b for a, b in zip(texts, first, strict=True))
            raise AssertionError(f"{name}: {different} of {len(first)} answers differ")
    return found


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Median of the turns' ratios, and their spread."""
    turns = [slow / quick for quick, slow in zip(ours, theirs, strict=False)]
    return statistics.median(turns), (max(turns) - min(turns)) / statistics.median(turns)


def clients(send: Callable[[str, str], Any], count: int, requests: int) -> float:
    """Completed requests per second of `count` clients which ask one question after the other behind SYSTEM."""
    ids = iter(range(requests))
    lock = threading.Lock()

    def client() -> None:
        while True:
            with lock:
                number = next(ids, None)
            if number is None:
                return
            send(SYSTEM, f"Visitor {number} asks: {QUESTIONS[number % len(QUESTIONS)]}")

    started = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(client) for _ in range(count)]:
            future.result()
    return requests / (time.perf_counter() - started)


@tw.learned
def urgent(note: str) -> bool:
    """Is the note urgent?"""
    ...


def rows_on_model(counts: Sequence[int]) -> Iterator[tuple[int, float]]:
    """Seconds a row of `map` over short notes, by number of rows."""
    words = [word for row in mails() for word in row["mail"].split()]
    start = 0
    for count in counts:
        notes = [" ".join(words[start + 12 * i : start + 12 * i + 12]) for i in range(count)]
        start += 12 * count  # no note twice
        started = time.perf_counter()
        results = urgent.map(notes)
        seconds = time.perf_counter() - started
        if not all(isinstance(one, bool) for one in results):
            raise AssertionError("a row failed")
        yield count, seconds / count
