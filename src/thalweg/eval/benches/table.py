"""How fast is a table of real mails turned into typed rows?

Ours: a table run of one function with four output fields. Baselines, over the same weights, prompts and threads: a
plain loop with llama-cpp-python's own chat API and JSON-schema grammar; its server with eight clients; Outlines (an
environment of its own, `make peers`). The limit is computed in the same run: tokens that must be computed over the
measured rates of the engine.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import thalweg as tw
from thalweg.errors import Error
from thalweg.eval.benches.llama_server import LlamaServer
from thalweg.eval.benches.peers import run_peer
from thalweg.eval.benches.samples import mails, slip
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models import probe
from thalweg.models.prepare import prepared
from thalweg.program.session import current, model_in_force
from thalweg.program.table_run import TableRun
from thalweg.program.tables import Column, TableWriter

# The same contract as a user of the baselines would write it; their grammars know these keywords.
SCHEMA = {
    "type": "object",
    "properties": {
        "sender": {"type": "string", "minLength": 1, "maxLength": 40},
        "topic": {"type": "string", "minLength": 1, "maxLength": 60},
        "kind": {"enum": ["question", "announcement", "discussion", "advertisement"]},
        "urgent": {"type": "boolean"},
    },
    "required": ["sender", "topic", "kind", "urgent"],
    "additionalProperties": False,
}
MAX_TOKENS = 128  # of the baselines' answers; ours are bounded by the type


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(
        "table", "How many rows a second does `thalweg run` make of real mails?",
        lambda: _run(*((1, 24, 4) if quick else (5, 200, 12))),
    )  # fmt: skip


def _run(rounds: int, ours: int, theirs: int) -> Sequence[Figure]:
    rows = mails()
    choice = prepared("smollm2-135m")
    schema = SCHEMA
    with tw.using(cache=False, model="smollm2-135m"):
        model = model_in_force(current())
        messages = [_messages(row["mail"], model) for row in rows]
        _table(rows[-16:])  # warm up: weights, grammar, prefix
        loop = _plain_loop(choice)
        rates: dict[str, list[float]] = {"ours": [], "loop": [], "server": []}
        valid = {"loop": [0, 0], "server": [0, 0]}
        totals = [0, 0, 0, 0, 0.0]  # rows, prompt, cached, forced, sampled
        with LlamaServer(choice) as url:
            for turn in range(rounds):
                block = [rows[(turn * ours + i) % len(rows)] for i in range(ours)]  # nothing is cached between rounds
                summary = _table(block)
                meter = summary.meter
                rates["ours"].append(len(block) / summary.seconds)
                for i, amount in enumerate(
                    (
                        len(block),
                        meter.prompt_tokens,
                        meter.cached_tokens,
                        meter.forced_tokens,
                        meter.output_tokens - meter.forced_tokens,
                    )  # fmt: skip
                ):
                    totals[i] += amount
                asked = messages[turn * theirs : (turn + 1) * theirs]
                started = time.perf_counter()
                texts = [loop(one, schema) for one in asked]
                rates["loop"].append(len(asked) / (time.perf_counter() - started))
                _count(valid["loop"], texts)
                if url:
                    started = time.perf_counter()
                    with ThreadPoolExecutor(8) as pool:
                        texts = list(pool.map(lambda one: _post(url, one, schema), asked))
                    rates["server"].append(len(asked) / (time.perf_counter() - started))
                    _count(valid["server"], texts)
        limit, prefill, decode = _limit(model, totals)
    # The peer has the machine to itself, after the others; its baseline is the rate measured above.
    peer = run_peer(
        "outlines_table.py", str(choice.path), str(int(choice.accelerate)), json.dumps(schema),
        json.dumps([row["mail"] for row in rows[:theirs]]), json.dumps([one["content"] for one in messages[0][:1]]),
    )  # fmt: skip
    median = {name: statistics.median(values) for name, values in rates.items() if values}
    fast = median["ours"]
    spread = f"{min(rates['ours']):.2f} to {max(rates['ours']):.2f}"
    loop_note = (
        f"baseline: plain loop, JSON-schema grammar; {valid['loop'][0]} of {valid['loop'][1]} of its answers valid"
    )
    figures = [
        _figure("rows per second, against a plain loop", fast, median["loop"], f"{loop_note}; ours {spread}", rounds),
    ]
    if "server" in median:
        note = f"baseline: llama_cpp.server, 8 clients; {valid['server'][0]} of {valid['server'][1]} valid"
        figures.append(_figure("rows per second, against a server", fast, median["server"], note, rounds))
    if peer:
        figures.append(
            _figure(
                "rows per second, against Outlines",
                fast,
                peer["rows_per_second"],
                f"Outlines {peer['version']}; {peer['valid']} of {peer['n']} valid",
                rounds,
            )
        )
    prompt, cached, forced, sampled = totals[1:5]
    if not peer:
        figures[0] = replace(figures[0], note=f"{figures[0].note}; Outlines is not here (make peers)")
    figures += [
        Figure("table", "share of the limit reached", fast / limit, 1.0, None, "share", rounds,
               f"limit {limit:.2f} rows/s: {prefill:.0f} tokens/s read, {decode:.0f} tokens/s written, same run"),
        Figure("table", "prompt tokens not recomputed", cached / prompt, 0.0, None, "share", int(totals[0]),
               f"{prompt / totals[0]:.0f} a row"),
        Figure("table", "output tokens not sampled", forced / (forced + sampled), 0.0, None, "share", int(totals[0]),
               f"{(forced + sampled) / totals[0]:.1f} a row"),
    ]  # fmt: skip
    return figures


def _figure(name: str, value: float, base: float, note: str, n: int) -> Figure:
    return Figure("table", name, value, base, value / base, "rows/s", n, note)


def _table(rows: list[dict[str, Any]]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.parquet"
        with TableWriter(source, [Column("id", "string"), Column("mail", "string")]) as writer:
            writer.write([{"id": row["id"], "mail": row["mail"]} for row in rows])
        with tw.using(store=folder):
            return TableRun(slip, source, Path(folder) / "out.parquet").run()


def _messages(mail: str, model: Any) -> list[dict[str, str]]:
    rendered = slip.render(mail)
    return [{"role": one.role, "content": one.content} for one in rendered.messages]


def _plain_loop(choice: Any) -> Any:
    import llama_cpp

    default = llama_cpp.llama_model_default_params

    def with_same_kernels() -> Any:
        settings = default()
        settings.use_extra_bufts = choice.accelerate
        return settings

    llama_cpp.llama_cpp.llama_model_default_params = with_same_kernels  # its own class offers no such option
    llama_cpp.llama_model_default_params = with_same_kernels
    threads = len(os.sched_getaffinity(0))
    try:
        model = llama_cpp.Llama(str(choice.path), n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)
    finally:
        llama_cpp.llama_cpp.llama_model_default_params = default
        llama_cpp.llama_model_default_params = default

    def ask(messages: list[dict[str, str]], schema: dict[str, Any]) -> str:
        made: Any = model.create_chat_completion(
            messages,  # type: ignore[arg-type]
            response_format={"type": "json_object", "schema": schema},
            temperature=0,
            max_tokens=MAX_TOKENS,
        )
        return made["choices"][0]["message"]["content"]

    return ask


def _post(url: str, messages: list[dict[str, str]], schema: dict[str, Any]) -> str:
    import httpx

    body = {
        "messages": messages, "temperature": 0, "max_tokens": MAX_TOKENS,
        "response_format": {"type": "json_object", "schema": schema},
    }  # fmt: skip
    made = httpx.post(f"{url}/chat/completions", json=body, timeout=600)
    made.raise_for_status()
    return made.json()["choices"][0]["message"]["content"]


def _count(valid: list[int], texts: list[str]) -> None:
    for text in texts:
        valid[1] += 1
        try:
            slip.signature.output.from_json(json.loads(text))
            valid[0] += 1
        except (Error, ValueError):
            pass


def _limit(model: Any, totals: list[Any]) -> tuple[float, float, float]:
    """Rows a second if nothing but the necessary tokens cost time, and the two rates it rests on."""
    rows, prompt, cached, forced, sampled = totals
    context, head, fresh = int(prompt / rows) + 20, int(cached / rows), int((prompt - cached) / rows)

    def together(measure: Any) -> float:
        """The sum of the workers' rates, all measuring at the same time, with the threads they have in a run."""
        for worker in model.workers:
            worker.scorer.use_threads(max(1, len(os.sched_getaffinity(0)) // len(model.workers)))
        with ThreadPoolExecutor(len(model.workers)) as pool:
            return sum(pool.map(lambda worker: measure(worker.scorer), model.workers))

    streams = model.scorer.capabilities.streams
    # Tokens are read behind the shared beginning and written behind the whole prompt, where attention has its cost.
    prefill = together(lambda scorer: probe.prefill_rate(scorer, tokens=fresh, behind=head, rounds=9))
    decode = together(lambda scorer: probe.decode_rate(scorer, streams, context=context, rounds=5))
    seconds = (prompt - cached + forced) / prefill + sampled / decode
    return rows / seconds, prefill, decode
