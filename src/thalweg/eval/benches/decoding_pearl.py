"""Does it pay that a draft model and its target compute at the same time? PEARL, with one core for each model.

Two pairs of the packaged model: F32 with its Q8_0 as draft (right nearly always, and 2 to 3 times cheaper),
and Q8_0, whose rows are exact, with a Q4_0 that differs more. Baselines in the same run, in turns, prompt by prompt:
plain decoding, speculative decoding with the best of several block lengths (each model one core, and both cores for
each in turn), and the fastest plain backend, which is the draft's own format. Where the target's rows are exact the
bench fails unless every method writes the tokens of plain decoding; for F32 it counts, and says how near the two
likeliest tokens were. A simulation, fed with the measured seconds and acceptance, is compared with what was measured,
and then asked what a machine would give on which rows cost nothing. Two cores, an otherwise idle machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from thalweg.decoding import Budget, Guesses, Speculation, constraint_for, drive, generate, speculate
from thalweg.decoding.drafters.draft_model import DraftModel, Follower
from thalweg.decoding.pearl import Pearl
from thalweg.decoding.pearl_simulation import simulate
from thalweg.decoding.pearl_stats import PearlStats
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models import load
from thalweg.models.request import Format, Sampling

NAME = "decoding.pearl"
PAIRS = (("f32", "q8_0"), ("q8_0", "q4_0"))
EXACT = "q8_0"
PAPER_RATIO = 5  # of speeds: CodeLlama 70B and 7B, blocks of five
PROMPTS = (
    "Write a short story about a river that forgot its way.",
    "Explain to a child how a bicycle stays upright.",
    "Give me a Python function that reverses a list.",
    "What should one pack for a week in the mountains?",
    "Summarise: The council met on Monday to talk about the bridge. It will be closed in May for repairs.",
    "Translate into French: The train leaves at nine in the morning.",
)


def benchmark(quick: bool) -> Benchmark:
    question = "Does it pay that a draft model and its target compute at the same time?"
    return Benchmark(NAME, question, lambda: list(_run(quick)))


def _run(quick: bool) -> Iterator[Figure]:
    prompts, tokens, gammas = (PROMPTS[:1], 32, (3,)) if quick else (PROMPTS, 96, tuple(range(2, 9)))
    for target, draft in PAIRS:
        yield from _pair(target, draft, prompts, tokens, gammas)
    yield from _paper()


# -- one pair -----------------------------------------------------------------------------------------------------


@dataclass
class _Method:
    """Writes the answers to all prompts: the tokens of each, and the seconds without reading the prompt."""

    write: Callable[[list[int]], tuple[list[int], float]]
    threads: int = 1
    answers: list[list[int]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return sum(map(len, self.answers)) / self.seconds


def _pair(of: str, by: str, prompts: Sequence[str], tokens: int, gammas: Sequence[int]) -> Iterator[Figure]:
    target = load(f"tree:smollm2-135m:{of}", streams=1, context=1024, threads=1)
    draft = load(f"tree:smollm2-135m:{by}", streams=1, context=1024, threads=1)
    try:
        yield from _measure(f"{of} by {by}", target, draft, prompts, tokens, gammas, exact=of == EXACT)
    finally:
        target.free()
        draft.free()


def _measure(
    pair: str, target: Any, draft: Any, prompts: Sequence[str], tokens: int, gammas: Sequence[int], *, exact: bool
) -> Iterator[Figure]:
    ratio = max(1, round(target.cost(1) / draft.cost(1)))
    runs: dict[str, list[PearlStats]] = {"ratio": [], "auto": []}
    fixed, auto = Pearl(target, draft, gamma=ratio), Pearl(target, draft, gamma="auto")
    methods = {
        "plain": _Method(_plain(target, tokens)),
        "draft alone": _Method(_plain(draft, tokens)),
        "PEARL": _Method(_pearl(fixed, tokens, runs["ratio"])),
        "PEARL auto": _Method(_pearl(auto, tokens, runs["auto"])),
        "plain, both cores": _Method(_plain(target, tokens), threads=2),
    }
    for gamma in gammas:
        methods[f"SD {gamma}"] = _Method(_speculative(target, draft, gamma, tokens))
        methods[f"SD {gamma}, both cores"] = _Method(_speculative(target, draft, gamma, tokens), threads=2)
    for text in prompts:
        prompt = target.tokenizer.encode(f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n", special=True)
        for scorer in (target, draft):
            scorer.close(scorer.open(prompt))  # read by none of the methods: its cells are found in the cache
        for method in methods.values():
            for scorer in (target, draft):
                scorer.use_threads(method.threads)
            answer, seconds = method.write(prompt)
            method.answers.append(answer)
            method.seconds += seconds
    for scorer in (target, draft):
        scorer.use_threads(1)
    for pearl in (fixed, auto):
        pearl.close()
    yield _identity(pair, target, methods, prompts, exact=exact)
    yield from _speeds(pair, methods, gammas, ratio)
    yield from _work(pair, runs["ratio"], runs["auto"])
    yield _simulated(pair, runs["ratio"], ratio, methods["PEARL"].rate)
    yield _sampled(pair, target, draft, prompts, tokens)


def _speeds(pair: str, methods: dict[str, _Method], gammas: Sequence[int], ratio: int) -> Iterator[Figure]:
    single = max(gammas, key=lambda gamma: methods[f"SD {gamma}"].rate)
    double = max(gammas, key=lambda gamma: methods[f"SD {gamma}, both cores"].rate)
    rivals = {
        "plain": (methods["plain"], "plain decoding, one core"),
        "SD": (methods[f"SD {single}"], f"speculative decoding, one core each, best gamma {single}"),
        "SD, both cores": (methods[f"SD {double}, both cores"], f"speculative decoding, best gamma {double}"),
        "plain, both cores": (methods["plain, both cores"], "plain decoding with both cores"),
        "draft alone": (methods["draft alone"], "the draft's format decoding plainly: the fastest plain backend"),
    }
    for name, gamma in (("PEARL", ratio), ("PEARL auto", "auto")):
        rate = methods[name].rate
        for rival, (method, note) in rivals.items():
            yield Figure(
                NAME, f"{pair}: {name} against {rival}", rate, method.rate, rate / method.rate, "tokens/s",
                len(method.answers), f"gamma {gamma}; baseline: {note}",
            )  # fmt: skip


def _work(pair: str, fixed: list[PearlStats], auto: list[PearlStats]) -> Iterator[Figure]:
    for name, runs in (("PEARL", fixed), ("PEARL auto", auto)):
        ticks, tested = sum(run.ticks for run in runs), max(1, sum(run.tested for run in runs))
        seconds = sum(run.seconds for run in runs)
        pre = sum(run.pre for run in runs)
        yield Figure(NAME, f"{pair}: {name}, tokens a tick", sum(run.tokens for run in runs) / ticks, 1.0,
                     sum(run.tokens for run in runs) / ticks, "tokens", ticks,
                     f"{pre} pre-verify and {ticks - pre} post-verify ticks")  # fmt: skip
        yield Figure(NAME, f"{pair}: {name}, acceptance", sum(run.accepted for run in runs) / tested, None, None,
                     "share", tested, "of the guesses that were tested")  # fmt: skip
        for side in ("target", "draft"):
            idle = sum(getattr(run, f"{side}_idle") * run.seconds for run in runs) / seconds
            yield Figure(
                NAME, f"{pair}: {name}, {side} idle", idle, None, None, "share", ticks, "of the time of the ticks"
            )


def _identity(pair: str, target: Any, methods: dict[str, _Method], prompts: Sequence[str], *, exact: bool) -> Figure:
    plain = methods["plain"].answers
    same = compared = 0
    gaps: list[float] = []
    for name, method in methods.items():
        if name == "draft alone":
            continue
        for text, answer, expected in zip(prompts, method.answers, plain, strict=True):
            compared += 1
            same += answer == expected
            if answer != expected:
                if exact:
                    raise AssertionError(f"{pair}: {name} and plain decoding differ on {text!r}")
                gaps.append(_gap(target, text, answer, expected))
    note = "answers of all methods, against plain decoding"
    if gaps:
        note += f"; where they part, the two likeliest tokens are {max(gaps):.3f} apart at most"
    return Figure(NAME, f"{pair}: same tokens", same / compared, 1.0, same / compared, "share", compared, note)


def _gap(target: Any, text: str, answer: list[int], expected: list[int]) -> float:
    """How far apart the two likeliest tokens are where the answers part, in logits."""
    at = next(i for i, (a, b) in enumerate(zip([*answer, -1], [*expected, -1], strict=False)) if a != b)
    prompt = target.tokenizer.encode(f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n", special=True)
    follower = Follower(target)
    try:
        top = sorted(follower.logits([*prompt, *expected[:at]]))[-2:]
    finally:
        follower.close()
    return float(top[1] - top[0])


# -- methods ------------------------------------------------------------------------------------------------------


def _text(tokens: int) -> Format:
    return Format("text", max_chars=8 * tokens)


def _plain(scorer: Any, tokens: int) -> Callable[[list[int]], tuple[list[int], float]]:
    constraint = constraint_for(_text(tokens), scorer.tokenizer)

    def write(prompt: list[int]) -> tuple[list[int], float]:
        decoder = generate(prompt[-1], constraint, Sampling(), end=scorer.tokenizer.end, limit=tokens, reserve=4)
        prefix = scorer.open(prompt[:-1])
        started = time.perf_counter()
        made = drive(decoder, scorer, prefix)
        seconds = time.perf_counter() - started
        scorer.close(prefix)
        return made.tokens, seconds

    return write


def _speculative(
    target: Any,
    draft: Any,
    gamma: int,
    tokens: int,
    sampling: Sampling | None = None,
    counts: Speculation | None = None,
    record: Any = None,
) -> Callable[[list[int]], tuple[list[int], float]]:
    constraint = constraint_for(_text(tokens), target.tokenizer)
    model = DraftModel(draft, length=gamma)
    budget = Budget(target.cost, max_rows=target.capabilities.max_rows, size=gamma)

    def write(prompt: list[int]) -> tuple[list[int], float]:
        drafting = model.start(prompt, target, sampling=sampling)
        decoder = speculate(
            prompt, constraint, sampling or Sampling(), end=target.tokenizer.end, limit=tokens, reserve=4,
            guesses=Guesses(drafting, budget), speculation=counts, record=record,
        )  # fmt: skip
        prefix = target.open(prompt[:-1])
        started = time.perf_counter()
        made = drive(decoder, target, prefix)
        seconds = time.perf_counter() - started
        target.close(prefix)
        return made.tokens, seconds

    return write


def _pearl(pearl: Pearl, tokens: int, runs: list[PearlStats]) -> Callable[[list[int]], tuple[list[int], float]]:
    def write(prompt: list[int]) -> tuple[list[int], float]:
        answer = pearl.generate(prompt, format=_text(tokens), max_tokens=tokens, reserve=4)
        runs.append(answer.stats)
        return list(answer.tokens), answer.stats.seconds

    return write


# -- drawn tokens -------------------------------------------------------------------------------------------------


def _sampled(pair: str, target: Any, draft: Any, prompts: Sequence[str], tokens: int) -> Figure:
    """Which rule keeps more guesses at temperature 1: speculative sampling, or the model's own draw."""
    tested = accepted = 0

    def record(verified: Any) -> None:
        nonlocal tested, accepted
        accepted += len(verified.accepted)
        tested += min(len(verified.accepted) + 1, len(verified.draft))

    runs: list[PearlStats] = []
    with Pearl(target, draft, gamma=4) as pearl:
        for seed, text in enumerate(prompts):
            prompt = target.tokenizer.encode(
                f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n", special=True
            )
            answer = pearl.generate(prompt, format=_text(tokens), max_tokens=tokens, temperature=1.0, seed=seed)
            runs.append(answer.stats)
            sampling = Sampling(1.0, seed=seed)
            _speculative(target, draft, 4, tokens, sampling, record=record)(prompt)
    kept = sum(run.accepted for run in runs) / max(1, sum(run.tested for run in runs))
    own = accepted / max(1, tested)
    return Figure(
        NAME, f"{pair}: acceptance at temperature 1", kept, own, kept / own if own else None, "share",
        sum(run.tested for run in runs),
        "speculative sampling keeps the distribution; baseline: the model's own draw with the draft's random number, "
        "which keeps the tokens",
    )  # fmt: skip


