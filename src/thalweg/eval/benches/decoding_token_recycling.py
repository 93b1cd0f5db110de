"""What are a model's second thoughts worth as guesses? Six kinds of prompts; baselines: plain decoding, prompt lookup.

The matrix is warmed on one half of the prompts and measured on the other; a cold one is made anew for every answer. MAT
is measured at fixed widths (the paper's 80 nodes, and 15), wall-clock with the width the budget chooses here.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from thalweg.decoding.budget import Budget
from thalweg.decoding.drafters.prompt_lookup import PromptLookup
from thalweg.decoding.drafters.token_recycling import TokenRecycling, top
from thalweg.eval.benches import speculation as bench
from thalweg.eval.benches.speculation_texts import COPYING, prompts
from thalweg.eval.benchmark import Benchmark, Figure

NAME = "decoding.token_recycling"
NARROW, WIDE = 15, 80


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "What are a model's second thoughts worth as guesses?", lambda: _run(quick))


def _run(quick: bool) -> Sequence[Figure]:
    scorer = bench.tree_scorer(anew=not quick)
    try:
        return _figures(scorer, quick)
    finally:
        scorer.free()


def _figures(scorer: Any, quick: bool) -> list[Figure]:
    texts = prompts()
    step, limit, wide_limit = (8, 24, 12) if quick else (2, 96, 48)
    warming = bench.rendered(scorer, texts[1::step])
    measuring = bench.rendered(scorer, texts[0::step])
    hot = TokenRecycling()
    warm = bench.measure(scorer, {"recycling": hot}, warming, limit=limit, size=NARROW)
    assert hot.matrix is not None
    matrix = hot.matrix.copy()
    wide = TokenRecycling(tree="tr80")
    wide.matrix = matrix.copy()
    narrow = bench.measure(
        scorer, {"prompt lookup": PromptLookup(), "recycling, hot": hot}, measuring, limit=limit, size=NARROW
    )
    cold = bench.Measured("recycling, cold")
    for prompt in measuring:
        cold.runs += bench.measure(scorer, {"cold": TokenRecycling()}, [prompt], limit=limit, size=NARROW)["cold"].runs
    broad = bench.measure(
        scorer,
        {"recycling, tr80": wide},
        measuring[:: 3 if quick else 2],
        limit=wide_limit,
        size=WIDE,
        max_rows=2 * WIDE,
    )
    budgets: dict[str, Budget] = {}
    chosen = TokenRecycling()
    chosen.matrix = matrix
    auto = bench.measure(scorer, {"recycling": chosen}, measuring, limit=limit, budgets=budgets)
    found = bench.curve_figures(NAME, scorer)
    found += bench.figures(NAME, {**narrow, cold.name: cold}, suffix=f", {NARROW} nodes", baseline="prompt lookup")
    found += bench.figures(NAME, broad)
    found += bench.figures(NAME, auto, suffix=", the budget's width")
    found += _free_texts(narrow) + _memory(chosen) + _times(scorer, chosen)
    found += bench.fastest_plain(NAME, scorer, measuring[: 3 if quick else 8], "smollm2-135m", limit=limit)
    bench.demand_identity(NAME, warm, narrow, {cold.name: cold}, broad, auto)
    return found


def _free_texts(narrow: dict[str, bench.Measured]) -> list[Figure]:
    """The categories whose answers do not stand in their prompts: where the method claims its gain."""
    kinds = {run.kind for run in narrow["recycling, hot"].runs} - set(COPYING)
    mine, lookup = narrow["recycling, hot"].of(kinds), narrow["prompt lookup"].of(kinds)
    return [
        Figure(
            NAME, f"recycling, hot: MAT where answers do not quote, {NARROW} nodes", mine.mat, lookup.mat,
            mine.mat / lookup.mat, "tokens", len(mine.runs), "baseline: prompt lookup",
        )
    ]  # fmt: skip


def _memory(drafter: TokenRecycling) -> list[Figure]:
    assert drafter.matrix is not None
    filled = int((drafter.matrix[:, 0] != 0).sum())
    note = f"{filled} of {len(drafter.matrix)} rows known"
    return [Figure(NAME, "matrix", drafter.matrix.nbytes / 1e6, None, None, "MB", 1, note)]


def _times(scorer: Any, drafter: TokenRecycling) -> list[Figure]:
    """Microseconds a scored node and a proposal take."""
    logits = np.random.default_rng(0).normal(size=scorer.tokenizer.size).astype(np.float32)
    fast = _microseconds(lambda: top(logits, 8), 200)
    slow = _microseconds(lambda: np.argpartition(logits, -8)[-8:], 50)
    assert drafter.matrix is not None
    known = np.flatnonzero(drafter.matrix[:, 0])[:50].tolist() or [1]
    drafting = drafter.start(known, scorer)
    proposing = statistics.fmean(_microseconds(lambda t=t: drafting.propose([t], 31), 3) for t in known)
    return [
        Figure(NAME, "top 8 of a node's logits", fast, slow, slow / fast, "us", 200, "baseline: numpy's argpartition"),
        Figure(NAME, "a proposal of up to 31 nodes", proposing, None, None, "us", 3 * len(known)),
    ]


def _microseconds(call: Any, repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best * 1e6
