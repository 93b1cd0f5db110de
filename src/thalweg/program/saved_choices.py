"""The choices of a saved program: the genome it was bound to, written so that a changed program can say what changed.

Every choice is kept with its value and what it took: ``{"answer/how": {"value": "reason", "takes": "one of ..."}}``.
Instructions and demonstrations are not here: they are the state. Never code: an option that is a strategy is written as
data (see `strategy_data`); other objects go by their labels, and the space that was searched has them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from thalweg.errors import StateMismatch
from thalweg.program import state as states
from thalweg.program.choice_kinds import Choice
from thalweg.program.genomes import Genome, plain, same
from thalweg.program.spaces import Space
from thalweg.program.spaces import space as space_of
from thalweg.program.strategy_data import strategy_from_json, strategy_to_json

P = TypeVar("P")


def choices_json(genome: Genome) -> dict[str, Any]:
    """A genome's choices as readable JSON, without the parameters, which are state."""
    objects = objects_json(genome)
    return {
        path: {"value": plain(genome.values[path]), "takes": one.kind.expected}
        | ({"opened": True, "objects": any(not same(a, b) for a, b in _pairs(one))} if one.opened else {})
        | ({"object": objects[path]} if path in objects else {})
        for path, one in genome.space.items()
        if not (one.implicit and one.setting is None) and not (one.opened and genome.values[path] is None)
    }


def objects_json(genome: Genome) -> dict[str, Any]:
    """By path, the strategies that a genome chooses for opened settings, as data; those without a form are left out."""
    found: dict[str, Any] = {}
    for path, one in genome.space.items():
        value = genome.values[path]
        for label, option in _pairs(one) if one.opened and value is not None else ():
            if same(label, value) and not same(label, option):
                with suppress(StateMismatch):
                    found[path] = strategy_to_json(option)
    return found


def with_settings(space: Space, values: Mapping[str, Any], objects: Mapping[str, Any]) -> Space:
    """A space with those settings opened that have a value in a genome's choices, as the data says.

    Args:
        values: by path. objects: what `objects_json` gave for them.
    """
    for path, value in values.items():
        known = space.inactive.get(path)
        if path in space or known is None or value is None:
            continue
        if path not in objects:
            space = space.opened(path, Choice((value,)))
            continue
        made = replace(known, kind=Choice((value,)), options=(strategy_from_json(objects[path]),))
        rest = {other: one for other, one in space.inactive.items() if other != path}
        space = replace(space, dimensions={**space.dimensions, path: made}, inactive=rest)
    return space


def loaded(program: P, path: str | os.PathLike[str], functions: Mapping[str, Any], space: Space | None) -> P:
    """A copy of a program with the parameters and choices in a file. Raises `StateMismatch` saying what changed."""
    found: list[Space] = []

    def changes(saved: Mapping[str, Any]) -> list[str]:
        made, said = _opened(space if space is not None else space_of(program), saved)
        found.append(made)
        return said + _changes(made, saved)

    content = states.read(path, functions, changes)
    saved = content.get("choices")
    made: Any = program
    if found and isinstance(saved, dict):
        values = {name: value for name, value in content["state"].items() if name in found[0]}
        made = made.bind(found[0].genome(values | {name: one["value"] for name, one in saved.items()}))
    return made.bind(content["state"])


def _opened(space: Space, saved: Mapping[str, Any]) -> tuple[Space, list[str]]:
    """The space with those settings made choices that were so when the file was written."""
    said: list[str] = []
    for path, one in saved.items():
        if not isinstance(one, dict) or not one.get("opened") or path in space:
            continue
        if path not in space.inactive:
            said.append(f"`{path}` is no setting any more")
        elif "object" in one:
            space = with_settings(space, {path: one.get("value")}, {path: one["object"]})
        elif one.get("objects"):
            said.append(f"`{path}` is {one.get('value')!r:.80}, an object that the space which was searched has "
                        "(give it as `space`)")  # fmt: skip
        else:
            space = space.opened(path, Choice((one.get("value"),)))
    return space, said


def _changes(space: Space, saved: Mapping[str, Any]) -> list[str]:
    said = []
    for path, one in saved.items():
        known = space.dimensions.get(path)
        if not isinstance(one, dict) or "value" not in one:
            said.append(f"`{path}` has no value in the file")
        elif known is None:
            if not one.get("opened"):
                said.append(f"the choice `{path}` is not part of the program any more")
        elif not known.fits(one["value"]):
            said.append(
                f"`{path}` was {one['value']!r:.80} of {one.get('takes', '?')}, and takes {known.kind.expected} now"
            )
    said += [
        f"the choice `{path}` is new"
        for path, one in space.items()
        if not one.implicit and path not in saved
    ]  # fmt: skip
    return said


def _pairs(one: Any) -> list[tuple[Any, Any]]:
    """Labels and what they stand for."""
    labels = one.kind.options if isinstance(one.kind, Choice) else ()
    return list(zip(labels, one.options, strict=False))
