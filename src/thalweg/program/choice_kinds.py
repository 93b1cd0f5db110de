"""Kinds of open choices: what may be assigned, how a value is drawn, what lies beside it, how many there are.

Values are JSON: options go by their labels. A new kind is a frozen dataclass with the verbs of `Kind`, and a
marker in `choices.py`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from thalweg.errors import SpaceError

Label = str | int | float | bool | None  # of an option, as it is written in a genome
_SCALARS = (str, int, float, bool, type(None))
SPREAD = 0.2  # of a mutated number, in shares of its range


@runtime_checkable
class Kind(Protocol):
    """What may be assigned to a choice, as JSON values."""

    @property
    def default(self) -> Any: ...
    @property
    def expected(self) -> str:
        """What fits, in words."""
        ...

    def fits(self, value: Any) -> bool: ...
    def size(self) -> float: ...
    def sample(self, rng: random.Random) -> Any: ...
    def neighbours(self, value: Any, rng: random.Random) -> list[Any]: ...
    def mutate(self, value: Any, rng: random.Random) -> Any:
        """Another value, drawn at random; the same where there is no other, or none that can be drawn."""
        ...


@dataclass(frozen=True)
class Choice:
    """One of some options, by label: a constant is its own, a function goes by its name. Given to `Space.opened`,
    options may be objects; there they get their labels."""

    options: tuple[Any, ...]

    @property
    def default(self) -> Any:
        return self.options[0]

    @property
    def expected(self) -> str:
        return f"one of {', '.join(map(repr, self.options))}"

    def fits(self, value: Any) -> bool:
        return any(same_label(value, one) for one in self.options)

    def index(self, value: Any) -> int:
        return next(index for index, one in enumerate(self.options) if same_label(value, one))

    def size(self) -> float:
        return len(self.options)

    def sample(self, rng: random.Random) -> Any:
        return rng.choice(self.options)

    def neighbours(self, value: Any, rng: random.Random) -> list[Any]:
        return [one for one in self.options if not same_label(one, value)]

    def mutate(self, value: Any, rng: random.Random) -> Any:
        others = self.neighbours(value, rng)
        return others[int(rng.random() * len(others))] if others else value


@dataclass(frozen=True)
class Subset:
    """`k` of some options, in the order in which they are written."""

    k: int
    options: tuple[Label, ...]

    @property
    def default(self) -> tuple[Label, ...]:
        return self.options[: self.k]

    @property
    def expected(self) -> str:
        return f"{self.k} of {', '.join(map(repr, self.options))}, in this order"

    def fits(self, value: Any) -> bool:
        if not isinstance(value, list | tuple) or len(value) != self.k:
            return False
        places = [
            next((index for index, one in enumerate(self.options) if same_label(one, part)), -1) for part in value
        ]
        return -1 not in places and places == sorted(set(places))

    def size(self) -> float:
        return math.comb(len(self.options), self.k)

    def sample(self, rng: random.Random) -> tuple[Label, ...]:
        return tuple(self.options[index] for index in sorted(rng.sample(range(len(self.options)), self.k)))

    def neighbours(self, value: Any, rng: random.Random) -> list[Any]:
        """One element exchanged."""
        inside = [index for index, one in enumerate(self.options) if any(same_label(one, part) for part in value)]
        outside = [index for index in range(len(self.options)) if index not in inside]
        return [
            tuple(self.options[index] for index in sorted([one for one in inside if one != left] + [new]))
            for left in inside
            for new in outside
        ]

    def mutate(self, value: Any, rng: random.Random) -> Any:
        others = self.neighbours(value, rng)
        return rng.choice(others) if others else value


@dataclass(frozen=True)
class Permutation:
    """Some options in any order."""

    options: tuple[Label, ...]

    @property
    def default(self) -> tuple[Label, ...]:
        return self.options

    @property
    def expected(self) -> str:
        return f"an order of {', '.join(map(repr, self.options))}"

    def fits(self, value: Any) -> bool:
        if not isinstance(value, list | tuple) or len(value) != len(self.options):
            return False
        return all(any(same_label(one, part) for part in value) for one in self.options)

    def size(self) -> float:
        return math.factorial(len(self.options))

    def sample(self, rng: random.Random) -> tuple[Label, ...]:
        return tuple(rng.sample(self.options, len(self.options)))

    def neighbours(self, value: Any, rng: random.Random) -> list[Any]:
        """Two that stand beside each other exchanged."""
        return [
            (*value[:at], value[at + 1], value[at], *value[at + 2 :]) for at in range(len(self.options) - 1)
        ]  # fmt: skip

    def mutate(self, value: Any, rng: random.Random) -> Any:
        """Any two exchanged."""
        if len(value) < 2:
            return value
        made = list(value)
        one, other = rng.sample(range(len(made)), 2)
        made[one], made[other] = made[other], made[one]
        return tuple(made)


@dataclass(frozen=True)
class Real:
    """A number from `low` to `high`; on a logarithmic scale where `log`."""

    low: float
    high: float
    log: bool = False

    @property
    def default(self) -> float:
        return math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2

    @property
    def expected(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"

    def fits(self, value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def size(self) -> float:
        return math.inf if self.low < self.high else 1

    def sample(self, rng: random.Random) -> float:
        return self.at(rng.random())

    def neighbours(self, value: Any, rng: random.Random) -> list[Any]:
        """Two steps of about a tenth of the range, one to each side."""
        if self.low >= self.high:
            return []
        share = self.share(value)
        steps = [share - abs(rng.gauss(0.1, 0.03)), share + abs(rng.gauss(0.1, 0.03))]
        return [made for one in steps if (made := self.at(min(1.0, max(0.0, one)))) != value]

    def mutate(self, value: Any, rng: random.Random) -> Any:
        """A step of about a fifth of the range; anywhere, where that would leave it."""
        if self.low >= self.high:
            return value
        share = self.share(value) + rng.gauss(0, SPREAD)
        return self.at(share if 0 <= share <= 1 else rng.random())

    def share(self, value: float) -> float:
        """Where in the range a number lies, from 0 to 1."""
        if self.low >= self.high:
            return 0.0
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)

    def at(self, share: float) -> float:
        """The number there."""
        if self.log:
            made = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        else:
            made = self.low + share * (self.high - self.low)
        return min(self.high, max(self.low, made))


@dataclass(frozen=True)
class Integer:
    """A whole number from `low` to `high`, both included."""

    low: int
    high: int

    @property
    def default(self) -> int:
        return (self.low + self.high) // 2

    @property
    def expected(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def fits(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def size(self) -> float:
        return self.high - self.low + 1

    def sample(self, rng: random.Random) -> int:
        return rng.randint(self.low, self.high)

    def neighbours(self, value: Any, rng: random.Random) -> list[Any]:
        return [one for one in (value - 1, value + 1) if self.low <= one <= self.high]

    def mutate(self, value: Any, rng: random.Random) -> Any:
        """A step of about a fifth of the range, at least 1."""
        if self.low == self.high:
            return value
        step = max(1, round(abs(rng.gauss(0, SPREAD)) * (self.high - self.low)))
        made = value + step if rng.random() < 0.5 else value - step
        if not self.low <= made <= self.high:
            made = rng.randint(self.low, self.high - 1)
            made += made >= value  # any other
        return made


@dataclass(frozen=True)
class Text:
    """Any text. Its neighbours are for a proposer to write."""

    initial: str = ""

    @property
    def default(self) -> str:
        return self.initial

    expected = "a text"

    def fits(self, value: Any) -> bool:
        return isinstance(value, str)

    def size(self) -> float:
        return math.inf

    def sample(self, rng: random.Random) -> str:
        return self.initial

    def neighbours(self, value: Any, rng: random.Random) -> list[Any]:
        return []

    def mutate(self, value: Any, rng: random.Random) -> Any:
        return value


@dataclass(frozen=True)
class Examples:
    """Worked examples of a learned function: a list of ``{"inputs": {...}, "output": ...}``, chosen by an optimizer."""

    initial: tuple[Any, ...] = ()

    @property
    def default(self) -> tuple[Any, ...]:
        return self.initial

    expected = 'a list of {"inputs": {...}, "output": ...}'

    def fits(self, value: Any) -> bool:
        return isinstance(value, list | tuple) and all(
            isinstance(one, Mapping) and isinstance(one.get("inputs"), Mapping) and "output" in one for one in value
        )

    def size(self) -> float:
        return math.inf

    def sample(self, rng: random.Random) -> tuple[Any, ...]:
        return self.initial

    def neighbours(self, value: Any, rng: random.Random) -> list[Any]:
        return [(*value[:at], *value[at + 1 :]) for at in range(len(value))]

    def mutate(self, value: Any, rng: random.Random) -> Any:
        return value


def same_label(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def labels_of(options: Sequence[Any]) -> tuple[Label, ...]:
    """What options are called in a genome: constants by themselves, functions and classes by name, other objects as
    they are written (by their class, where that would tell nothing but an address), no two alike."""
    found: list[Label] = []
    for one in options:
        label = one if type(one) in _SCALARS else getattr(one, "__name__", None) or _written(one)
        if any(same_label(label, known) for known in found):
            same = sum(1 for known in found if isinstance(known, str) and known.partition("~")[0] == f"{label}")
            label = f"{label}~{same + 1 if same else 2}"
        found.append(label)
    if not found:
        raise SpaceError("A choice has no options.", "Give at least one.")
    return tuple(found)


def _written(one: Any) -> str:
    text = f"{one!r}"
    return type(one).__name__ if " at 0x" in text else text


def check_range(kind: Real | Integer) -> None:
    if kind.low > kind.high:
        raise SpaceError(f"The range from {kind.low} to {kind.high} is empty.", "Give the lower end first.")
    if isinstance(kind, Real) and kind.log and kind.low <= 0:
        raise SpaceError(f"A logarithmic range cannot begin at {kind.low:g}.", "Give a lower end above 0.")
    if isinstance(kind, Integer) and not all(type(one) is int for one in (kind.low, kind.high)):
        raise SpaceError(f"{kind.low!r} to {kind.high!r} is no range of whole numbers.", "Give ints, or use `real`.")


def check_subset(kind: Subset) -> None:
    if type(kind.k) is not int or not 0 <= kind.k <= len(kind.options):
        raise SpaceError(
            f"{kind.k!r} of {len(kind.options)} options cannot be taken.", "Give k from 0 to their number."
        )


def checked(kind: Any) -> Any:
    """The kind itself. Raises `SpaceError` where it makes no sense."""
    if isinstance(kind, Real | Integer):
        check_range(kind)
    elif isinstance(kind, Subset):
        check_subset(kind)
    return kind
