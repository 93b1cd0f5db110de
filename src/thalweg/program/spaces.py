"""`space(flow)`: every choice a program leaves open. One assignment of them is a `Genome` (see `genomes.py`).

The choices are the markers in the flow's text (see `choices.py`), in flows, functions and dataclasses that it uses, and
those that every learned function has: its instruction and its demonstrations. What stands in a branch that another
choice decides is active only then. Choose it to search over programs; optimizers see nothing but a `Space`.
Source: conditional search spaces, as in Hyperopt (Bergstra et al., 2013). Cost: milliseconds for a flow, calls nothing.
"""

from __future__ import annotations

import fnmatch
import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from thalweg.errors import SpaceError
from thalweg.program.assignments import Assignment, Place, in_force
from thalweg.program.choice_kinds import Choice, Examples, Kind, Text, checked, labels_of
from thalweg.program.genomes import Genome, plain, same
from thalweg.program.space_reading import Condition

__all__ = ["Dimension", "Genome", "Space", "assigning", "assignment", "binding", "space"]


@dataclass(frozen=True)
class Dimension:
    """One choice of a program.

    Args:
        path: ``answer/how``, ``answer.read/instruction``. kind: what may be assigned.
        when: it is active if one of these conditions holds; the empty condition always does.
        implicit: it belongs to a learned function, no marker was written. where: for people, a file and a line.
        places, parameter, setting: how the running program finds it. options: what the labels stand for, where the
            program is handed values. opened: a setting made a choice, whose default (None) is the program's own.
        begin: one value, its default in the place of its kind's.
    """

    path: str
    kind: Kind
    when: tuple[Condition, ...] = ((),)
    implicit: bool = False
    where: str = ""
    places: tuple[Place, ...] = ()
    parameter: tuple[Any, str] | None = None
    setting: tuple[Any, str] | None = None
    options: tuple[Any, ...] = ()
    opened: bool = False
    begin: tuple[Any, ...] = ()

    @property
    def default(self) -> Any:
        """Its value as the program runs without an assignment; None: whatever the program says."""
        if self.begin:
            return self.begin[0]
        return None if self.opened else self.kind.default

    @property
    def drawable(self) -> bool:
        """Whether values can be drawn; texts and examples are for proposers to write."""
        return not isinstance(self.kind, Text | Examples)

    def fits(self, value: Any) -> bool:
        return value is None and self.opened or self.kind.fits(value)


