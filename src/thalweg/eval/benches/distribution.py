"""Do the probabilities of a finite type equal the product of step-wise conditionals, each computed from scratch?

The baseline opens the prompt and every beginning of every spelling anew and renormalises the logits over the tokens
that may follow, one by one. The method scores the trie behind the cached prompt once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

import thalweg as tw
from thalweg.decoding import Choices, constraint_for
from thalweg.eval.benches.samples import mails
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models.catalog import load
from thalweg.models.scorer import Forest
from thalweg.program.session import current, model_in_force

TYPES: tuple[Any, ...] = (
    bool,
    Literal["spam", "ham"],
    Literal["announcement", "announced", "answer", "answered", "advertisement", "an"],
    tuple[Literal["low", "high"], bool],
)


def benchmark(quick: bool) -> Benchmark:
    return Benchmark("distribution", "Are the probabilities of a finite type exact?", lambda: _run(2 if quick else 10))


def _run(per_type: int) -> Sequence[Figure]:
    rows = mails("dev")[:per_type]
    scorer = load("smollm2-135m", streams=2)
    worst = total_error = 0.0
    values = passes = 0
    seconds = [0.0, 0.0]
    with tw.using(cache=False, journal=False):
        model = model_in_force(current())
        for annotation in TYPES:
            function = _function(annotation)
            constraint = constraint_for(function.signature.output.format, scorer.tokenizer)
            assert isinstance(constraint, Choices)
            for row in rows:
                started = time.perf_counter()
                table = list(function.distribution(row["mail"]).values())
                seconds[0] += time.perf_counter() - started
                request = function._request({"mail": row["mail"]}, current(), model)
                started = time.perf_counter()
                expected, count = _stepwise(scorer, model.prompt_tokens(request), constraint)
                seconds[1] += time.perf_counter() - started
                worst = max(worst, max(abs(a - b) for a, b in zip(table, expected, strict=True)))
                total_error = max(total_error, abs(sum(table) - 1))
                values += len(table)
                passes += count
    scorer.free()
    calls = per_type * len(TYPES)
    return [
        Figure("distribution", "largest difference", worst, 1e-4, None, "probability", values, "baseline is the bar"),
        Figure(
            "distribution",
            "largest error of the sum",
            total_error,
            1e-9,
            None,
            "probability",
            calls,
            "baseline is the bar",
        ),
        Figure(
            "distribution",
            "seconds per distribution",
            seconds[0] / calls,
            seconds[1] / calls,
            seconds[1] / seconds[0],
            "s",
            calls,
            f"baseline: {passes / calls:.1f} passes from scratch per distribution",
        ),  # fmt: skip
    ]


def _stepwise(scorer: Any, prompt: list[int], choices: Choices) -> tuple[list[float], int]:
    known: dict[tuple[int, ...], dict[int, float]] = {}
    result = []
    for index in range(len(choices.texts)):
        node, path, logprob = choices.root, [], 0.0
        while node.value != index or node.children:
            if len(node.children) > 1:
                key = tuple(path)
                if key not in known:
                    known[key] = _conditional(scorer, prompt + path, list(node.children))
                step = next(t for t, child in node.children.items() if _leads_to(child, index))
                logprob += known[key][step]
            else:
                step = next(iter(node.children))
            path.append(step)
            node = node.children[step]
        result.append(math.exp(logprob))
    return result, len(known)


def _conditional(scorer: Any, tokens: list[int], children: list[int]) -> dict[int, float]:
    # A prefix that begins with another token pushes out what is cached, so that nothing is reused.
    for _ in range(2):
        scorer.close(scorer.open([tokens[0] + 7, 5]))
    prefix = scorer.open(tokens[:-1])
    forest = Forest()
    node = forest.chain(prefix, [tokens[-1]], uniform=True)
    raw = scorer.score(forest).logits(node)[children].astype(np.float64)
    scorer.close(prefix)
    raw -= raw.max()
    raw -= np.log(np.exp(raw).sum())
    return dict(zip(children, raw.tolist(), strict=True))


def _leads_to(node: Any, index: int) -> bool:
    return (node.value == index and not node.children) or any(_leads_to(one, index) for one in node.children.values())


def _function(annotation: Any) -> tw.Learned[..., Any]:
    def decide(mail: str): ...

    decide.__doc__ = "Read the e-mail and decide."
    decide.__annotations__.update({"mail": str, "return": annotation})
    return tw.learned(decide)
