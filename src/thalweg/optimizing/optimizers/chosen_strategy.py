"""A genome with another strategy for one learned function: how optimizers make a strategy part of what they found.

The setting is opened, or gets one option more where strategies are searched already, so that the program is bound,
saved and loaded like any other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from thalweg.program.choice_kinds import Choice, labels_of
from thalweg.program.spaces import Genome


def with_strategy(genome: Genome, path: str, strategy: Any) -> Genome:
    """The genome with `strategy` for the learned function at `path`; the rest stays.

    Raises:
        SpaceError: no such function.
    """
    setting, space = f"{path}/strategy", genome.space
    known = space.dimensions.get(setting)
    if known is None:
        space = space.opened(setting, Choice((strategy,)))
    else:
        options = (*known.options, strategy)
        grown = replace(known, kind=Choice(labels_of(options)), options=options)
        space = replace(space, dimensions={**space.dimensions, setting: grown})
    label = space[setting].kind.options[-1]  # type: ignore[attr-defined]
    return space.genome({**genome.values, setting: label})
