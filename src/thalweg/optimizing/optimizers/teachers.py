"""Teachers: who makes the runs that demonstrations are taken from - the program itself, another program, another model.

A teacher that is another program is a space of its own with a name of its own, so its rows are journalled beside those
of the candidates and never taken for theirs. From the second turn on a teacher draws at temperature 1, with a seed a
turn. Cost: that of its runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from thalweg.errors import SearchError
from thalweg.optimizing.scoring import bound
from thalweg.optimizing.search import Search
from thalweg.program import Flow, Learned
from thalweg.program.choice_kinds import Choice
from thalweg.program.spaces import Dimension, Genome, Space
from thalweg.program.spaces import space as space_of


@dataclass(frozen=True)
class Programs(Space):
    """A space that says itself what program a genome is: for candidates that are more than choices of one program.

    Args:
        made: from a genome of this space to the program.
    """

    made: Callable[[Genome], Any] = lambda genome: None

    def bind(self, genome: Genome) -> Any:
        """The program with a genome's choices."""
        return self.made(genome)


@dataclass(frozen=True)
class Teacher:
    """Somebody whose runs are taken.

    Args:
        shown: its genome, with the demonstrations that it is shown itself. functions: its learned functions by path.
    """

    shown: Genome
    functions: Mapping[str, Learned[..., Any]]

    def genome(self, shown: Genome, turn: int) -> Genome:
        """The teacher in a pass over the examples: as it is in the first, at temperature 1 with a seed later."""
        if turn == 0:
            return shown
        settings: dict[str, Dimension] = {}
        for path, one in self.functions.items():
            for name, value in (("temperature", 1.0), ("seed", turn)):
                key = f"{path}/{name}"
                settings[key] = Dimension(key, Choice((None, value)), implicit=True, setting=(one.origin, name))
        space = replace(shown.space, dimensions={**shown.space.dimensions, **settings})
        return space.genome({**shown.values, **{f"{path}/temperature": 1.0 for path in self.functions},
                             **{f"{path}/seed": turn for path in self.functions}})  # fmt: skip


def teacher_of(search: Search, teacher: Any, genome: Genome) -> Teacher:
    """The teacher that an optimizer was given: None (the program with `genome`), a program, or a model."""
    if teacher is None:
        return Teacher(genome, search.functions)
    if isinstance(teacher, Learned | Flow):
        functions = {teacher.name: teacher} if isinstance(teacher, Learned) else teacher.learned()
        wanted, had = ([one.name for one in each.values()] for each in (search.functions, functions))
        if not set(wanted) & set(had):
            raise SearchError(
                f"The teacher `{teacher.name}` has no learned function in common with `{search.space.name}`; it has: "
                f"{', '.join(had)}.",
                "Give a program with functions of the same names.",
            )
        own = space_of(teacher)
        return Teacher(
            _other(f"{search.space.name} (teacher)", own, lambda one: bound(teacher, one)).default(), functions
        )
    label = teacher if isinstance(teacher, str) else getattr(teacher, "name", type(teacher).__name__)
    space = _other(
        f"{search.space.name} (teacher {label})", genome.space, lambda one: search.bound(one).using(model=teacher)
    )  # fmt: skip
    return Teacher(space.genome(dict(genome.values)), search.functions)


def _other(name: str, space: Space, made: Callable[[Genome], Any]) -> Programs:
    """The same choices under another name, whose genomes `made` turns into programs."""

    def program(genome: Genome) -> Any:
        return made(replace(space, dimensions=genome.space.dimensions).genome(dict(genome.values)))

    return Programs(name, space.dimensions, space.inactive, program)
