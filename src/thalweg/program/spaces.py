"""`space(flow)`: every choice a program leaves open, and `Genome`: one assignment of them, as data.

The choices are the markers in the flow's text (see `choices.py`), in flows, functions and dataclasses that it uses, and
those that every learned function has: its instruction and its demonstrations. What stands in a branch that another
choice decides is active only then. Choose it to search over programs; optimizers see nothing but a `Space`.
Source: conditional search spaces, as in Hyperopt (Bergstra et al., 2013). Cost: milliseconds for a flow, calls nothing.
"""

from __future__ import annotations

import fnmatch
import hashlib
import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from thalweg.errors import SpaceError
from thalweg.program.assignments import Assignment, Place, in_force
from thalweg.program.choice_kinds import Choice, Kind, checked
from thalweg.program.space_reading import Condition

_MOST = 100_000  # combinations of deciding choices that `size` goes through
VERSION = 1


@dataclass(frozen=True)
class Dimension:
    """One choice of a program.

    Args:
        path: ``answer/how``, ``answer.read/instruction``. kind: what may be assigned.
        when: it is active if one of these conditions holds; the empty condition always does.
        implicit: it belongs to a learned function, no marker was written. where: for people, a file and a line.
        places, code, parameter, setting: how the running program finds it.
    """

    path: str
    kind: Kind
    when: tuple[Condition, ...] = ((),)
    implicit: bool = False
    where: str = ""
    places: tuple[Place, ...] = ()
    parameter: tuple[Any, str] | None = None
    setting: tuple[Any, str] | None = None


