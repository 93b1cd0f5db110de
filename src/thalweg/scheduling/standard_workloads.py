"""The workloads that schedulers are measured on, drawn from a seed: shapes of sharing, dependence and arrival.

Tokens are random ids, so that two prompts share exactly what the workload says they share. Use them where counts are
wanted (saving, memory, waiting); a model needs real text. Lengths are in tokens, times in seconds.
Sources of the shapes: documents x questions and two levels as in Zheng et al. 2024, "BatchLLM"; map-reduce, chain and
multi-tenant as in Lin et al. 2024, "Parrot: Efficient serving of LLM-based applications with semantic variable".
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace

from thalweg.scheduling.workload import WorkloadRequest

VOCABULARY = 49_152


def documents_and_questions(
    documents: int = 40, questions: int = 15, *, document_tokens: int = 600, question_tokens: int = 40,
    expected: tuple[int, int] = (4, 64), seed: int = 0,
) -> list[WorkloadRequest]:  # fmt: skip
    """Every question about every document, interleaved: question 0 of all documents first."""
    draw = _Draw(seed)
    heads = [draw.tokens(document_tokens) for _ in range(documents)]
    return [
        WorkloadRequest(f"d{d}q{q}", heads[d] + draw.tokens(question_tokens), draw.between(expected), program="answer")
        for q in range(questions) for d in range(documents)
    ]  # fmt: skip


def few_shot(
    tasks: int = 8, rows: int = 75, *, shots: int = 5, shot_tokens: int = 120, row_tokens: int = 60,
    expected: tuple[int, int] = (2, 16), seed: int = 0,
) -> list[WorkloadRequest]:  # fmt: skip
    """Rows behind their task's demonstrations, all tasks mixed."""
    draw = _Draw(seed)
    heads = [draw.tokens(shots * shot_tokens) for _ in range(tasks)]
    made = [
        WorkloadRequest(f"t{t}r{r}", heads[t] + draw.tokens(row_tokens), draw.between(expected), program=f"task {t}")
        for t in range(tasks) for r in range(rows)
    ]  # fmt: skip
    return draw.shuffled(made)


def two_levels(
    instructions: int = 4, documents: int = 10, questions: int = 15, *, instruction_tokens: int = 200,
    document_tokens: int = 400, question_tokens: int = 40, expected: tuple[int, int] = (4, 64), seed: int = 0,
) -> list[WorkloadRequest]:  # fmt: skip
    """Instruction, document, question: prefixes within prefixes, mixed."""
    draw = _Draw(seed)
    made = []
    for i in range(instructions):
        top = draw.tokens(instruction_tokens)
        for d in range(documents):
            head = top + draw.tokens(document_tokens)
            for q in range(questions):
                tokens = head + draw.tokens(question_tokens)
                made.append(WorkloadRequest(f"i{i}d{d}q{q}", tokens, draw.between(expected), program=f"task {i}"))
    return draw.shuffled(made)


def no_sharing(
    requests: int = 600, *, tokens: int = 300, expected: tuple[int, int] = (4, 64), seed: int = 0
) -> list[WorkloadRequest]:
    """Prompts that share nothing."""
    draw = _Draw(seed)
    return [WorkloadRequest(f"r{i}", draw.tokens(tokens), draw.between(expected)) for i in range(requests)]


def random_tree(
    requests: int = 200, *, branch: float = 0.8, most: int = 60, expected: tuple[int, int] = (1, 32), seed: int = 0
) -> list[WorkloadRequest]:
    """Deep trees: a prompt goes on, with probability `branch`, from a random place of an earlier one."""
    draw = _Draw(seed)
    made: list[tuple[int, ...]] = []
    for _ in range(requests):
        head: tuple[int, ...] = ()
        if made and draw.random() < branch:
            earlier = made[draw.below(len(made))]
            head = earlier[: draw.below(len(earlier) + 1)]
        made.append(head + draw.tokens(1 + draw.below(most)))
    return draw.shuffled([WorkloadRequest(f"r{i}", one, draw.between(expected)) for i, one in enumerate(made)])


