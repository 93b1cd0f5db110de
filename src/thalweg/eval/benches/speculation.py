"""Measuring drafters: the same answers with and without guesses, in turns, and what the guesses brought.

Shared by the benches of all drafters. Four things are reported of each: whether every answer is, token for token, that
of plain decoding; mean accepted tokens a pass (MAT), which does not depend on the machine; rows a pass; and wall-clock
against plain decoding of the same engine, in turns, under the measured cost of rows. Beside them the cost curve, and
the fastest plain engine, because a layout made for guessing is not always the quickest without guesses.
Source: the measures of Spec-Bench, Xia et al. 2024, "Unlocking efficiency in large language model inference".
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.decoding.budget import Budget, Guesses
from thalweg.decoding.drafters.draft import Drafter, Verified
from thalweg.decoding.drive import drive
from thalweg.decoding.generate import generate
from thalweg.decoding.speculate import Speculation, speculate
from thalweg.errors import ModelError
from thalweg.eval.benchmark import Figure
from thalweg.models.request import Message, Sampling

GREEDY = Sampling()
PLAIN = "plain"


class Free:
    """A constraint that allows every token until the end token."""

    uniform = False

    def __init__(self, tokenizer: Any) -> None:
        self.end: int = tokenizer.end
        self.every = np.ones(tokenizer.size, np.bool_)

    def start(self) -> _FreeState:
        return _FreeState(self)


class _FreeState:
    def __init__(self, free: Free, done: bool = False) -> None:
        self._free, self.done = free, done

    def forced(self) -> list[int]:
        return []

    def allowed(self) -> NDArray[np.bool_]:
        return self._free.every

    def advance(self, token: int) -> None:
        self.done = token == self._free.end

    def shortest(self, allowed: Any, logits: Any) -> int:
        return self._free.end

    def fork(self) -> _FreeState:
        return _FreeState(self._free, self.done)


@dataclass(frozen=True)
class Prompt:
    """A prompt as tokens, and what kind it is."""

    kind: str
    tokens: list[int]


@dataclass(frozen=True)
class Run:
    """One answer of one drafter. `seconds` and `cpu` (of the process) are without reading the prompt."""

    kind: str
    tokens: list[int]  # without the end token
    written: int  # with it
    passes: int
    rows: int
    seconds: float
    cpu: float
    identical: bool
    plain_seconds: float
    plain_cpu: float


@dataclass
class Measured:
    """All answers of one drafter; `kind` picks prompts."""

    name: str
    runs: list[Run] = field(default_factory=list)

    def of(self, kinds: Iterable[str]) -> Measured:
        """The runs of these kinds only."""
        chosen = set(kinds)
        return Measured(self.name, [run for run in self.runs if run.kind in chosen])

    @property
    def identical(self) -> float:
        """Share of answers that equal plain decoding's token for token."""
        return sum(run.identical for run in self.runs) / len(self.runs)

    @property
    def mat(self) -> float:
        """Mean accepted tokens a pass, the model's own token included: 1 without guesses."""
        return sum(run.written for run in self.runs) / sum(run.passes for run in self.runs)

    @property
    def rows(self) -> float:
        """Rows a pass."""
        return sum(run.rows for run in self.runs) / sum(run.passes for run in self.runs)

    @property
    def speed(self) -> float:
        """Wall-clock of plain decoding over that of this drafter: above 1 is faster."""
        return sum(run.plain_seconds for run in self.runs) / sum(run.seconds for run in self.runs)

    @property
    def cpu_speed(self) -> float:
        """The same in processor time, which other work on the machine disturbs less."""
        return sum(run.plain_cpu for run in self.runs) / sum(run.cpu for run in self.runs)


def rendered(scorer: Any, texts: Iterable[tuple[str, str]]) -> list[Prompt]:
    """(kind, what the user says) as chat prompts of the scorer's model."""
    from thalweg.models.chat import render_chat

    tokenizer = scorer.tokenizer
    template, special = tokenizer.chat_template, getattr(tokenizer, "special_tokens", {})
    return [
        Prompt(kind, tokenizer.encode(render_chat([Message("user", text)], template, special), special=True))
        for kind, text in texts
    ]


