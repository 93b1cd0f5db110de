"""Do the early layers keep what a question is about, and what does reading only that save?

Facts planted in prose (the manual pages of Python that come with it), ten depths, five facts a document that differ in
one word, so that keeping "the facts" is not enough. Recall: share of the asked fact's tokens among the tenth that is
kept; baselines at the same size. Answers: with everything read, with GemFilter, and with SnapKV and H2O in torch. Time
to the first token and cells of the cache, against reading everything on the same engine, in turns.

The rule, its pooling and the calibration were chosen with facts of the first kind (on other documents), so those
figures flatter; "facts of other kinds" are five sentences of other forms and lengths that nothing was chosen with.
"""

from __future__ import annotations

import random
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.decoding.longcontext import GemFilter
from thalweg.decoding.longcontext.calibrate import fact_tokens
from thalweg.decoding.longcontext.gemfilter import QUESTION, answer_behind
from thalweg.decoding.longcontext.layout import Laid, lay_out
from thalweg.decoding.longcontext.needles import Needle, Planted, plant
from thalweg.decoding.longcontext.perplexity_pruning import surprisals
from thalweg.decoding.longcontext.selecting import best, select
from thalweg.eval.benchmark import Benchmark, Figure, compare
from thalweg.models import load
from thalweg.models.request import Format, Sampling
from thalweg.models.scorer import Probed
from thalweg.scheduling import Engine

NAME = "decoding.gemfilter"
SHARE = 10  # one of so many tokens is kept
OTHER = (
    (
        "The best thing to do in Lisbon is to ride the old yellow tram up the hill at sunset.",
        "What is the best thing to do in Lisbon?",
    ),
    ("Maria keeps her violin in the cupboard under the stairs.", "Where does Maria keep her violin?"),
    (
        "Doctor Hale asked the patients to arrive at half past nine on Friday.",
        "When should the patients of Doctor Hale arrive?",
    ),
    (
        "The museum bought the painting for eleven thousand pounds, because its roof had to be insured as well.",
        "How much did the museum pay for the painting?",
    ),
    ("Only cedar wood may be used for the hull of the boat.", "Which wood may be used for the hull of the boat?"),
)
ANSWER = Sampling(max_tokens=20)
FREE = Format("text", max_chars=160)


@dataclass(frozen=True)
class Case:
    """A question about one fact of a document, laid out."""

    needle: Needle
    laid: Laid
    keep: int  # tokens of the text that may be kept

    @property
    def asked(self) -> int:
        return self.laid.question(QUESTION)

    @property
    def region(self) -> tuple[int, int]:
        return len(self.laid.head), len(self.laid.head) + len(self.laid.body) - self.asked

    @property
    def fact(self) -> list[int]:
        return fact_tokens(self.laid, self.needle)


def benchmark(quick: bool) -> Benchmark:
    question = "Do early layers keep what is asked for, and what does reading only that save?"
    return Benchmark(NAME, question, lambda: list(_run(quick)))


def _run(quick: bool) -> Iterator[Figure]:
    engine = Engine(load(streams=1, context=8192), workers=1)
    try:
        gems = GemFilter(engine, keep=512)
        found = gems.calibration
        assert found is not None
        yield Figure(NAME, "layer chosen by calibration", found.layer, engine.scorer.prober.layers, None, "layer", 1,
                     f"heads {list(found.heads) or 'all'}; baseline: layers of the model; recall {found.recall:.2f} "
                     "on dull sentences with facts of the first kind")  # fmt: skip
        for length in (1000,) if quick else (1000, 2000, 4000):
            cases = _cases(engine.tokenizer, length, documents=2 if quick else 10, facts=5)
            yield from _recall(engine, gems, cases, f"{length} tokens, 5 facts")
            other = _other(engine.tokenizer, length, documents=1 if quick else 10)
            yield from _recall(engine, gems, other, f"{length} tokens, 5 facts of other kinds")
            if not quick:
                lone = _cases(engine.tokenizer, length, documents=10, facts=1)
                yield from _recall(engine, gems, lone, f"{length} tokens, 1 fact")
                if length <= 2000:
                    yield from _answers(engine, gems, lone, f"{length} tokens, 1 fact")
                    yield from _answers(engine, gems, cases[::2], f"{length} tokens, 5 facts")
        if quick:
            yield from _answers(engine, gems, _cases(engine.tokenizer, 400, documents=4, facts=1), "400 tokens, 1 fact")
        yield from _pruning(
            engine, _cases(engine.tokenizer, 400 if quick else 1000, documents=1 if quick else 4, facts=5)
        )
        yield from _cost(engine, gems, 1000 if quick else 4000, repeats=1 if quick else 3)
        yield from _torch(quick)
    finally:
        engine.close()


