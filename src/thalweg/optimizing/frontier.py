"""`frontier`: what each strategy is worth: its score beside its price on the same examples, and which are dominated.

Choose it before paying for a strategy: several of them cost ten times a plain question and some lose to it. A row is
dominated where another one costs no more and scores no less, and is better in one of the two; the rest are the Pareto
set. Intervals are over examples; that one row dominates another may still be chance. Source: Nori et al. 2024, "From
Medprompt to o1: exploration of run-time strategies for medical challenge problems". Cost: every strategy once on every
example; calls that were answered before come from the cache and are priced as if they had not.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from thalweg.errors import DataError, SearchError
from thalweg.optimizing.comparison import Comparison, Estimate, compared, estimate
from thalweg.optimizing.example import Example, examples_of
from thalweg.optimizing.metric import Metric, exact_match, judged
from thalweg.program import Learned
from thalweg.program.budget import metered
from thalweg.program.journal import inside, scope_in_force
from thalweg.program.session import current, store_in_force
from thalweg.scheduling.cost import CostModel, Prices

Cost = Literal["tokens", "calls", "seconds", "money"]


@dataclass(frozen=True)
class FrontierRow:
    """One strategy.

    Args:
        score: mean with its interval. calls, tokens, seconds, money: an example, on average; nan where not known.
        dominated: another row costs no more and scores no less. failed: examples that ended in an error, which score 0.
        versus: paired comparison with the first row; None for itself.
    """

    name: str
    score: Estimate
    calls: float
    tokens: float
    seconds: float = math.nan
    money: float = math.nan
    dominated: bool = False
    failed: int = 0
    versus: Comparison | None = None
    scores: tuple[float, ...] = ()


@dataclass(frozen=True)
class Frontier:
    """Strategies by price. `rows` are as given; `points` are those that none dominates, the cheapest first.

    Args:
        seconds: how they were told: ``predicted`` by a cost model, or ``measured`` (with other work, caches and all).
    """

    rows: tuple[FrontierRow, ...]
    cost: Cost
    function: str
    n: int
    seconds: str = "measured"

    @property
    def points(self) -> list[FrontierRow]:
        return sorted((row for row in self.rows if not row.dominated), key=lambda row: getattr(row, self.cost))

    def text(self) -> str:
        """The table for people; ``*`` marks the Pareto set."""
        wide = max(len(row.name) for row in self.rows)
        priced = any(not math.isnan(row.money) for row in self.rows)
        lines = [
            f"strategies of `{self.function}` on {self.n} examples; * is not dominated by {self.cost}",
            f"  {'':<{wide}}  score [95 %]           calls   tokens  ms {self.seconds}{'   money' if priced else ''}",
        ]
        for row in self.rows:
            money = f"  {row.money:.6f}" if priced else ""
            beside = f"  {row.versus.difference.mean:+.3f} {_chance(row.versus)}" if row.versus is not None else ""
            failed = f"  {row.failed} failed" if row.failed else ""
            lines.append(
                f"{' ' if row.dominated else '*'} {row.name:<{wide}}  {row.score}  {row.calls:>6.1f} "
                f"{row.tokens:>8.0f}  {1000 * row.seconds:>8.1f}{money}{beside}{failed}"
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Draw score against cost with the Pareto set joined; the file's ending says the format."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4.5), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for row in self.rows:
            x, y = getattr(row, self.cost), row.score.mean
            colour = "#999999" if row.dominated else "#1f6feb"
            spread = [[y - row.score.low], [row.score.high - y]]
            axes.errorbar([x], [y], yerr=spread, fmt="o", color=colour, capsize=3, linewidth=1)
            axes.annotate(row.name, (x, y), xytext=(6, 4), textcoords="offset points", fontsize=8, color=colour)
        axes.plot(
            [getattr(row, self.cost) for row in self.points], [row.score.mean for row in self.points],
            color="#1f6feb", linewidth=1, drawstyle="steps-post",
        )  # fmt: skip
        if all(getattr(row, self.cost) > 0 for row in self.rows):
            axes.set_xscale("log")
        axes.set_xlabel(f"{self.cost} an example")
        axes.set_ylabel("score, 95 % interval")
        axes.set_title(f"{self.function}, {self.n} examples", fontsize=10)
        axes.grid(alpha=0.3)
        target = Path(path)
        figure.savefig(target)
        return target

    def to_json(self) -> list[dict[str, Any]]:
        """A dict for each row; numbers that are not known are None."""
        return [
            {key: None if value != value else value for key, value in asdict(row).items() if key != "scores"}
            for row in self.rows
        ]


def frontier(
    strategies: Mapping[str, Any] | Sequence[Any],
    data: Any,
    function: Learned[..., Any],
    *,
    metric: Metric = exact_match,
    cost: Cost = "tokens",
    label: str | None = None,
    costs: CostModel | None = None,
    prices: Prices | None = None,
    failure_score: float = 0.0,
) -> Frontier:
    """Score and price strategies of one function on the same examples.

    Args:
        strategies: by name, or a list (named by themselves): strategies, None for plain calls, or learned functions
            that stand for `function`. The first is what the others are compared with.
        data: labelled examples, as `examples_of` takes them. label: column of the right answer.
        metric: ``metric(example, output)``. cost: by which rows dominate each other.
        costs: predicts seconds from tokens (`CostModel`); without it they are measured. prices: give money.

    Raises:
        SearchError: no strategies, or the first fails on every example. DataError: examples that do not fit, or
            ``cost="money"`` without `prices`.
    """
    named = _named(strategies)
    if not named:
        raise SearchError("There are no strategies to compare.", "Give at least one, or None for plain calls.")
    if cost == "money" and prices is None:
        raise DataError("Money is asked for and no prices are known.", "Give `prices=Prices(in_=..., out=...)`.")
    names = [one.name for one in function.signature.inputs]
    examples = examples_of(data, label=label, names=names)
    session = current()
    scope = scope_in_force(store_in_force(session) if session.journal is not False else None)
    place = scope.child(scope.begin("frontier").path)
    rows: list[FrontierRow] = []
    for name, strategy in named.items():
        asked = strategy if isinstance(strategy, Learned) else function
        if not isinstance(strategy, Learned) and strategy is not None:
            asked = function.using(strategy=strategy)
        row = _row(name, asked, examples, names, metric, failure_score, place, costs, prices)
        rows.append(replace(row, versus=compared(rows[0].scores, row.scores)) if rows else row)
    points = [(getattr(row, cost), row.score.mean) for row in rows]
    marked = [replace(row, dominated=one) for row, one in zip(rows, dominated(points), strict=True)]
    return Frontier(tuple(marked), cost, function.name, len(examples), "predicted" if costs else "measured")


def dominated(points: Sequence[tuple[float, float]]) -> list[bool]:
    """For each (cost, score): whether another point costs no more and scores no less, and differs in one of them."""
    return [
        any(cost <= mine and score >= reached and (cost, score) != (mine, reached) for cost, score in points)
        for mine, reached in points
    ]


def _row(
    name: str, asked: Learned[..., Any], examples: Sequence[Example], names: Sequence[str], metric: Callable[..., Any],
    failure_score: float, place: Any, costs: CostModel | None, prices: Prices | None,
) -> FrontierRow:  # fmt: skip
    started = time.perf_counter()
    with metered(place, f"{place.path}{name}") as (here, _):
        here.answers = []
        begun = []
        for index, one in enumerate(examples):
            with inside(here.child(f"{here.path}{index}")):
                begun.append(asked.submit(**one.inputs(names)))
        scores, errors = [], []
        for one, value in zip(examples, begun, strict=True):
            try:
                scores.append(judged(metric, one, value.result(), lambda: ()).value)
            except Exception as error:
                errors.append(error)
                scores.append(failure_score)
    if len(errors) == len(examples):
        raise SearchError(
            f"The strategy {name!r} of `{asked.name}` fails on every one of {len(examples)} examples; first: "
            f"{type(errors[0]).__name__}: {errors[0]}",
            "Try it on one example by hand.",
        ) from errors[0]
    n = len(examples)
    usages = [answer.usage for _, answer in here.answers]
    seconds = time.perf_counter() - started
    if costs is not None:
        seconds = math.fsum(
            costs.of_call(one.prompt_tokens, one.output_tokens, cached=one.cached_tokens) for one in usages
        )
    money = math.nan
    if prices is not None:
        money = math.fsum(prices(one.prompt_tokens, one.output_tokens, one.cached_tokens) for one in usages)
    return FrontierRow(
        name, estimate(scores), len(usages) / n, here.tokens / n, seconds / n, money / n, failed=len(errors),
        scores=tuple(scores),
    )  # fmt: skip


def _named(strategies: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    if isinstance(strategies, Mapping):
        return dict(strategies)
    made: dict[str, Any] = {}
    for one in strategies:
        name = "direct" if one is None else one.name
        count = sum(known == name or known.startswith(f"{name} ") for known in made)
        made[f"{name} {count + 1}" if count else name] = one
    return made


def _chance(one: Comparison) -> str:
    return f"[{one.difference.low:+.3f}, {one.difference.high:+.3f}]"