def measure(
    scorer: Any,
    drafters: Mapping[str, Drafter],
    prompts: Sequence[Prompt],
    *,
    limit: int = 128,
    size: int | Mapping[str, int] = 0,
    max_rows: int = 0,
    sampling: Sampling = GREEDY,
    budgets: dict[str, Budget] | None = None,
) -> dict[str, Measured]:
    """Write every prompt's answer plainly and then with each drafter.

    Drafters keep what they learn from prompt to prompt (pass the same ones again for a warm measurement).

    Args:
        limit: most tokens of an answer.
        size: nodes of every draft (of each drafter); 0 lets the budget decide by the measured cost of rows.
        max_rows: most rows of a pass; 0: what the scorer takes in one.
        sampling: how tokens are drawn; greedily if nothing is said.
        budgets: filled with each drafter's budget; those in it go on being used.
    """
    free = Free(scorer.tokenizer)
    budgets = {} if budgets is None else budgets
    for name in drafters:
        if name not in budgets:
            nodes = size if isinstance(size, int) else size.get(name, 0)
            budgets[name] = Budget(scorer.cost, max_rows=max_rows or scorer.capabilities.max_rows, size=nodes)
    scorer.cost(1)
    measured = {name: Measured(name) for name in drafters}
    for prompt in prompts:
        plain, _, plain_seconds, plain_cpu = write(scorer, prompt.tokens, free, limit=limit, sampling=sampling)
        for name, drafter in drafters.items():
            tokens, counts, seconds, cpu = write(
                scorer, prompt.tokens, free, drafter, budgets[name], limit=limit, sampling=sampling
            )
            measured[name].runs.append(
                Run(
                    prompt.kind, tokens, counts.tokens, counts.passes, sum(counts.rows), seconds, cpu, tokens == plain,
                    plain_seconds, plain_cpu,
                )
            )  # fmt: skip
    return measured


def write(
    scorer: Any,
    prompt: Sequence[int],
    free: Free,
    drafter: Drafter | None = None,
    budget: Budget | None = None,
    *,
    limit: int,
    sampling: Sampling = GREEDY,
) -> tuple[list[int], Speculation, float, float]:
    """One answer, plain without a drafter. Returns tokens, counts, seconds and processor seconds."""
    settings: dict[str, Any] = {"end": scorer.tokenizer.end, "limit": limit, "reserve": 1}
    counts = Speculation()
    prefix = scorer.open(prompt[:-1])
    try:
        started, cpu = time.perf_counter(), time.process_time()
        if drafter is None or budget is None:
            decoder = generate(prompt[-1], free, sampling, **settings)
        else:
            guesses = Guesses(drafter.start(prompt, scorer), budget)
            decoder = speculate(prompt, free, sampling, guesses=guesses, speculation=counts, **settings)
        made = drive(decoder, scorer, prefix)
        return made.tokens, counts, time.perf_counter() - started, time.process_time() - cpu
    finally:
        scorer.close(prefix)


def replay(drafter: Drafter, scorer: Any, prompt: Sequence[int], answer: Sequence[int], size: int) -> tuple[int, int]:
    """Passes and rows a drafter would take to write a known answer, without the model.

    Only for drafters that learn from the text alone: with identical answers it counts what a real run would.
    """
    nothing = np.empty(0, np.float32)
    drafting = drafter.start(prompt, scorer)
    known, passes, rows, total = list(prompt), 0, 0, len(prompt) + len(answer)
    while len(known) < total:
        draft = drafting.propose(known, size).prune(size)
        accepted: list[int] = []
        node = -1
        while len(known) + len(accepted) < total - 1:
            node = draft.child(node, answer[len(known) + len(accepted) - len(prompt)])
            if node < 0:
                break
            accepted.append(node)
        begin = len(known) - len(prompt)
        written = list(answer[begin : begin + len(accepted) + 1])
        drafting.observe(Verified(draft, nothing, [nothing] * len(draft), accepted, written))
        known += written
        passes += 1
        rows += 1 + len(draft)
    drafting.finish(known)
    return passes, rows


def replayed_mat(
    drafter: Drafter, scorer: Any, prompts: Sequence[Prompt], answers: Sequence[Sequence[int]], size: int
) -> list[float]:
    """Mean accepted tokens a pass for each known answer (see `replay`), in order, with one drafter."""
    return [
        len(answer) / replay(drafter, scorer, prompt.tokens, answer, size)[0]
        for prompt, answer in zip(prompts, answers, strict=True)
        if answer
    ]


def plain_answers(scorer: Any, prompts: Sequence[Prompt], *, limit: int) -> list[list[int]]:
    """The answers of plain decoding, the end token included where the model wrote it."""
    free = Free(scorer.tokenizer)
    answers = []
    for prompt in prompts:
        tokens = write(scorer, prompt.tokens, free, limit=limit)[0]
        answers.append(tokens if len(tokens) == limit - 1 else [*tokens, scorer.tokenizer.end])
    return answers


