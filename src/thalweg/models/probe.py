"""Measures one weights file on this machine: speed, and whether batch-mates change a row's logits.

Run as a program of its own (``python -m thalweg.models.probe``), because what it tries may end the process: one
llama.cpp release, built by GCC 12, faults on matrix instructions. It prints one JSON object a setting tried, so that
whatever was learned before a fault is kept. `prepare` starts it and reads what it says.

Cost: with ``--quick`` about four seconds for a 135M model, else about ten for each setting.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from thalweg.models.scorer import Forest, Logits

STREAMS = (1, 8, 16)  # streams at which the speed of generation is measured
ROWS = (2, 4, 8, 16)  # batches whose exactness is probed
CONTEXT = 300  # tokens in front of the generated ones
FASTER = 1.05  # an accelerated setting is taken from this gain on

_STEPS = (1, 3, 1, 2)  # rows of successive fragments: lone tokens, and chains as speculation and forced text give them


def exact_rows(
    scorer: Any, rows: Sequence[int] = ROWS, *, longest: int = 200, steps: int = 4, beginnings: int = 16
) -> int:
    """The largest of `rows` up to which every request has bit-equal logits advanced alone and advanced together.

    Requests differ in length (5 to `longest` tokens), have their prompts cut otherwise when together, and mix single
    tokens with chains in one pass. They share `beginnings`: fewer are cheaper, since the cache serves the others. The
    scorer's streams must all be free; they bound what is tried. 0: never.
    """
    rows = [n for n in sorted(rows) if n <= scorer.free_lanes]
    heads = [_tokens(scorer, i, 5 + (i * 77) % (longest - 4)) for i in range(beginnings)]
    prompts = [heads[i % beginnings] + _tokens(scorer, 500 + i, 2) for i in range(max(rows, default=0))]
    alone: list[list[Logits]] = []
    exact = 0
    for n in rows:
        _forget(scorer)
        for i in range(len(alone), n):
            prefix = scorer.open(prompts[i])
            alone.append([_advance(scorer, [(i, prefix)], step)[0] for step in range(steps)])
            scorer.close(prefix)
        _forget(scorer)
        together = [(i, _open_cut(scorer, prompts[i], i < beginnings)) for i in range(n)]
        equal = True
        for step in range(steps):
            logits = _advance(scorer, together, step)
            equal &= all(np.array_equal(logits[i], alone[i][step]) for i in range(n))
        for _, prefix in together:
            scorer.close(prefix)
        if not equal:
            break
        exact = n
    return exact


def prefill_rate(scorer: Any, *, tokens: int = 384, behind: int = 0, rounds: int = 3, best: bool = False) -> float:
    """Prompt tokens a second, median of `rounds`; with ``best`` the highest (a busy machine only ever slows down).

    `behind` tokens stand in front of the measured ones, found in the cache.
    """
    head = _tokens(scorer, 39, behind)
    kept = scorer.open(head) if head else None
    rates = []
    for i in range(rounds):
        prompt = head + _tokens(scorer, 40 + i, tokens)
        started = time.perf_counter()
        prefix = scorer.open(prompt)
        rates.append(tokens / (time.perf_counter() - started))
        scorer.close(prefix)
    if kept is not None:
        scorer.close(kept)
    return max(rates) if best else statistics.median(rates)


def decode_rate(scorer: Any, streams: int, *, context: int = CONTEXT, steps: int = 12, rounds: int = 3) -> float:
    """Tokens a second of `streams` requests that generate side by side, median of `rounds`."""
    first = scorer.open(_tokens(scorer, 50, context))
    prefixes = [first, *(scorer.fork(first) for _ in range(streams - 1))]
    rates = []
    for turn in range(rounds + 1):  # the first warms up: copies of lanes are made when they are first used
        count = steps if turn else 1
        started = time.perf_counter()
        for _ in range(count):
            forest = Forest()
            nodes = [forest.add(1000 + i, prefix=prefix) for i, prefix in enumerate(prefixes)]
            scores = scorer.score(forest)
            for node in nodes:
                scorer.commit(scores, node)
        rates.append(streams * count / (time.perf_counter() - started))
    for prefix in prefixes:
        scorer.close(prefix)
    return statistics.median(rates[1:])


def _advance(scorer: Any, requests: list[tuple[int, Any]], step: int) -> list[Logits]:
    """Score and commit the next fragment of every request, in one pass. Logits after each one's last token."""
    forest, nodes = Forest(), []
    for i, prefix in requests:
        count = _STEPS[(i + step) % len(_STEPS)]
        nodes.append(forest.chain(prefix, _tokens(scorer, 97 * i + step, count)))
    scores = scorer.score(forest)
    logits = [scores.logits(node).copy() for node in nodes]
    for node in nodes:
        scorer.commit(scores, node)
    return logits


