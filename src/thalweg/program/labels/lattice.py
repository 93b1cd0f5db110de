"""`Lattice`: which labels there are and how they lie above each other - sets of sources, or a total order.

Both are one thing, an order of sources in which a higher source implies the lower ones: its labels are the sets closed
downwards, join is union, below is inclusion (Birkhoff 1937, "Rings of sets": every finite distributive lattice is of
this form). `powerset` has sources that imply nothing; in a `chain` each implies all before it. Every verb closes the
labels it is given, so ``Label("secret")`` may stand for its closed form. Cost: sets of a few texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from thalweg.errors import LabelError
from thalweg.program.labels.label import BOTTOM, Label


@dataclass(frozen=True)
class Lattice:
    """A finite lattice of labels. Made by `powerset` or `chain`.

    Args:
        sources: from the least sensitive to the most.
        implied: for each source, itself and all that it implies.
        floor: another name for bottom, the lowest level of a chain.
    """

    sources: tuple[str, ...]
    implied: tuple[Label, ...]
    floor: str = ""

    @classmethod
    def powerset(cls, *sources: str) -> Lattice:
        """All sets of `sources`, ordered by inclusion. Raises `LabelError`: a source twice, or no text."""
        return cls(_different(sources), tuple(Label(source) for source in sources))

    @classmethod
    def chain(cls, *levels: str) -> Lattice:
        """A total order from the lowest level, which is bottom, to the highest. Raises `LabelError`."""
        _different(levels)
        if not levels:
            raise LabelError("A chain without levels has no bottom.", 'Name at least one: Lattice.chain("public").')
        above = levels[1:]
        return cls(above, tuple(Label(*above[: i + 1]) for i in range(len(above))), levels[0])

    # -- the order --------------------------------------------------------------------------------------------

    @property
    def bottom(self) -> Label:
        """The label of what anybody may know."""
        return BOTTOM

    @property
    def top(self) -> Label:
        """The label above all others."""
        return Label(*self.sources)

    def label(self, *sources: str) -> Label:
        """The label of these sources with all that they imply. Raises `LabelError` for one the lattice lacks."""
        return self.closed(Label(*sources))

    def closed(self, label: Iterable[str]) -> Label:
        """`label` with all that its sources imply. Raises `LabelError` for a source the lattice lacks."""
        found = set()
        for source in label:
            if source in self.sources:
                found |= self.implied[self.sources.index(source)]
            elif not self.floor or source != self.floor:
                known = ", ".join([*([self.floor] if self.floor else []), *self.sources])
                raise LabelError(f"The lattice has no source {source!r}; it has {known}.", "Add it, or correct it.")
        return Label(*found)

    def join(self, *labels: Iterable[str]) -> Label:
        """The least label above all of them; bottom without any."""
        return BOTTOM.join(*map(self.closed, labels))

    def meet(self, *labels: Iterable[str]) -> Label:
        """The greatest label below all of them; top without any."""
        return self.top.meet(*map(self.closed, labels))

    def leq(self, low: Iterable[str], high: Iterable[str]) -> bool:
        """Whether `low` lies below `high` or is equal to it."""
        return self.closed(low) <= self.closed(high)

    # -- walking it -------------------------------------------------------------------------------------------

    def without(self, label: Iterable[str], source: str) -> Label:
        """The greatest label below `label` that does not tell of `source`: all that implies it goes as well."""
        return Label(*(one for one in self.closed(label) if source not in self.implied[self.sources.index(one)]))

    def lower(self, label: Iterable[str]) -> list[Label]:
        """The labels right below `label`."""
        label = self.closed(label)
        ordered = [source for source in self.sources if source in label]
        below = dict.fromkeys(self.without(label, source) for source in ordered)
        return [one for one in below if len(one) == len(label) - 1]

    def down(self, start: Iterable[str] | None = None) -> Iterator[Label]:
        """Every label from `start` (default: top) downwards, each once, larger ones first; a powerset has 2^n."""
        level = [self.top if start is None else self.closed(start)]
        while level:
            yield from level
            level = list(dict.fromkeys(low for label in level for low in self.lower(label)))

    def names(self, label: Iterable[str]) -> tuple[str, ...]:
        """The sources that say all of `label`, in the lattice's order: of a chain the level alone."""
        closed = self.closed(label)
        implied = {low for one in closed for low in self.implied[self.sources.index(one)] if low != one}
        return tuple(source for source in self.sources if source in closed - implied) or (
            (self.floor,) if self.floor else ()
        )


def _different(sources: tuple[str, ...]) -> tuple[str, ...]:
    Label(*sources)  # checks that they are texts
    twice = [source for source in sources if sources.count(source) > 1]
    if twice:
        raise LabelError(f"The lattice names {twice[0]!r} twice.", "Name every source once.")
    return sources
