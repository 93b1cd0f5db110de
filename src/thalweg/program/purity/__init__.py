"""Purity: what plain Python inside a flow may do to the world.

Calls of learned functions run ahead of the program; plain Python may only follow them if it is pure, and waits for all
that is before it otherwise. `why_impure` asks of a callable, `why_impure_call` of one call,
`reads_only` of one argument,
`reads_state` of the globals; `pure` is the author's promise. A function is read as source (`source.py`),
run on abstract
values (`body.py`, `statements.py`, `expressions.py`,
`calls.py`) and kept as a summary (`analysis.py`); what is known of
Python's own functions is in `known.py`. Imports nothing of the library.
"""

from __future__ import annotations

from typing import Any

from thalweg.program.purity.house import pure

# The analysis itself is imported with the first question, so that `import thalweg` stays light.


def why_impure(function: Any, **given: Any) -> str | None:
    """Why calling `function` may have an effect, in words with the line; None for one that surely has none."""
    from thalweg.program.purity import verdict

    return verdict.why_impure(function, **given)


def why_impure_call(function: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> str | None:
    """The same for one call: what it is given may act too, as a function handed to `sorted` does."""
    from thalweg.program.purity import verdict

    return verdict.why_impure_call(function, args, kwargs)


def reads_only(function: Any, parameter: str, *, deep: bool = True) -> bool:
    """Whether a function leaves the object it gets as `parameter` as it is and keeps nothing of it."""
    from thalweg.program.purity import verdict

    return verdict.reads_only(function, parameter, deep=deep)


def reads_state(function: Any) -> str | None:
    """Which changeable global or closure variable a function reads; None for none."""
    from thalweg.program.purity import verdict

    return verdict.reads_state(function)


__all__ = ["pure", "reads_only", "reads_state", "why_impure", "why_impure_call"]
