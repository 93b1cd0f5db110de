"""`Tag`: a label with the way that each of its sources came, as the interpreter carries it beside every value.

Two tags are as high as their sources; the ways only tell a violation's story, the first way of a source is kept.
Cost: joining a tag with one below it allocates nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from thalweg.program.labels.label import Label

if TYPE_CHECKING:
    from thalweg.program.labels import Origin

_NONE: frozenset[str] = frozenset()


class Tag:
    """Sources, and for each the way it came. False at bottom."""

    __slots__ = ("sources", "ways")

    def __init__(self, sources: frozenset[str] = _NONE, ways: Mapping[str, Origin] | None = None) -> None:
        self.sources = sources
        self.ways: Mapping[str, Origin] = ways or {}

    @classmethod
    def of(cls, label: Iterable[str], path: str, line: int | None = None, known: Tag | None = None) -> Tag:
        """The tag of a label read at `path`; sources in `known` keep the way they came."""
        sources = Label.of(label)
        if not sources:
            return NOTHING
        from thalweg.program.labels import Origin

        ways = {one: Origin(one, path, line) for one in sources}
        if known is not None:
            ways |= {one: way for one, way in known.ways.items() if one in sources}
        return cls(frozenset(sources), ways)

    @property
    def label(self) -> Label:
        return Label(*self.sources)

    def __bool__(self) -> bool:
        return bool(self.sources)

    def __or__(self, other: Tag) -> Tag:
        if not other.sources or other.sources <= self.sources:
            return self
        if self.sources <= other.sources:
            return other if not self.sources else Tag(other.sources, {**other.ways, **self.ways})
        return Tag(self.sources | other.sources, {**other.ways, **self.ways})

    def minus(self, other: Tag) -> Tag:
        """The sources that `other` lacks."""
        if not self.sources or not other.sources:
            return self
        rest = self.sources - other.sources
        return Tag(rest, {one: way for one, way in self.ways.items() if one in rest}) if rest else NOTHING

    def via(self, path: str) -> Tag:
        """The same sources after a call."""
        if not self.sources:
            return self
        return Tag(self.sources, {one: way.via(path) for one, way in self.ways.items()})

    def __repr__(self) -> str:
        return f"Tag{self.label}"


NOTHING = Tag()


def join(tags: Iterable[Tag]) -> Tag:
    found = NOTHING
    for one in tags:
        if one.sources:
            found = found | one
    return found
