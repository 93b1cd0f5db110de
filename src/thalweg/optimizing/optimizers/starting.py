"""Where an optimizer starts: the best trial that can be changed as it needs, and what the budget still pays for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from thalweg.errors import SearchError
from thalweg.optimizing.search import Search, Trial


def best_with(search: Search, paths: Sequence[str]) -> Trial:
    """The best trial whose genome has these choices. Raises `SearchError` where the search leaves none of them open."""
    fitting = [trial for trial in search.trials if all(path in trial.genome.space for path in paths)]
    if not fitting:
        lacking = next(path for path in paths if path not in search.space)
        raise SearchError(
            f"{lacking!r} is not open in this search of `{search.space.name}`.",
            f"Give a space with it; now there are: {', '.join(search.space)}.",
        )
    return max(fitting, key=lambda trial: (trial.score, -trial.number))


def open_functions(search: Search, kind: str) -> list[str]:
    """Paths of the learned functions whose `kind` (``instruction``, ``demonstrations``) is open, in program order.

    Raises `SearchError` where there is none.
    """
    found = [path for path in search.functions if f"{path}/{kind}" in search.space]
    if not found:
        raise SearchError(
            f"No learned function of `{search.space.name}` has its {kind} open in this search.",
            f"Leave {kind} in the space, or choose another optimizer.",
        )
    return found


def affordable(search: Search) -> float:
    """Evaluations of one example that the budget still pays for, by what the program as it was used; infinite without
    a limit. Seconds do not count: a search must go the same way again, and a clock does not."""
    rows = search.trials[0].evaluation.rows
    calls, tokens = (max(1.0, sum(getattr(row, name) for row in rows) / len(rows)) for name in ("calls", "tokens"))
    return min(
        search.budget.left("evaluations", search.spent),
        search.budget.left("calls", search.spent) / calls,
        search.budget.left("tokens", search.spent) / tokens,
    )


def sized(search: Search, share: float, smallest: int, largest: int) -> int:
    """How many candidates on the dev split a share of what is left pays for, from `smallest` to `largest`."""
    left = affordable(search) * share
    return largest if left == math.inf else max(smallest, min(largest, int(left / len(search.dev))))


def check_counts(optimizer: Any, *names: str, least: int = 1) -> None:
    """Raise `SearchError` for options that are no whole number from `least` on."""
    for name in names:
        value = getattr(optimizer, name)
        if type(value) is not int or value < least:
            raise SearchError(
                f"{type(optimizer).__name__}({name}={value!r}) makes no search.", f"Give a whole number from {least}."
            )