def figures(bench: str, measured: Mapping[str, Measured], *, suffix: str = "", baseline: str = PLAIN) -> list[Figure]:
    """Identity, MAT, rows and wall-clock of each drafter; `baseline` names the drafter MAT is compared with."""
    found = []
    rival = measured[baseline].mat if baseline in measured else 1.0
    against = baseline if baseline in measured else "no guesses"
    for name, of in measured.items():
        n, label = len(of.runs), f"{name}{suffix}"
        kinds = dict.fromkeys(run.kind for run in of.runs)
        by_kind = ", ".join(f"{kind} {of.of([kind]).mat:.2f}" for kind in kinds)
        found += [
            Figure(bench, f"{label}: answers equal to plain decoding's", of.identical, 1.0, of.identical, "share", n),
            Figure(
                bench, f"{label}: tokens a pass (MAT)", of.mat, rival, of.mat / rival, "tokens", n,
                f"baseline: {against}; by kind: {by_kind}",
            ),
            Figure(bench, f"{label}: rows a pass", of.rows, 1.0, None, "rows", n),
            Figure(
                bench, f"{label}: seconds of decoding", sum(run.seconds for run in of.runs),
                sum(run.plain_seconds for run in of.runs), of.speed, "s", n,
                f"baseline: plain decoding of the same engine, in turns; ratio in processor time {of.cpu_speed:.2f}; "
                f"by kind: {', '.join(f'{kind} {of.of([kind]).speed:.2f}' for kind in kinds)}",
            ),
        ]  # fmt: skip
    return found


def curve_figures(bench: str, scorer: Any) -> list[Figure]:
    """What passes cost here: seconds by rows, and how many accepted tokens a pass of so many rows needs to pay."""
    one = scorer.cost(1)
    return [
        Figure(
            bench, f"cost of a pass of {rows} rows", scorer.cost(rows), one, None, "s", 3,
            f"baseline: one row; pays above {scorer.cost(rows) / one:.1f} tokens a pass",
        )
        for rows in (2, 4, 8, 16, 32)
        if rows <= scorer.capabilities.max_rows
    ]  # fmt: skip


def fastest_plain(bench: str, scorer: Any, prompts: Sequence[Prompt], name: str, *, limit: int) -> list[Figure]:
    """Plain decoding of this engine against the fastest plain one of the same model (``load(name)``), in turns."""
    from thalweg.models import load

    model: Any = load(name, threads=1)
    other = getattr(model, "scorer", model)
    try:
        free, own, theirs, count = Free(scorer.tokenizer), 0.0, 0.0, 0
        for prompt in prompts:
            tokens, _, seconds, _ = write(scorer, prompt.tokens, free, limit=limit)
            others, _, seconds_other, _ = write(other, prompt.tokens, free, limit=limit)
            own, theirs, count = (
                own + seconds / max(1, len(tokens)),
                theirs + seconds_other / max(1, len(others)),
                count + 1,
            )
    finally:
        other.free()
    return [
        Figure(
            bench, "plain tokens a second of this engine", count / own, count / theirs, theirs / own, "tokens/s", count,
            f"baseline: {other.name}, the fastest plain engine here, one answer at a time",
        )
    ]  # fmt: skip


def demand_identity(bench: str, *all_measured: Mapping[str, Measured]) -> None:
    """Lossless is lossless: raise where an answer differs.

    Raises:
        ModelError: an answer with guesses is not that of plain decoding.
    """
    for measured in all_measured:
        for name, of in measured.items():
            wrong = sum(not run.identical for run in of.runs)
            if wrong:
                raise ModelError(
                    f"{bench}: {wrong} of {len(of.runs)} answers with {name} differ from plain decoding's.",
                    "Report it with the model and its format: the engine or the loop is at fault.",
                )


def tree_scorer(spec: str = "tree:smollm2-135m:q8_0", *, context: int = 1024, anew: bool = False) -> Any:
    """The packaged model laid out for trees, one thread (threads that spin cost tenfold on a busy machine).

    `anew` measures what rows cost again: a curve from a busier moment misleads the budget.
    """
    from thalweg.models import cost, load

    model: Any = load(spec, context=context, threads=1)
    scorer = getattr(model, "scorer", model)
    if anew:
        cost.curve(scorer, anew=True)
    return scorer
