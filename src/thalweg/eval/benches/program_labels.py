"""Do labels shrink to the sources that mattered, without ever losing one that did?

Notes from 4 to 8 sources, a question about one of them (see `labelled_notes`), the packaged model. Thresholds are tuned
on other names. Baselines in the same run: the join of all labels, and the model's own claim (introspection).
What a dropped source would have done to the answer is worked out again from scratch, prompt by prompt, token by token.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Sequence
from typing import Any

import thalweg as tw
from thalweg.decoding import constraint_for
from thalweg.eval.benches.distribution import _stepwise
from thalweg.eval.benches.labelled_notes import GLOSSES, SOURCES, Case, kind_of, make_case
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models.catalog import load
from thalweg.program.labels import Context, Entry, Introspection, Knn, Label, Permissive, labelled
from thalweg.program.labels.rescoring import Rescoring
from thalweg.program.labels.tuning import case, largest
from thalweg.program.session import current, model_in_force

SIZES = {"mixed": (4, 6, 8), "alike": (4, 6)}
NAME = "program.labels"


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "Do labels shrink to the sources that mattered?", lambda: _run(4 if quick else 12))


def _run(per_size: int) -> Sequence[Figure]:
    chance = random.Random(20)
    figures: list[Figure] = []
    with tw.using(model="smollm2-135m", cache=False, journal=False):
        dev = [make_case(chance, "dev", "mixed", size) for size in (4, 6) for _ in range(6)]
        policies = {
            "permissive": _tuned(dev, Permissive()),
            "declassify=False": _tuned(dev, Permissive(declassify=False)),
            "introspection": Introspection(),
        }
        for name in ("permissive", "declassify=False"):
            figures.append(
                _figure(f"threshold, {name}", policies[name].threshold, None, "nats", len(dev), "tuned on dev names")
            )
        scratch = Scratch()
        for form, sizes in SIZES.items():
            cases = [make_case(chance, "test", form, size) for size in sizes for _ in range(per_size)]
            figures += _labels(form, cases, policies, scratch)
        scratch.close()
        figures += _neighbours(chance, 8 * per_size)
        figures += _search(chance, per_size)
    return [*figures, *_attacks()]


def _tuned(dev: list[Case], policy: Permissive) -> Permissive:
    session = current()
    made = []
    for one in dev:
        notes = [labelled(note, *label) for note, label in zip(one.notes, one.labels, strict=True)]
        made.append(case(one.function, (one.question, notes), ..., None, session))
    return Permissive(threshold=largest(made, policy), declassify=policy.declassify)


# -- labels, values, and what was dropped -------------------------------------------------------------------------


class Scratch:
    """Losses without anything of the library's search: own lists of notes, own prompts, one token at a time."""

    def __init__(self) -> None:
        self.scorer = load("smollm2-135m", streams=2)

    def loss(self, one: Case, answer: str, left: Sequence[bool]) -> float:
        def logprob(notes: list[str]) -> float:
            model = model_in_force(current())
            session = one.function._session()
            request = one.function._request({"question": one.question, "notes": notes}, session, model)
            choices = constraint_for(request.format, self.scorer.tokenizer)
            table, _ = _stepwise(self.scorer, model.prompt_tokens(request), choices)  # type: ignore[arg-type]
            return math.log(table[request.format.choices.index(answer)])

        kept = [note for note, keep in zip(one.notes, left, strict=True) if keep]
        return logprob(one.notes) - logprob(kept)

    def close(self) -> None:
        self.scorer.free()