# -- simulation ---------------------------------------------------------------------------------------------------


def _simulated(pair: str, runs: list[PearlStats], gamma: int, rate: float) -> Figure:
    log = [tick for run in runs for tick in run.log]
    by_rows = {rows: [tick.target_seconds for tick in log if tick.rows == rows] for rows in {t.rows for t in log}}
    known = sorted((rows, statistics.mean(seconds)) for rows, seconds in by_rows.items())

    def target(rows: int) -> float:
        return min(known, key=lambda one: abs(one[0] - rows))[1]

    drafted = [tick.draft_seconds / tick.gamma for tick in log if tick.gamma and tick.draft_seconds]
    waits = sum(run.seconds for run in runs) - sum(max(tick.target_seconds, tick.draft_seconds) for tick in log)
    accepted = sum(run.accepted for run in runs) / max(1, sum(run.tested for run in runs))
    played = simulate(
        "pearl", target=target, draft=statistics.mean(drafted), acceptance=accepted, gamma=gamma,
        overhead=waits / len(log),
    )  # fmt: skip
    off = abs(played.rate / rate - 1)
    return Figure(
        NAME, f"{pair}: simulation of PEARL", played.rate, rate, played.rate / rate, "tokens/s", len(log),
        f"simulated with the measured seconds and acceptance; baseline: measured; {100 * off:.0f} % off",
    )  # fmt: skip


def _paper() -> Iterator[Figure]:
    """What devices of their own would give, where a pass over a block costs what one row costs."""
    draft, flat = 1.0, lambda rows: float(PAPER_RATIO)
    plain = 1 / PAPER_RATIO
    for alpha in (0.8, 0.9, 0.95, 0.975):
        played = {
            gamma: simulate("speculative", target=flat, draft=draft, acceptance=alpha, gamma=gamma).rate
            for gamma in range(2, 9)
        }
        best = max(played, key=lambda gamma: played[gamma])
        rate = simulate("pearl", target=flat, draft=draft, acceptance=alpha, gamma=PAPER_RATIO).rate
        yield Figure(
            NAME, f"simulation at the paper's ratio, acceptance {alpha}", rate, played[best], rate / played[best],
            "tokens a draft pass", 20_000,
            f"simulation, not measured: a target {PAPER_RATIO} times slower whatever the rows; baseline: speculative "
            f"decoding, best gamma {best}; with gamma {PAPER_RATIO}: ratio {rate / played[PAPER_RATIO]:.2f}; "
            f"against plain: {rate / plain:.2f}",
        )  # fmt: skip