@dataclass(frozen=True)
class Genome:
    """Values for the choices of a program; equal ones make equal programs. Made by a `Space`.

    Args:
        values: by path; choices that are not active have their default.
    """

    values: Mapping[str, Any]
    space: Space = field(compare=False, repr=False)

    def __getitem__(self, path: str) -> Any:
        return self.values[path]

    def __hash__(self) -> int:
        return hash(json.dumps(self.values, sort_keys=True, default=str))

    def replace(self, values: Mapping[str, Any]) -> Genome:
        """With other values for some paths. Raises `SpaceError`."""
        return self.space.genome({**self.values, **values})

    @property
    def state(self) -> dict[str, Any]:
        """The learned functions' parameters in it that are not as written, for `flow.bind`."""
        return {
            path: _plain(self.values[path])
            for path, one in self.space.items()
            if one.implicit and one.setting is None and self.values[path] != one.kind.default
        }

    @property
    def digest(self) -> str:
        return hashlib.blake2b(json.dumps(self.to_json(), sort_keys=True).encode(), digest_size=12).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Readable JSON: the active choices; of the implicit ones those that are not as written."""
        active = self.space.active(self.values)
        return {
            "program": self.space.name,
            "version": VERSION,
            "choices": {
                path: _plain(self.values[path])
                for path, one in self.space.items()
                if path in active and not (one.implicit and self.values[path] == one.kind.default)
            },
        }

    @classmethod
    def from_json(cls, data: Any, space: Space) -> Genome:
        """What `to_json` wrote, for the same space; what it leaves out has its default. Raises `SpaceError`."""
        if not isinstance(data, Mapping) or not isinstance(data.get("choices"), Mapping):
            raise SpaceError(f"{data!r:.80} is no genome.", 'Give an object with "choices", as `to_json` writes it.')
        if data.get("version", VERSION) != VERSION:
            raise SpaceError(f"The genome has version {data['version']!r}, not {VERSION}.", "Write it again.")
        return space.genome(data["choices"])


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

    def opened(self, path: str, kind: Kind) -> Space:
        """With a setting made a choice: ``opened("answer.read/temperature", Real(0, 1))``. Raises `SpaceError`."""
        known = self.inactive.get(path)
        if known is None:
            raise SpaceError(f"{path!r} is no setting of `{self.name}`.", f"There are: {', '.join(self.inactive)}.")
        rest = {other: one for other, one in self.inactive.items() if other != path}
        return Space(self.name, {**self.dimensions, path: replace(known, kind=checked(kind))}, rest)

    def _only(self, wanted: Any) -> Space:
        return Space(self.name, {path: one for path, one in self.dimensions.items() if wanted(one)}, self.inactive)

    # -- genomes ----------------------------------------------------------------------------------------------------

    def genome(self, values: Mapping[str, Any]) -> Genome:
        """The genome with these values, defaults elsewhere. Raises `SpaceError` for what does not fit."""
        for path, value in values.items():
            if path not in self.dimensions:
                raise SpaceError(
                    f"{path!r} is no open choice of `{self.name}`.",
                    f"There are: {', '.join(self.dimensions) or 'none'}.",
                )
            kind = self.dimensions[path].kind
            if not kind.fits(value):
                raise SpaceError(f"{value!r:.80} does not fit {path!r}.", f"It takes {kind.expected}.")
        made = {path: _frozen(values.get(path, one.kind.default)) for path, one in self.dimensions.items()}
        active = self.active(made)
        return Genome(
            {path: made[path] if path in active else one.kind.default for path, one in self.dimensions.items()}, self
        )

    validate = genome

    def default(self) -> Genome:
        """Every choice as the program runs without an assignment."""
        return self.genome({})

    def sample(self, seed: int) -> Genome:
        """Every choice drawn at random; texts and examples stay as they are. Equal seeds give equal genomes."""
        rng = random.Random(seed)
        return self.genome({path: one.kind.sample(rng) for path, one in self.dimensions.items()})

    def neighbours(self, genome: Genome, seed: int = 0) -> list[Genome]:
        """Genomes that differ in one active choice (and in what that makes active)."""
        rng = random.Random(seed)
        active = self.active(genome.values)
        found: dict[Genome, None] = {}
        for path, one in self.dimensions.items():
            if path in active:
                for value in one.kind.neighbours(genome.values[path], rng):
                    found[self.genome({**genome.values, path: value})] = None
        found.pop(genome, None)
        return list(found)

    def active(self, values: Mapping[str, Any]) -> set[str]:
        """Paths of the choices that take part under these values. A deciding choice that is not here counts as its
        default."""
        return {path for path, one in self.dimensions.items() if any(_holds(each, values) for each in one.when)}

    def size(self) -> float:
        """How many different genomes there are; `math.inf` with reals, texts or examples."""
        deciding = {path for one in self.dimensions.values() for each in one.when for path, _ in each} & set(self)
        kinds = {path: self.dimensions[path].kind for path in deciding}
        options = {path: kind.options for path, kind in kinds.items() if isinstance(kind, Choice)}
        others = [one for path, one in self.dimensions.items() if path not in options]
        if math.prod(len(one) for one in options.values()) > _MOST:
            return math.prod(one.kind.size() for one in self.dimensions.values())
        total, seen = 0.0, set()
        for labels in itertools.product(*options.values()):
            genome = self.genome(dict(zip(options, labels, strict=True)))
            key = json.dumps([genome.values[path] for path in options])
            if key not in seen:
                seen.add(key)
                active = self.active(genome.values)
                total += math.prod(one.kind.size() for one in others if one.path in active)
        return total if total == math.inf else int(total)

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
            settings.setdefault(one.setting[0], {})[one.setting[1]] = value
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
    """The Python value of a parameter's choice: its options are only known by the space that found it."""
    from thalweg.program.space_discovery import option_values

    return option_values(one, value)


def _holds(condition: Condition, values: Mapping[str, Any]) -> bool:
    return all(
        path not in values or any(type(values[path]) is type(label) and values[path] == label for label in labels)
        for path, labels in condition
    )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _shown(kind: Any) -> str:
    text = f"{kind.initial!r}" if hasattr(kind, "initial") else kind.expected
    return text if len(text) <= 60 else text[:57] + "..."


def _conditions(one: Dimension) -> str:
    if () in one.when:
        return ""
    texts = [" and ".join(f"{path} is {' or '.join(map(repr, labels))}" for path, labels in each) for each in one.when]
    return "if " + ", or ".join(texts)