def map_reduce(
    runs: int = 20, parts: int = 10, *, instruction_tokens: int = 100, part_tokens: int = 400,
    expected: tuple[int, int] = (40, 60), seed: int = 0,
) -> list[WorkloadRequest]:  # fmt: skip
    """Each run reads its parts, then one call reads the answers."""
    draw = _Draw(seed)
    mapping, reducing = draw.tokens(instruction_tokens), draw.tokens(instruction_tokens)
    made = []
    for run in range(runs):
        parts_made = [
            WorkloadRequest(f"{run}/map {p}", mapping + draw.tokens(part_tokens), draw.between(expected))
            for p in range(parts)
        ]
        tokens = reducing + draw.tokens(sum(one.expected for one in parts_made))
        needs = tuple(one.id for one in parts_made)
        last = WorkloadRequest(f"{run}/reduce", tokens, draw.between(expected), "latency", after=needs)
        made += [replace(one, program="map-reduce", session=f"run {run}") for one in (*parts_made, last)]
    return made


def chain(
    runs: int = 20, steps: int = 8, *, instruction_tokens: int = 100, chunk_tokens: int = 300,
    expected: tuple[int, int] = (40, 60), seed: int = 0,
) -> list[WorkloadRequest]:  # fmt: skip
    """Each run reads its chunks one after the other, with the answer before in the prompt."""
    draw = _Draw(seed)
    head = draw.tokens(instruction_tokens)
    made: list[WorkloadRequest] = []
    for run in range(runs):
        for step in range(steps):
            before = made[-1] if step else None
            carried = draw.tokens(before.expected) if before else ()
            made.append(
                WorkloadRequest(
                    f"{run}/{step}", head + carried + draw.tokens(chunk_tokens), draw.between(expected),
                    "latency" if step == steps - 1 else "throughput", program="chain", session=f"run {run}",
                    after=(before.id,) if before else (),
                )
            )  # fmt: skip
    return made


def multi_tenant(
    tenants: int = 8, requests: int = 50, *, system_tokens: int = 500, user_tokens: int = 50,
    expected: tuple[int, int] = (10, 100), seed: int = 0,
) -> list[WorkloadRequest]:  # fmt: skip
    """Tenants with a system prompt each; nothing is shared across tenants, even where prompts are equal."""
    draw = _Draw(seed)
    common = draw.tokens(system_tokens // 2)
    heads = [common + draw.tokens(system_tokens - system_tokens // 2) for _ in range(tenants)]
    made = [
        WorkloadRequest(
            f"t{t}r{r}", heads[t] + draw.tokens(user_tokens), draw.between(expected), "latency", partition=f"tenant {t}"
        )
        for t in range(tenants) for r in range(requests)
    ]  # fmt: skip
    return draw.shuffled(made)


def bursty(
    requests: Iterable[WorkloadRequest], *, rate: float, burst: float = 4.0, period: float = 10.0, seed: int = 0
) -> list[WorkloadRequest]:
    """The same requests with Poisson arrivals whose rate alternates: `burst` times as high in one half of every
    `period` as in the other, `rate` requests a second on average."""
    draw = _Draw(seed)
    low = 2 * rate / (1 + burst)
    made, now = [], 0.0
    for request in requests:
        left = draw.exponential()  # of a unit-rate process, mapped through the rate's integral
        while True:
            phase = now % period
            speed, until = (burst * low, period / 2 - phase) if phase < period / 2 else (low, period - phase)
            until = max(until, 1e-12)
            if left <= speed * until:
                now += left / speed
                break
            left -= speed * until
            now += until
        made.append(replace(request, arrival=now))
    return made


class _Draw:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def tokens(self, count: int) -> tuple[int, ...]:
        return tuple(self._random.choices(range(VOCABULARY), k=count))

    def between(self, bounds: tuple[int, int]) -> int:
        return self._random.randint(*bounds)

    def below(self, limit: int) -> int:
        return self._random.randrange(limit)

    def random(self) -> float:
        return self._random.random()

    def exponential(self) -> float:
        return self._random.expovariate(1.0)

    def shuffled(self, requests: list[WorkloadRequest]) -> list[WorkloadRequest]:
        self._random.shuffle(requests)
        return requests


STANDARD: dict[str, Callable[..., list[WorkloadRequest]]] = {
    "documents x questions": documents_and_questions, "few-shot": few_shot, "two levels": two_levels,
    "no sharing": no_sharing, "random trees": random_tree, "map-reduce": map_reduce, "chain": chain,
    "multi-tenant": multi_tenant,
}  # fmt: skip
