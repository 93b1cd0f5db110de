"""Does a service that remembers its answers get faster? 60 questions on twelve documents, three times, in any order.

Baselines in the same run: plain decoding (seconds, answers), prompt lookup (MAT). The budget runs are real; MAT of the
layouts and passes at a fixed width is counted over the known answers, which needs no model.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from thalweg.decoding.budget import Budget
from thalweg.decoding.drafters.lookahead import Layout, Lookahead
from thalweg.decoding.drafters.prompt_lookup import PromptLookup
from thalweg.eval.benches import speculation as bench
from thalweg.eval.benches.speculation_texts import prompts, questions
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models.request import Sampling

NAME = "decoding.lookahead"
SIZE = 31  # nodes of a draft where MAT is counted at a fixed width
LAYOUTS: tuple[Layout, ...] = ("hier", "par", "one")


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "Does a service that remembers its answers get faster?", lambda: _run(quick))


def _run(quick: bool) -> Sequence[Figure]:
    scorer = bench.tree_scorer(anew=not quick)
    try:
        return list(_figures(scorer, 6 if quick else 60, 2 if quick else 3, 32 if quick else 64))
    finally:
        scorer.free()


def _figures(scorer: Any, count: int, passes: int, limit: int) -> list[Figure]:
    found = bench.curve_figures(NAME, scorer)
    texts = questions()[:count]
    drafters = {"lookahead": Lookahead(), "prompt lookup": PromptLookup()}
    budgets: dict[str, Budget] = {}
    measured: list[dict[str, bench.Measured]] = []
    for turn in range(passes):
        asked = bench.rendered(scorer, [("rag", text) for text in questions(turn) if text in texts])
        chosen = drafters if turn == 0 else {"lookahead": drafters["lookahead"]}
        measured.append(bench.measure(scorer, chosen, asked, limit=limit, budgets=budgets))
        found += bench.figures(NAME, measured[-1], suffix=f", pass {turn + 1}", baseline="prompt lookup")
    free = bench.rendered(scorer, [one for one in prompts() if one[0] == "chat"][: max(2, count // 8)])
    noise = Sampling(temperature=1.5, seed=1)  # answers that nothing foretells: the worst case
    measured.append(
        bench.measure(scorer, {"lookahead": drafters["lookahead"]}, free, limit=limit, budgets=budgets, sampling=noise)
    )
    found += bench.figures(NAME, measured[-1], suffix=", incompressible")
    asked = bench.rendered(scorer, [("rag", text) for text in texts])
    found += _counted(scorer, asked, passes, limit)
    found += bench.fastest_plain(NAME, scorer, asked[: max(2, count // 6)], "smollm2-135m", limit=limit)
    bench.demand_identity(NAME, *measured)
    return found


def _counted(scorer: Any, asked: Sequence[bench.Prompt], passes: int, limit: int) -> list[Figure]:
    """MAT at a fixed width, by layout and pass."""
    answers = bench.plain_answers(scorer, asked, limit=limit)
    lookup = statistics.fmean(bench.replayed_mat(PromptLookup(), scorer, asked, answers, SIZE))
    found = [Figure(NAME, f"prompt lookup: MAT at {SIZE} nodes", lookup, 1.0, lookup, "tokens", len(asked))]
    for layout in LAYOUTS:
        cache = Lookahead(layout=layout)
        for turn in range(passes):
            mat = statistics.fmean(bench.replayed_mat(cache, scorer, asked, answers, SIZE))
            note = "baseline: prompt lookup; mean over answers"
            figure = f"lookahead, {layout}: MAT at {SIZE} nodes, pass {turn + 1}"
            found.append(Figure(NAME, figure, mat, lookup, mat / lookup, "tokens", len(asked), note))
    return found
