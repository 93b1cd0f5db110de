"""Optimizers by name, for the command line and for `strategy="..."`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from thalweg.errors import SearchError

_ROOM = "thalweg.optimizing"
NAMES = {
    "auto": f"{_ROOM}.optimizers.auto:Auto",
    "labeled": f"{_ROOM}.optimizers.labeled_few_shot:LabeledFewShot",
    "bootstrap": f"{_ROOM}.optimizers.bootstrap_few_shot:BootstrapFewShot",
    "random": f"{_ROOM}.optimizers.random_search:BootstrapFewShotWithRandomSearch",
    "ape": f"{_ROOM}.optimizers.ape:APE",
    "mipro": f"{_ROOM}.optimizers.mipro:MIPROv2",
    "gepa": f"{_ROOM}.optimizers.reflective:GEPA",
    "knn": f"{_ROOM}.optimizers.knn_few_shot:KNNFewShot",
    "ensemble": f"{_ROOM}.optimizers.ensemble:Ensemble",
    "claps": f"{_ROOM}.optimizers.claps:ClaPS",
    "tpe": f"{_ROOM}.algorithms.tpe:TPE",
    "evolution": f"{_ROOM}.algorithms.regularized_evolution:RegularizedEvolution",
    "climbing": f"{_ROOM}.algorithms.hill_climbing:HillClimbing",
    "grid": f"{_ROOM}.algorithms.grid:Grid",
    "halving": f"{_ROOM}.algorithms.successive_halving:SuccessiveHalving",
}  # name -> "module:class"; algorithms search the choices that a program leaves open, driven by `Searching`


def optimizer_of(strategy: Any) -> Any:
    """The optimizer that a name stands for; others pass. Names may be joined by ``>>``. Raises `SearchError`."""
    if isinstance(strategy, str):
        parts = [_one(name.strip()) for name in strategy.split(">>")]
        made = parts[0]
        for one in parts[1:]:
            made = made >> one
        return made
    if not hasattr(strategy, "run") or not hasattr(strategy, "name"):
        raise SearchError(f"{strategy!r:.80} is no optimizer.", f"Give one, or a name: {', '.join(NAMES)}.")
    return strategy


def _one(name: str) -> Any:
    if name not in NAMES:
        raise SearchError(f"There is no optimizer {name!r}.", f"Choose one of: {', '.join(NAMES)}.")
    module, _, made = NAMES[name].partition(":")
    one = getattr(import_module(module), made)()
    if hasattr(one, "run"):
        return one
    return import_module(f"{_ROOM}.optimizers.searching").Searching(one)