@dataclass(frozen=True)
class Space(Mapping[str, Dimension]):
    """The open choices of a program by path, in program order.

    Args:
        inactive: settings that could be searched too, by path; `opened` makes one a choice.
    """

    name: str
    dimensions: Mapping[str, Dimension]
    inactive: Mapping[str, Dimension] = field(default_factory=dict)

    def __getitem__(self, path: str) -> Dimension:
        try:
            return self.dimensions[path]
        except KeyError:
            raise KeyError(f"{path!r}; there are: {', '.join(self.dimensions)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.dimensions)

    def __len__(self) -> int:
        return len(self.dimensions)

    # -- parts ------------------------------------------------------------------------------------------------------

    @property
    def markers(self) -> Space:
        """The choices that were written down, without those that every learned function has."""
        return self._only(lambda one: not one.implicit)

    def select(self, *patterns: str) -> Space:
        """The choices whose paths fit one of some patterns, such as ``"answer/*"``."""
        return self._only(lambda one: any(fnmatch.fnmatchcase(one.path, pattern) for pattern in patterns))

    @property
    def drawable(self) -> Space:
        """The choices whose values can be drawn: all but texts and examples."""
        return self._only(lambda one: one.drawable)

    def opened(self, path: str, kind: Kind) -> Space:
        """With a setting of a learned function made a choice; unless chosen, it is what the program says.

        Args:
            path: ``answer.read/strategy``; also ``model``, ``decoder``, ``sampler``, ``temperature``, ``top_p``,
                ``max_tokens``.
            kind: ``Real(0, 1)``, or ``Choice((Direct(), ChainOfThought()))``: options may be objects, which go by
                what they print as.

        Raises:
            SpaceError: no such setting; a range that is empty.
        """
        known = self.inactive.get(path)
        if known is None:
            raise SpaceError(f"{path!r} is no setting of `{self.name}`.", f"There are: {', '.join(self.inactive)}.")
        rest = {other: one for other, one in self.inactive.items() if other != path}
        options: tuple[Any, ...] = ()
        if isinstance(kind, Choice):
            options, kind = tuple(kind.options), Choice(labels_of(kind.options))
        made = replace(known, kind=checked(kind), options=options)
        return replace(self, dimensions={**self.dimensions, path: made}, inactive=rest)

    def given(self, values: Mapping[str, Any]) -> Space:
        """The choices that remain when some are settled: without them, and without what they rule out."""
        made: dict[str, Dimension] = {}
        for path, one in self.dimensions.items():
            when = tuple(
                tuple(part for part in each if part[0] not in values) for each in one.when if _holds(each, values)
            )
            if path not in values and when:
                made[path] = replace(one, when=((),) if () in when else when)
        return replace(self, dimensions=made)

    def _only(self, wanted: Any) -> Space:
        return replace(self, dimensions={path: one for path, one in self.dimensions.items() if wanted(one)})

    # -- genomes ----------------------------------------------------------------------------------------------------

    def genome(self, values: Mapping[str, Any]) -> Genome:
        """The genome with these values, defaults elsewhere. Raises `SpaceError` for what does not fit."""
        made = dict(self._defaults)
        for path, value in values.items():
            one = self.dimensions.get(path)
            if one is None:
                raise SpaceError(
                    f"{path!r} is no open choice of `{self.name}`.",
                    f"There are: {', '.join(self.dimensions) or 'none'}.",
                )
            if not one.fits(value):
                raise SpaceError(f"{value!r:.80} does not fit {path!r}.", f"It takes {one.kind.expected}.")
            made[path] = _frozen(value, one, path)
        return self.settled(made)

    validate = genome

    def settled(self, values: Mapping[str, Any]) -> Genome:
        """The genome of values, one for every choice, that are known to fit."""
        changed = bool(self._conditional)
        while changed:  # what goes off may have decided about others
            changed = False
            for one in self._conditional:
                if values[one.path] is not one.default and not self.holds(one, values):
                    if not same(values[one.path], one.default):
                        changed = True
                    values = {**values, one.path: one.default}
        return Genome(values, self)

    @cached_property
    def _conditional(self) -> tuple[Dimension, ...]:
        return tuple(one for one in self.dimensions.values() if () not in one.when)

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        return {path: one.default for path, one in self.dimensions.items()}

    @cached_property
    def drawn(self) -> tuple[Dimension, ...]:
        """The choices that have several values which can be drawn."""
        return tuple(one for one in self.dimensions.values() if one.drawable and one.kind.size() > 1)

    def default(self) -> Genome:
        """Every choice as the program runs without an assignment."""
        return self.settled(self._defaults)

    def sample(self, seed: int, *, over: str = "choices") -> Genome:
        """A genome drawn at random; texts and examples stay as they are. Equal seeds give equal genomes (see
        `draw`)."""
        return self.draw(random.Random(seed), over=over)

    def draw(self, rng: random.Random, *, over: str = "choices") -> Genome:
        """`sample` with random numbers of one's own.

        Args:
            over: ``choices``: the options of every choice are equally likely; ``leaves``: all genomes are, so that an
                option under which more is open comes more often (continuous choices count as one value).

        Raises:
            SpaceError: more than 100,000 combinations decide what is open (``leaves`` only).
        """
        values = {path: one.kind.sample(rng) if one.drawable else one.default for path, one in self.dimensions.items()}
        if over == "leaves":
            values |= rng.choices(self._leaves[0], cum_weights=self._leaves[1])[0]
        elif over != "choices":
            raise SpaceError(f"A genome cannot be drawn over {over!r}.", 'Use "choices" or "leaves".')
        return self.settled(values)

    @cached_property
    def _leaves(self) -> tuple[list[dict[str, Any]], list[float]]:
        from thalweg.program.space_counting import leaves

        return leaves(self)

    def neighbours(self, genome: Genome, seed: int = 0) -> list[Genome]:
        """Genomes that differ in one active choice (and in what that makes active)."""
        rng = random.Random(seed)
        active = self.active(genome.values)
        found: dict[Genome, None] = {}
        for path, one in self.dimensions.items():
            if path in active:
                value, first = genome.values[path], []
                if value is None and one.opened:
                    value = one.kind.default
                    first = [value]
                for other in (*first, *one.kind.neighbours(value, rng)):
                    found[self.genome({**genome.values, path: other})] = None
        found.pop(genome, None)
        return list(found)

    def active(self, values: Mapping[str, Any]) -> set[str]:
        """Paths of the choices that take part under these values. What depends on a choice that is not here does."""
        return {path for path, one in self.dimensions.items() if self.holds(one, values)}

    def holds(self, one: Dimension, values: Mapping[str, Any]) -> bool:
        """Whether a choice takes part under these values."""
        return () in one.when or any(_holds(each, values) for each in one.when)

    def size(self) -> float:
        """How many different genomes there are; `math.inf` with reals, texts or examples."""
        from thalweg.program.space_counting import size

        return size(self)

    def __str__(self) -> str:
        rows = [
            (path, type(one.kind).__name__.lower(), _shown(one.kind), _conditions(one)) for path, one in self.items()
        ]
        widths = [max((len(row[index]) for row in rows), default=0) for index in range(3)]
        lines = [
            "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip()
            for row in rows
        ]
        size = self.size()
        lines.append(
            f"`{self.name}`: {len(self)} open choices, {'infinitely many' if size == math.inf else size} genomes"
        )
        return "\n".join(lines)


def space(flow: Any) -> Space:
    """The open choices of a flow, a learned function, or a plain function.

    Raises:
        SpaceError: a marker whose options are not to be read from the program's text. FlowError: no source.
    """
    from thalweg.program.space_discovery import discover

    return discover(flow)


@contextmanager
def binding(genome: Genome) -> Iterator[None]:
    """Run programs inside with the genome's choices. Instructions and demonstrations are not choices of markers: bind
    them with ``flow.bind(genome.state)``."""
    with in_force(assignment(genome.values, genome.space)):
        yield


@contextmanager
def assigning(values: Mapping[str, Any]) -> Iterator[None]:
    """Run programs inside with these choices, by path (``answer/how``). Unnamed markers are known by their paths once
    `space` has been asked for; `binding` of a genome needs no such care, and checks what it is given."""
    with in_force(assignment(values)):
        yield


def assignment(values: Mapping[str, Any], space: Space | None = None) -> Assignment:
    """Everything that markers, parameters and settings need to find their values."""
    by_name: dict[tuple[str, str], Any] = {}
    places: dict[Place, Any] = {}
    kinds: dict[Place, Any] = {}
    parameters: dict[Any, dict[str, Any]] = {}
    settings: dict[Any, dict[str, Any]] = {}
    for path, value in values.items():
        one = space.dimensions.get(path) if space is not None else None
        if one is not None and one.implicit and one.setting is None:
            continue
        if one is not None and one.setting is not None:
            found = value_of(one, value)
            if found is not None:
                settings.setdefault(one.setting[0], {})[one.setting[1]] = found
            continue
        if one is not None and one.parameter is not None:
            parameters.setdefault(one.parameter[0], {})[one.parameter[1]] = value_of(one, value)
            continue
        owner, _, name = path.rpartition("/")
        by_name[owner.rpartition(".")[2].partition("~")[0], name] = value
        for place in one.places if one is not None else ():
            places[place], kinds[place] = value, one.kind  # type: ignore[union-attr]
    return Assignment(by_name, places, kinds, parameters, settings)


def value_of(one: Dimension, value: Any) -> Any:
    """The Python value of a parameter's or setting's choice: its options are only known by the space that found it."""
    from thalweg.program.space_discovery import option_values

    return option_values(one, value)


def _holds(condition: Condition, values: Mapping[str, Any]) -> bool:
    return all(
        path not in values or any(type(values[path]) is type(label) and values[path] == label for label in labels)
        for path, labels in condition
    )


def _frozen(value: Any, one: Dimension, path: str) -> Any:
    if not isinstance(value, list | tuple):
        return value
    if not isinstance(one.kind, Examples) or value == one.default:
        return tuple(value)
    try:
        return tuple(plain(list(value)))
    except (TypeError, ValueError) as error:
        raise SpaceError(f"{path!r} holds what JSON has no form for ({error}).", "Give plain JSON data.") from error


def _shown(kind: Any) -> str:
    text = f"{kind.initial!r}" if hasattr(kind, "initial") else kind.expected
    return text if len(text) <= 60 else text[:57] + "..."


def _conditions(one: Dimension) -> str:
    if () in one.when:
        return ""
    texts = [" and ".join(f"{path} is {' or '.join(map(repr, labels))}" for path, labels in each) for each in one.when]
    return "if " + ", or ".join(texts)
