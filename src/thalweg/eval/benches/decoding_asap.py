"""Is what a grammar lets through distributed as the model would have it?

Four grammars small enough to know the truth: exact Kullback-Leibler divergences of ASAp and of masking alone, bounds
against the exact chances, and what a draw of SMC and AWRS is worth for its rows. Averages run the samplers' own
coroutines over tables of the model's conditionals (`decoding_table`); the engine's own draws are checked beside them. A
free-form JSON task has no known truth: there, how likely the model itself finds what was drawn. Peer: genlm-control.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from thalweg.decoding.aligned import GrammarAligned, Language, Trie, asap, divergence, masked, rejected, smc
from thalweg.decoding.aligned.trie import Unseen
from thalweg.eval.benches.decoding_table import EVEN, LAST, Table
from thalweg.eval.benches.peers import run_peer
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models.request import Format, Message
from thalweg.program.session import current, model_in_force

NAME = "decoding.asap"
QUESTION = "Is what a grammar lets through distributed as the model would have it?"
PARTICLES = 8
UNSEEN: tuple[Unseen, ...] = ("bound", "mean")


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, QUESTION, lambda: list(_run(quick)))


def _chat(*turns: str) -> list[Message]:
    return [Message("assistant" if i % 2 else "user", turn) for i, turn in enumerate(turns)]


def _object(**properties: Any) -> str:
    shape = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return json.dumps(shape)


SQL = tuple(
    " ".join(("SELECT", column, "FROM", table, "WHERE", field, sign, number))
    for column, table, field, sign, number in itertools.product(
        ("name", "age", "city", "*", "id"), ("users", "orders", "items"), ("age", "price"), "<>",
        ("1", "5", "10", "20", "100"),
    )
)  # fmt: skip
PAIRS: dict[str, tuple[Format, list[Message]]] = {
    "binary": (
        Format("regex", pattern="0(0000)|1[01]{4}"),
        _chat("Write a binary number.", "101", "Write a binary number.", "0000",
              "Write a binary number of five digits."),
    ),
    "json enum": (
        Format("json", schema=_object(color={"enum": ["red", "blue", "green"]}, size={"enum": ["small", "large"]})),
        _chat("Describe an apple as JSON.", '{"color": "green", "size": "small"}', "Describe an elephant as JSON."),
    ),
    "arithmetic": (
        Format("regex", pattern="[12]([+*][12]){0,3}"),
        _chat("Write a sum.", "1+2", "Write a product.", "2*2", "Write a longer expression with 1, 2, + and *."),
    ),
    "sql": (
        Format("choices", choices=SQL),
        _chat("All customers.", "SELECT * FROM customers", "Write an SQL query: names of the users older than 20."),
    ),
}  # fmt: skip
FREE = (
    Format("json", schema=_object(name={"type": "string", "minLength": 1, "maxLength": 24},
                                  role={"type": "string", "minLength": 1, "maxLength": 24})),
    _chat("Invent a person as JSON.", '{"name": "Ada", "role": "pilot"}', "Invent another person as JSON."),
)  # fmt: skip


def _run(quick: bool) -> Iterator[Figure]:
    model = model_in_force(current())
    runs, draws, populations = (2, 200, 40) if quick else (20, 200, 400)
    wide = []
    for name, (format, prompt) in PAIRS.items():
        if quick and name in ("arithmetic", "sql"):  # reading their tables takes a minute
            continue
        table = Table.of_model(GrammarAligned(model, format, "gcd"), prompt)
        wide.append(divergence(table.language.log_q(), table.language.induced(None)))
        yield from _exact(name, table, runs, draws, 1_000 if quick else 20_000)
        yield from _populations(name, table, populations, runs)
        yield from _engine(name, table, model, format, prompt, 12 if quick else 200)
    yield Figure(NAME, "grammars that masking bends by more than 0.01 nats", sum(kl > 0.01 for kl in wide), None, None,
                 "grammars", len(wide), f"of {len(wide)}")  # fmt: skip
    yield from _free(model, 12 if quick else 200)
    yield from _peer(20 if quick else 400)


# -- what is known exactly --------------------------------------------------------------------------------------------


def _exact(name: str, table: Table, runs: int, draws: int, most: int) -> Iterator[Figure]:
    language = table.language
    log_q = language.log_q()
    truth = {language.spelling(number): language.log_c[number] for number in range(len(language))}
    masking = divergence(log_q, language.induced(None))
    marks = (1, 10, 25, 50, 100, draws)
    for unseen in UNSEEN:
        curves = []
        for run in range(runs):
            trie, curve = Trie(unseen), []
            for i in range(1, draws + 1):
                _draw(table, trie, run * 10_000 + i)
                if i in marks:
                    curve.append(divergence(log_q, language.induced(trie)))
            curves.append(curve)
            worst = min(node.log_bound - truth[prefix] for prefix, node in trie.walk())
            if worst < -1e-5:
                raise AssertionError(f"{name}: a bound fell below the truth by {-worst} nats")
        means = [statistics.fmean(curve[i] for curve in curves) for i in range(len(marks))]
        shown = ", ".join(f"{mark}: {mean:.2g}" for mark, mean in zip(marks, means, strict=True))
        note = (
            f"{len(language.leaves)} strings, mass {math.exp(language.log_c[0]):.2g}; mean KL after {shown}; baseline "
            f"masking, {'as published' if unseen == 'bound' else 'as programs use it'}"
        )
        yield Figure(NAME, f"{name}: KL from the truth after {draws} samples, {unseen}", means[-1], masking,
                     masking / max(means[-1], 1e-12), "nats", runs, note)  # fmt: skip
    trie = Trie()
    for i in range(most + 1):
        if i % 50 == 0 and all(_has(trie, language.spelling(leaf)) for leaf in language.leaves):
            last = divergence(log_q, language.induced(trie))
            yield Figure(NAME, f"{name}: KL once all strings were seen", last, masking, masking / max(abs(last), 1e-12),
                         "nats", 1, f"after at most {i} samples")  # fmt: skip
            return
        _draw(table, trie, 10**6 + i)


def _has(trie: Trie, tokens: Sequence[int]) -> bool:
    node = trie.root
    for token in tokens:
        if token not in node.children:
            return False
        node = node.children[token][1]
    return True


def _draw(table: Table, trie: Trie | None, seed: int) -> Any:
    return table.drive(asap(LAST, table, replace(EVEN, seed=seed), trie, end=table.end, limit=256))


# -- what a draw is worth for its rows --------------------------------------------------------------------------------


def _populations(name: str, table: Table, count: int, runs: int) -> Iterator[Figure]:
    """Total variation between the truth and the law of one draw: of a population's, estimated by its mean weights."""
    q = np.exp(table.language.log_q())
    mass = math.exp(table.language.log_c[0])
    masking = _variation(q, np.exp(table.language.induced(None)))
    length = statistics.fmean(_draw(table, None, seed).rows for seed in range(50))
    for method, propose in (("SMC", masked), ("AWRS", rejected)):
        halves = np.zeros((2, len(q)))
        masses, rows, contexts = [], [], []
        for seed in range(count):
            decoder = smc(LAST, table, replace(EVEN, seed=seed), end=table.end, limit=256, particles=PARTICLES,
                          propose=propose)  # fmt: skip
            found = table.drive(decoder)
            weights = np.exp(np.array([one.log_weight for one in found.samples]) - found.log_mass) / PARTICLES
            for one, weight in zip(found.samples, weights, strict=True):
                if weight > 0:
                    halves[seed % 2, table.leaf(one.tokens)] += 2 * weight / count
            masses.append(math.exp(found.log_mass))
            rows.append(found.rows)
            contexts.append(found.contexts)
        error = statistics.stdev(masses) / math.sqrt(count)
        off = (statistics.fmean(masses) - mass) / error
        if abs(off) > 5:
            raise AssertionError(f"{name}: the mean weight of {method} is {off:.1f} standard errors from the mass")
        same = max(1, round(statistics.fmean(contexts) / length))
        early = {unseen: _learned(table, same, runs, unseen) for unseen in UNSEEN}
        value, noise = _variation(q, halves.mean(axis=0)), _variation(*halves) / 2
        note = (
            f"noise {noise:.3f}; {PARTICLES} particles, {statistics.fmean(contexts):.0f} new rows "
            f"({statistics.fmean(rows):.0f} asked); baseline ASAp (mean) after {same} samples, as many rows (bound "
            f"{early['bound']:.3f}); masking {masking:.3f}; mean weight {off:+.1f} standard errors from the mass"
        )
        yield Figure(NAME, f"{name}: total variation of a draw, {method}", value, early["mean"],
                     early["mean"] / max(value, 1e-9), "share", count, note)  # fmt: skip
        if method == "SMC":
            late = {unseen: _learned(table, 200, runs, unseen) for unseen in UNSEEN}
            note = (
                f"bound {late['bound']:.3f}, mean {late['mean']:.3f}, {length:.0f} rows a draw; baseline SMC of "
                f"{PARTICLES} for every draw; masking {masking:.3f}"
            )
            yield Figure(NAME, f"{name}: total variation of the 201st draw, ASAp", late["mean"], value,
                         value / max(late["mean"], 1e-9), "share", runs, note)  # fmt: skip


