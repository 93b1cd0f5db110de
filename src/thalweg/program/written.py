"""Values written down so that another process reads an equal one of the same types: results of tools, states, inputs.

What is exactly JSON is written as it is; anything else by its declared type, marked ``{"$typed": ...}``. Choose it over
`jsonable`, which is for people and keys and cannot be read back. Cost: one walk through the value.
"""

from __future__ import annotations

import functools
from typing import Any

from thalweg.errors import DataError, Error
from thalweg.program.types import TypePlan, plan

_MARKS = frozenset({"$typed", "$json"})


def write(value: Any, hint: Any = Any) -> Any:
    """JSON data from which `read` gives the value back. Raises `DataError` for what has no such form."""
    try:
        exact = exact_json(value)
    except TypeError as error:
        its = plan_of(hint)
        if its is None:
            raise DataError(
                f"A {error} has no JSON form, and its declared type ({_name(hint)}) gives none.",
                "Use JSON values, or declare a type that a learned function could return.",
            ) from None
        return {"$typed": its.to_json(value)}
    return {"$json": exact} if isinstance(exact, dict) and exact.keys() & _MARKS else exact


def read(written: Any, hint: Any = Any) -> Any:
    """The value that was written. Raises `DataError` where the declared type is another one now."""
    if isinstance(written, dict) and len(written) == 1:
        if "$json" in written:
            return written["$json"]
        if "$typed" in written:
            its = plan_of(hint)
            if its is None:
                raise DataError(
                    f"A value was written by a declared type, which is {_name(hint)} now.", "Declare the type it had."
                )
            return its.from_json(written["$typed"])
    return written


def exact_json(value: Any) -> Any:
    """A value that is JSON and comes back the same. Raises `TypeError` naming the type that is not."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is list:
        return [exact_json(one) for one in value]
    if type(value) is dict and all(type(key) is str for key in value):
        return {key: exact_json(one) for key, one in value.items()}
    raise TypeError(type(value).__name__)


def plan_of(hint: Any) -> TypePlan[Any] | None:
    """How values of a type are written; None where the type does not say."""
    if hint in (None, type(None), Any):
        return None
    try:
        return _plan(hint)
    except TypeError:  # unhashable
        return plan(hint)
    except Error:
        return None


@functools.lru_cache(maxsize=512)
def _plan(hint: Any) -> TypePlan[Any]:
    return plan(hint)


def _name(hint: Any) -> str:
    return "none" if hint is Any else getattr(hint, "__name__", str(hint))
