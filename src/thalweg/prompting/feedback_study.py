"""Feedback study: does feedback help, or only asking again? One table of success by calls for seven ways of asking.

Run it before a loop of refinement goes into a program: the loop should beat `top-k`, drawing again with the same
checker, and its true feedback should beat a `random` one, at equal calls; and a model that criticises itself should
beat asking once. In its source none of them did. Source: Stechly, Marquez and Kambhampati, 2023, "GPT-4 doesn't know
it's wrong". Cost: an example at most the largest budget in calls for each way; smaller ones are read off the same runs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from thalweg.errors import DataError
from thalweg.program import Learned
from thalweg.program.budget import Budget
from thalweg.program.intervals import wilson_interval
from thalweg.program.session import using
from thalweg.program.signature import row_inputs
from thalweg.program.value import Value
from thalweg.prompting.critic import Critic, SelfCritique, asks_model, review
from thalweg.prompting.refine import Refine
from thalweg.prompting.sample_and_verify import SampleAndVerify

MODES = ("direct", "self", "pass-fail", "first", "all", "random", "top-k")
_FEEDBACK = {"pass-fail": "none", "first": "first", "all": "all", "random": "random"}


@dataclass(frozen=True)
class StudyRow:
    """How many examples one way of asking solved within so many calls.

    Args:
        rate: solved / n. low, high: its 95 % interval (Wilson). calls, tokens: mean an example, within the budget.
    """

    mode: str
    budget: int
    solved: int
    n: int
    rate: float
    low: float
    high: float
    calls: float
    tokens: float


@dataclass(frozen=True)
class Difference:
    """Success of one way minus that of another, paired by example.

    Args:
        mean: in points of 1. low, high: 95 % interval. wins, losses: examples that only one of them solved.
        p_better: chance of so many wins or more if wins and losses were equally likely (exact, one-sided).
        p: the same two-sided (McNemar's exact test).
    """

    mean: float
    low: float
    high: float
    wins: int
    losses: int
    p_better: float
    p: float

    @property
    def within_interval(self) -> bool:
        """Whether no difference is within the interval."""
        return self.low <= 0.0 <= self.high


@dataclass(frozen=True)
class FeedbackStudy:
    """What `feedback_study` found.

    Args:
        rows: one a way and budget. outcomes: whether each example was solved, by (way, budget), in the data's order.
        critiques: the kinds of the model's own critiques, counted. failures: what went wrong, by (way, example).
    """

    rows: tuple[StudyRow, ...]
    outcomes: Mapping[tuple[str, int], tuple[bool, ...]] = field(repr=False)
    critiques: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[tuple[str, int], str] = field(default_factory=dict)

    def row(self, mode: str, budget: int) -> StudyRow:
        """One row. Raises `KeyError`."""
        for one in self.rows:
            if (one.mode, one.budget) == (mode, budget):
                return one
        raise KeyError(f"the study has no row {mode!r} at {budget} calls")

    def difference(self, mode: str, other: str, budget: int) -> Difference:
        """Success of `mode` minus that of `other` at equal calls. Raises `KeyError` for what was not studied."""
        return paired(self.outcomes[mode, budget], self.outcomes[other, budget])

    def text(self) -> str:
        """The table, the comparisons that the study is made for, and the kinds of critiques."""
        budgets = sorted({one.budget for one in self.rows})
        modes = list(dict.fromkeys(one.mode for one in self.rows))
        lines = [f"Solved within so many calls, share of {self.rows[0].n} [95 % interval]", ""]
        cells = [["", *map(str, budgets), "tokens"]]
        for mode in modes:
            found = [self.row(mode, budget) for budget in budgets]
            cells.append(
                [mode, *(f"{r.rate:.2f} [{r.low:.2f}, {r.high:.2f}]" for r in found), f"{found[-1].tokens:.0f}"]
            )
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        last = budgets[-1]
        pairs = [(one, "top-k") for one in modes if one in _FEEDBACK]
        pairs += [(one, "random") for one in ("first", "all")] + [("self", "direct")]
        said = [(a, b, self.difference(a, b, last)) for a, b in pairs if a in modes and b in modes]
        if said:
            lines += ["", f"Paired differences at {last} calls [95 % interval], exact p"]
            lines += [
                f"{a} - {b}: {d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}], p = {d.p:.2g}" for a, b, d in said
            ]  # fmt: skip
        if self.critiques:
            lines += ["", "The model's own critiques"]
            lines += [f"{count:4d}  {kind}" for kind, count in self.critiques.items()]
        if self.failures:
            where, why = next(iter(self.failures.items()))
            lines += ["", f"{len(self.failures)} failed and count as not solved; {where[0]}, example {where[1]}: {why}"]
        return "\n".join(lines)

    def plot(self, path: str | PathLike[str]) -> Path:
        """Success by calls, a line with its interval for each way, as an image. Needs matplotlib."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        drawing = Figure(figsize=(7, 4.5), layout="constrained")
        FigureCanvasAgg(drawing)
        axes = drawing.subplots()
        for mode in dict.fromkeys(one.mode for one in self.rows):
            found = sorted((one for one in self.rows if one.mode == mode), key=lambda one: one.budget)
            budgets = [one.budget for one in found]
            (line,) = axes.plot(budgets, [one.rate for one in found], marker="o", label=mode)
            axes.fill_between(
                budgets, [o.low for o in found], [o.high for o in found], alpha=0.1, color=line.get_color()
            )
        axes.set(xlabel="calls", ylabel="share solved", ylim=(0, 1))
        axes.legend()
        drawing.savefig(path, dpi=120)
        return Path(path)


def feedback_study(
    function: Learned[..., Any],
    data: Iterable[Any],
    *,
    budgets: Sequence[int] = (1, 3, 5, 10, 15),
    critic: Critic = None,
    self_critic: SelfCritique | None = None,
    modes: Sequence[str] = MODES,
    temperature: float = 0.7,
    inner: Any = None,
    together: int = 16,
) -> FeedbackStudy:
    """Ask for every example in each of `modes` and tell success by calls.

    Args:
        function: if its strategy is a `Refine` or `SampleAndVerify`, `critic`, `inner` default to that one's.
        data: rows as `map` takes them. budgets: calls an example, critic's calls included.
        critic: the sound checker, which also judges what the model accepts by itself.
        self_critic: of ``self``; the default names no faults. modes: of `MODES`.
        temperature: of every draw but the first of ``direct``, ``self`` and the loops. inner: strategy of an answer.
        together: examples asked side by side.

    Raises:
        DataError: no data. ValueError: a budget below 1, an unknown mode, no sound critic.
    """
    own = function.own.strategy
    critic = getattr(own, "critic", None) if critic is None else critic
    inner = (own.inner if isinstance(own, Refine | SampleAndVerify) else own) if inner is None else inner
    if critic is None or asks_model(critic):
        raise ValueError("a sound critic is needed, which is not the model: pass critic=check")
    budgets = sorted(set(budgets))
    if not budgets or budgets[0] < 1:
        raise ValueError(f"budgets={list(budgets)}; give numbers of calls from 1 upwards")
    if unknown := [one for one in modes if one not in MODES]:
        raise ValueError(f"mode {unknown[0]!r}; choose from {', '.join(MODES)}")
    names = [one.name for one in function.signature.inputs]
    rows = [function.signature.bind(*row_inputs(names, row, index)) for index, row in enumerate(data)]
    if not rows:
        raise DataError("There is no example to study.", "Pass at least one row.")
    most = budgets[-1]
    itself = self_critic or SelfCritique()
    strategies: dict[str, Any] = {
        "direct": _Once(inner),
        "self": Refine(itself, "all", most, temperature, Budget(calls=most), inner),
        "top-k": SampleAndVerify(critic, most, temperature, inner=inner),
    }
    made: list[StudyRow] = []
    outcomes: dict[tuple[str, int], tuple[bool, ...]] = {}
    critiques: Counter[str] = Counter()
    failures: dict[tuple[str, int], str] = {}
    for mode in modes:
        strategy = strategies.get(mode) or Refine(critic, _FEEDBACK[mode], most, temperature, inner=inner)  # type: ignore
        runs = _run(function.using(strategy=strategy), rows, together)
        judged: list[list[tuple[int, int, bool]]] = []  # by example: (calls, tokens, right) of each answer
        for index, (inputs, run) in enumerate(zip(rows, runs, strict=True)):
            if isinstance(run, BaseException):
                failures[mode, index] = f"{type(run).__name__}: {run}"
                judged.append([])
                continue
            judged.append(_judged(function, critic, inputs, run["tries"], critiques if mode == "self" else None))
        for budget in budgets:
            within = [[one for one in tries if one[0] <= budget] for tries in judged]
            # The model by itself gives what it holds last; a loop with a checker gives what the checker passed.
            right = tuple(bool(w) and w[-1][2] for w in within)
            outcomes[mode, budget] = right
            used = [_used(run, w, budget) for run, w in zip(runs, within, strict=True)]
            low, high = wilson_interval(sum(right), len(rows))
            made.append(StudyRow(
                mode, budget, sum(right), len(rows), sum(right) / len(rows), low, high,
                sum(calls for calls, _ in used) / len(rows), sum(tokens for _, tokens in used) / len(rows),
            ))  # fmt: skip
    return FeedbackStudy(tuple(made), outcomes, dict(critiques.most_common()), failures)


@dataclass(frozen=True)
class _Once:
    """One answer as the function gives it, with the account that loops keep."""

    inner: Any = None
    name: str = "once"

    def solve(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Any:
        return Refine(lambda _inputs, _value: True, rounds=1).solve(ask, inputs)


def paired(ours: Sequence[bool], theirs: Sequence[bool]) -> Difference:
    """Success of one way minus that of another on the same examples, one or more, in the same order."""
    pairs = list(zip(ours, theirs, strict=True))
    wins, losses = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    n = len(pairs)
    mean = (wins - losses) / n
    # Agresti and Min 2005: half an example more in each of the four cells, so that no interval is empty.
    shifted = (wins - losses) / (n + 2)
    error = math.sqrt(max(0.0, (wins + losses + 1) / (n + 2) - shifted**2) / (n + 2))
    low, high = max(-1.0, shifted - 1.96 * error), min(1.0, shifted + 1.96 * error)
    either = wins + losses
    tail = [math.comb(either, k) / 2**either for k in range(either + 1)]
    p_better = min(1.0, sum(tail[wins:]))
    two_sided = min(1.0, 2 * sum(tail[max(wins, losses) :])) if either else 1.0
    return Difference(mean, low, high, wins, losses, p_better, two_sided)


def _run(function: Learned[..., Any], rows: Sequence[Mapping[str, Any]], together: int) -> list[Any]:
    """Details of each row's call, or what it raised; at most `together` at a time."""
    waiting: list[Value[Any]] = []
    found: list[Any] = []

    def settle(value: Value[Any]) -> None:
        try:
            value.result()
        except Exception as problem:
            found.append(problem)
        else:
            found.append(value.details)

    with using(progress=False):
        for row in rows:
            if len(waiting) == together:
                settle(waiting.pop(0))
            waiting.append(function.submit(**row))
        for value in waiting:
            settle(value)
    return found


def _judged(
    function: Learned[..., Any], critic: Critic, inputs: Mapping[str, Any], tries: Sequence[Mapping[str, Any]],
    critiques: Counter[str] | None,
) -> list[tuple[int, int, bool]]:  # fmt: skip
    judged = []
    for one in tries:
        value = function.signature.output.from_json(one["value"])
        truth = review(critic, function, inputs, value)
        judged.append((one["calls"], one["tokens"], truth.passed))
        if critiques is None:
            continue
        what = f"{'passes' if one['passed'] else 'refuses'} a {'right' if truth.passed else 'wrong'} answer"
        if one["faults"] and not truth.passed:
            what += ", naming a real fault" if set(one["faults"]) & set(truth.faults) else ", naming no real fault"
        critiques[what] += 1
    return judged


def _used(run: Any, within: Sequence[tuple[int, int, bool]], budget: int) -> tuple[int, int]:
    """Calls and tokens spent under the budget: all of a run that ended, else what its answers had cost."""
    if isinstance(run, BaseException):
        return 0, 0
    if run["calls"] <= budget:
        return run["calls"], run["tokens"]
    return (within[-1][0], within[-1][1]) if within else (0, 0)
