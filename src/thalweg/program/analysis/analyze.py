"""`analyze`: what a program costs, how long it takes and how wrong it is, for each setting of what may vary.

The program runs once a setting over a model that only counts (see `counting`), so calls and prompt tokens are exact
where they do not depend on what answers say. Seconds come from a `CostModel`, money from `Prices`, errors from a
function of the setting that the caller gives (see `errors`), measured or reasoned. Cost: some 0.2 ms a counted call.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.errors import DataError, FlowError
from thalweg.program.analysis.counting import Counting
from thalweg.program.flow import Flow
from thalweg.program.session import current, model_in_force, using
from thalweg.scheduling.call_graph import CallGraph, CallNode
from thalweg.scheduling.cost import CostModel, Prices

READINGS = ("calls", "prompt", "output", "seconds", "cost", "error")


@dataclass(frozen=True)
class Estimate:
    """One setting.

    Args:
        setting: values of what varies. calls: made. prompt, output: tokens in all. waves: calls in a row.
        sequential, seconds: one call at a time, and with the parallelism asked for; nan without a cost model.
        cost: money; nan without prices. error: nan where none was given.
    """

    setting: dict[str, Any]
    calls: int
    prompt: int
    output: float
    waves: int
    sequential: float
    seconds: float
    cost: float
    error: float
    graph: CallGraph


@dataclass(frozen=True)
class Analysis:
    """Estimates of all settings, in the order they were given."""

    program: str
    rows: tuple[Estimate, ...]
    parallelism: int
    measured: bool  # seconds rest on a profile of this machine

    def table(self) -> str:
        """All settings as text."""
        names = list(self.rows[0].setting)
        head = [
            *names,
            "calls",
            "in a row",
            "prompt",
            "output",
            "one by one",
            f"{self.parallelism} at once",
            "cost",
            "error",
        ]
        lines = [head]
        for one in self.rows:
            lines.append([
                *(str(one.setting[name]) for name in names), str(one.calls), str(one.waves), str(one.prompt),
                f"{one.output:.0f}", _seconds(one.sequential), _seconds(one.seconds), _number(one.cost),
                _number(one.error),
            ])  # fmt: skip
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
        )

    def __str__(self) -> str:
        return self.table()

    def pareto(self, x: str = "cost", y: str = "error") -> tuple[Estimate, ...]:
        """Settings that no other beats in both readings, by rising `x`."""
        for name in (x, y):
            if name not in READINGS:
                raise DataError(f"There is no reading {name!r}.", f"Choose of {', '.join(READINGS)}.")
            self._known(name)
        ordered = sorted(self.rows, key=lambda one: (getattr(one, x), getattr(one, y)))
        found: list[Estimate] = []
        for one in ordered:
            if not found or getattr(one, y) < getattr(found[-1], y):
                found.append(one)
        return tuple(found)

    def best(
        self, *, max_error: float | None = None, max_cost: float | None = None, max_seconds: float | None = None,
        by: str | None = None,
    ) -> Estimate:  # fmt: skip
        """The best setting within bounds: the cheapest, or with `max_cost` the least wrong, or by the reading `by`.

        Raises:
            DataError: no setting is within the bounds.
        """
        bounds = (("error", max_error), ("cost", max_cost), ("seconds", max_seconds))
        by = by or ("error" if max_cost is not None or max_seconds is not None else "cost")
        for name in (by, *(name for name, limit in bounds if limit is not None)):
            self._known(name)
        able = [one for one in self.rows if all(limit is None or getattr(one, name) <= limit for name, limit in bounds)]
        if not able:
            said = ", ".join(f"{name} <= {limit:g}" for name, limit in bounds if limit is not None)
            raise DataError(f"No setting of `{self.program}` has {said}.", "Allow more, or let more vary.")
        return min(able, key=lambda one: getattr(one, by))

    def _known(self, name: str) -> None:
        """Raises `DataError` where a reading was not asked for."""
        if any(math.isnan(getattr(one, name)) for one in self.rows):
            wanted = {"error": "error=", "cost": "prices="}.get(name, "cost=")
            raise DataError(f"The {name} of `{self.program}` is not known.", f"Give {wanted} to `analyze`.")

    def plot(self, path: str | Path, x: str = "cost", y: str = "error") -> Path:
        """Draw `y` against `x` with the Pareto set, as PNG or SVG."""
        from thalweg.program.analysis.plot import plot

        return plot(self, Path(path), x, y)


def analyze(
    program: Any,
    inputs: Mapping[str, Any],
    *,
    vary: Mapping[str, Sequence[Any]] | None = None,
    parallelism: int = 1,
    prices: Prices | None = None,
    cost: CostModel | None = None,
    error: Callable[..., float] | None = None,
    output_tokens: float | Callable[[Any], float] | None = None,
    independent: bool = False,
    run_effects: bool = False,
) -> Analysis:
    """Tokens, calls, latency, money and error of `program` before it runs.

    Args:
        program: a flow or learned function; its plain code runs, its model is not asked.
        inputs: arguments by name. vary: values to try of some of them; all combinations are.
        parallelism: calls at once. prices, cost: for money and seconds.
        error: from the varied values, by name, to the expected error.
        output_tokens: of an answer, or from its `Request`; default the limit of its format, at most max_tokens.
        independent: calls at once do not slow each other (a service); default: they share one engine.
        run_effects: allow programs whose plain code may have effects.

    Raises:
        FlowError: the program may have effects. DataError: a name that is no parameter.
    """
    if isinstance(program, Flow) and program.effects is not None and not run_effects:
        raise FlowError(
            f"Analysing `{program.name}` runs its plain code, which may have effects: {program.effects}",
            "Say run_effects=True if that may happen.",
        )
    names = list(program.signature.parameters if isinstance(program, Flow) else program.signature.parameters.parameters)
    vary = dict(vary or {})
    for name in (*inputs, *vary):
        if name not in names:
            raise DataError(f"`{program.name}` has no parameter {name!r}.", f"It has: {', '.join(names)}.")
    lengths = _lengths(output_tokens)
    model = model_in_force(program.own.over(current()))
    rows = []
    for values in itertools.product(*vary.values()):
        setting = dict(zip(vary, values, strict=True))
        with Counting(model) as counting, using(model=counting, cache=False, journal=False, progress=False):
            program(**{**inputs, **setting})
        graph = counting.graph(lengths)
        rows.append(_estimate(setting, counting, graph, parallelism, prices, cost, error, independent))
    return Analysis(program.name, tuple(rows), parallelism, cost is not None and cost.measured)


def _estimate(
    setting: dict[str, Any], counting: Counting, graph: CallGraph, parallelism: int, prices: Prices | None,
    cost: CostModel | None, error: Callable[..., float] | None, independent: bool,
) -> Estimate:  # fmt: skip
    prompt = sum(one.prompt for one in counting.calls)
    output = sum(node.output for node in graph.nodes)
    money = float("nan") if prices is None else prices(prompt, output)
    sequential = seconds = float("nan")
    if cost is not None:
        # What every call of a function begins with is read once.
        cached = dict(zip((node.name for node in graph.nodes), _cached(counting), strict=True))

        def alone(node: CallNode) -> float:
            return cost.of_call(node.prompt, node.output, cached=cached[node.name])

        sequential = graph.latency(alone, 1)
        if independent:
            seconds = graph.latency(alone, parallelism)
        else:
            seconds = sum(_together(group, parallelism, cost, cached) for group in graph.groups())
    wrong = float("nan") if error is None else float(error(**setting))
    waves = len(graph.groups())
    return Estimate(setting, len(graph.nodes), prompt, output, waves, sequential, seconds, money, wrong, graph)


def _together(group: Sequence[CallNode], parallelism: int, cost: CostModel, cached: Mapping[str, float]) -> float:
    """Seconds of calls that wait for nothing of each other, on one engine: it reads their prompts one after the other
    and writes so many answers in one pass."""
    total = 0.0
    for start in range(0, len(group), parallelism):
        wave = group[start : start + parallelism]
        total += sum(cost.seconds(prefill=node.prompt - cached[node.name]) for node in wave)
        left, done = sorted(node.output for node in wave), 0.0
        for index, output in enumerate(left):
            rows = len(wave) - index
            cells = sum(node.prompt for node in wave) * rows / len(wave)
            total += cost.seconds(decode_sequences=rows, decode_tokens=output - done, kv_tokens=cells)
            done = output
    return total


def _cached(counting: Counting) -> list[float]:
    """Of each call, by node: tokens of the shared beginning that an earlier call has read."""
    seen: set[str] = set()
    found = []
    for one in counting.calls:
        found.append(float(one.shared) if one.request.prefix in seen else 0.0)
        seen.add(one.request.prefix)
    return found


def _lengths(said: float | Callable[[Any], float] | None) -> Callable[[Any], float]:
    if callable(said):
        return said
    if said is not None:
        return lambda request: float(said)  # type: ignore[arg-type]
    return lambda request: float(min(request.sampling.max_tokens, request.format.max_chars or 16))


def _seconds(value: float) -> str:
    return "" if value != value else f"{value:.2f} s"


def _number(value: float) -> str:
    return "" if value != value else f"{value:.4g}"
