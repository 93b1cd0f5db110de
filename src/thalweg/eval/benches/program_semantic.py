"""What do semantic operators and contracts give: calls saved, answers repaired, steps told apart, meaning recognised?

Settings are named in the notes. *Exact*: no model. *Scripted*: a declared error process, to check the repair loop
against its analytic rate, never a claim about models. *Real*: the packaged model, reported as it comes. WordNet (chains
of hypernyms, glosses) is read or fetched as `wordnet.py` says; what needs it is left out, with a note, without it.
"""

from __future__ import annotations

import datetime
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

import thalweg as tw
from thalweg.errors import DataError, ModelNotFound
from thalweg.eval.benches import wordnet
from thalweg.eval.benches.samples import mails
from thalweg.eval.benchmark import Benchmark, Figure, compare
from thalweg.eval.trajectory import vertex
from thalweg.models import ScriptedModel
from thalweg.program import semantic
from thalweg.program.contract import contracted
from thalweg.program.intervals import wilson_interval
from thalweg.program.semantic import Sem

NAME = "program.semantic"
ERROR_RATE = 0.3
SEEDS = (0, 1, 2)


def benchmark(quick: bool) -> Benchmark:
    question = "What do semantic operators, contracts and VERTEX give, and at what cost in calls?"
    return Benchmark(NAME, question, lambda: _run(quick))


def _run(quick: bool) -> Sequence[Figure]:
    with tw.using(cache=False, journal=False, progress=False):
        return [
            *_exactness(200 if quick else 2000),
            *_scripted_contract(1000 if quick else 5000),
            *_or_left_out("contract on mail", lambda: _real_contract(12 if quick else 100)),
            *_or_left_out("VERTEX", lambda: _vertex(20 if quick else 150)),
            *_or_left_out("meaning", lambda: _meaning(40 if quick else 400)),
            *_throughput(16 if quick else 64, 1 if quick else 3),
        ]


def _or_left_out(name: str, measure: Callable[[], list[Figure]]) -> list[Figure]:
    try:
        return measure()
    except (DataError, ModelNotFound) as error:
        return [Figure(NAME, f"{name}: left out", 0.0, None, None, "figures", 0, str(error))]


# -- calls saved where types decide -----------------------------------------------------------------------------------


@tw.learned
def plainly_same(a: object, b: object) -> bool:
    """Do `a` and `b` mean the same? Where `b` only describes `a`, is the description right?"""
    ...


def _exactness(count: int) -> list[Figure]:
    rng = random.Random(0)
    makers: list[Callable[[], Any]] = [
        lambda: rng.randint(-9, 9), lambda: rng.choice([0.5, 1.0, 2.5]), lambda: [rng.randint(0, 2)], lambda: None,
        lambda: datetime.date(2024, rng.randint(1, 3), 1), lambda: rng.choice([True, False]),
    ]  # fmt: skip
    pairs = [(make(), make()) for make in (rng.choice(makers) for _ in range(count))]
    asked = [0]

    def script(request: Any) -> str:
        asked[0] += 1
        return "false"

    with tw.using(model=ScriptedModel(script, identity="counting")):
        agreed = sum((Sem(a) == b) is (a == b) for a, b in pairs)
        calls = asked[0]
        asked[0] = 0
        plainly_same.map(pairs)
        plain = asked[0]
    return [
        Figure(NAME, "calls per equality of exact types", calls / count, plain / count, None, "calls", count,
               "exact; baseline: the same learned function without the exact rule"),
        Figure(NAME, "agreement with Python's ==", agreed / count, None, None, "share", count, "exact"),
    ]  # fmt: skip


# -- contracts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Invoice:
    """What the scripted contract is about."""

    items: list[int]
    total: int


@tw.learned
def invoice(text: str) -> Invoice:
    """Read the invoice."""
    ...


def _adds_up(out: Invoice) -> str:
    return "" if out.total == sum(out.items) else f"the items sum to {sum(out.items)}, not {out.total}"


