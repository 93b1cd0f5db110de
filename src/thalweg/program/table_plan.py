"""What a table run would do, before anything runs: `Plan`. Reads the table's beginning, asks no model anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from thalweg.program.foreseen import functions, known_inputs
from thalweg.program.session import Session
from thalweg.program.tables import Column, Table

LOOKED_AHEAD = 200  # rows whose prompts are tokenised to estimate the rest


@dataclass(frozen=True)
class FunctionPlan:
    """Estimate for one learned function, tokens per call (means over the rows looked at)."""

    name: str
    prompt_tokens: float
    shared_tokens: int
    measured: bool  # prompts were tokenised from rows; otherwise only the fixed part is known


@dataclass(frozen=True)
class Plan:
    """What a run would do, before anything runs."""

    program: str
    model: str
    rows: int | None
    done: int
    columns: tuple[Column, ...]
    functions: tuple[FunctionPlan, ...]
    run: str
    status: str


def function_plans(
    program: Any, table: Table, wiring: Mapping[str, str], session: Session, model: Any
) -> Iterator[FunctionPlan]:
    """The estimate of each learned function.

    Args:
        wiring: input column of each parameter.
    """
    if not hasattr(model, "prompt_tokens"):
        return
    for one in functions(program):
        counts, shared = [], 0
        for row in islice(table, LOOKED_AHEAD):
            if row.values is None:
                continue
            inputs = known_inputs(one, {name: row.values.get(column) for name, column in wiring.items()})
            if inputs is None:
                break
            request = one._request(inputs, session, model)
            counts.append(len(model.prompt_tokens(request)))
            shared = len(model.tokenizer.encode(request.prefix, special=True))
        if not counts:
            names = [entry.name for entry in one.signature.inputs]
            request = one._request(dict.fromkeys(names, ""), session, model)
            counts, shared = [len(model.prompt_tokens(request))], len(model.prompt_tokens(request))
            yield FunctionPlan(one.name, counts[0], shared, False)
        else:
            yield FunctionPlan(one.name, sum(counts) / len(counts), shared, True)
