"""Analysis: tokens, calls, latency and error of a program before it runs. `analyze` is the door.

Lives here: `counting` (a model that answers nothing and counts everything), `analyze` (a table over what may vary, with
its Pareto set), `measuring` (errors of single calls by size, asked of the real model), `errors` (how errors of calls
make up the error of an answer), `plot`. Costs come from
`thalweg.scheduling.cost`, graphs from `thalweg.scheduling.call_graph`. Source: Chen et al. 2024, "On the design and
analysis of LLM-based algorithms".
"""

from __future__ import annotations

from thalweg.program.analysis.analyze import Analysis, Estimate, analyze
from thalweg.program.analysis.counting import Counted, Counting
from thalweg.program.analysis.errors import calibrated
from thalweg.program.analysis.measuring import MeasuredCall, MeasuredErrors, measure_errors
from thalweg.scheduling.cost import CostModel, Prices

__all__ = [
    "Analysis", "CostModel", "Counted", "Counting", "Estimate", "MeasuredCall", "MeasuredErrors", "Prices", "analyze",
    "calibrated", "measure_errors",
]  # fmt: skip
