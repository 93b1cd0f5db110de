"""`analyze`: what a program costs, how long it takes and how wrong it is, for each setting of what may vary.

The program runs once a setting over a model that only counts (see `counting`), so calls and prompt tokens are exact
where they do not depend on what answers say. Seconds come from a `CostModel`, money from `Prices`, errors and answers'
lengths from calls that were measured (`measure_errors`) or from what the caller says. Cost: some 0.2 ms a counted call.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.errors import DataError, FlowError
from thalweg.program.analysis.counting import Counted, Counting
from thalweg.program.analysis.measuring import MeasuredErrors
from thalweg.program.flow import Flow
from thalweg.program.foreseen import functions
from thalweg.program.output_lengths import expected_length, guessed_length
from thalweg.program.session import Session, current, model_in_force, store_in_force, using
from thalweg.scheduling.call_graph import CallGraph, CallNode
from thalweg.scheduling.cost import CostModel, Prices

READINGS = ("calls", "prompt", "output", "seconds", "cost", "error")


@dataclass(frozen=True)
class Estimate:
    """One setting.

    Args:
        setting: values of what varies. parallelism: calls at once. calls: made. waves: calls in a row.
        prompt, output: tokens in all.
        sequential, seconds: one call at a time, and with that parallelism; nan without a cost model.
        cost: money; nan without prices. error: nan where none was given.
    """

    setting: dict[str, Any]
    parallelism: int
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
    """Estimates of all settings, in the order they were given, each for every number of calls at once."""

    program: str
    rows: tuple[Estimate, ...]
    parallelism: tuple[int, ...]
    measured: bool  # seconds rest on a profile of this machine

    def table(self) -> str:
        """All settings as text, a line each."""
        names = list(self.rows[0].setting)
        head = [
            *names,
            "calls",
            "in a row",
            "prompt",
            "output",
            "one by one",
            *(f"{one} at once" for one in self.parallelism),
            "cost",
            "error",
        ]
        lines = [head]
        for start in range(0, len(self.rows), len(self.parallelism)):
            same = self.rows[start : start + len(self.parallelism)]
            one = same[0]
            lines.append([
                *(str(one.setting[name]) for name in names), str(one.calls), str(one.waves), str(one.prompt),
                f"{one.output:.0f}", _seconds(one.sequential), *(_seconds(each.seconds) for each in same),
                _number(one.cost), _number(one.error),
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
            wanted = {"error": "error= or calibrate=", "cost": "prices="}.get(name, "cost=")
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
    parallelism: int | Sequence[int] = 1,
    prices: Prices | None = None,
    cost: CostModel | None = None,
    calibrate: MeasuredErrors | Sequence[MeasuredErrors] = (),
    error: Callable[..., float] | None = None,
    output_tokens: float | Callable[[Any], float] | None = None,
    independent: bool = False,
    run_effects: bool = False,
) -> Analysis:
    """Tokens, calls, latency, money and error of `program` before it runs.

    Args:
        program: a flow or learned function; its plain code runs, its model is not asked.
        inputs: arguments by name. vary: values to try of some of them; all combinations are.
        parallelism: calls at once; several numbers are all tried. prices, cost: for money and seconds.
        calibrate: what `measure_errors` found of the functions that the program calls.
        error: from the varied values, by name, to the expected error; what was measured comes first, in its order, as
            functions of a call's size: ``error=lambda wrong, m: ...``. Default with `calibrate`: the probability that
            any call is wrong, each by the tokens of its prompt, if they are so independently.
        output_tokens: of an answer, or from its `Request`. Default: as measured, else the mean of earlier answers in
            the journal, else guessed from its type.
        independent: calls at once do not slow each other (a service); default: they share one engine.
        run_effects: allow programs whose plain code may have effects.

    Raises:
        FlowError: the program may have effects. DataError: a name that is no parameter, or calls whose error would be
            needed and was not measured.
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
    session = program.own.over(current())
    model = model_in_force(session)
    measured = (calibrate,) if isinstance(calibrate, MeasuredErrors) else tuple(calibrate)
    lengths = _lengths(output_tokens, measured, program, session, model)
    sides = (parallelism,) if isinstance(parallelism, int) else tuple(parallelism)
    if not sides:
        raise DataError("`parallelism` names no number of calls at once.", "Give at least one.")
    rows = []
    for values in itertools.product(*vary.values()):
        setting = dict(zip(vary, values, strict=True))
        with Counting(model) as counting, using(model=counting, cache=False, journal=False, progress=False):
            program(**{**inputs, **setting})
        graph = counting.graph(lengths)
        if error is not None:
            wrong = float(error(*measured, **setting))
        else:
            wrong = _any_wrong(counting.calls, measured, program.name) if measured else math.nan
        rows += [_estimate(setting, one, counting, graph, prices, cost, wrong, independent) for one in sides]
    return Analysis(program.name, tuple(rows), sides, cost is not None and cost.measured)


def _estimate(
    setting: dict[str, Any], parallelism: int, counting: Counting, graph: CallGraph, prices: Prices | None,
    cost: CostModel | None, wrong: float, independent: bool,
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
    calls, waves = len(graph.nodes), len(graph.groups())
    return Estimate(setting, parallelism, calls, prompt, output, waves, sequential, seconds, money, wrong, graph)


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


def _any_wrong(calls: Sequence[Counted], measured: Sequence[MeasuredErrors], program: str) -> float:
    """Probability that any of these calls is wrong, if each is so independently of the others."""
    right = 1.0
    for one in calls:
        known = _measured(one, measured)
        wrong = math.nan if known is None else known.at_prompt(one.prompt)
        if not 0 <= wrong <= 1:
            if known is None:
                said = "calls functions whose errors were not measured"
            else:
                said = f"calls `{known.function}`, whose measured error is {wrong:.3g} and no probability"
            raise DataError(f"`{program}` {said}.", "Say how its error is made up by error=.")
        right *= 1 - wrong
    return 1 - right


def _measured(one: Counted, measured: Sequence[MeasuredErrors]) -> MeasuredErrors | None:
    """What was measured of the function that a call is of."""
    alike = [each for each in measured if each.format == one.request.format.digest]
    same = [each for each in alike if each.prefix == one.request.prefix]
    return same[0] if same else alike[0] if len(alike) == 1 else None


def _lengths(
    said: float | Callable[[Any], float] | None, measured: Sequence[MeasuredErrors], program: Any, session: Session,
    model: Any,
) -> Callable[[Counted], float]:  # fmt: skip
    """Tokens of the answer of each call."""
    if said is not None:
        return lambda one: float(said(one.request) if callable(said) else said)
    store = store_in_force(session) if session.journal is not False else None
    tokenizer = getattr(model, "tokenizer", None)
    earlier: dict[str, tuple[float, int]] = {}  # by format: tokens and answers; functions of one format count together
    for function in functions(program):
        format = function.signature.output.format
        found = expected_length(function.name, format, store, tokenizer)
        tokens, seen = earlier.get(format.digest, (0.0, 0))
        earlier[format.digest] = tokens + found.tokens * found.seen, seen + found.seen

    def length(one: Counted) -> float:
        known = _measured(one, measured)
        found = math.nan if known is None else known.length(one.prompt)
        if found != found:
            tokens, seen = earlier.get(one.request.format.digest, (0.0, 0))
            found = tokens / seen if seen else guessed_length(one.request.format, tokenizer)
        return min(found, float(one.request.sampling.max_tokens))

    return length


def _seconds(value: float) -> str:
    return "" if value != value else f"{value:.2f} s"


def _number(value: float) -> str:
    return "" if value != value else f"{value:.4g}"