def _scripted_contract(count: int) -> list[Figure]:
    def script(request: Any) -> str:
        asked = f"{request.messages[-1].content}|{request.sampling.seed}"
        draw = int.from_bytes(hashlib.blake2b(asked.encode(), digest_size=8).digest()) / 2**64
        return f'{{"items": [1, 2], "total": {4 if draw < ERROR_RATE else 3}}}'

    figures = []
    rows = [f"invoice {number}" for number in range(count)]
    with tw.using(model=ScriptedModel(script, identity="corrupting")):
        plain = sum(isinstance(one, Invoice) and not _adds_up(one) for one in invoice.map(rows)) / count
        for repair in range(4):
            kept = sum(bool(one) for one in contracted(invoice, ensure=_adds_up, repair=repair).map(rows)) / count
            analytic = 1 - ERROR_RATE ** (repair + 1)
            figures.append(
                Figure(NAME, f"contract kept, {repair} repairs", kept, plain, kept / plain, "share", count,
                       f"scripted: 30 % of answers corrupted; analytic {analytic:.4f}, off by {kept - analytic:+.4f}"),
            )  # fmt: skip
    return figures


@tw.learned
def author(mail: str) -> Annotated[str, Field(min_length=2, max_length=40)]:
    """Copy the name of the person or company that wrote this e-mail, exactly as it is written in it."""
    ...


def _is_copied(mail: str, out: str) -> str:
    return "" if out.strip() and out in mail else f"{out!r} does not stand in the mail; copy a name from it"


def _real_contract(count: int) -> list[Figure]:
    rows = [row["mail"] for row in mails("test")[:count]]
    guarded = contracted(author, ensure=_is_copied, repair=2)
    with tw.using(overflow="truncate", max_tokens=24):
        given = zip(rows, author.map(rows), strict=True)
        plain = sum(isinstance(out, str) and not _is_copied(mail, out) for mail, out in given)
        kept = sum(bool(one) for one in guarded.map(rows))
    low, high = wilson_interval(kept, len(rows))
    said = guarded.contract.statistics
    return [
        Figure(NAME, "contract kept on mail, 2 repairs", kept / len(rows), plain / len(rows),
               kept / plain if plain else None, "share", len(rows),
               f"real, report only: the answer is copied from the mail; 95 % interval {low:.3f} to {high:.3f}; "
               f"{said.violations} violations, {said.repaired} repaired; baseline: without a contract"),
    ]  # fmt: skip


# -- VERTEX on WordNet ------------------------------------------------------------------------------------------------


def _vertex(count: int) -> list[Figure]:
    """Reference: name and gloss of each step. Another name of the same synsets; k steps replaced; random chains."""
    import numpy as np

    from thalweg.models.minilm import MiniLM

    synsets, embedder = wordnet.nouns(), MiniLM()
    keys = list(synsets)
    steps = 6

    def wording(key: str, name: int) -> str:
        return f"{synsets[key].names[name]}: {synsets[key].gloss}"

    def cosine(a: Any, b: Any) -> float:
        return float(np.mean([np.mean(x @ y.T) for x, y in zip(a, b, strict=True)]))

    shares, other_names, drops, chance = [], [], [], []
    plain_drops, plain_chance = [], []
    for seed in SEEDS:
        rng = random.Random(seed)
        done = 0
        while done < count:
            chain = wordnet.chain(synsets, rng.choice(keys))[:steps]
            if len(chain) < steps or any(len(synsets[key].names) < 2 for key in chain):
                continue
            done += 1
            randoms = [[wording(key, 0) for key in rng.sample(keys, steps)] for _ in range(3)]
            texts = [
                [t for key in chain for t in (synsets[key].gloss, wording(key, 0))],
                [wording(key, 1) for key in chain], [", ".join(synsets[key].names[1:]) for key in chain], *randoms,
            ]  # fmt: skip
            vectors = embedder.embed([one for part in texts for one in part])
            cuts = np.cumsum([0, *map(len, texts)])
            known, renamed, names, floor, replacing, walk = (
                vectors[a:b].reshape(steps, -1, vectors.shape[1]) for a, b in zip(cuts, cuts[1:], strict=False)
            )
            shares.append(vertex(renamed, known, floor).of_self)
            other_names.append(vertex(names, known, floor).of_self)
            chance.append(vertex(walk, known, floor).score)
            plain_chance.append(cosine(walk, known))
            order = rng.sample(range(steps), steps)
            mixed = [[replacing[i] if i in order[:k] else known[i] for i in range(steps)] for k in range(steps + 1)]
            drops.append(_spearman([vertex(one, known, floor).score for one in mixed]))
            plain_drops.append(_spearman([cosine(one, known) for one in mixed]))
    n = len(shares)
    note = f"real: WordNet hypernym chains of {steps} steps, MiniLM, {len(SEEDS)} seeds"

    def figure(name: str, values: Sequence[float], baseline: float | None, unit: str, claim: str) -> Figure:
        spread = 1.96 * float(np.std(values)) / len(values) ** 0.5
        return Figure(NAME, name, float(np.mean(values)), baseline, None, unit, n, f"{note}; +-{spread:.3f}; {claim}")

    return [
        figure("VERTEX of another name with the gloss, of self", shares, None, "share", "claimed above 0.8"),
        figure("VERTEX of other names alone, of self", other_names, None, "share", "no claim: names without a gloss"),
        figure("VERTEX rank correlation with steps replaced", drops, float(np.mean(plain_drops)), "rho",
               "claimed at most -0.9; baseline: mean cosine"),
        figure("VERTEX of a random chain", chance, float(np.mean(plain_chance)), "score",
               "claimed below 0.1; baseline: mean cosine, which has no zero"),
    ]  # fmt: skip


