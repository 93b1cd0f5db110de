"""What does a constraint cost, and does it hold? Masks, compilation, and rows a second under one JSON schema.

Masks are timed in processor time on the packaged model's 49k vocabulary while real answers are written. Rows: 16 mails
under one schema, one after the other and all at once; baselines: Outlines and Guidance over llama.cpp with the same
weights, kernels, prompts and threads, one process each (`make peers`); they write one answer at a time.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import thalweg as tw
from thalweg.decoding.constraints import constraint_for, restrict
from thalweg.decoding.constraints.hole import hole_format
from thalweg.decoding.constraints.where import len_tokens, stops_at
from thalweg.decoding.samplers import pick
from thalweg.eval.benches.peers import run_peer
from thalweg.eval.benches.samples import mails, slip
from thalweg.eval.benches.table import SCHEMA
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models.prepare import prepared
from thalweg.models.request import Format, Request, Sampling
from thalweg.models.schema_check import violation
from thalweg.program.session import current, model_in_force

NAME = "decoding.constraints"
BAR = 60.0  # microseconds a mask, median
FORMATS = {
    "JSON under a schema": Format("json", schema=json.dumps(SCHEMA)),
    "free text": Format("text", max_chars=300),
    "a regex": Format("regex", pattern=r"[A-Z][a-z]+( [a-z]+){1,20}\."),
    "a Lark grammar": Format(
        "lark", grammar='start: sum\nsum: term (("+" | "-") term)*\nterm: NUMBER | "(" sum ")"\nNUMBER: /[0-9]{1,4}/\n'
    ),
    "a hole that stops at a quote": hole_format(stops_at("ARG", "'")),
    "a hole with a count of tokens": hole_format(stops_at("ARG", "'") & (len_tokens("ARG") < 12)),
}


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(
        NAME, "What does a constraint cost a token, and does it hold?", lambda: _run(*((20, 3) if quick else (60, 16)))
    )


def _run(answers: int, rows: int) -> Sequence[Figure]:
    figures: list[Figure] = []
    with tw.using(cache=False, journal=False, model="smollm2-135m"):
        model = model_in_force(current())
        for name, format in FORMATS.items():
            figures += _masks(name, format, model.tokenizer, answers)
        figures += _rows(model, rows)
    return figures


def _masks(name: str, format: Format, tokenizer: Any, answers: int) -> list[Figure]:
    """Processor time of what a constraint does a step; logits are random, so that masks of all kinds occur."""
    started = time.thread_time()
    constraint = type(constraint_for(format, tokenizer))(format, tokenizer)  # type: ignore[arg-type]
    compiled = time.thread_time() - started
    dice = np.random.default_rng(0)
    logits = (4 * dice.standard_normal(tokenizer.size)).astype(np.float32)
    masks, steps, forced = [], [], []
    for seed in range(answers):
        state = constraint.start()
        state.forced()
        while not state.done and len(masks) < (seed + 1) * 40:
            started = time.thread_time()
            allowed = state.allowed()
            masked = time.thread_time()
            token, _ = pick(*restrict(logits, allowed), Sampling(), len(masks))
            steps.append(time.thread_time() - masked)
            masks.append(masked - started)
            logits = np.roll(logits, 1009)  # the next step wants other tokens
            state.advance(token)
            started = time.thread_time()
            state.forced()
            forced.append(time.thread_time() - started)
    median, p99 = 1e6 * statistics.median(masks), 1e6 * float(np.percentile(masks, 99))
    others = [1e6 * statistics.median(times) for times in (forced, steps)]
    more = f"forced tokens {others[0]:.0f} more, restrict and pick {others[1]:.0f}"
    note = f"99 of 100 below {p99:.0f}; {more}"
    return [
        Figure(NAME, f"mask a token, {name}", median, BAR, BAR / median, "us", len(masks), f"bar as baseline; {note}"),
        Figure(NAME, f"compilation, {name}", 1e3 * compiled, None, None, "ms", 1),
    ]


def _rows(model: Any, count: int) -> list[Figure]:
    rows = [row["mail"] for row in mails("dev")[: count + 1]]
    requests = [_request(mail, model) for mail in rows]
    model.submit(requests.pop()).result()  # warm: weights, grammar, the shared beginning of the prompts
    started = time.perf_counter()
    single = [model.submit(one).result() for one in requests]
    alone = time.perf_counter() - started
    started = time.perf_counter()
    futures = [model.submit(one) for one in requests]
    together = [one.result() for one in futures]
    batched = time.perf_counter() - started
    tokens = sum(one.usage.output_tokens for one in single)
    forced = sum(one.usage.forced_tokens for one in single)
    same = sum(one.text == other.text for one, other in zip(single, together, strict=True))
    valid = sum(_is_valid(one.text) for one in (*single, *together)) / (2 * count)
    figures = [
        Figure(
            NAME, "share of valid answers", valid, None, None, "share", 2 * count, f"{same} of {count} equal batched"
        ),
        Figure(NAME, "share of tokens that needed no model", forced / tokens, 0.0, None, "share", tokens),
    ]
    choice = prepared("smollm2-135m")
    inputs = json.dumps([one.messages[-1].content for one in requests])
    fixed = (str(choice.path), str(int(choice.accelerate)), json.dumps(SCHEMA), inputs, requests[0].messages[0].content)
    for peer in ("outlines", "guidance"):
        found = run_peer(f"{peer}_constraints.py", *fixed)
        theirs = f"{peer.capitalize()} {found['version']}" if found else f"{peer.capitalize()} is not here (make peers)"
        ok = sum(map(_is_valid, found["texts"])) if found else 0
        for way, seconds in (("one at a time", alone), (f"{count} at once", batched)):
            for unit, ours, key in (
                ("rows/s", count / seconds, "rows_per_second"),
                ("tokens/s", tokens / seconds, "tokens_per_second"),
            ):
                base = found[key] if found else None
                note = f"baseline: {theirs}, one at a time" + (f", {ok} of {count} valid" if found else "")
                ratio = ours / base if base else None
                figures.append(Figure(NAME, f"{unit}, {way}, against {peer}", ours, base, ratio, unit, count, note))
    return figures


def _request(mail: str, model: Any) -> Request:
    asked = slip._request({"mail": mail[:1500]}, current(), model)
    return replace(asked, format=FORMATS["JSON under a schema"], sampling=Sampling(max_tokens=128), reserve=24)


def _is_valid(text: str) -> bool:
    try:
        return violation(json.loads(text), SCHEMA) is None
    except ValueError:
        return False
