"""Placeholder until the analysis lands: nothing is known to be pure."""

from typing import Any


def why_impure(function: Any) -> str | None:
    import builtins

    if getattr(builtins, getattr(function, "__name__", "?"), None) is function and function is not print:
        return None
    return "not analysed"


def reads_only(function: Any, parameter: str) -> bool:
    return False


def pure(function: Any) -> Any:
    return function
