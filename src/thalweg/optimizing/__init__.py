"""Optimizing: from a program, examples and a metric to a better program."""

from thalweg.optimizing.comparison import Comparison, Estimate, compared, estimate
from thalweg.optimizing.example import Example, examples_of
from thalweg.optimizing.metric import TraceStep, exact_match
from thalweg.optimizing.optimize import optimize
from thalweg.optimizing.optimizers.labeled_few_shot import LabeledFewShot
from thalweg.optimizing.search import Evaluation, Search, SearchOver, Trial
from thalweg.optimizing.splits import split
from thalweg.optimizing.study import Study, load_best

__all__ = [
    "Comparison", "Estimate", "Evaluation", "Example", "LabeledFewShot", "Search", "SearchOver", "Study", "TraceStep",
    "Trial", "compared", "estimate", "exact_match", "examples_of", "load_best", "optimize", "split",
]  # fmt: skip