def _learned(table: Table, samples: int, runs: int, unseen: Unseen) -> float:
    law = np.zeros(len(table.language.leaves))
    for run in range(runs):
        trie = Trie(unseen)
        for i in range(samples):
            _draw(table, trie, run * 10_000 + i)
        law += np.exp(table.language.induced(trie)) / runs
    return _variation(np.exp(table.language.log_q()), law)


def _variation(a: Any, b: Any) -> float:
    return 0.5 * float(np.abs(a - b).sum())


# -- through the engine -----------------------------------------------------------------------------------------------


def _engine(name: str, table: Table, model: Any, format: Format, prompt: list[Message], n: int) -> Iterator[Figure]:
    methods = {method: GrammarAligned(model, format, method) for method in ("asap", "gcd")}
    language, texts = table.real, set(table.texts)
    seconds: dict[str, float] = {}
    GrammarAligned(model, format, "gcd").sample(prompt, 4)  # workers start, the prompt is read
    for method, aligned in methods.items():
        started = time.perf_counter()
        drawn = aligned.sample(prompt, n)
        seconds[method] = time.perf_counter() - started
        outside = [one.text for one in drawn if one.text not in texts]
        if outside:
            raise AssertionError(f"{name}: {method} drew {outside[0]!r}, which is not of the grammar")
    truth = {language.spelling(number): language.log_c[number] for number in range(len(language))}
    trie = methods["asap"].trie
    worst = min(node.log_bound - truth[prefix] for prefix, node in trie.walk())
    if worst < -1e-4:
        raise AssertionError(f"{name}: a bound fell below the truth by {-worst} nats")
    log_q = language.log_q()
    value, baseline = divergence(log_q, language.induced(trie)), divergence(log_q, language.induced(None))
    yield Figure(NAME, f"{name}: KL in the engine after {n} samples", value, baseline, baseline / max(value, 1e-12),
                 "nats", n, "all samples of both in the grammar, all bounds above the truth")  # fmt: skip
    yield Figure(NAME, f"{name}: samples a second in the engine", n / seconds["asap"], n / seconds["gcd"],
                 seconds["gcd"] / seconds["asap"], "1/s", n, "baseline masking alone, the same rows")  # fmt: skip


