"""`hinted`: what the scheduler may know of the calls made inside a ``with`` block (see `Hint`). Changes no answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from thalweg.models.request import NO_HINT, Hint

_hint: ContextVar[Hint] = ContextVar("thalweg_hint", default=NO_HINT)


@contextmanager
def hinted(**known: Any) -> Iterator[None]:
    """Fields of `Hint` for the calls inside; those not named stay as they were outside."""
    token = _hint.set(replace(_hint.get(), **known))
    try:
        yield
    finally:
        _hint.reset(token)


def hint_in_force(objective: str | None) -> Hint:
    """The hint for a call made here; `objective` is the session's."""
    hint = _hint.get()
    if objective is not None and objective != hint.objective:
        hint = replace(hint, objective=objective)  # type: ignore[arg-type]
    return hint