# -- what is kept ---------------------------------------------------------------------------------------------------


def _recall(engine: Engine, gems: GemFilter, cases: list[Case], what: str) -> Iterator[Figure]:
    rng = random.Random(0)
    kept: dict[str, list[float]] = {}
    published: list[float] = []
    for case in cases:
        (begin, end), count = case.region, case.keep - case.asked
        probed = engine.scorer.probe(case.laid.tokens, gems.layer)
        chosen = {
            "GemFilter": _chosen(probed, case, gems, count),
            "last-k": np.arange(end - count, end),
            "first-k": np.arange(begin, begin + count),
            "random": np.array(rng.sample(range(begin, end), count)),
        }
        for name, indices in chosen.items():
            kept.setdefault(name, []).append(float(np.isin(case.fact, indices).mean()))
        plain, _ = select(probed, case.region, count, rule="product", window=1, heads=(), pool=5)
        published.append(float(np.isin(case.fact, plain).mean()))
    value, note = statistics.mean(kept["GemFilter"]), f"{100 // SHARE} % kept; sd {_sd(kept['GemFilter'])}"
    whole = sum(share >= 0.95 for share in kept["GemFilter"]) / len(cases)
    for name in ("last-k", "first-k", "random"):
        other = statistics.mean(kept[name])
        yield Figure(NAME, f"recall of the fact's tokens, {what}: against {name}", value, other, _ratio(value, other),
                     "share", len(cases), f"{note}; facts kept whole {whole:.2f}")  # fmt: skip
    other = statistics.mean(published)
    yield Figure(NAME, f"recall of the fact's tokens, {what}: against the published rule, same layer", value, other,
                 _ratio(value, other), "share", len(cases), "last query, products, all heads, pool 5")  # fmt: skip


def _chosen(probed: Probed, case: Case, gems: GemFilter, count: int) -> Any:
    window = case.asked + len(case.laid.tail)
    return select(
        probed, case.region, count, rule=gems.rule, window=window, heads=gems.heads, pool=gems.pool
    )[0]  # fmt: skip


def _pruning(engine: Engine, cases: list[Case]) -> Iterator[Figure]:
    """Surprisal knows no question: one run a document serves all its facts."""
    gems = GemFilter(engine, keep=512)
    ours, theirs = [], []
    known: dict[str, Any] = {}
    for case in cases:
        body = case.laid.text.rpartition("\n\n")[0]
        if body not in known:
            known[body] = surprisals(engine.scorer, case.laid.tokens)
        (begin, end), count = case.region, case.keep - case.asked
        theirs.append(np.isin(case.fact, begin + best(known[body][begin:end], count)).mean())
        probed = engine.scorer.probe(case.laid.tokens, gems.layer)
        ours.append(np.isin(case.fact, _chosen(probed, case, gems, count)).mean())
    value, other = float(np.mean(ours)), float(np.mean(theirs))
    yield Figure(NAME, "recall of the fact's tokens: against perplexity pruning", value, other, _ratio(value, other),
                 "share", len(cases), "surprisal of tokens with the same model, which reads all of them")  # fmt: skip


# -- what is answered ---------------------------------------------------------------------------------------------


