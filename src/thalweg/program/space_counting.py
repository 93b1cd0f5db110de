"""How many genomes a space has, and how many up to each assignment of the choices that decide what else is open.

Cost: one look at each combination of deciding choices; more than 100,000 of them are not looked at.
"""

from __future__ import annotations

import itertools
import json
import math
from typing import TYPE_CHECKING, Any

from thalweg.errors import SpaceError
from thalweg.program.choice_kinds import Choice

if TYPE_CHECKING:
    from thalweg.program.spaces import Space

_MOST = 100_000  # combinations of deciding choices


def size(space: Space) -> float:
    """How many different genomes there are; infinity with reals, texts or examples. More where too many combinations
    decide what is open: then all choices are taken for open."""
    found = _decided(space)
    if found is None:
        return math.prod(one.kind.size() for one in space.dimensions.values())
    total = sum(math.prod(sizes) for _, sizes in found)
    return total if total == math.inf else int(total)


def leaves(space: Space) -> tuple[list[dict[str, Any]], list[float]]:
    """What the deciding choices may be, with the number of genomes up to each; continuous choices count as one value.

    Raises:
        SpaceError: too many combinations.
    """
    found = _decided(space)
    if found is None:
        raise SpaceError(
            f"More than {_MOST:,} combinations decide what is open in `{space.name}`.", 'Draw over "choices".'
        )
    counts = itertools.accumulate(math.prod(1 if one == math.inf else one for one in sizes) for _, sizes in found)
    return [values for values, _ in found], list(counts)


def _decided(space: Space) -> list[tuple[dict[str, Any], list[float]]] | None:
    """For each different assignment of the deciding choices: it, and the sizes of the others that are active."""
    deciding = {path for one in space.dimensions.values() for each in one.when for path, _ in each}
    options = {
        path: one.kind.options for path, one in space.items() if path in deciding and isinstance(one.kind, Choice)
    }
    others = [one for one in space.dimensions.values() if one.path not in options]
    if math.prod(len(one) for one in options.values()) > _MOST:
        return None
    defaults = space.default().values
    found: list[tuple[dict[str, Any], list[float]]] = []
    seen: set[str] = set()
    for labels in itertools.product(*options.values()):
        values = space.settled({**defaults, **dict(zip(options, labels, strict=True))}).values
        key = json.dumps([values[path] for path in options])
        if key not in seen:
            seen.add(key)
            sizes = [one.kind.size() for one in others if space.holds(one, values)]
            found.append(({path: values[path] for path in options}, sizes))
    return found
