"""Do a corpus and the prompt add to a drafter? Questions on documents, summaries, code, forms, and open chat.

The drafter is the same model with 4-bit weights, four tokens a step, as in the paper a draft model is; Token Recycling
stands beside it. Retrieval looks in an indexed corpus and in the prompt. All have the same number of nodes. Forms are
answers to requests of one pattern: the store holds answers the model gave to others of that pattern. Baselines: the
drafter alone, retrieval alone, fusion without pruning, and plain decoding for seconds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.decoding.drafters.draft import Drafter
from thalweg.decoding.drafters.draft_model import DraftModel
from thalweg.decoding.drafters.rasd import Fuse, Retrieve
from thalweg.decoding.drafters.suffix_store import SuffixStore
from thalweg.decoding.drafters.token_recycling import TokenRecycling
from thalweg.eval.benches import speculation as bench
from thalweg.eval.benches.speculation_texts import corpus, prompts
from thalweg.eval.benchmark import Benchmark, Figure

NAME = "decoding.rasd"
SMALL = "tree:smollm2-135m:q4_0"
SIZE = 15
TASKS = ("rag", "summary", "edit", "form", "chat")
CHAINS = ("rag", "summary", "edit", "form")
_ITEMS = (
    "a desk lamp", "two oak shelves", "a garden hose", "a winter coat", "three notebooks", "a coffee mill", "a tent",
    "a pair of boots", "a bicycle pump", "a kettle", "a rain jacket", "a wall clock", "a chess set", "a rucksack",
    "a cooking pot", "a map of Norway",
)  # fmt: skip


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "Do a corpus and the prompt add to a drafter?", lambda: _run(quick))


def _run(quick: bool) -> Sequence[Figure]:
    scorer = bench.tree_scorer(anew=not quick)
    small = bench.tree_scorer(SMALL)
    try:
        return _figures(scorer, small, *((1, 20) if quick else (8, 64)))
    finally:
        scorer.free()
        small.free()


def _figures(scorer: Any, small: Any, each: int, limit: int) -> list[Figure]:
    forms = [f"Write a delivery notice to a customer who ordered {item}." for item in _ITEMS]
    past = bench.rendered(scorer, [("form", text) for text in forms[8 : 8 + each]])
    answers = bench.plain_answers(scorer, past, limit=limit)
    tokenizer = scorer.tokenizer
    store = SuffixStore.build([*(tokenizer.encode(text) for text in corpus()), *answers])
    measuring: list[bench.Prompt] = []
    for kind in TASKS:
        texts = forms[:each] if kind == "form" else [text for found, text in prompts() if found == kind][:each]
        measuring += bench.rendered(scorer, [(kind, text) for text in texts])
    drafters: dict[str, Drafter] = {
        "drafter": DraftModel(small, length=4),
        "retrieval": Retrieve(store),
        "fused": Fuse(DraftModel(small, length=4), Retrieve(store)),
        "fused, unpruned": Fuse(DraftModel(small, length=4), Retrieve(store), prune_top=0),
        "recycling and retrieval": Fuse(TokenRecycling(), Retrieve(store)),
    }
    fixed = bench.measure(scorer, drafters, measuring, limit=limit, size=SIZE)
    chains = [prompt for prompt in measuring if prompt.kind in CHAINS]
    chosen: dict[str, Drafter] = {"retrieval": Retrieve(store), "recycling and retrieval": Fuse(None, Retrieve(store))}
    auto = bench.measure(scorer, chosen, chains, limit=limit)
    found = bench.curve_figures(NAME, scorer)
    found += bench.figures(NAME, fixed, suffix=f", {SIZE} nodes", baseline="drafter")
    found += [_against_parts(fixed, kind) for kind in TASKS]
    found.append(_pruning(fixed))
    found += bench.figures(NAME, auto, suffix=", quoting tasks, the budget's width")
    found += bench.fastest_plain(NAME, scorer, chains[: max(2, each)], "smollm2-135m", limit=limit)
    bench.demand_identity(NAME, fixed, auto)
    return found


def _against_parts(fixed: Mapping[str, bench.Measured], kind: str) -> Figure:
    parts = {name: fixed[name].of([kind]).mat for name in ("drafter", "retrieval")}
    better = max(parts, key=parts.__getitem__)
    fused = fixed["fused"].of([kind])
    return Figure(
        NAME, f"fused: MAT on {kind}", fused.mat, parts[better], fused.mat / parts[better], "tokens", len(fused.runs),
        f"baseline: {better} alone, the better part",
    )  # fmt: skip


def _pruning(fixed: Mapping[str, bench.Measured]) -> Figure:
    """Passes saved by pruning at the same number of nodes, answer by answer."""
    with_it, without = fixed["fused"].runs, fixed["fused, unpruned"].runs
    gains = [math.log(b.passes / a.passes) for a, b in zip(with_it, without, strict=True)]
    mean = statistics.fmean(gains)
    error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
    low, high = math.exp(mean - 1.96 * error), math.exp(mean + 1.96 * error)
    return Figure(
        NAME, "pruning by the drafter's root: passes without it over passes with it", math.exp(mean), 1.0,
        math.exp(mean), "ratio", len(gains), f"paired, 95 % interval {low:.3f} to {high:.3f}; above 1: pruning helps",
    )  # fmt: skip
