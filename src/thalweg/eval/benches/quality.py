"""How good is the packaged model on mail, zero-shot: free text, constrained, and by probability with a threshold?

The model is asked whether a mail is an advertisement, a discussion or a newsletter (the wording was chosen on the dev
split); an advertisement counts as spam. The threshold is chosen on the dev split and applied to the test split;
intervals are Wilson's at 95 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import thalweg as tw
from thalweg.eval.benches.samples import judge, mails
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models.request import Format
from thalweg.program.intervals import wilson_interval
from thalweg.program.session import current, model_in_force

SPAM = "advertisement"


@tw.learned
def plain(mail: str) -> Literal["spam", "ham"]:
    """Is this e-mail spam (unwanted advertising, fraud) or ham (a real person or a mailing list)?"""
    ...


def benchmark(quick: bool) -> Benchmark:
    return Benchmark("quality", "How accurate is zero-shot spam filtering on mail?", lambda: _run(30 if quick else 200))


def _run(count: int) -> Sequence[Figure]:
    dev, test = mails("dev")[:count], mails("test")[:count]
    truth = [row["label"] for row in test]
    with tw.using(cache=False, journal=False):
        session, model = current(), model_in_force(current())
        asked = [judge._request({"mail": row["mail"]}, session, model) for row in test]
        free = [
            model.submit(
                replace(one, format=Format("text", max_chars=200), sampling=replace(one.sampling, max_tokens=24))
            )
            for one in asked
        ]
        free_text = [_read(one.result().text) for one in free]
        constrained = ["spam" if one == SPAM else "ham" for one in judge.map([row["mail"] for row in test])]
        on_dev = [judge.submit_distribution(row["mail"]) for row in dev]
        on_test = [judge.submit_distribution(row["mail"]) for row in test]
        plain_dev = [plain.submit_distribution(row["mail"]) for row in dev]
        p_plain = [one.result()["spam"] for one in plain_dev]
        p_dev = [one.result()[SPAM] for one in on_dev]
        p_test = [one.result()[SPAM] for one in on_test]
    threshold = best_threshold(p_dev, [row["label"] == "spam" for row in dev])
    by_threshold = ["spam" if p > threshold else "ham" for p in p_test]
    readable = sum(one is not None for one in free_text)
    results = (
        ("free text, parsed", free_text, f"{readable} of {len(test)} answers named exactly one of the three"),
        ("constrained", constrained, "every answer is one of the three"),
        ("distribution with threshold", by_threshold, f"spam above {threshold:.4f}, chosen on dev"),
    )
    base = sum(a == b for a, b in zip(free_text, truth, strict=True)) / len(truth)
    figures = []
    for name, got, note in results:
        hits = sum(a == b for a, b in zip(got, truth, strict=True))
        low, high = wilson_interval(hits, len(truth))
        value = hits / len(truth)
        figures.append(
            Figure(
                "quality",
                f"accuracy, {name}",
                value,
                base,
                value / base if base else None,
                "share",
                len(truth),
                f"95 % interval {low:.3f} to {high:.3f}; {note}",
            )  # fmt: skip
        )
    positive = [row["label"] == "spam" for row in dev]
    chosen, asked_plainly = roc_area(p_dev, positive), roc_area(p_plain, positive)
    note = 'on dev, where the question was chosen; baseline: "spam or ham?"'
    ratio = chosen / asked_plainly
    figures.append(Figure("quality", "area under the ROC curve", chosen, asked_plainly, ratio, "area", len(dev), note))
    return figures


def roc_area(scores: list[float], positive: list[bool]) -> float:
    """Probability that a positive scores above a negative; ties count half."""
    ups = [score for score, is_positive in zip(scores, positive, strict=True) if is_positive]
    downs = [score for score, is_positive in zip(scores, positive, strict=True) if not is_positive]
    return sum((up > down) + 0.5 * (up == down) for up in ups for down in downs) / (len(ups) * len(downs))


def best_threshold(probabilities: list[float], positive: list[bool]) -> float:
    """The cut with the most right decisions (`p > cut` is positive); the middle between neighbours."""
    order = sorted(zip(probabilities, positive, strict=True))
    right = sum(positive)  # cut below everything: all positive
    best, cut = right, order[0][0] - 1e-9
    for i, (p, is_positive) in enumerate(order):
        right += -1 if is_positive else 1
        if right > best:
            following = order[i + 1][0] if i + 1 < len(order) else 1.0
            best, cut = right, (p + following) / 2
    return cut


def _read(text: str) -> str | None:
    named = {choice for choice in judge.signature.output.values() or () if choice in text.lower()}
    return None if len(named) != 1 else ("spam" if named == {SPAM} else "ham")
