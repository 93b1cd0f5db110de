"""How often something happens, as far as a program's text tells: polynomials in the unknown lengths of its loops.

``2 + 3·n`` calls for a loop of unknown length `n`. Used for bounds only: `lower` and `upper` of two polynomials are
taken coefficient by coefficient, which is never too good for lengths of 0 and more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Count:
    """A polynomial with whole coefficients: products of loop lengths -> how many of them."""

    terms: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    @classmethod
    def of(cls, number: int) -> Count:
        return cls({(): number} if number else {})

    @classmethod
    def symbol(cls, name: str) -> Count:
        return cls({(name,): 1})

    def __add__(self, other: Count) -> Count:
        return self._with(other, lambda a, b: a + b)

    def __mul__(self, other: Count) -> Count:
        made: dict[tuple[str, ...], int] = {}
        for names, a in self.terms.items():
            for more, b in other.terms.items():
                key = tuple(sorted((*names, *more)))
                made[key] = made.get(key, 0) + a * b
        return Count(made)

    def upper(self, other: Count) -> Count:
        """At least as large as both."""
        return self._with(other, max)

    def lower(self, other: Count) -> Count:
        """At most as large as both."""
        return self._with(other, min)

    def _with(self, other: Count, combine: Callable[[int, int], int]) -> Count:
        keys = dict.fromkeys((*self.terms, *other.terms))
        made = {key: combine(self.terms.get(key, 0), other.terms.get(key, 0)) for key in keys}
        return Count({key: value for key, value in made.items() if value})

    @property
    def number(self) -> int | None:
        """The number, where no loop of unknown length takes part."""
        return self.terms.get((), 0) if set(self.terms) <= {()} else None

    def value(self, lengths: Mapping[str, int]) -> int:
        """The number for given lengths of loops."""
        total = 0
        for names, factor in self.terms.items():
            for name in names:
                factor *= lengths[name]
            total += factor
        return total

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Count) and dict(self.terms) == dict(other.terms)

    def __str__(self) -> str:
        parts = []
        for names, factor in sorted(self.terms.items(), key=lambda one: (len(one[0]), one[0])):
            shown = "·".join(names)
            parts.append(f"{factor}" if not names else shown if factor == 1 else f"{factor}·{shown}")
        return " + ".join(parts) or "0"


@dataclass(frozen=True)
class Bounds:
    """From `least` to `most`, if no call raises."""

    least: Count = Count()
    most: Count = Count()

    @classmethod
    def of(cls, number: int) -> Bounds:
        return cls(Count.of(number), Count.of(number))

    def __add__(self, other: Bounds) -> Bounds:
        return Bounds(self.least + other.least, self.most + other.most)

    def __mul__(self, other: Bounds) -> Bounds:
        return Bounds(self.least * other.least, self.most * other.most)

    def either(self, other: Bounds) -> Bounds:
        """One of the two happens."""
        return Bounds(self.least.lower(other.least), self.most.upper(other.most))

    def perhaps(self) -> Bounds:
        return Bounds(Count(), self.most)

    def __str__(self) -> str:
        return f"{self.most}" if self.least == self.most else f"{self.least} to {self.most}"
