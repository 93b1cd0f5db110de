"""Ready-made metrics, evaluation reports and benchmarks.

Here live figures of agreement (`accuracy`, `confusion`, `per_class`, `wilson_interval`), figures of confidence
(`expected_calibration_error`, `reliability_bins`, `brier`, `calibration_plot`), the `Report` over both, and the nouns
`Benchmark` and `Figure`: a number with its baseline, measured side by side in one run.

Everything here takes lists and gives numbers; nothing calls a model. A new metric is a function in `metrics.py`; a new
picture or report is a file of its own. What starts with an underscore is not for use outside.
"""

from thalweg.eval.benchmark import Benchmark, Comparison, Figure, compare, machine, write_results
from thalweg.eval.calibration_plot import calibration_plot
from thalweg.eval.metrics import (
    ClassScore,
    ReliabilityBin,
    accuracy,
    brier,
    confusion,
    expected_calibration_error,
    labels_of,
    matches,
    per_class,
    reliability_bins,
)
from thalweg.eval.report import Calibration, Mistake, Report, evaluation_report
from thalweg.program.intervals import wilson_interval

__all__ = [
    "Benchmark",
    "Calibration",
    "ClassScore",
    "Comparison",
    "Figure",
    "Mistake",
    "ReliabilityBin",
    "Report",
    "accuracy",
    "brier",
    "calibration_plot",
    "compare",
    "confusion",
    "evaluation_report",
    "expected_calibration_error",
    "labels_of",
    "machine",
    "matches",
    "per_class",
    "reliability_bins",
    "wilson_interval",
    "write_results",
]