def _spearman(scores: Sequence[float]) -> float:
    """Rank correlation of scores with 0, 1, 2, ...; equal scores share their mean rank."""
    import numpy as np

    values = np.asarray(scores)
    ranks = np.array([(values < one).sum() + (values == one).sum() / 2 for one in values])
    return 0.0 if np.ptp(ranks) == 0 else float(np.corrcoef(ranks, np.arange(len(values)))[0, 1])


# -- meaning ----------------------------------------------------------------------------------------------------------


def _meaning(count: int) -> list[Figure]:
    """Does a gloss say what a name means? Half of the pairs are right; the others have a gloss of the same field."""
    import numpy as np

    from thalweg.models.minilm import MiniLM

    synsets, rng = wordnet.nouns(), random.Random(0)
    keys = [key for key, one in synsets.items() if one.hypernym and one.names[0].islower() and len(one.gloss) < 120]
    by_field: dict[str, list[str]] = {}
    for key in keys:
        by_field.setdefault(synsets[key].field, []).append(key)
    pairs, truth = [], []
    for number, key in enumerate(rng.sample(keys, 2 * count)):
        right = number % 2 == 0
        other = key if right else rng.choice([k for k in by_field[synsets[key].field] if k != key])
        pairs.append((synsets[other].gloss, synsets[key].names[0]))
        truth.append(right)
    waiting = [semantic.same.submit_distribution(*pair) for pair in pairs]
    learned = np.array([one.result()[True] for one in waiting])
    left, right_ = (MiniLM().embed([pair[side] for pair in pairs]) for side in (0, 1))
    cosine = (left * right_).sum(1)
    answer = np.asarray(truth)
    greedy = float(((learned > 0.5) == answer)[count:].mean())
    majority = float(max(answer[count:].mean(), 1 - answer[count:].mean()))
    note = "real: WordNet glosses and names, half of them wrong but of the same field"
    return [
        Figure(NAME, "meaning: AUROC of same.distribution", _auroc(learned, answer), _auroc(cosine, answer), None,
               "AUROC", 2 * count, f"{note}; report only; baseline: cosine of MiniLM; chance 0.5"),
        Figure(NAME, "meaning: accuracy of same, as it comes", greedy, majority, None, "share", count,
               f"{note}; report only; baseline: the majority class"),
        Figure(NAME, "meaning: accuracy with a threshold", _split(learned, answer, count),
               _split(cosine, answer, count), None, "share", count,
               f"{note}; thresholds from the first half, measured on the second; baseline: cosine"),
    ]  # fmt: skip


def _auroc(scores: Any, truth: Any) -> float:
    right, wrong = scores[truth], scores[~truth]
    return float(((right[:, None] > wrong).mean() + (right[:, None] >= wrong).mean()) / 2)


def _split(scores: Any, truth: Any, half: int) -> float:
    """Accuracy on the second half at the threshold that is best on the first."""
    options = sorted(scores[:half])
    best = max(options, key=lambda one: ((scores[:half] >= one) == truth[:half]).mean())
    return float(((scores[half:] >= best) == truth[half:]).mean())


# -- throughput -------------------------------------------------------------------------------------------------------


def _throughput(count: int, repeats: int) -> list[Figure]:
    pairs = [(f"The train to platform {i} is late.", f"Train {i} has a delay.") for i in range(count)]
    semantic.same.map(pairs[:2])
    found = compare(
        lambda: semantic.same.map(pairs, fail_fast=True),
        lambda: [semantic.same(a, b) for a, b in pairs],
        repeats=repeats,
    )
    return [
        Figure(NAME, "equalities per second, one batch", count / found.median_a, count / found.median_b, found.ratio,
               "1/s", count, f"real; baseline: one by one; spread {found.spread:.2f} over {repeats} turns"),
    ]  # fmt: skip
