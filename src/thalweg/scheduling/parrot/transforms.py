"""What happens to a variable between two calls: a regular expression, a field of JSON, a template. Data, never code.

Expressions run in RE2 (through pyarrow), in time linear in the text: a server may run those of strangers. Results are
bounded, because templates that double their input would otherwise fill the memory. Cost: microseconds, and 50 ms for
importing pyarrow at the first expression.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from thalweg.errors import GraphError
from thalweg.scheduling.parrot.graph import Transform

MOST_CHARS = 1_000_000  # of a variable
MOST_PATTERN = 1_000


def transformed(node: Transform, values: Mapping[str, str]) -> str:
    """The value that `node` makes.

    Raises:
        GraphError: nothing matches, there is no such field, or the value is too long.
    """
    match node.kind:
        case "regex":
            made = _regex(node, values[node.input])
        case "json":
            made = _field(node, values[node.input])
        case _:
            made = "".join(values[part] if is_variable else part for part, is_variable in node.parts)
    if len(made) > MOST_CHARS:
        raise GraphError(f"{node.output!r} would have {len(made)} characters.", f"Keep it below {MOST_CHARS}.")
    return made


def checked(node: Transform) -> None:
    """Raises `GraphError` where the transform can never work: found when the graph comes, not when it runs."""
    if node.kind == "regex":
        _extract(node, "")


def _regex(node: Transform, text: str) -> str:
    found = _extract(node, text)
    if found is None:
        raise GraphError(
            f"Nothing in {node.input!r} ({text[:60]!r}) matches {node.spec!r}, of which {node.output!r} is made.",
            "Widen the expression, or constrain the call before it with a `format`.",
        )
    return found


def _extract(node: Transform, text: str) -> str | None:
    import pyarrow
    from pyarrow import compute

    if len(node.spec) > MOST_PATTERN:
        raise GraphError(
            f"The expression of {node.output!r} has {len(node.spec)} characters.", f"Keep it below {MOST_PATTERN}."
        )
    pattern = node.spec if "(?P<value>" in node.spec else f"(?P<value>{node.spec})"
    try:
        found: Any = compute.extract_regex(pyarrow.array([text]), pattern=pattern)  # pyright: ignore[reportAttributeAccessIssue]
    except pyarrow.ArrowInvalid as error:
        raise GraphError(
            f"The expression {node.spec!r} of {node.output!r} cannot be used: {error}.",
            "Write RE2 syntax; group with `(?:...)`, and name the wanted part `(?P<value>...)`.",
        ) from None
    return found[0].as_py()["value"] if found[0].is_valid else None


def _field(node: Transform, text: str) -> str:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise GraphError(
            f"{node.input!r} ({text[:60]!r}) is no JSON, of which {node.output!r} takes a field.",
            'Give the call that makes it a format of the kind "json".',
        ) from None
    for step in filter(None, node.spec.split(".")):
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (LookupError, TypeError, ValueError):
            raise GraphError(
                f"{node.input!r} has no field {node.spec!r}: there is no {step!r} in {json.dumps(value)[:60]}.",
                "Correct the path, or the schema of the call that makes it.",
            ) from None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
