"""Algorithms: how the next genomes of a space are chosen, told what earlier ones scored.

One file each, one protocol (`algorithm.py`): a frozen configuration is started on a space, then asked and told. They
know spaces and scores, and nothing of programs, examples or budgets; `optimizers/searching.py` drives them.

- `RandomSearch`: every genome equally likely; the baseline. `Grid`: all of them, in order.
- `HillClimbing`: one step at a time, from several starts. `RegularizedEvolution`: mutants of good ones.
- `TPE`: drawn near good ones and away from bad ones. `OptunaTPE`: the same by Optuna.
- `SuccessiveHalving`: many on few examples, the better ones on more.
"""

from thalweg.optimizing.algorithms.algorithm import Algorithm, Asking
from thalweg.optimizing.algorithms.grid import Grid
from thalweg.optimizing.algorithms.hill_climbing import HillClimbing
from thalweg.optimizing.algorithms.optuna_tpe import OptunaTPE
from thalweg.optimizing.algorithms.random_search import RandomSearch
from thalweg.optimizing.algorithms.regularized_evolution import RegularizedEvolution
from thalweg.optimizing.algorithms.successive_halving import SuccessiveHalving
from thalweg.optimizing.algorithms.tpe import TPE

__all__ = [
    "TPE", "Algorithm", "Asking", "Grid", "HillClimbing", "OptunaTPE", "RandomSearch", "RegularizedEvolution",
    "SuccessiveHalving",
]  # fmt: skip