def _answers(engine: Engine, gems: GemFilter, cases: list[Case], what: str) -> Iterator[Figure]:
    right = {"GemFilter": 0, "everything": 0, "last-k": 0}
    for case in cases:
        (begin, end), count = case.region, case.keep - case.asked
        probed = engine.scorer.probe(case.laid.tokens, gems.layer)
        picked = {
            "everything": range(begin, end),
            "GemFilter": _chosen(probed, case, gems, count).tolist(),
            "last-k": range(end - count, end),
        }
        tokens = case.laid.tokens
        for name, indices in picked.items():
            read = [tokens[i] for i in (*range(begin), *indices, *range(end, len(tokens)))]
            answer = answer_behind(engine, case.laid, read, FREE, ANSWER)
            right[name] += case.needle.answer in answer.text
    value = right["GemFilter"] / len(cases)
    for name in ("everything", "last-k"):
        other = right[name] / len(cases)
        yield Figure(NAME, f"right answers, {what}: against reading {name}", value, other, _ratio(value, other),
                     "share", len(cases), f"{100 // SHARE} % kept, greedy, free text")  # fmt: skip


# -- what it costs --------------------------------------------------------------------------------------------------


def _cost(engine: Engine, gems: GemFilter, length: int, repeats: int) -> Iterator[Figure]:
    (case,) = _cases(engine.tokenizer, length, documents=1, facts=1)
    fresh = iter(range(10_000))
    one = Format("regex", pattern="[0-9]", max_chars=1)
    keep = case.keep
    shares: list[float] = []
    busy: dict[int, list[float]] = {}  # processor seconds, which other processes lengthen less

    def first(keep: int) -> Callable[[], None]:
        reader = GemFilter(engine, gems.layer, keep, gems.pool, rule=gems.rule, heads=gems.heads)

        def once() -> None:  # a new beginning each time, so that nothing is found in a cache
            text = f"Page {next(fresh)}. {case.laid.text}"
            started = time.process_time()
            found = reader.generate(text, format=one, max_tokens=8)
            busy.setdefault(keep, []).append(time.process_time() - started)
            shares.append(found.usage.prompt_tokens / len(lay_out(text, engine.tokenizer).tokens))

        return once

    method, baseline = first(keep), first(8000)
    engine.scorer.probe([0] * (length + 200), 0)  # makes the context that probes
    measured = compare(method, baseline, repeats=repeats)
    part = measured.median_a / measured.median_b
    yield Figure(NAME, f"time to the first token at {length} tokens", measured.median_a, measured.median_b,
                 measured.ratio, "s", repeats, f"{part:.2f} of reading everything; layer {gems.layer}, "
                 f"{100 // SHARE} % kept; spread {measured.spread:.2f}")  # fmt: skip
    value, other = statistics.median(busy[keep]), statistics.median(busy[8000])
    yield Figure(NAME, f"processor time to the first token at {length} tokens", value, other, other / value, "s",
                 repeats, f"{value / other:.2f} of reading everything")  # fmt: skip
    cells = min(shares)
    layers = engine.scorer.prober.layers
    yield Figure(NAME, f"cells of the cache while answering, {length} tokens", cells, 1.0, 1 / cells, "share", 1,
                 "of those that everything takes; the first pass holds "
                 f"{gems.layer / layers:.2f} of them, and gives them back")  # fmt: skip


# -- torch: rivals, and agreement of the engines --------------------------------------------------------------------