def _free(model: Any, n: int) -> Iterator[Figure]:
    """Samples of the second half: what ASAp knows by then."""
    format, prompt = FREE
    late: dict[str, Any] = {}
    lengths: dict[str, float] = {}
    for name in ("gcd", *UNSEEN):
        method = "gcd" if name == "gcd" else "asap"
        unseen = "bound" if name == "gcd" else name
        aligned = GrammarAligned(model, format, method, unseen=unseen, max_tokens=64)
        aligned.sample(prompt, n // 2)
        second = aligned.sample(prompt, n - n // 2)
        late[name] = np.array([one.logprob for one in second])
        lengths[name] = statistics.fmean(len(one.tokens) for one in second)
    dice = np.random.default_rng(0)
    for unseen in UNSEEN:
        a, b = late[unseen], late["gcd"]
        gaps = [dice.choice(a, len(a)).mean() - dice.choice(b, len(b)).mean() for _ in range(2000)]
        low, high = np.quantile(gaps, [0.025, 0.975])
        note = (
            f"samples {n // 2 + 1} to {n}, {lengths[unseen]:.1f} tokens; baseline masking, {lengths['gcd']:.1f}; "
            f"difference {low:+.2f} to {high:+.2f} (95 %, bootstrap)"
        )
        yield Figure(NAME, f"free-form json: mean log P of a sample, {unseen}", float(a.mean()), float(b.mean()), None,
                     "nats", len(a), note)  # fmt: skip


def _peer(runs: int) -> Iterator[Figure]:
    """AWRS of genlm-control and ours over one table: how near the mean weight comes to the mass, and its scatter."""
    table, laws = _toy()
    mass = math.exp(table.language.log_c[0])
    asked = {"texts": table.texts, "laws": laws, "particles": PARTICLES, "runs": runs}
    found = run_peer("genlm_awrs.py", json.dumps(asked), timeout=300)
    ours = []
    for seed in range(runs):
        decoder = smc(LAST, table, replace(EVEN, seed=seed), end=table.end, limit=64, particles=PARTICLES,
                      propose=rejected)  # fmt: skip
        ours.append(math.exp(table.drive(decoder).log_mass) / mass)
    note = f"{PARTICLES} particles, 1 is unbiased; standard error {statistics.stdev(ours) / math.sqrt(runs):.3f}"
    if found is None:
        yield Figure(NAME, "AWRS: mean weight over the mass", statistics.fmean(ours), None, None, "ratio", runs,
                     f"{note}; peer genlm-control not here (make peers)")  # fmt: skip
        return
    theirs = [weight / mass for weight in found["weights"]]
    note += (
        f"; baseline genlm-control {found['version']}, standard error {statistics.stdev(theirs) / math.sqrt(runs):.3f}"
    )
    yield Figure(NAME, "AWRS: mean weight over the mass", statistics.fmean(ours), statistics.fmean(theirs), None,
                 "ratio", runs, note)  # fmt: skip


def _toy() -> tuple[Table, dict[str, dict[str, float]]]:
    """Seven texts over four letters under random conditionals, one token a letter; also as plain data."""
    letters, texts = "abcd", ["ab", "abc", "ba", "bb", "c", "dd", "dddd"]
    end = len(letters) + 1
    language = Language()
    numbers = {"": language.add(-1, -1, False)}
    for prefix in sorted({text[:n] for text in texts for n in range(1, len(text) + 1)}):
        numbers[prefix] = language.add(numbers[prefix[:-1]], letters.index(prefix[-1]) + 1, False)
    for text in texts:
        language.add(numbers[text], end, True)
    dice = np.random.default_rng(5)
    laws = np.full((len(language), end + 1), -np.inf)
    for number in numbers.values():
        raw = 1.5 * dice.standard_normal(end)
        laws[number, 1:] = raw - np.logaddexp.reduce(raw)
    names = [*letters, ""]  # the end is the empty text
    data = {text: dict(zip(names, laws[number, 1:].tolist(), strict=True)) for text, number in numbers.items()}
    language.log_p = np.array([0.0, *[laws[language.parents[i], language.tokens[i]] for i in range(1, len(language))]])
    language.measure()
    return Table(language, laws, end, texts), data