def _labels(form: str, cases: list[Case], policies: dict[str, Any], scratch: Scratch) -> list[Figure]:
    found = {name: [one.by(policy) for one in cases] for name, policy in policies.items()}
    unrestricted = [one.function(one.question, one.notes) for one in cases]
    threshold = policies["permissive"].threshold
    wholes = [Label(*(source for label in one.labels for source in label)) for one in cases]
    tighter = {name: [p.label < whole for p, whole in zip(made, wholes, strict=True)] for name, made in found.items()}
    exact = {
        name: [p.label == one.relevant for p, one in zip(made, cases, strict=True)] for name, made in found.items()
    }
    agrees = {name: [p.value == y for p, y in zip(made, unrestricted, strict=True)] for name, made in found.items()}
    dropped = checked = beyond = 0
    difference = 0.0
    for one, made, answer in zip(cases, found["permissive"], unrestricted, strict=True):
        for gone in one.labels:
            if gone <= made.label:
                continue
            loss = scratch.loss(one, answer, [label != gone for label in one.labels])
            checked += 1
            dropped += loss > threshold + 1e-3
            difference = max(difference, abs(loss - made.evidence.influence[next(iter(gone))]))
        beyond += scratch.loss(one, answer, [label <= made.label for label in one.labels]) > threshold + 1e-3
    claims = [
        sum(found["permissive"][i].evidence.influence[source] > threshold for source in wholes[i] - made.label)
        for i, made in enumerate(found["introspection"])
    ]
    right = [answer == one.wanted for answer, one in zip(unrestricted, cases, strict=True)]
    of_right = [i for i, ok in enumerate(right) if ok]
    n = len(cases)
    rows = [
        ("right answers, unrestricted", _share(right), None, "share", n, ""),
        ("right answers, permissive", _share([p.value == one.wanted for p, one in zip(found["permissive"], cases,
                                                                                     strict=True)]),
         _share(right), "share", n, "baseline: unrestricted"),
        ("label below the join of all", _share(tighter["permissive"]), 0.0, "share", n,
         f"baseline: the join itself; {_interval(tighter['permissive'])}"),
        ("label is the one relevant source", _share(exact["permissive"]), _share(exact["introspection"]), "share", n,
         f"baseline: introspection; {_interval(exact['permissive'])}"),
        ("the same where the answer is right", _share([exact["permissive"][i] for i in of_right]),
         _share([exact["introspection"][i] for i in of_right]), "share", len(of_right), "baseline: introspection"),
        ("sources in the label", statistics.fmean(len(p.label) for p in found["permissive"]),
         statistics.fmean(map(len, wholes)), "sources", n, "baseline: the join"),
        ("value equals the unrestricted one", _share(agrees["permissive"]), _share(agrees["introspection"]), "share",
         n, f"baseline: introspection; {_interval(agrees['permissive'])}"),
        ("influential sources dropped", dropped, sum(claims), "sources", checked,
         "recomputed from scratch, must be 0; baseline: introspection"),
        ("labels beyond the threshold", beyond, None, "labels", n, "recomputed from scratch, must be 0"),
        ("largest difference of an influence", difference, None, "nats", checked, "one forest against from scratch"),
        ("label below the join, declassify=False", _share(tighter["declassify=False"]), 0.0, "share", n,
         f"baseline: the join itself; value as unrestricted: {_share(agrees['declassify=False']):.2f}"),
    ]  # fmt: skip
    return [_figure(f"{form}: {name}", *rest) for name, *rest in rows]


# -- nearest neighbours -------------------------------------------------------------------------------------------


def _neighbours(chance: random.Random, count: int) -> list[Figure]:
    """Six remembered glosses of six kinds from six sources; a seventh gloss is to be named."""
    exact, agrees, right, alone = [], [], [], []
    for _ in range(count):
        sources = chance.sample(SOURCES, 6)
        chosen = {kind: chance.sample(GLOSSES[kind], 2) for kind in GLOSSES}
        entries = [Entry(chosen[kind][0], kind, Label(source)) for kind, source in zip(GLOSSES, sources, strict=True)]
        wanted = chance.choice(list(GLOSSES))
        gloss = chosen[wanted][1]
        made = Knn(entries).propagate(kind_of, {"gloss": gloss}, {})
        exact.append(made.label == Label(sources[list(GLOSSES).index(wanted)]))
        agrees.append(bool(made.evidence.agrees))
        right.append(made.value == wanted)
        alone.append(kind_of(gloss) == wanted)
    return [
        _figure("knn: right answers", _share(right), _share(alone), "share", count, "baseline: the model alone"),
        _figure("knn: label is the one relevant source", _share(exact), 0.0, "share", count,
                f"baseline: the join itself; {_interval(exact)}; one call, whatever the number of labels"),
        _figure("knn: value equals the one of all entries", _share(agrees), None, "share", count, ""),
    ]  # fmt: skip


# -- what the search costs ----------------------------------------------------------------------------------------


