"""Does critique help a small model to colour graphs, or only asking again?

The negative claim of "GPT-4 doesn't know it's wrong" (Stechly et al., 2023), on planar graphs of 4 to 8 vertices and
three colours, every answer in form by its type. All ways have the same graphs, temperature and calls; the critic's own
calls count. Intervals are Wilson's over graphs, differences are paired by graph with an exact test. Nothing is chosen
on these graphs: temperature and density are the defaults. Success by blind guessing stands beside every figure: where
the model is no better, the study tells about loops, and nothing about colouring.
Peer: best of n with a reward function, as other libraries have it, is `top-k`. The claim about large models needs one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from statistics import fmean
from typing import Any

import thalweg as tw
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.program.intervals import wilson_interval
from thalweg.prompting.critic import SelfCritique
from thalweg.prompting.feedback_study import FeedbackStudy, feedback_study
from thalweg.prompting.fitted import Fitted
from thalweg.prompting.graph_colouring import (
    COLOURS,
    Colouring,
    Graph,
    GraphColouring,
    chance,
    planar_graphs,
    variants,
    violations,
)
from thalweg.prompting.sample_and_verify import SampleAndVerify

NAME = "optimizing.critique"
QUESTION = "Does critique help a small model to colour graphs, or only asking again?"
CRITIC = GraphColouring()
SELF = SelfCritique(faults=CRITIC.faults)
TEMPERATURE = 0.7


@tw.learned
def colour(graph: Graph) -> Colouring:
    """Give every vertex a colour, so that no edge joins two vertices of the same colour."""
    ...


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, QUESTION, lambda: list(_run(quick)))


def three_coloured(number: int, seed: int = 0) -> list[Graph]:
    """Planar graphs of 4 to 8 vertices in turn, density 0.4, that may take three colours (some need only two)."""
    return [replace(one, colours=3) for one in planar_graphs(number, seed=seed, density=0.4)]


def _run(quick: bool) -> Iterator[Figure]:
    number, budgets = (6, (1, 3)) if quick else (30, (1, 3, 6))
    yield _soundness(2_000 if quick else 10_000)
    graphs = three_coloured(number)
    with tw.using(cache=False, journal=False, progress=False):
        study = feedback_study(
            colour, graphs, budgets=budgets, critic=CRITIC, self_critic=SELF, temperature=TEMPERATURE,
            inner=Fitted(CRITIC.type_of),
        )  # fmt: skip
        yield from _table(study, graphs)
        yield from _law(study, graphs, budgets)
        yield from _verifier(graphs)
    if study.failures:
        raise AssertionError(f"{len(study.failures)} calls failed: {next(iter(study.failures.values()))}")


def _soundness(number: int) -> Figure:
    """False accepts and rejects against a check written another way."""
    random = Random(11)
    graphs = planar_graphs(100, seed=11)
    wrong = 0
    for turn in range(number):
        graph = graphs[turn % len(graphs)]
        value = {str(vertex): random.choice(COLOURS[: graph.colours]) for vertex in range(graph.vertices)}
        classes: dict[str, set[int]] = {}
        for vertex, name in value.items():
            classes.setdefault(name, set()).add(int(vertex))
        truth = not any(set(edge) <= members for edge in graph.edges for members in classes.values())
        wrong += CRITIC.check({"graph": graph}, value).at_least("proved") != truth
    if wrong:
        raise AssertionError(f"the checker was wrong {wrong} times")
    return Figure(NAME, "wrong verdicts of the checker", 0, None, None, "colourings", number, "against brute force")


def _table(study: FeedbackStudy, graphs: Sequence[Graph]) -> Iterator[Figure]:
    last = max(one.budget for one in study.rows)
    blind = {b: fmean(1 - (1 - chance(graph)) ** b for graph in graphs) for b in {one.budget for one in study.rows}}
    for one in study.rows:
        if one.mode in ("direct", "self") and one.budget not in (1, last):
            continue
        base = blind[1 if one.mode in ("direct", "self") else one.budget]
        note = (
            f"95 % interval {one.low:.2f} to {one.high:.2f}; {one.calls:.1f} calls, {one.tokens:.0f} tokens a graph; "
            "baseline: blind guessing"
        )
        yield Figure(
            NAME, f"solved, {one.mode}, {one.budget} calls", one.rate, base, one.rate / base, "share", one.n, note
        )
    pairs = [(mode, "top-k") for mode in ("pass-fail", "first", "all", "random")]
    pairs += [("first", "random"), ("all", "random"), ("self", "direct")]
    for mode, other in pairs:
        found = study.difference(mode, other, last)
        inside = "within" if found.within_interval else "outside"
        note = (
            f"95 % interval {found.low:+.2f} to {found.high:+.2f}, 0 is {inside}; {found.wins} wins, {found.losses} "
            f"losses, exact p {found.p:.2g} (better: {found.p_better:.2g})"
        )
        yield Figure(NAME, f"{mode} minus {other}, {last} calls", found.mean, 0.0, None, "share", len(graphs), note)
    total = sum(study.critiques.values())
    for kind, count in study.critiques.items():
        yield Figure(NAME, f"the model {kind}", count / total, None, None, "share", total, "of its own critiques")


def _law(study: FeedbackStudy, graphs: Sequence[Graph], budgets: Sequence[int]) -> Iterator[Figure]:
    """Top-k against what independent draws of other seeds say of each graph: 1 - (1 - p)^k, estimated without bias."""
    m = max(budgets)
    refused = SampleAndVerify(_never, k=m, temperature=TEMPERATURE, inner=Fitted(CRITIC.type_of))
    function = colour.using(strategy=refused, seed=1)
    values = [function.submit(graph) for graph in graphs]
    right = []
    for graph, value in zip(graphs, values, strict=True):
        value.result()
        right.append(sum(not violations(graph, one["value"]) for one in value.details["tries"]))
    for k in budgets:
        expected = fmean(1 - math.comb(m - c, k) / math.comb(m, k) for c in right)
        row = study.row("top-k", k)
        low, high = wilson_interval(row.solved, row.n)
        inside = "within" if low <= expected <= high else "outside"
        note = f"baseline: 1 - (1 - p)^k by {m} draws of other seeds a graph, {inside} {low:.2f} to {high:.2f}"
        yield Figure(NAME, f"top-k and its law, k = {k}", row.rate, expected, None, "share", row.n, note)


def _never(inputs: Mapping[str, Any], value: Any) -> bool:
    return False


def _verifier(graphs: Sequence[Graph]) -> Iterator[Figure]:
    """The model as a verifier of colourings that somebody else made."""
    random = Random(5)
    passed: dict[str, list[bool]] = {}
    rank: dict[bool, list[float]] = {True: [], False: []}
    judge = SelfCritique()
    for graph in graphs:
        for kind, value in variants(graph, random):
            truth = not violations(graph, value)
            found = judge.review(colour, {"graph": graph}, value)
            passed.setdefault(kind, []).append(found.passed)
            rank[truth].append(found.rank[1])
    for kind, told in passed.items():
        low, high = wilson_interval(sum(told), len(told))
        wanted = 1.0 if kind == "correct" else None
        note = f"95 % interval {low:.2f} to {high:.2f}"
        yield Figure(
            NAME, f"passed by the model as verifier: {kind}", fmean(told), wanted, None, "share", len(told), note
        )
    pairs = [(a > b) + 0.5 * (a == b) for a in rank[True] for b in rank[False]]
    note = f"{len(rank[True])} right, {len(rank[False])} wrong colourings; 0.5 is chance"
    yield Figure(
        NAME, "right ranked above wrong by the model as verifier", fmean(pairs), 0.5, None, "share", len(pairs), note
    )
