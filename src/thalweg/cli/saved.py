"""A program with what was saved of it: a file by `save`, or a study, whose best program it then is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


def with_saved(program: Any, path: str) -> Any:
    """A copy of a program with the parameters and choices that a file holds. Raises `StateMismatch`, `SearchError`."""
    if _is_study(path):
        from thalweg.optimizing import load_best

        return load_best(program, path)
    return program.load(path)


def with_states(programs: dict[str, Any], states: Sequence[str]) -> dict[str, Any]:
    """Programs by name with files given as ``NAME=PATH``, or ``PATH`` where there is one. Raises `click.UsageError`."""
    made = dict(programs)
    for spec in states:
        name, _, path = spec.rpartition("=")
        name = name or (next(iter(made)) if len(made) == 1 else "")
        if name not in made:
            raise click.UsageError(f"--state {spec}: write NAME=PATH, with one of {', '.join(made)}.")
        made[name] = with_saved(made[name], path)
    return made


def _is_study(path: str) -> bool:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False  # `load` says what is wrong with it
    return isinstance(content, dict) and "thalweg-study" in content
