"""Blocks of rows for the workers of a cluster, cut after planning: rows of one prefix group are never parted.

Groups come from `plan_batch` (BatchLLM, Zheng et al. 2024) over the prompts of a window. What every prompt begins with
- the instruction - is left out: each worker computes it once anyway, and it is no reason to give one worker all rows.
Shared beginnings below `PAGE` tokens are no groups either. Cost: what tokenising the window costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from thalweg.program.foreseen import requests, tokens
from thalweg.program.session import Session

PAGE = 16  # tokens; a shorter shared beginning is cheaper to compute twice than to wait for


def prefix_groups(
    program: Any, rows: Sequence[Mapping[str, Any]], session: Session, model: Any
) -> list[tuple[int, ...]]:
    """Indices of `rows` (arguments of `program`) in groups that share a beginning, in the order they should run.

    Rows whose prompts are not known before they run are groups of their own.
    """
    prompts = [_prompt(program, arguments, session, model) for arguments in rows]
    return groups_of(prompts, getattr(model, "cells", 0) or 2**20)


def groups_of(prompts: Sequence[list[int]], kv_budget: int) -> list[tuple[int, ...]]:
    """Indices of prompts (token ids; empty where unknown) in groups."""
    from thalweg.scheduling.plan import plan_batch

    known = [prompt for prompt in prompts if prompt]
    if len(known) < 2:
        return [(index,) for index in range(len(prompts))]
    least, most = min(known), max(known)  # what these two begin with, all do
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(least, most, strict=False)))
    plan = plan_batch([prompt[shared:] for prompt in prompts], kv_budget=kv_budget, page_size=PAGE)
    return [group.members for group in plan.groups]


def cut(groups: Iterable[Sequence[int]], rows: int) -> list[tuple[int, ...]]:
    """Whole groups, in their order, in blocks of at most `rows` rows; a larger group is a block of its own."""
    blocks: list[tuple[int, ...]] = []
    block: list[int] = []
    for group in groups:
        if block and len(block) + len(group) > rows:
            blocks.append(tuple(block))
            block = []
        block += group
    if block:
        blocks.append(tuple(block))
    return blocks


def _prompt(program: Any, arguments: Mapping[str, Any], session: Session, model: Any) -> list[int]:
    """Tokens of the first known request; a row that cannot even be rendered fails when it runs, not here."""
    try:
        request = next(requests(program, arguments, session, model), None)
        return tokens(request, model) if request is not None else []
    except Exception:
        return []
