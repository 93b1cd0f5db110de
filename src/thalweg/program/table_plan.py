"""What a table run would do, before anything runs: `Plan`. Reads the table's beginning, asks no model anything.

Calls of a learned function are its prompts; a flow whose plain code has no effects is run over a model that only counts
(see `analysis.counting`), so that calls behind other calls count too, as far as they do not depend on what answers say.
Seconds rest on a profile of this machine (`thalweg models prepare`) and on the lengths of earlier answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from thalweg.program.flow import Flow
from thalweg.program.foreseen import functions, known_inputs
from thalweg.program.output_lengths import expected_length
from thalweg.program.session import Session, store_in_force, using
from thalweg.program.strategy import is_procedure
from thalweg.program.tables import Column
from thalweg.program.value import Failure
from thalweg.scheduling.cost import CostModel

LOOKED_AHEAD = 200  # rows whose prompts are tokenised to estimate the rest
RUN_AHEAD = 20  # rows that a flow is run over


@dataclass(frozen=True)
class FunctionPlan:
    """Estimate for one learned function, tokens per call (means over the rows looked at).

    Args:
        prompt_tokens: of a call; shared_tokens: those of them that all calls of the function share.
        measured: prompts were tokenised from rows; otherwise only the fixed part is known.
        calls: a row. output_tokens: drawn for an answer; output_seen: how many earlier answers that is the mean of.
    """

    name: str
    prompt_tokens: float
    shared_tokens: int
    measured: bool
    calls: float = 1.0
    output_tokens: float = 0.0
    output_seen: int = 0


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
    seconds: float = float("nan")  # for the rows that are left; nan: this machine was not measured


def function_plans(
    program: Any, table: Iterable[Any], wiring: Mapping[str, str], session: Session, model: Any
) -> Iterator[FunctionPlan]:
    """The estimate of each learned function.

    Args:
        wiring: input column of each parameter.
    """
    if not hasattr(model, "prompt_tokens"):
        return
    counted = _counted(program, table, wiring, session, model)
    store = store_in_force(session) if session.journal is not False else None
    for one in functions(program):
        format = one.signature.output.format
        length = expected_length(one.name, format, store, model.tokenizer)
        calls, prompts, shared = counted.get(format.digest, (1.0, [], 0))
        if not prompts:
            prompts, shared = _rendered(one, table, wiring, session, model)
        if prompts:
            mean = sum(prompts) / len(prompts)
            yield FunctionPlan(one.name, mean, shared, True, calls, length.tokens, length.seen)
            continue
        with suppress(Exception):  # asked by a strategy of several prompts
            request = one._request(dict.fromkeys((entry.name for entry in one.signature.inputs), ""), session, model)
            fixed = len(model.prompt_tokens(request))
            yield FunctionPlan(one.name, fixed, fixed, False, calls, length.tokens, length.seen)


def seconds_of(plans: Sequence[FunctionPlan], rows: int, cost: CostModel | None, streams: int) -> float:
    """Seconds for so many rows: prompts are read one after the other, `streams` answers are written at once; nan
    without a cost model."""
    if cost is None or not plans:
        return float("nan")
    total = 0.0
    for one in plans:
        calls = one.calls * rows
        total += cost.seconds(prefill=one.shared_tokens)
        total += calls * cost.seconds(prefill=max(0.0, one.prompt_tokens - one.shared_tokens))
        at_once = max(1, min(streams, round(calls)))
        cells = at_once * one.prompt_tokens
        total += cost.seconds(
            decode_sequences=at_once, decode_tokens=calls / at_once * one.output_tokens, kv_tokens=cells
        )  # fmt: skip
    return total


def _rendered(
    one: Any, table: Iterable[Any], wiring: Mapping[str, str], session: Session, model: Any
) -> tuple[list[int], int]:
    """Tokens of the prompts of a function whose inputs are the program's own, and those that they share."""
    counts, shared = [], 0
    if is_procedure(one.own.over(session).strategy):
        return [], 0
    for row in islice(table, LOOKED_AHEAD):
        if row.values is None:
            continue
        inputs = known_inputs(one, {name: row.values.get(column) for name, column in wiring.items()})
        if inputs is None:
            break
        request = one._request(inputs, one.own.over(session), model)
        counts.append(len(model.prompt_tokens(request)))
        shared = len(model.tokenizer.encode(request.prefix, special=True))
    return counts, shared


def _counted(
    program: Any, table: Iterable[Any], wiring: Mapping[str, str], session: Session, model: Any
) -> dict[str, tuple[float, list[int], int]]:
    """Of a flow run over a counting model, by format of the answer: calls a row, prompt tokens, those shared.

    Functions of one format share what is counted, so such a flow counts nothing here.
    """
    from thalweg.program.analysis.counting import Counting

    if not isinstance(program, Flow) or program.effects is not None:
        return {}
    formats = [one.signature.output.format.digest for one in functions(program)]
    if len(set(formats)) < len(formats):
        return {}
    rows = [
        {name: row.values.get(column) for name, column in wiring.items()}
        for row in islice(table, RUN_AHEAD)
        if row.values is not None
    ]
    found: dict[str, tuple[float, list[int], int]] = {}
    try:
        with Counting(model) as counting, using(model=counting, cache=False, journal=False, progress=False):
            done = sum(not isinstance(one, Failure) for one in program.map(rows))
        if not done:  # its code does not bear the shortest answers
            return {}
    except Exception:
        return {}
    for digest in formats:
        calls = [one for one in counting.calls if one.request.format.digest == digest]
        prompts = [one.prompt for one in calls]
        found[digest] = (len(calls) / len(rows), prompts, min((one.shared for one in calls), default=0))
    return {digest: one for digest, one in found.items() if one[1]}
