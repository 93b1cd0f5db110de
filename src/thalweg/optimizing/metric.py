"""Metrics: `metric(example, output) -> float | bool | Score`, called the same way by everything that judges a program.

A metric may ask for the calls behind an output by a keyword parameter `trace`. What it returns becomes a `Score`;
`exact_match` is the default: the output equals the example's label. Cost: that of the metric.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.errors import DataError
from thalweg.optimizing.example import Example
from thalweg.program.score import Score
from thalweg.program.types import jsonable

Metric = Callable[..., Any]


@dataclass(frozen=True)
class TraceStep:
    """One call of a learned function behind an output.

    Args:
        path: of the function in the program's state (``triage.read``). inputs, output: as JSON data.
    """

    path: str
    inputs: Any
    output: Any


def exact_match(example: Example, output: Any) -> Score:
    """1 where the output equals the example's label (compared as JSON data), else 0 with both in the feedback."""
    wanted, got = _form(example.label), _form(output)
    # A table of text has its numbers and truth values as text.
    right = wanted == got or (isinstance(wanted, str) and not isinstance(got, str) and wanted == _text(got))
    if not right and isinstance(wanted, dict) and "$type" not in wanted:  # a record written without its class's name
        right = isinstance(got, dict) and wanted == {name: one for name, one in got.items() if name != "$type"}
    return Score(float(right), "" if right else f"the answer was {got!r}, right is {wanted!r}")


def wants_trace(metric: Metric) -> bool:
    """Whether a metric looks at the calls behind an output."""
    try:
        return "trace" in inspect.signature(metric).parameters
    except (TypeError, ValueError):
        return False


def judged(metric: Metric, example: Example, output: Any, trace: Callable[[], Sequence[TraceStep]]) -> Score:
    """The metric's verdict as a `Score`. Raises `DataError` for one that is no number."""
    found = metric(example, output, trace=trace()) if wants_trace(metric) else metric(example, output)
    if isinstance(found, Score):
        score = found
    elif isinstance(found, bool | int | float) or hasattr(found, "__float__"):
        score = Score(float(found))
    else:
        raise DataError(
            f"The metric `{name_of(metric)}` returned {found!r:.60}, which is no score.",
            "Return a number, a bool or a `Score`.",
        )
    if not math.isfinite(score.value):
        raise DataError(f"The metric `{name_of(metric)}` returned {score.value}.", "Return a finite number.")
    return score


def name_of(metric: Metric) -> str:
    return getattr(metric, "__name__", type(metric).__name__)


def identity_of(metric: Metric) -> str:
    """Changes when the metric's text does; its name where there is no text to be had."""
    try:
        text = inspect.getsource(metric)
    except (OSError, TypeError):
        text = f"{metric!r}" if not callable(metric) or " at 0x" not in f"{metric!r}" else name_of(metric)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _form(value: Any) -> Any:
    found = jsonable(value)
    return found.strip() if isinstance(found, str) else found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
