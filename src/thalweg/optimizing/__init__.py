"""Optimizing: from a program, examples and a metric to a better program, and never losing an hour of search.

`optimize` is the door; it returns a `Study`. Examples come from any table (`examples_of`, `split`, `leakage`), metrics
are functions or names (`METRICS`). An `Optimizer` works with a `Search`, whose evaluations are journalled: one file
each in `optimizers/`, joined by ``>>``, by name in `named.py`. Algorithms over spaces (`algorithms/`) know nothing of
programs and are driven by `Searching`. `FunctionalCache` recognises candidates that behave alike; `frontier` and
`compare` say what strategies and programs are worth.

To add a method: one file, one frozen dataclass with `run(search)`, which takes the same way again when asked again. May
import `prompting`, `program` and the rooms below them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.optimizing.comparison import Comparison, Estimate, Paired, compare, compared, estimate
from thalweg.optimizing.example import Example, Read, examples_of, read_examples
from thalweg.optimizing.leakage import Leakage, leakage
from thalweg.optimizing.metric import TraceStep, exact_match
from thalweg.optimizing.optimize import optimize
from thalweg.optimizing.ready_metrics import METRICS, close, contains, f1, fields
from thalweg.optimizing.search import Evaluation, Optimizer, Search, SearchOver, Trial
from thalweg.optimizing.splits import split
from thalweg.optimizing.study import Study, load_best

if TYPE_CHECKING:
    from thalweg.optimizing.algorithms import (
        TPE,
        Algorithm,
        Grid,
        HillClimbing,
        OptunaTPE,
        RandomSearch,
        RegularizedEvolution,
        SuccessiveHalving,
    )
    from thalweg.optimizing.frontier import Frontier, frontier
    from thalweg.optimizing.hashing import FunctionalCache, functional_hash
    from thalweg.optimizing.optimizers.ape import APE
    from thalweg.optimizing.optimizers.auto import Auto
    from thalweg.optimizing.optimizers.bootstrap_few_shot import BootstrapFewShot
    from thalweg.optimizing.optimizers.calibrate import Calibrate
    from thalweg.optimizing.optimizers.claps import ClaPS, RandomTokens
    from thalweg.optimizing.optimizers.ensemble import Ensemble
    from thalweg.optimizing.optimizers.knn_few_shot import KNNFewShot
    from thalweg.optimizing.optimizers.labeled_few_shot import LabeledFewShot
    from thalweg.optimizing.optimizers.mipro import MIPROv2
    from thalweg.optimizing.optimizers.random_search import BootstrapFewShotWithRandomSearch
    from thalweg.optimizing.optimizers.reflective import GEPA
    from thalweg.optimizing.optimizers.searching import Factorized, Searching

# Imported when they are first asked for.
_LATER = {
    **dict.fromkeys(
        ("Algorithm", "Grid", "HillClimbing", "OptunaTPE", "RandomSearch", "RegularizedEvolution",
         "SuccessiveHalving", "TPE"),
        "algorithms",
    ),
    "Frontier": "frontier", "frontier": "frontier", "FunctionalCache": "hashing", "functional_hash": "hashing",
    "APE": "optimizers.ape", "Auto": "optimizers.auto", "BootstrapFewShot": "optimizers.bootstrap_few_shot",
    "BootstrapFewShotWithRandomSearch": "optimizers.random_search", "Calibrate": "optimizers.calibrate",
    "ClaPS": "optimizers.claps", "RandomTokens": "optimizers.claps", "Ensemble": "optimizers.ensemble",
    "Factorized": "optimizers.searching", "GEPA": "optimizers.reflective", "KNNFewShot": "optimizers.knn_few_shot",
    "LabeledFewShot": "optimizers.labeled_few_shot", "MIPROv2": "optimizers.mipro",
    "Searching": "optimizers.searching",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return found


__all__ = [
    "APE", "GEPA", "METRICS", "TPE", "Algorithm", "Auto", "BootstrapFewShot", "BootstrapFewShotWithRandomSearch",
    "Calibrate", "ClaPS", "Comparison", "Ensemble", "Estimate", "Evaluation", "Example", "Factorized", "Frontier",
    "FunctionalCache", "Grid", "HillClimbing", "KNNFewShot", "LabeledFewShot", "Leakage", "MIPROv2", "Optimizer",
    "OptunaTPE", "Paired", "RandomSearch", "RandomTokens", "Read", "RegularizedEvolution", "Search", "SearchOver",
    "Searching", "Study", "SuccessiveHalving", "TraceStep", "Trial", "close", "compare", "compared", "contains",
    "estimate", "exact_match", "examples_of", "f1", "fields", "frontier", "functional_hash", "leakage", "load_best",
    "optimize", "read_examples", "split",
]  # fmt: skip
