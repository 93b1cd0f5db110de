"""Do words that move label probabilities most make better prompts than words drawn at random, for the same calls?

The packaged model sorts nouns of WordNet into their lexical fields (4 and 2 of them), shown 16 labelled nouns. Arms at
equal calls, each with the same examples, dev split and test words: ClaPS greedy; greedy over random sets of as many
words as ClaPS keeps, drawn anew until the calls are spent; a genetic search over the whole vocabulary; the prompt
written by hand (no search). Test words are seen by nothing but the last comparison. What a full run asks is in `FULL`.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import thalweg as tw
from thalweg.eval.benches.wordnet import nouns
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.optimizing import optimize
from thalweg.optimizing.comparison import compared
from thalweg.optimizing.influence import Influence
from thalweg.optimizing.optimizers.claps import ClaPS, RandomTokens
from thalweg.optimizing.optimizers.claps_search import Evolution
from thalweg.program.budget import Budget
from thalweg.program.session import current, model_in_force

NAME = "optimizing.claps"
QUESTION = "Do the most influential words make better prompts than random words, for the same calls?"
FIELDS = {"animal": "05", "plant": "20", "person": "18", "food": "13"}  # lexicographer files of WordNet
ARMS = ("claps", "random", "genetic")
SHARE = 0.05  # whose part of all influence is measured


@dataclass(frozen=True)
class Sizes:
    """Calls of one search: dev + (clusters + 1) x shots + length x kept x shots + finalists x dev, about."""

    seeds: int
    clusters: int
    keep: float
    length: int
    calls: int
    shots: int  # examples in all that rewards are measured on
    dev: int
    test: int
    finalists: int
    measured: int  # words for the concentration of influence, on two examples a label


FULL = Sizes(
    seeds=3, clusters=24, keep=0.15, length=3, calls=640, shots=16, dev=32, test=200, finalists=2, measured=80
)  # fmt: skip
QUICK = Sizes(seeds=1, clusters=14, keep=0.2, length=2, calls=216, shots=8, dev=16, test=48, finalists=2, measured=24)


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, QUESTION, lambda: list(_run(QUICK if quick else FULL)))


@tw.learned
def kind4(word: str) -> Literal["animal", "plant", "person", "food"]:
    """What kind of thing does the word name?"""
    ...


@tw.learned
def kind2(word: str) -> Literal["animal", "plant"]:
    """What kind of thing does the word name?"""
    ...


TASKS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "4 classes": (kind4, ("animal", "plant", "person", "food")),
    "2 classes": (kind2, ("animal", "plant")),
}


def _run(sizes: Sizes) -> Iterator[Figure]:
    model = model_in_force(current())
    yield from _positions(model)
    yield from _concentration(sizes)
    for task, (function, labels) in TASKS.items():
        parts = _words(labels, sizes)
        with tempfile.TemporaryDirectory() as folder, tw.using(store=folder, progress=False):
            manual = _right(function, parts[-1])
            scores: dict[str, list[list[float]]] = {arm: [] for arm in ARMS}
            calls: dict[str, list[int]] = {arm: [] for arm in ARMS}
            kept: dict[str, int] = dict.fromkeys(ARMS, 0)
            for seed in range(sizes.seeds):
                budget = Budget(calls=sizes.calls)
                for arm in ARMS:
                    study = optimize(
                        function, train=parts[seed][: sizes.shots], dev=parts[seed][sizes.shots :], seed=seed,
                        strategy=_strategy(arm, sizes, len(labels)), budget=budget,
                    )  # fmt: skip
                    scores[arm].append(_right(study.best, parts[-1]))
                    calls[arm].append(study.spent.calls)
                    budget = Budget(calls=calls["claps"][-1])  # the others get what ClaPS, the first, has used
                    kept[arm] += study.best_trial.number > 0
        yield from _figures(task, sizes, manual, scores, calls, kept)


def _strategy(arm: str, sizes: Sizes, labels: int) -> Any:
    same: dict[str, Any] = {
        "length": sizes.length, "shots": sizes.shots // labels, "finalists": sizes.finalists,
    }  # fmt: skip
    if arm == "claps":
        return ClaPS(clusters=sizes.clusters, keep=sizes.keep, **same)
    if arm == "random":
        return RandomTokens(size=max(1, round(sizes.keep * sizes.clusters)), spaces=1000, **same)
    some = max(4, sizes.calls // sizes.shots // 4)
    return RandomTokens(
        size=0, search="genetic", evolution=Evolution(some, some // 2, some // 2, generations=1000), **same
    )


def _words(labels: Sequence[str], sizes: Sizes) -> list[list[dict[str, str]]]:
    """Disjoint rows, equally many of each label: those of each seed, and the test words last."""
    fields: dict[str, set[str]] = defaultdict(set)
    for synset in nouns().values():
        for name in synset.names:
            fields[name.lower()].add(synset.field)
    by_label: dict[str, list[str]] = {}
    for label in labels:
        number = FIELDS[label]
        found = {name for one in nouns().values() if one.field == number for name in one.names}
        plain = [name for name in found if name.isascii() and name.isalpha() and name.islower() and 3 <= len(name) <= 8]
        by_label[label] = sorted(name for name in plain if fields[name] == {number})  # of one field alone
        random.Random(label).shuffle(by_label[label])

    def take(count: int) -> list[dict[str, str]]:
        each = range(count // len(labels))
        return [{"word": by_label[label].pop(), "label": label} for _ in each for label in labels]

    test = take(sizes.test)
    return [take(sizes.shots) + take(sizes.dev) for _ in range(sizes.seeds)] + [test]


def _right(function: Any, rows: Sequence[dict[str, str]]) -> list[float]:
    found = function.map([row["word"] for row in rows], fail_fast=True)
    return [float(answer == row["label"]) for answer, row in zip(found, rows, strict=True)]


def _figures(
    task: str, sizes: Sizes, manual: list[float], scores: dict[str, list[list[float]]], calls: dict[str, list[int]],
    kept: dict[str, int],
) -> Iterator[Figure]:  # fmt: skip
    mean = {arm: [statistics.mean(column) for column in zip(*rows, strict=True)] for arm, rows in scores.items()}
    n = len(manual)
    for other, base in (("random", mean["random"]), ("genetic", mean["genetic"]), ("the prompt by hand", manual)):
        found = compared(base, mean["claps"])
        by_seed = ", ".join(
            f"{statistics.mean(rows):.3f} and {statistics.mean(scores[other][seed] if other in scores else manual):.3f}"
            for seed, rows in enumerate(scores["claps"])
        )
        between = found.difference
        before = found.before.mean
        yield Figure(
            NAME, f"{task}: accuracy of ClaPS greedy, beside {other}", found.after.mean, before,
            found.after.mean / before if before else None, "share right", n,
            f"difference {between.mean:+.3f} [{between.low:+.3f}, {between.high:+.3f}], paired, 95 %, over {n} test "
            f"words, means of {sizes.seeds} seeds; by seed {by_seed}",
        )  # fmt: skip
    used = {arm: round(statistics.mean(rows)) for arm, rows in calls.items()}
    yield Figure(
        NAME, f"{task}: calls of a search by ClaPS", used["claps"], used["random"], None, "calls", sizes.seeds,
        f"baseline: greedy over random words; genetic {used['genetic']}; searches of {sizes.seeds} "
        f"whose best on dev is not the prompt by hand: {', '.join(f'{arm} {kept[arm]}' for arm in ARMS)}",
    )  # fmt: skip


def _concentration(sizes: Sizes) -> Iterator[Figure]:
    """How unevenly words of the whole vocabulary, one a cluster, move the probability of the right label."""
    told: list[Influence] = []
    function, labels = TASKS["4 classes"]
    rows = _words(labels, sizes)[0]
    strategy = ClaPS(clusters=sizes.measured, keep=0.01, length=1, shots=2, finalists=1, told=told.append)
    with tempfile.TemporaryDirectory() as folder, tw.using(store=folder, progress=False):
        optimize(function, train=rows[: 2 * len(labels)], dev=rows[-len(labels) :], strategy=strategy)
    found, words = told[0], len(told[0].gains)
    count = max(1, round(SHARE * words))
    part, helping = found.concentration(SHARE), statistics.mean(gain > 0 for gain in found.gains.values())
    sizes_of = sorted(abs(gain) for gain in found.gains.values())
    yield Figure(
        NAME, f"influence held by the strongest {SHARE:.0%} of the words", part, count / words, part * words / count,
        "share", words,
        f"of the sum of |nats| of {words} words on {2 * len(labels)} examples; baseline: even influence; median "
        f"{statistics.median(sizes_of):.3f}, largest {sizes_of[-1]:.3f} nats; {helping:.0%} of the words help; "
        f"strongest: {', '.join(found.strongest(SHARE))}",
    )  # fmt: skip


def _positions(model: Any) -> Iterator[Figure]:
    """The part of prompt tokens that come from the cache, with searched words behind and before the instruction."""
    words, rows = ["river", "doctor", "listing", "very", "green", "theory"], ["oak", "trout", "bread", "nurse"]
    shares: list[float] = []
    written = kind4.parameters.instruction
    for position in ("suffix", "prefix"):
        usage = [0, 0]
        with tw.using(journal=False, cache=False):
            for word in words:
                text = f"{written} {word}" if position == "suffix" else f"{word} {written}"
                before = (model.counters.prompt_tokens, model.counters.cached_tokens)
                for value in [kind4.with_instruction(text).submit_distribution(row) for row in rows]:
                    value.result()
                usage[0] += model.counters.prompt_tokens - before[0]
                usage[1] += model.counters.cached_tokens - before[1]
        shares.append(usage[1] / usage[0])
    yield Figure(
        NAME, "prompt tokens from the cache, words behind the instruction", shares[0], shares[1],
        shares[0] / shares[1] if shares[1] else None, "share", len(words) * len(rows),
        "baseline: words before the instruction; an instruction of 9 tokens",
    )  # fmt: skip
