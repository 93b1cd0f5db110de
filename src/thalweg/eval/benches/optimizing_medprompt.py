"""What does each part of Medprompt buy a small model?

Three questions, on the packaged model: how often the order of options decides (TruthfulQA-MC1 and HellaSwag; with all
rotations it never does, which is asserted); what near demonstrations are worth beside random ones (generated intents,
200 held-out messages, paired); and where the strategies stand by accuracy and tokens, with the share of self-generated
chains that could be kept. Nothing is chosen on the held-out messages: k, votes and temperatures are the defaults.
Baselines: one order, random five-shot, zero-shot. No peer is run here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

import thalweg as tw
from thalweg.eval.benches import intents, lucebench
from thalweg.eval.benches.intents import Intent
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.optimizing.comparison import Comparison, compared
from thalweg.optimizing.frontier import frontier
from thalweg.prompting.chain_of_thought import ChainOfThought
from thalweg.prompting.choice_shuffle import ChoiceShuffle
from thalweg.prompting.demonstrations import RandomDemos
from thalweg.prompting.knn_few_shot import KNNFewShot
from thalweg.prompting.medprompt import Medprompt
from thalweg.prompting.self_consistency import SelfConsistency

NAME = "optimizing.medprompt"
QUESTION = "What does each part of Medprompt buy a small model?"
REASONS = 32  # tokens of a chain
SEEDS = (0, 1)  # of the random demonstrations


@tw.learned
def answer(question: str, options: list[str]) -> str:
    """Choose the right answer to the question."""
    ...


@tw.learned
def intent(message: str) -> Intent:
    """What is this message to a bank about?"""
    ...


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, QUESTION, lambda: list(_run(quick)))


def _run(quick: bool) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder, tw.using(store=folder, progress=False):
        for name in lucebench.SETS:
            items = lucebench.items(name, 4 if quick else 100)
            if items is not None:
                yield from _orders(name, items)
        pool = intents.messages(60 if quick else 200, seed=1)
        held_out = intents.messages(20 if quick else 200, seed=2, without=frozenset(text for text, _ in pool))
        yield from _near(pool, held_out)
        yield from _frontier(pool, pool[:12] if quick else pool[:100], held_out[:4] if quick else held_out[:50])


# -- the order of options ---------------------------------------------------------------------------------------------


def _orders(name: str, items: Sequence[lucebench.Item]) -> Iterator[Figure]:
    rows = [
        (number, (item.question, [*item.options[i:], *item.options[:i]]))
        for number, item in enumerate(items) for i in range(len(item.options))
    ]  # fmt: skip
    found: dict[str, list[list[Any]]] = {}
    ways = {
        "one": ChoiceShuffle("given"), "cyclic": ChoiceShuffle(), "soft": ChoiceShuffle(soft=True),
    }  # fmt: skip
    for way, strategy in ways.items():
        said = answer.using(strategy=strategy).map([row for _, row in rows], fail_fast=True)
        found[way] = [[text for (at, _), text in zip(rows, said, strict=True) if at == n] for n in range(len(items))]
    changed = {way: fmean(len(set(texts)) > 1 for texts in each) for way, each in found.items()}
    if changed["cyclic"] or changed["soft"]:
        raise AssertionError(f"{name}: the answer of all rotations depends on the one given: {changed}")
    yield Figure(NAME, f"{name}: questions whose answer the order changes", 0.0, changed["one"], None, "share",
                 len(items), "over all rotations of the options; baseline: asked once in the order given")  # fmt: skip
    scores = {
        way: [float(texts[0] == item.right) for texts, item in zip(each, items, strict=True)]
        for way, each in found.items()
    }
    chance = fmean(1 / len(item.options) for item in items)
    for way, told in (("cyclic", "a vote over all rotations"), ("soft", "mean probability over all rotations")):
        yield _compared(f"{name}: accuracy of {told}", compared(scores["one"], scores[way]),
                        f"baseline: one order; chance {chance:.3f}")  # fmt: skip


# -- near demonstrations ----------------------------------------------------------------------------------------------


def _near(pool: Sequence[tuple[str, str]], held_out: Sequence[tuple[str, str]]) -> Iterator[Figure]:
    near = _scores(intent.using(strategy=KNNFewShot(5, pool)), held_out)
    zero = _scores(intent, held_out)
    drawn = [_scores(intent.using(strategy=KNNFewShot(pool=pool, selector=RandomDemos(5, seed))), held_out)
             for seed in SEEDS]  # fmt: skip
    mean = [fmean(each) for each in zip(*drawn, strict=True)]
    spread = ", ".join(f"{fmean(each):.3f}" for each in drawn)
    note = f"baseline: random 5-shot, mean of {len(SEEDS)} draws ({spread}); zero-shot {fmean(zero):.3f}"
    yield _compared("intents: accuracy of kNN 5-shot", compared(mean, near), note)
    each = _scores(intent.using(strategy=KNNFewShot(pool=pool, selector=RandomDemos(5, each=True))), held_out)
    yield _compared("intents: accuracy of kNN 5-shot, others drawn for each message", compared(each, near),
                    "baseline: random 5-shot, drawn anew for each message")  # fmt: skip


def _scores(function: Any, rows: Sequence[tuple[str, str]]) -> list[float]:
    found = function.map([text for text, _ in rows], fail_fast=True)
    return [float(said == right) for said, (_, right) in zip(found, rows, strict=True)]


# -- what the strategies cost -----------------------------------------------------------------------------------------


def _frontier(
    pool: Sequence[tuple[str, str]], train: Sequence[tuple[str, str]], held_out: Sequence[tuple[str, str]]
) -> Iterator[Figure]:
    """`train`: the part of the pool that the model reasons about."""
    chain = ChainOfThought(max_tokens=REASONS)
    ready = Medprompt(shuffle="random", max_tokens=REASONS).prepare(intent, train)
    prepared = ready.prepared
    assert prepared is not None
    gold = dict(pool)
    if wrong := [one for one in prepared.kept if gold[one.inputs["message"]] != one.output]:
        raise AssertionError(f"a chain was kept that led to a wrong answer: {wrong[0]}")
    yield Figure(NAME, "intents: self-generated chains kept", prepared.share, None, None, "share", prepared.asked,
                 "those whose answer is the right one; every kept one is")  # fmt: skip
    found = frontier(
        {
            "zero-shot": None,
            "random 5-shot": KNNFewShot(pool=pool, selector=RandomDemos(5)),
            "kNN 5-shot": KNNFewShot(5, pool),
            "chain of thought": chain,
            "self-consistency": SelfConsistency(5, inner=chain),
            "Medprompt": ready,
            "Medprompt without chains": Medprompt(shuffle="random", soft=True, chains=False).prepare(intent, pool),
        },
        held_out, intent,
    )  # fmt: skip
    for row in found.rows:
        note = f"{row.tokens:.0f} tokens, {row.calls:.0f} calls an example"
        note += "; dominated" if row.dominated else "; on the frontier"
        if row.versus is None:
            yield Figure(NAME, f"frontier: accuracy of {row.name}", row.score.mean, None, None, "share", row.score.n,
                         f"[{row.score.low:.3f}, {row.score.high:.3f}], {note}")  # fmt: skip
        else:
            yield _compared(f"frontier: accuracy of {row.name}", row.versus, f"baseline: zero-shot; {note}")


def _compared(figure: str, found: Comparison, note: str) -> Figure:
    difference = found.difference
    interval = f"difference {difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}] (95 %, paired)"
    return Figure(
        NAME, figure, found.after.mean, found.before.mean, None, "share", found.after.n, f"{interval}; {note}"
    )
