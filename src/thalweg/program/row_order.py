"""The order in which the rows of a table begin: rows whose prompts share a beginning follow each other.

A window of rows is planned at a time, so that memory does not grow with the table; results keep the rows' own order
whatever the plan is. Planning costs what tokenising costs, and is left out where it cannot gain anything: models
that keep no cache of prompts, and single rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.models.request import Request
from thalweg.program.foreseen import requests, tokens
from thalweg.program.session import Session

WINDOW = 4096  # rows planned together
MOST_CHARACTERS = 32_000_000  # of a window's texts


def plannable(model: Any, schedule: str) -> bool:
    """Whether the order of rows can matter to `model`."""
    return schedule != "fcfs" and getattr(model, "keeps_prefixes", False)


def row_order(program: Any, rows: Sequence[Mapping[str, Any] | None], session: Session, model: Any) -> list[int]:
    """Indices of `rows` (arguments of `program`; None for a row that is not to run) in the order they should begin."""
    from thalweg.scheduling.plan import plan_batch

    order, prompts, expected = [], [], []
    for index, arguments in enumerate(rows):
        if arguments is None:
            continue
        request = _first(program, arguments, session, model)
        order.append(index)
        prompts.append(tokens(request, model) if request is not None else [])
        expected.append(request.sampling.max_tokens if request is not None else 0)
    if len(order) < 3 or not any(prompts):
        return order
    if session.schedule == "sorted":
        return [order[i] for i in sorted(range(len(order)), key=prompts.__getitem__)]
    return [order[i] for i in plan_batch(prompts, kv_budget=model.cells, expected=expected).order]


def _first(program: Any, arguments: Mapping[str, Any], session: Session, model: Any) -> Request | None:
    """The first known request; a row that cannot even be rendered fails when it runs, not here."""
    try:
        return next(requests(program, arguments, session, model), None)
    except Exception:
        return None
