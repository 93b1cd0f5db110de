"""`Genome`: one assignment of a program's open choices, as data: changed by copying, compared, written down exactly.

`replace`, `mutate` and `crossover` make others, `diff` says what lies between two, `to_json` and `from_json` keep one
in a file. Values are JSON: options go by their labels, so that a genome means the same in another process. Source: DNA
and rebinding in Peng et al. 2020, "PyGlove: Symbolic Programming for Automated Machine Learning". Cost: tens of
microseconds a copy.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from thalweg.errors import SpaceError

if TYPE_CHECKING:
    from thalweg.program.spaces import Space

VERSION = 1


class Change(NamedTuple):
    """What a choice was, and what it is."""

    old: Any
    new: Any


class Difference(Mapping[str, Change]):
    """What lies between two genomes, by path: ``one.replace(one.diff(other)) == other``. Printed, a line a choice."""

    def __init__(self, changes: Mapping[str, Change]) -> None:
        self._changes = dict(changes)

    def __getitem__(self, path: str) -> Change:
        return self._changes[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._changes)

    def __len__(self) -> int:
        return len(self._changes)

    def __repr__(self) -> str:
        return f"Difference({self._changes!r})"

    def __str__(self) -> str:
        return "\n".join(f"{path}: {shown(one.old)} -> {shown(one.new)}" for path, one in self.items())


@dataclass(frozen=True, eq=False)
class Genome:
    """Values for the choices of a program; equal ones make equal programs. Made by a `Space`.

    Args:
        values: by path; choices that are not active have their default.
    """

    values: Mapping[str, Any]
    space: Space = field(repr=False)

    def __getitem__(self, path: str) -> Any:
        return self.values[path]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Genome):
            return NotImplemented
        mine, theirs = self.values, other.values
        return mine.keys() == theirs.keys() and all(same(one, theirs[path]) for path, one in mine.items())

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        try:
            return hash(tuple(self.values[path] for path in sorted(self.values)))
        except TypeError:  # examples
            return hash(json.dumps(self.values, sort_keys=True, default=str))

    # -- others ---------------------------------------------------------------------------------------------------

    def replace(self, values: Mapping[str, Any]) -> Genome:
        """With other values for some paths, or with what a `diff` says. Raises `SpaceError`."""
        said = {path: one.new if isinstance(one, Change) else one for path, one in values.items()}
        return self.space.genome({**self.values, **said})

    def clone(self) -> Genome:
        """An equal one that shares no list or dict with this one."""
        return self.space.genome({path: plain(one) for path, one in self.values.items()})

    def mutate(self, rng: random.Random) -> Genome:
        """Another value for one active choice, both drawn evenly (numbers: a step of about a fifth of their range),
        with defaults for what that makes active. The same where nothing can be drawn: texts and examples are for
        proposers."""
        space = self.space
        open_ = [one for one in space.drawn if space.holds(one, self.values)]
        if not open_:
            return self
        one = open_[int(rng.random() * len(open_))]
        value = self.values[one.path]
        made = one.kind.sample(rng) if value is None and one.opened else one.kind.mutate(value, rng)
        return space.settled({**self.values, one.path: made})

    def crossover(self, other: Genome, rng: random.Random) -> Genome:
        """Each choice from one of two parents, drawn evenly; from the one in which it is active, where the other's is
        not. Raises `SpaceError` for genomes of other choices."""
        self._check(other)
        mine, theirs = self.space.active(self.values), self.space.active(other.values)
        made = {}
        for path, value in self.values.items():
            first = rng.random() < 0.5
            if path in mine and path in theirs:
                made[path] = value if first else other.values[path]
            else:
                made[path] = other.values[path] if path in theirs else value
        return self.space.settled(made)

    def diff(self, other: Genome) -> Difference:
        """What would make this one the other. Raises `SpaceError` for genomes of other choices."""
        self._check(other)
        theirs = other.values
        return Difference({p: Change(one, theirs[p]) for p, one in self.values.items() if not same(one, theirs[p])})

    def _check(self, other: Genome) -> None:
        if other.values.keys() != self.values.keys():
            odd = sorted(other.values.keys() ^ self.values.keys())
            raise SpaceError(
                f"Genomes of different spaces: only one of them has {odd[0]!r}.", "Compare genomes of one space."
            )

    # -- as data --------------------------------------------------------------------------------------------------

    @property
    def state(self) -> dict[str, Any]:
        """The learned functions' parameters in it that are not as written, for `flow.bind`."""
        return {
            path: plain(self.values[path])
            for path, one in self.space.items()
            if one.implicit and one.setting is None and self.values[path] != one.kind.default
        }

    @cached_property
    def digest(self) -> str:
        """Equal for equal genomes, in any process."""
        return hashlib.blake2b(json.dumps(self.to_json(), sort_keys=True).encode(), digest_size=12).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Readable JSON: the active choices; of the implicit ones those that are not as written."""
        active = self.space.active(self.values)
        return {
            "program": self.space.name,
            "version": VERSION,
            "choices": {
                path: plain(self.values[path])
                for path, one in self.space.items()
                if path in active and not (one.implicit and same(self.values[path], one.default))
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

    def __str__(self) -> str:
        """The active choices, a line each; ``*`` marks those that are not the default."""
        active = self.space.active(self.values)
        width = max((len(path) for path in active), default=0)
        lines = [
            f"{' ' if same(self.values[path], one.default) else '*'} {path:<{width}}  {shown(self.values[path])}"
            for path, one in self.space.items()
            if path in active
        ]
        return "\n".join(lines) or "(no choices)"


def same(one: Any, other: Any) -> bool:
    """Whether two values of a choice are the same: 1, 1.0 and True are three."""
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def plain(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value))


def shown(value: Any) -> str:
    """A value for people, in at most 60 characters."""
    text = "as written" if value is None else f"{value!r}"
    return text if len(text) <= 60 else text[:57] + "..."