def _search(chance: random.Random, per_size: int) -> list[Figure]:
    """All sub-contexts of four sources in one wave against one by one, on two engines with caches of their own."""
    from thalweg.scheduling import Engine

    engines = [Engine(load("smollm2-135m")) for _ in range(2)]
    totals = [dict.fromkeys(("turns", "rows", "prompt_tokens", "cached_tokens", "seconds"), 0.0) for _ in engines]
    cases = [make_case(chance, "test", "mixed", 4) for _ in range(max(4, per_size))]
    policy = Permissive(method="prune")
    same, calls, waves = [], [], []
    worst = 0.0
    for number, one in enumerate([cases[0], *cases]):  # the first warms both up
        results: list[list[float]] = [[], []]
        for side in (0, 1) if number % 2 else (1, 0):
            before = vars(engines[side].counters).copy()
            started = time.perf_counter()
            with tw.using(model=engines[side]):
                context = Context.of(one.inputs, {"notes": one.labels})
                family = context.family(16) or []
                scores = Rescoring(one.function, one.function._session(), context)
                results[side] = scores.losses(family) if side == 0 else [scores.losses([one])[0] for one in family]
            if number:
                totals[side]["seconds"] += time.perf_counter() - started
                for name in ("turns", "rows", "prompt_tokens", "cached_tokens"):
                    totals[side][name] += getattr(engines[side].counters, name) - before[name]
        worst = max(worst, *(abs(a - b) for a, b in zip(*results, strict=True)))
    for engine in engines:
        engine.close()
    for size in SIZES["mixed"]:
        for _ in range(per_size):
            one = make_case(chance, "test", "mixed", size)
            made = one.by(policy)
            calls.append((size, made.evidence.calls))
            waves.append(made.evidence.waves)
            if size == 4:
                same.append(made.label == one.by(Permissive(method="exhaustive")).label)
    n = len(cases)
    together, single = ({name: total / n for name, total in side.items()} for side in totals)
    computed = [side["prompt_tokens"] - side["cached_tokens"] for side in (together, single)]
    note = f"16 sub-contexts of 4 sources; baseline: one by one; losses differ by at most {worst:.1e} nats"
    figures = [
        _figure("search: engine turns", together["turns"], single["turns"], "turns", n, note),
        _figure("search: prompt tokens computed", computed[0], computed[1], "tokens", n,
                f"of {together['prompt_tokens']:.0f} read; the rest shared"),
        _figure("search: seconds", together["seconds"], single["seconds"], "s", n, "in turns, caches apart"),
        _figure("search: pruned label equals the exhaustive one", _share(same), None, "share", len(same), "4 sources"),
    ]  # fmt: skip
    for size in SIZES["mixed"]:
        mean = statistics.fmean(count for of, count in calls if of == size)
        note = f"{size} sources, value and regeneration included; baseline: all sub-contexts"
        figures.append(
            _figure(f"search: calls of pruning, {size} sources", mean, 2.0**size + 2, "calls", per_size, note)
        )
    waits = statistics.fmean(waves)
    figures.append(_figure("search: waves of pruning", waits, None, "waves", len(waves), "times calls are waited for"))
    return figures


# -- figures ------------------------------------------------------------------------------------------------------


def _figure(name: str, value: float, baseline: float | None, unit: str, n: int, note: str = "") -> Figure:
    """Ratio: for shares the more the better, for costs the less."""
    ratio = None
    if baseline and value:
        ratio = value / baseline if unit == "share" else baseline / value
    return Figure(NAME, name, float(value), baseline, ratio, unit, n, note)


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits) if hits else 0.0


def _interval(hits: Sequence[bool]) -> str:
    """95 % interval of a share (Wilson 1927)."""
    n, z = len(hits), 1.96
    if not n:
        return "no cases"
    middle = (_share(hits) + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(_share(hits) * (1 - _share(hits)) / n + z * z / (4 * n * n))
    return f"95 %: {middle - reach:.2f} to {middle + reach:.2f}"


# -- attacks on flows ---------------------------------------------------------------------------------------------


def _attacks() -> list[Figure]:
    """Flows that try to bring a secret to a public sink, and flows that rightly reach one (see `label_attacks`).

    Baseline: the same flows where the sinks say nothing of labels, so that nothing is checked.
    """
    from thalweg.errors import FlowViolation
    from thalweg.eval.benches import label_attacks as suite

    def reaching(one: Any) -> int:
        """With how many secrets the sink accepted anything."""
        return sum(bool(suite.run_attack(one, secret).sent) for secret in suite.SECRETS)

    through = completed = 0
    with tw.using(mode="python", cache=False, journal=False):
        escaped = [one.name for one in suite.ATTACKS if suite.escapes(one)]
        public = suite.publish.accepts
        object.__setattr__(suite.publish, "accepts", None)
        try:
            through = sum(reaching(one) > 0 for one in suite.ATTACKS)
        finally:
            object.__setattr__(suite.publish, "accepts", public)
        for one in suite.BENIGN:
            try:
                for secret in suite.SECRETS:
                    suite.reset(secret)
                    one(labelled(secret, "hr"))
                completed += 1
            except FlowViolation:
                continue
    attacks, benign = len(suite.ATTACKS), len(suite.BENIGN)
    note = f"{len(suite.SECRETS)} secrets each; baseline: flows in which something reaches an unguarded sink"
    return [
        Figure(NAME, "attacks: escapes", float(len(escaped)), float(through), None, "flows", attacks, note),
        Figure(NAME, "attacks: benign flows completed", float(completed), None, None, "flows", benign, "none stopped"),
    ]
