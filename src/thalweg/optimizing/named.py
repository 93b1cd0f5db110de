"""Optimizers by name, for the command line and for `strategy="..."`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from thalweg.errors import SearchError

_ROOM = "thalweg.optimizing.optimizers"
NAMES = {
    "labeled": f"{_ROOM}.labeled_few_shot:LabeledFewShot",
}  # name -> "module:class"


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
    return getattr(import_module(module), made)()