def _torch(quick: bool) -> Iterator[Figure]:
    try:
        import torch

        from thalweg.decoding.longcontext.compressed import Prefilled
        from thalweg.decoding.longcontext.h2o import h2o
        from thalweg.decoding.longcontext.snapkv import snapkv
    except ImportError:
        return
    from thalweg.decoding.constraints import constraint_for
    from thalweg.decoding.generate import generate

    torch.set_num_threads(1)
    model = load("torch:smollm2-135m", streams=1, context=4096, threads=1)
    exact = load("smollm2-135m:f32", streams=1, context=2048, threads=1)
    engine = Engine(exact, workers=1)
    gems = GemFilter(engine)  # calibrated on these weights
    cases = _cases(model.tokenizer, 400 if quick else 1000, documents=2 if quick else 20, facts=1)
    end = model.tokenizer.end
    constraint = constraint_for(FREE, model.tokenizer)
    right = {"GemFilter": 0, "everything": 0, "SnapKV": 0, "H2O": 0}
    agreement: list[float] = []
    for case in cases:
        tokens = case.laid.tokens
        prompt = Prefilled(model, tokens[:-1])
        (begin, stop), count = case.region, case.keep - case.asked
        own = _chosen(model.probe(tokens, gems.layer), case, gems, count)
        theirs = _chosen(exact.probe(tokens, gems.layer), case, gems, count)
        agreement.append(len(np.intersect1d(own, theirs)) / len(np.union1d(own, theirs)))
        read = [tokens[i] for i in (*range(begin), *own.tolist(), *range(stop, len(tokens)))]
        for name, cache in (
            ("everything", snapkv(prompt, len(tokens))),
            ("SnapKV", snapkv(prompt, len(read))),
            ("H2O", h2o(prompt, len(read))),
            ("GemFilter", snapkv(Prefilled(model, read[:-1]), len(read))),
        ):
            made = cache.drive(generate(tokens[-1], constraint, ANSWER, end=end, limit=20, reserve=2))
            right[name] += case.needle.answer in model.tokenizer.decode(made.tokens)
    value = right["GemFilter"] / len(cases)
    for name in ("everything", "SnapKV", "H2O"):
        other = right[name] / len(cases)
        yield Figure(NAME, f"right answers in torch: against {name}", value, other, _ratio(value, other), "share",
                     len(cases), f"{100 // SHARE} % and the template kept, in each layer and head")  # fmt: skip
    yield Figure(NAME, "llama.cpp and torch keep the same tokens (F32)", statistics.mean(agreement), None, None,
                 "Jaccard", len(cases), f"smallest {min(agreement):.3f}")  # fmt: skip
    engine.close()
    model.free()


# -- documents ------------------------------------------------------------------------------------------------------


def _cases(tokenizer: Any, length: int, *, documents: int, facts: int) -> list[Case]:
    """Questions about documents of at most `length` tokens; over ten documents every fact stands at ten depths."""
    made = []
    for number in range(documents):
        depths = sorted(((number + 10 * i / facts) % 10 + 0.5) / 10 for i in range(facts))
        planted = _document(tokenizer, length, depths, seed=1000 + number)
        for needle in planted.needles:
            laid = lay_out(f"{planted.text}\n\n{needle.question}", tokenizer)
            made.append(Case(needle, laid, len(laid.body) // SHARE))
    return made


def _other(tokenizer: Any, length: int, *, documents: int) -> list[Case]:
    """The same for facts of other kinds, five a document at depths that move from document to document."""
    made = []
    for number in range(documents):
        rng = random.Random(2000 + number)
        sentences = rng.sample(_prose(), min(len(_prose()), length // 8))
        size = length - len(tokenizer.encode(" ".join(fact for fact, _ in OTHER)))
        while len(tokenizer.encode(" ".join(sentences))) > size:
            sentences = sentences[: int(0.97 * len(sentences))]
        for depth, (fact, _) in zip(range(len(OTHER)), rng.sample(OTHER, len(OTHER)), strict=True):
            at = round((depth + (number % 10) / 10) / len(OTHER) * len(sentences))
            sentences.insert(at, fact)
        text = " ".join(sentences)
        for fact, question in OTHER:
            laid = lay_out(f"{text}\n\n{question}", tokenizer)
            made.append(Case(Needle(fact, text.index(fact), question, ""), laid, len(laid.body) // SHARE))
    return made


def _document(tokenizer: Any, length: int, depths: Sequence[float], *, seed: int) -> Planted:
    chosen = random.Random(seed).sample(_prose(), min(len(_prose()), length // 8))
    while True:
        planted = plant(chosen, list(depths), seed=seed)
        if len(tokenizer.encode(planted.text)) <= length:
            return planted
        chosen = chosen[: int(0.97 * len(chosen))]


_SENTENCES: list[str] = []


def _prose() -> list[str]:
    """Sentences of the manual pages that come with Python."""
    if not _SENTENCES:
        from pydoc_data.topics import topics

        text = " ".join(" ".join(page.split()) for page in topics.values())
        _SENTENCES.extend(re.findall(r"(?<=\. )[A-Z][^.*]{30,200}\.(?= )", text))
    return _SENTENCES


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None


def _sd(values: list[float]) -> str:
    return f"{statistics.pstdev(values):.2f}"