def _open_cut(scorer: Any, prompt: list[int], in_two: bool) -> Any:
    if not in_two:
        return scorer.open(prompt)
    cut = max(2, len(prompt) * 2 // 5)
    return scorer.extend(scorer.open(prompt[:cut]), prompt[cut:])


def _forget(scorer: Any) -> None:
    """Drop cached beginnings, so that a prompt opened again is computed again."""
    prefixes = [scorer.open([7]) for _ in range(scorer.free_lanes)]
    for prefix in prefixes:
        scorer.close(prefix)


def _tokens(scorer: Any, seed: int, count: int) -> list[int]:
    """Token ids that look like no other seed's from the first on."""
    low, size = 100, scorer.tokenizer.size - 100
    return [low + (seed * 7919 + i * (104729 + 2 * seed)) % size for i in range(count)]


# -- the program ----------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m thalweg.models.probe")
    parser.add_argument("path")
    parser.add_argument("--accelerate", nargs="+", type=int, default=[1, 0])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a fault is a result here: leave no core file behind
    before: dict[str, Any] = {}
    for accelerate in map(bool, options.accelerate):
        before = {"accelerate": accelerate, **_measured(options.path, accelerate, options.quick, before)}
        print(json.dumps(before), flush=True)


def _measured(path: str, accelerate: bool, quick: bool, before: dict[str, Any]) -> dict[str, Any]:
    from thalweg.errors import Error
    from thalweg.models.llama_cpp import LlamaCpp

    result: dict[str, Any] = {}
    try:
        # Two threads wait for each other at barriers: on a busy machine one is many times faster than two.
        threads, context = (1, 256) if quick else (None, 1024)
        scorer = LlamaCpp(path, streams=max(ROWS), context=context, threads=threads, accelerate=accelerate)
        try:
            result["sample"] = _sample(scorer)
            if not quick:
                result["prefill"] = prefill_rate(scorer)
                result["decode"] = {str(n): decode_rate(scorer, n) for n in STREAMS}
                result["exact_rows"] = exact_rows(scorer)
                return result
            result["prefill"] = prefill_rate(scorer, tokens=64, rounds=2, best=True)
            wins = before.get("exact_rows") == max(ROWS) and before["prefill"] >= FASTER * result["prefill"]
            if not wins:  # else this setting is not taken, so its exactness need not be known
                few = {"longest": 64, "steps": 2, "beginnings": 4}
                result["exact_rows"] = exact_rows(scorer, (4, max(ROWS)), **few)
        finally:
            scorer.free()
    except Error as error:
        return {"error": error.what}
    return result


def _sample(scorer: Any) -> list[float]:
    """A few logits after a fixed text of 64 tokens: the settings of one file nearly agree on them."""
    forest = Forest()
    prefix = scorer.open(_tokens(scorer, 60, 64))
    node = forest.add(200, prefix=prefix)
    logits = scorer.score(forest).logits(node)
    scorer.close(prefix)
    return [float(x) for x in logits[:: max(1, len(logits) // 32)]]


if __name__ == "__main__":
    main()
